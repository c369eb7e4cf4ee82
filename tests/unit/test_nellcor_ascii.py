"""Nellcor: lines of the notes, status codes, headings, the N-200."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from drivers.nellcor_ascii import DRIVER
from drivers.nellcor_ascii.options import FAULTS
from gateway.core.errors import ConfigError
from gateway.core.frame import Alerts, Event, Frame, Identified
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene
from tests.unit.oximeter_rig import T0, S, active, decoded, faults, frames, plan, profile, protocol, read, readings

NPB290, N595, N200 = "nellcor/npb290", "nellcor/n595", "nellcor/n200"
# NPB-290 manual p. 65, by way of the protocol notes
MANUAL = "12-NOV-97 14:00:05   100   120   50"
HEADING = "NPB-290 VERSION 1.0.0.1 CRC: XXXX SpO2 Limit: 30-100% PR Limit: 100-180BPM"
TITLES = "TIME             %SPO2  BPM  PA  Status"
# OpenICE, DemoN595, by way of the protocol notes
HEADING_595 = "N-595 VERSION 1.00.00 CRC:XXXX SpO2 Limit: 90-100% PR Limit: 50-120BPM"
MODE = "ADULT 0SAT-S SPO2 RESP MODE: NORMAL"


def lines(*texts: str) -> bytes:
    return "".join(text + "\r\n" for text in texts).encode()


def data(status: str = "", saturation: str = "97", rate: str = "72", second: int = 2) -> bytes:
    return lines(f"21-NOV-26 09:30:{second:02d}    {saturation}   {rate}   45   {status}")


def values(events: list[Event], kind: str = "line") -> list[tuple[float | None, ...]]:
    found = [[float(reading.value) for reading in readings(frame).values()] for frame in frames(events, kind)]
    return [tuple(None if math.isnan(value) else value for value in row) for row in found]


# ---- the printout


def test_lines_of_the_npb_290_manual() -> None:
    events = read(NPB290, lines(HEADING, TITLES, MANUAL))
    assert faults(events) == []
    assert values(events) == [(100.0, 120.0, 50.0)]
    assert [e for e in events if isinstance(e, Identified)] == [Identified("", "NPB-290", "1.0.0.1")]
    assert {name: reading.value for name, reading in readings(frames(events, "heading")[0]).items()} == {
        "SpO2 low": 30.0,
        "SpO2 high": 100.0,
        "PR low": 100.0,
        "PR high": 180.0,
    }


def test_headings_of_an_n_595() -> None:
    events = read(N595, lines(HEADING_595, MODE, TITLES, HEADING_595, MODE.replace("ADULT 0", "NEO 50")))
    assert faults(events) == []
    assert [e for e in events if isinstance(e, Identified)] == [Identified("", "N-595", "1.00.00")]  # once
    modes = [{name: r.value for name, r in readings(frame).items()} for frame in frames(events, "mode")]
    assert modes == [
        {"patient": "ADULT", "SAT-S": 0.0, "RESP MODE": "NORMAL"},
        {"patient": "NEO", "SAT-S": 50.0, "RESP MODE": "NORMAL"},
    ]


def test_limits_are_settings_of_the_metric_they_limit() -> None:
    table = plan(N595)
    (block,) = decoded(N595, frames(read(N595, lines(HEADING_595)), "heading"))
    found = {(table.metrics[r["metric"]].ref_id, table.metrics[r["metric"]].limit_of): float(r["value"]) for r in block}
    assert found == {
        ("MDCX_ALERT_LIMIT_LOW", "1.1.1.1"): 90.0,
        ("MDCX_ALERT_LIMIT_HIGH", "1.1.1.1"): 100.0,
        ("MDCX_ALERT_LIMIT_LOW", "1.1.1.2"): 50.0,
        ("MDCX_ALERT_LIMIT_HIGH", "1.1.1.2"): 120.0,
    }


def test_a_star_is_an_alarm_on_a_valid_value() -> None:
    """[computed] example of the protocol notes: SpO2 97 in alarm, PR 72, PA 45, low saturation."""
    events = read(N595, lines("21-NOV-26 09:30:02    97*   72   45   SL"))
    row = readings(frames(events, "line")[0])
    assert [(r.value, r.validity, r.flags) for r in row.values()] == [
        (97.0, Validity.VLD, Flag.ALERT_ACTIVE),
        (72.0, Validity.VLD, 0),
        (45.0, Validity.VLD, 0),
    ]
    assert active(frames(events, "alert")[0]) == ["SL"]


@pytest.mark.parametrize("code", ["SD", "SO", "PS", "LP", "LM"])
def test_codes_that_take_the_values_away(code: str) -> None:
    events = read(N595, data(f"SL {code}"))
    assert values(events) == [(None, None, None)]
    assert {r.validity for r in readings(frames(events, "line")[0]).values()} == {Validity.NA}
    assert active(frames(events, "alert")[0]) == sorted(["SL", code])


def test_dashes_are_no_value() -> None:
    assert values(read(N595, data("", "---", "---"))) == [(None, None, 45.0)]


def test_motion_is_questionable() -> None:
    row = readings(frames(read(N595, data("MO")), "line")[0])
    assert {r.validity for r in row.values()} == {Validity.QST}


@pytest.mark.parametrize("code", ["AO", "AS"])
def test_alarms_that_are_off_or_silenced_are_inhibited(code: str) -> None:
    events = read(N595, data(f"{code} SL"))
    (alert,) = frames(events, "alert")
    assert isinstance(alert.payload, Alerts)
    assert [(a.object, a.flags) for a in alert.payload.active] == [
        (code, Flag.ALERT_INHIBITED),
        ("SL", Flag.ALERT_INHIBITED),
    ]
    assert {r.flags for r in readings(frames(events, "line")[0]).values()} == {Flag.ALERT_INHIBITED}


def test_a_code_that_is_not_known_is_an_alert_that_is_not_known() -> None:
    table = plan(N595)
    (alert,) = frames(read(N595, data("BU")), "alert")
    (row, _) = table.decode(alert, 0)
    assert table.metrics[row["metric"]].ref_id == "MDC_EVT_ALARM"


def test_an_alert_begins_and_ends() -> None:
    events = read(N595, data("SL") + data(second=4))
    assert [active(frame) for frame in frames(events, "alert")] == [["SL"], []]


def test_the_clock_is_told_when_two_lines_agree() -> None:
    events = read(N595, data() + data(second=4) + data(second=4).replace(b"09:30", b"19:30") + data(second=8))
    assert [frame.device_ns for frame in frames(events, "line")] == [None, 1_795_253_404 * S, None, None]
    assert faults(events) == ["clock", "clock"]
    assert read(NPB290, lines(MANUAL) * 2)[-1].device_ns == 879_343_205 * S  # type: ignore[union-attr]  # 1997


@pytest.mark.parametrize("end", range(1, len(MANUAL)))
def test_a_cut_line_is_not_used(end: int) -> None:
    """The amplitude 50 without its last digit is 5."""
    made = protocol(NPB290)
    events = read(NPB290, MANUAL[:end].encode(), T0, made) + read(NPB290, lines(MANUAL), T0 + 2 * S, made)
    assert values(events) == [(100.0, 120.0, 50.0)]
    assert len(faults(events)) == 1


def test_a_menu_is_no_data() -> None:
    """What somebody's terminal program has left on the line: the interactive mode."""
    events = read(N595, lines("NPB-595 Interactive Mode", "1) Dump Instrument Info", "Command?") + data())
    assert faults(events) == ["other"] * 3
    assert len(values(events)) == 1


# ---- N-200


def packet(m: int = 0x0F, a: int = 0, rate: str = "072", end: bytes = b"?\x03") -> bytes:
    return f"\x02R{rate}S097P045L050H120O085A{a:03d}M{m:03d}T123456Q000\r\n".encode() + end


def n200(events: list[Event]) -> dict[int | str, float]:
    (frame,) = frames(events, "packet")
    return {name: float(reading.value) for name, reading in readings(frame).items()}


@pytest.mark.parametrize("end", [b"?\x03", b"\x03?\x03", b"\x03\x02\x03", b"A7\x03", b"\r\x03"])
def test_n200_packet_with_either_ending(end: bytes) -> None:
    """The checksum is not looked at, whatever byte it is; nor is it garbage."""
    events = read(N200, packet(rate="071", end=end) + packet(end=end)[:-2])
    assert faults(events) == []
    assert [readings(frame)["R"].value for frame in frames(events, "packet")] == [71.0, 72.0]


def test_n200_values_and_limits() -> None:
    assert n200(read(N200, packet())) == {"R": 72.0, "S": 97.0, "P": 45.0, "L": 50.0, "H": 120.0, "O": 85.0}


@pytest.mark.parametrize(("m", "alert"), [(0x0E, "not locked"), (0x0D, "not attached"), (0x8F, "monitor lost")])
def test_n200_without_a_measurement(m: int, alert: str) -> None:
    events = read(N200, packet(m))
    found = n200(events)
    assert [name for name, value in found.items() if math.isnan(value)] == ["R", "S", "P"]
    assert active(frames(events, "alert")[0]) == [alert]


def test_n200_alarms() -> None:
    events = read(N200, packet(m=0x0B, a=0b10110))
    (alert,) = frames(events, "alert")
    assert active(alert) == ["A1", "A2", "A4"]
    assert isinstance(alert.payload, Alerts)
    assert {a.flags for a in alert.payload.active} == {Flag.ALERT_INHIBITED}  # the audio is off


@pytest.mark.parametrize("lost", range(1, 45))
def test_n200_a_lost_character_makes_no_value(lost: int) -> None:
    events = read(N200, packet()[:lost] + packet()[lost + 1 :] + packet())
    assert len(frames(events, "packet")) == 1
    assert faults(events) in (["damaged"], ["garbage"])


def test_experimental_models_have_no_valid_value() -> None:
    """N-200 and N-600x: nobody may rely on them yet."""
    for profile_id, line in ((N200, packet()), ("nellcor/n600x", data())):
        assert profile(profile_id).experimental
        told = [e for e in read(profile_id, line) if isinstance(e, Frame) and e.kind != "alert"]
        validities = {int(v) for block in decoded(profile_id, told) for v in block["validity"]}
        assert validities == {Validity.QST}


# ---- the driver

PROVOKED = {
    "garbage": b"x" * 200 + b"\r\n" + data(),
    "damaged": lines("21-NOV-26 09:30:02    97   72"),
    "other": lines("Command?"),
    "clock": data().replace(b"NOV", b"XYZ"),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_can_be_provoked(reason: str) -> None:
    assert faults(read(N595, PROVOKED[reason])) == [reason]


def test_one_oximeter_to_a_line_and_no_options() -> None:
    device = DeviceSpec(0, profile(N595))
    for make in (DRIVER.protocol, lambda devices, options: DRIVER.simulator(devices, options, Scene())):
        with pytest.raises(ConfigError):
            make([device, device], {})
        with pytest.raises(ConfigError):
            make([device], {"baud": 1})
    with pytest.raises(ConfigError):
        DRIVER.protocol([DeviceSpec(0, replace(profile(N595), driver_table={"output": "graph"}))], {})
