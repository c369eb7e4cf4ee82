"""Masimo ASCII 1: recorded lines of a Rad-8, exceptions, lines that must not be used."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from drivers.masimo_ascii import DRIVER
from drivers.masimo_ascii.options import FAULTS
from gateway.core.errors import ConfigError
from gateway.core.frame import Event, Identified
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE, Validity
from gateway.core.scene import Scene
from tests.unit.oximeter_rig import T0, S, active, decoded, faults, frames, plan, profile, protocol, read, readings

RAD8, RADICAL7 = "masimo/rad8", "masimo/radical7"
# a recorded line of a Rad-8 (yahnatan/pulseox), by way of the protocol notes
LINE = (
    "02/22/16 22:47:45 SN=0000056661 SPO2=098% BPM=097 PI=03.60% SPCO=--.-% SPMET=--.-% DESAT=-- PIDELTA=+-- "
    "ALARM=0000 EXC=000800"
)
TIME = 1_456_181_265 * S  # 2016-02-22 22:47:45 UTC


def line(text: str = LINE, second: int = 45, **changes: str) -> bytes:
    """Return a line with other values: SPO2="---%"."""
    parts = [part.split("=") for part in text.split()[2:]]
    tokens = " ".join(f"{key}={changes.get(key, value)}" for key, value in parts)
    return f"02/22/16 22:47:{second:02d} {tokens}\r\n\r\n".encode()


def values(events: list[Event], name: str) -> list[float | None]:
    found = [float(readings(frame)[name].value) for frame in frames(events, "line")]
    return [None if math.isnan(value) else value for value in found]


def test_recorded_lines_of_a_rad_8(shared: Path) -> None:
    data = (shared / "captures/masimo_rad8/rad8_ascii1.txt").read_bytes()
    events = read(RAD8, data)
    assert faults(events) == []
    assert values(events, "SPO2") == [98.0] * 5
    assert values(events, "BPM") == [97.0, 96.0, 96.0, 96.0, 97.0]
    assert values(events, "PI") == [3.6, 3.95, 4.25, 3.19, 2.41]
    for name in ("SPCO", "SPMET", "DESAT", "PIDELTA"):
        assert {readings(frame)[name].validity for frame in frames(events, "line")} == {Validity.NA}
    assert [e for e in events if isinstance(e, Identified)] == [Identified("", "", "", "0000056661")]
    assert {tuple(active(frame)) for frame in frames(events, "alert")} == {()}
    assert [frame.device_ns for frame in frames(events, "line")] == [None, *(TIME + i * S for i in range(1, 5))]


def test_a_recorded_line_in_units_and_codes() -> None:
    table = plan(RAD8)
    found = {}
    for block in decoded(RAD8, read(RAD8, LINE.encode() + b"\n")):
        for row in block[IS_USABLE[block["validity"]]]:
            metric = table.metrics[row["metric"]]
            found[metric.ref_id] = (float(row["value"]), metric.unit.ucum if metric.unit else "")
    assert found["MDC_PULS_OXIM_SAT_O2"] == (98.0, "%")
    assert found["MDC_PULS_OXIM_PULS_RATE"] == (97.0, "/min")
    assert found["MDC_PULS_OXIM_PERF_REL"] == (3.6, "%")


@pytest.mark.parametrize("bit", [0x001, 0x002, 0x008, 0x020, 0x080])
def test_exceptions_that_take_the_values_away(bit: int) -> None:
    events = read(RAD8, line(EXC=f"{0x800 | bit:06X}"))
    assert [values(events, name) for name in ("SPO2", "BPM", "PI")] == [[None]] * 3
    assert {readings(frames(events, "line")[0])[name].validity for name in ("SPO2", "BPM")} == {Validity.NA}
    assert active(frames(events, "alert")[0]) == [f"EXC {bit:03X}"]


@pytest.mark.parametrize("bit", [0x004, 0x010, 0x040, 0x400])
def test_exceptions_that_make_the_values_questionable(bit: int) -> None:
    """0xC00 = low signal IQ and SET, an example of the manual, by way of the protocol notes."""
    events = read(RAD8, line(EXC=f"{0x800 | bit:06X}"))
    assert values(events, "SPO2") == [98.0]
    assert readings(frames(events, "line")[0])["SPO2"].validity == Validity.QST
    assert active(frames(events, "alert")[0]) == [f"EXC {bit:03X}"]


def test_bits_that_nobody_documents_are_shown_and_change_no_value() -> None:
    events = read(RAD8, line(EXC="001900", ALARM="8001"))
    assert values(events, "SPO2") == [98.0]
    assert active(frames(events, "alert")[0]) == ["EXC 100", "EXC 1000", "ALARM 0001", "ALARM 8000"]


def test_set_is_the_normal_state_and_no_alert() -> None:
    events = read(RAD8, line() + line(second=46, EXC="000000"))
    assert values(events, "SET") == [1.0, 0.0]
    assert [active(frame) for frame in frames(events, "alert")] == [[], []]


def test_tokens_in_any_order_and_newer_ones() -> None:
    """PVI of a Radical-7; a token of a newer model is given, and counted as unmapped by the plan."""
    text = LINE.replace("ALARM=", "PVI=14 SPHB=13.2 ALARM=").replace("SPO2=098% BPM=097", "BPM=097 SpO2=098%")
    events = read(RADICAL7, text.encode() + b"\r\n")
    assert (values(events, "SPO2"), values(events, "PVI"), values(events, "SPHB")) == ([98.0], [14.0], [13.2])
    table = plan(RADICAL7)
    for frame in frames(events, "line"):
        table.decode(frame, 0)
    assert dict(table.unmapped) == {("line", "SPHB"): 1}


def test_pr_is_bpm() -> None:
    assert values(read(RAD8, LINE.replace("BPM=", "PR=").encode() + b"\r\n"), "BPM") == [97.0]


@pytest.mark.parametrize("sign", ["-05", "+05"])
def test_a_sign_is_no_dash(sign: str) -> None:
    assert values(read(RAD8, line(PIDELTA=sign)), "PIDELTA") == [float(sign)]


@pytest.mark.parametrize("shown", ["---%", "0-8%", "98%", "0098%", "098"])
def test_a_dash_among_the_digits_is_no_value(shown: str) -> None:
    events = read(RAD8, line(SPO2=shown))
    assert values(events, "SPO2") == ([None] if shown == "---%" else [])
    assert faults(events) == ([] if shown == "---%" else ["damaged"])


@pytest.mark.parametrize("lost", range(len(LINE)))
def test_a_lost_character_makes_no_value(lost: int) -> None:
    """A token whose name is damaged is missing, and counted under the name it then has; no number is another one."""
    whole = readings(frames(read(RAD8, line()), "line")[0])
    events = read(RAD8, (LINE[:lost] + LINE[lost + 1 :]).encode() + b"\r\n")
    found = [readings(frame) for frame in frames(events, "line")]
    for row in found:
        assert {name: repr(r) for name, r in row.items() if name in whole}.items() <= {
            name: repr(r) for name, r in whole.items()
        }.items()
    assert found or faults(events) in (["damaged"], ["other"])


@pytest.mark.parametrize("end", range(1, len(LINE)))
def test_a_cut_line_is_not_used(end: int) -> None:
    made = protocol(RAD8)
    events = read(RAD8, LINE[:end].encode(), T0, made) + read(RAD8, line(second=47), T0 + 2 * S, made)
    assert values(events, "SPO2") == [98.0]
    assert len(faults(events)) == 1


def test_two_lines_that_ran_together_are_not_used() -> None:
    half = LINE[: LINE.index("ALARM")]
    assert values(read(RAD8, (half + LINE + "\r\n").encode()), "SPO2") == []


def test_ascii_2_is_refused_because_the_trend_memory_prints_the_same() -> None:
    """Examples of the manuals, by way of the protocol notes: yesterday's value must not be shown as that of now."""
    printed = (
        b"09/21/08 09:56:12 SpO2=097 PR=069 PI=04.69 EXC=800:SET\r\n"
        b"09/21/08 09:56:14 SpO2=096 PR=074 PI=02.28 EXC=C00:LowSigIQ,SET\r\n"
        b"09/21/08 09:56:16 SpO2=000 PR=000 PI=00.00 EXC=020\r\n"
    )
    events = read(RAD8, printed)
    assert frames(events, "line") == []
    assert faults(events) == ["ascii_2"] * 3


def test_the_clock_is_told_when_two_lines_agree() -> None:
    """A damaged digit is no jump: 22:57:46 between 22:47:45 and 22:47:47."""
    spoiled = line(second=46).replace(b"22:47", b"22:57")
    events = read(RAD8, line() + spoiled + line(second=47) + line(second=48))
    assert [frame.device_ns for frame in frames(events, "line")] == [None, None, None, TIME + 3 * S]
    assert faults(events) == ["clock", "clock"]


def test_a_pause_of_the_line_is_no_jump_of_the_clock() -> None:
    made = protocol(RAD8)
    events = read(RAD8, line(second=5), T0, made) + read(RAD8, line(second=55), T0 + 50 * S, made)
    assert frames(events, "line")[1].device_ns == TIME + 10 * S
    assert faults(events) == []


def test_a_serial_number_is_told_when_two_lines_agree() -> None:
    made = protocol(RAD8)
    events = read(RAD8, line() + line(SN="0000056661") + line(SN="0000056671") + line() + line(), made=made)
    assert [e.serial for e in events if isinstance(e, Identified)] == ["0000056661"]


PROVOKED = {
    "garbage": b"x" * 600 + b"\r\n" + line(),
    "damaged": b"02/22/16 22:47:45 SPO2=098%\r\n",
    "ascii_2": b"09/21/08 09:56:12 SpO2=097 PR=069 PI=04.69 EXC=800:SET\r\n",
    "other": b"Rad-8\r\n",
    "clock": line().replace(b"02/22", b"13/22"),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_can_be_provoked(reason: str) -> None:
    assert faults(read(RAD8, PROVOKED[reason])) == [reason]


def test_one_oximeter_to_a_line_and_no_options() -> None:
    device = DeviceSpec(0, profile(RAD8))
    for make in (DRIVER.protocol, lambda devices, options: DRIVER.simulator(devices, options, Scene())):
        with pytest.raises(ConfigError):
            make([device, device], {})
        with pytest.raises(ConfigError):
            make([device], {"baud": 1})
