"""Puritan Bennett 840/980, the reports: framing, fields, alarms, clock, polling. The waveform port has its own file."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from drivers.puritan_bennett import DRIVER
from drivers.puritan_bennett.clock import MinuteClock, minute_ns
from drivers.puritan_bennett.options import FAULTS
from drivers.puritan_bennett.reports import KINDS
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Alerts, Event, Fault, Frame, Identified, Reading
from gateway.core.profile import parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit.ventilator_rig import T0, converse, decoded, drained, last, profile_of, protocol_of, readings

SNDA, SNDF = "puritan_bennett/pb840_snda", "puritan_bennett/pb840_sndf"
# Worked example of the protocol notes, as far as it goes: fields 5 to 13 of MISCA, STX in front, no comma after it.
EXAMPLE = "09:30 ,840 3510012345    ,      ,NOV 21 2026 ,CMV   ,14.0  ,0.45  ,45    ,40    ,"
NOV_21 = int(datetime(2026, 11, 21, 9, 30, tzinfo=UTC).timestamp()) * 1_000_000_000
# Widths of MISCF where they are not 6, and the counts: protocol notes, [1 source] and [computed]
WIDTHS = {6: 18, 7: 12, 8: 9, 53: 18, 55: 9, 66: 9, 156: 9}


def misca(fields: str = EXAMPLE) -> bytes:
    blank = "      ," * (97 - fields.count(","))
    return f"MISCA,706,97,\x02{fields}{blank}\x03\r".encode()


def miscf(values: dict[int, str] | None = None, last_field: int = 173, announced: int | None = None) -> bytes:
    """Return a full report of an adult on a quiet ventilator, with some fields changed."""
    given = {5: "09:30", 6: "840 3510012345", 7: "NOV 21 2026", 73: "22.0", 105: "OFF"}
    given |= dict.fromkeys(range(106, 154), "NORMAL") | (values or {})
    text = "".join(f"{given.get(n, ''):<{WIDTHS.get(n, 6)}}," for n in range(5, last_field + 1))
    return f"MISCF,1225,{announced or last_field - 4},\x02{text}\x03\r".encode("latin-1")


def heard(*reports: bytes, profile_id: str = SNDF, t_ns: int = T0) -> list[Event]:
    protocol = protocol_of(profile_id)
    protocol.data_to_send(0.0)
    for report in reports:
        protocol.receive_data(report, t_ns)
    return drained(protocol)


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def alerts(events: list[Event]) -> list[Alerts]:
    return [e.payload for e in events if isinstance(e, Frame) and isinstance(e.payload, Alerts)]


# ---- framing


def test_the_worked_example_of_the_notes() -> None:
    events = heard(misca(), profile_id=SNDA)
    assert Identified("", "840", "", "3510012345") in events
    assert faults(events) == []
    frame = next(event for event in events if isinstance(event, Frame))
    assert (frame.kind, frame.t_ns, frame.device_ns) == ("report", T0, NOV_21)
    values = decoded(SNDA, events)
    assert values["1.1.3.9 MDC_VENT_MODE"] == ["assist-control"]
    assert values["1.1.3.10 MDC_VENT_RESP_RATE_SETTING"] == [14.0]
    assert values["1.1.3.11 MDC_VENT_VOL_TIDAL_SETTING"] == [450.0]  # 0.45 L
    assert values["1.1.3.12 MDC_VENT_FLOW_INSP_SETTING"] == [45.0]
    assert values["1.1.3.13 MDC_CONC_GASDLV_O2_INSP_SETTING"] == [40.0]
    assert values["1.1.1.38 MDC_PRESS_AWAY_INSP_PEAK"] == [[None, "NA"]]


def test_error_5_python_strip_leaves_the_stx_that_java_trim_removes() -> None:
    """Errors in public sources, 5: field 5 is "STX 09:30 " for who strips blanks only, and no time."""
    assert "\x0209:30 ".strip() == "\x0209:30"
    assert minute_ns("\x0209:30", "NOV 21 2026") is None
    frame = next(event for event in heard(misca(), profile_id=SNDA) if isinstance(event, Frame))
    assert frame.device_ns == NOV_21


def test_the_simulated_report_has_the_computed_length() -> None:
    """Notes: 169 fields of 6 + 1, and the wider ones, are 1225 bytes; what is announced counts neither STX nor ETX."""
    report = converse(SNDF, 1.0).heard
    body = report[report.index(b"\x02") + 1 : report.index(b"\x03")]
    assert (len(body), body.count(b",")) == (1225, 169)
    assert report.startswith(b"MISCF,1225,169,\x02")
    assert converse(SNDA, 1.0).heard.count(b",") == 97 + 3


@pytest.mark.parametrize("count", [b"1", b"706", b"1226", b"99999"])
def test_the_byte_count_is_no_reason_to_lose_a_report(count: bytes) -> None:
    events = heard(miscf().replace(b"1225", count))
    assert last(events, "report")[73, 0].value == 22.0
    assert faults(events) == []


def test_newer_software_appends_fields() -> None:
    events = heard(miscf({180: "1.0"}, last_field=185))
    assert last(events, "report")[73, 0].value == 22.0
    assert (180, 0) in last(events, "report")  # given, so that it is counted as unmapped
    assert faults(events) == []


def test_older_software_has_fewer_fields_which_then_have_no_value() -> None:
    found = last(heard(miscf(last_field=155)), "report")
    assert found[73, 0].value == 22.0
    assert math.isnan(float(found[157, 0].value))
    assert found[157, 0].validity == Validity.NA


def test_after_every_cut_the_next_report_is_read() -> None:
    whole = miscf()
    rng = random.Random(2)
    for at in [1, 5, 12, 15, 16, 17, len(whole) - 2, len(whole) - 1, *rng.sample(range(len(whole)), 100)]:
        events = heard(whole[:at], miscf({73: "31.0"}))
        peaks = {reading.value for reading in readings(events, "report") if reading.object == 73}
        assert peaks == {31.0}, at


def test_a_lost_byte_spoils_its_own_field_and_no_other() -> None:
    """The usual damage of a line without handshake is a lost byte, and 22.0 without its first digit is 2.0."""
    whole = miscf(dict.fromkeys(range(69, 105), "22.0"))
    for at in range(whole.index(b"22.0"), whole.rindex(b"22.0") + 6):
        events = heard(whole[:at] + whole[at + 1 :])
        values = [reading.value for reading in readings(events, "report") if 69 <= int(reading.object) <= 104]
        assert {value for value in values if not math.isnan(float(value))} <= {22.0}, at
        assert set(faults(events)) & {"width", "fields", "word"}, at  # 95 is an alarm


# ---- fields


def test_volumes_are_litres_where_measured_and_millilitres_where_limited() -> None:
    values = decoded(SNDF, heard(miscf({71: "0.470", 154: ".512", 38: "650", 39: "300", 14: "0.45"})))
    assert values["1.1.1.71 MDC_VOL_AWAY_TIDAL_EXP"] == [470.0]
    assert values["1.1.1.154 MDC_VOL_AWAY_TIDAL_EXP_BTSD_PS"] == [512.0]
    assert values["1.1.5.38 MDCX_VENT_VOL_TIDAL_EXP_MAND_LIMIT_HIGH_SETTING"] == [650.0]
    assert values["1.1.5.39 MDCX_VENT_VOL_TIDAL_EXP_MAND_LIMIT_LOW_SETTING"] == [300.0]
    assert values["1.1.3.14 MDC_VENT_VOL_TIDAL_SETTING"] == [450.0]


def test_a_limit_that_is_off_has_no_value_and_says_that_its_alarm_is_off() -> None:
    found = last(heard(miscf({38: "OFF", 36: ""})), "report")
    assert math.isnan(float(found[38, 0].value))
    assert (found[38, 0].validity, found[38, 0].flags) == (Validity.NA, Flag.ALERT_INHIBITED)
    assert (found[36, 0].validity, found[36, 0].flags) == (Validity.NA, 0)


@pytest.mark.parametrize("text", ["----", "1e3", "0x10", "nan", "1.2.3", "12 3", "½", " 22.0", "2\x00"])
def test_what_is_no_number_is_no_value(text: str) -> None:
    events = heard(miscf({73: text}))
    reading = last(events, "report")[73, 0]
    assert math.isnan(float(reading.value))
    assert reading.validity == Validity.INV
    assert faults(events) == ["value"]


@pytest.mark.parametrize(
    ("text", "value"), [("-20", -20), ("+3.5", 3.5), ("0", 0), (".5", 0.5), ("5.", 5), ("0.000", 0)]
)
def test_numbers(text: str, value: float) -> None:
    assert last(heard(miscf({73: text})), "report")[73, 0] == Reading(73, 0, 0, value)


def test_the_room_is_never_told() -> None:
    """MISCA field 7 is typed in by a person."""
    events = heard(misca(EXAMPLE.replace(",      ,", ",ROOM 5,", 1)), profile_id=SNDA)
    assert not [event for event in events if "ROOM" in repr(event)]
    assert 7 not in {reading.object for reading in readings(events, "report")}


@pytest.mark.parametrize(
    ("ident", "model", "serial"),
    [
        ("840 3510012345", "840", "3510012345"),
        ("980 35B1600001", "980", "35B1600001"),
        ("3510012345", "", "3510012345"),
    ],
)
def test_who_it_is_is_said_once_and_again_when_it_changes(ident: str, model: str, serial: str) -> None:
    events = heard(miscf({6: ident}), miscf({6: ident}), miscf({6: "840 7"}))
    found = [event for event in events if isinstance(event, Identified)]
    assert found == [Identified("", model, "", serial), Identified("", "840", "", "7")]


# ---- alarms


def test_alarms_are_a_list_with_their_urgency() -> None:
    events = heard(miscf({106: "HIGH", 115: "LOW", 118: "MEDIUM", 124: "RESET", 95: "ALERT"}))
    (active,) = alerts(events)
    assert [(alert.object, alert.priority, alert.flags) for alert in active.active] == [
        (95, 0, 0),
        (106, 3, 0),
        (115, 1, 0),
        (118, 2, 0),
    ]


def test_no_alarm_is_an_empty_list_and_no_word_of_alarms_is_no_list() -> None:
    assert alerts(heard(miscf())) == [Alerts(())]
    assert alerts(heard(miscf(dict.fromkeys(range(106, 154), "")))) == []


def test_silenced_alarms_are_marked() -> None:
    (active,) = alerts(heard(miscf({106: "HIGH", 105: "ON"})))
    assert active.active[0].flags == Flag.ALERT_INHIBITED


def test_misca_says_alarm_without_an_urgency() -> None:
    fields = EXAMPLE + "      ," * (48 - 14) + "ALARM ," + "      ," * 8 + "RESET ,"  # fields 48 and 57
    (active,) = alerts(heard(misca(fields), profile_id=SNDA))
    assert [(alert.object, alert.priority) for alert in active.active] == [(48, 0)]


def test_a_damaged_alarm_word_neither_raises_nor_ends_an_alarm() -> None:
    events = heard(miscf({106: "HIGH"}), miscf({106: "HIGX", 107: "NORMXL"}), miscf({106: "HIGH"}))
    assert [[alert.object for alert in found.active] for found in alerts(events)] == [[106]] * 3
    assert faults(events) == ["word"]


def test_an_unknown_alarm_word_that_stays_is_shown() -> None:
    events = heard(miscf({131: "URGENT"}), miscf({131: "URGENT"}), miscf({131: "NORMAL"}))
    first, second, third = alerts(events)
    assert first == third == Alerts(())
    assert [(alert.object, alert.text) for alert in second.active] == [(131, "131: URGENT")]
    assert faults(events) == ["word"]


def test_every_alarm_field_has_a_row() -> None:
    for profile_id, kind in (
        (SNDA, KINDS["SNDA"]),
        (SNDF, KINDS["SNDF"]),
        ("puritan_bennett/pb980_sndf", KINDS["SNDF"]),
    ):
        rows = [spec for channel in profile_of(profile_id).channels for spec in channel.metrics if spec.kind == "alert"]
        assert {spec.object for spec in rows} == {"*", *kind.alarms}


def test_pb840_and_pb980_have_the_same_table() -> None:
    def table(name: str) -> list[object]:
        specs = [spec for c in profile_of(f"puritan_bennett/{name}_sndf").channels for spec in c.metrics]
        return [replace(spec, where="") for spec in specs]

    assert table("pb840") == table("pb980")


# ---- clock


def test_seconds_are_counted_from_the_report_that_saw_the_minute_begin() -> None:
    clock = MinuteClock()
    second = 1_000_000_000
    assert clock.at(NOV_21, T0) == NOV_21
    assert clock.at(NOV_21, T0 + 20 * second) == NOV_21 + 20 * second
    assert clock.at(NOV_21 + 60 * second, T0 + 22 * second) == NOV_21 + 60 * second
    assert clock.at(NOV_21 + 60 * second, T0 + 81 * second) == NOV_21 + 119 * second
    assert clock.at(NOV_21 + 60 * second, T0 + 200 * second) == NOV_21 + 119 * second  # it stands still


def test_the_offset_of_a_clock_that_runs_well_is_told_once_after_the_first_minute() -> None:
    offsets = decoded(SNDF, converse(SNDF, 600.0, scene=Scene()).events)["1.1.6.5 MDC_ATTR_TIME_ABS"]
    assert 1 <= len(offsets) <= 3
    assert abs(offsets[-1]) <= 2.1  # one poll


@pytest.mark.parametrize(
    ("time", "day"),
    [("9:30", "NOV 21 2026"), ("24:00", "NOV 21 2026"), ("09:30", "NOV 31 2026"), ("09:30", "21 NOV 26")],
)
def test_a_clock_that_cannot_be_read_is_none(time: str, day: str) -> None:
    events = heard(miscf({5: time, 7: day}))
    assert faults(events) == ["clock"]
    assert {event.device_ns for event in events if isinstance(event, Frame)} == {None}


# ---- polling


def test_only_the_report_is_ever_asked_for() -> None:
    for profile_id, command in ((SNDA, b"SNDA\r"), (SNDF, b"SNDF\r")):
        talk = converse(profile_id, 30.0)
        assert set(talk.sent) == {command}
        assert len(talk.sent) == 15  # every 2 s
        gate = Gate(profile_of(profile_id).transmit)
        assert gate.allows(command)
        assert not any(gate.allows(other) for other in (b"RSET\r", b"SNDX\r", b"SNDF", command + b"X\r"))


def test_a_ventilator_that_stops_answering_is_silent_once_and_read_again_when_it_answers() -> None:
    talk = converse(SNDF, 40.0, lost=frozenset(range(3, 9)))
    assert talk.faults == {"timeout": 5, "silent": 1}
    gaps = [frame.after_gap for frame in talk.frames("report")]
    assert gaps[:5] == [False, False, False, True, False]


def test_the_other_report_is_not_read_with_this_table() -> None:
    events = heard(misca())
    assert faults(events) == ["code"]
    assert not [event for event in events if isinstance(event, Frame)]


def test_after_stop_nothing_is_asked() -> None:
    protocol = protocol_of(SNDF)
    protocol.stop(0.0)
    assert protocol.data_to_send(5.0) == b""
    assert protocol.next_wake() is None


def test_one_device_and_a_known_report() -> None:
    device = DeviceSpec(0, profile_of(SNDF))
    for make in (DRIVER.protocol, lambda devices, options: DRIVER.simulator(devices, options, Scene())):
        with pytest.raises(ConfigError):
            make([device, device], {})
        other = parse_profile(_MINIMAL, "a/b", "b.toml")
        with pytest.raises(ProfileError, match="speaks"):
            make([DeviceSpec(0, other)], {})
    with pytest.raises(ConfigError):
        DRIVER.protocol([device], {"poll_s": 0.0})


_MINIMAL = """
[profile]
vendor = "a"
model = "b"
driver = "puritan_bennett"
device = "MDC_DEV_SYS_PT_VENT_MDS"
source = "a test"
verified = "paper"
[driver]
speaks = "SNDX"
[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_SYS_PT_VENT_VMD"
chan = "MDC_DEV_SYS_PT_VENT_CHAN"
frame = "report"
metric = [{ n = 1, id = "MDC_VENT_RESP_RATE", object = 70, unit = "/min" }]
"""

# fault -> what provokes it; those of the waveform port and of time are provoked elsewhere
PROVOKED = {
    "garbage": b"\x00\xff noise \r" + miscf(),
    "report": miscf()[:700] + b"\r",
    "code": miscf().replace(b"MISCF", b"MISCA"),
    "fields": miscf(announced=168),
    "width": miscf().replace(b"22.0  ,", b"22.0 ,"),
    "value": miscf({73: "2x.0"}),
    "word": miscf({106: "WRONG"}),
    "clock": miscf({5: "25:00"}),
}


@pytest.mark.parametrize("reason", PROVOKED)
def test_every_fault_of_a_report_can_be_provoked(reason: str) -> None:
    assert faults(heard(PROVOKED[reason])) == [reason]


def test_no_fault_is_left_without_a_test() -> None:
    waves = {"line", "outside", "cut", "too_long", "missing"}  # test_puritan_bennett_waves.py
    assert set(FAULTS) == {*PROVOKED, *waves, "timeout", "silent"}


def test_an_endless_report_is_given_up() -> None:
    events = heard(b"MISCF,1225,169,\x02" + b"1.0   ," * 2000 + b"\r", miscf())
    assert faults(events) == ["garbage"]
    assert last(events, "report")[73, 0].value == 22.0


def test_single_bit_flips_that_change_a_value_unseen_are_no_more_than_the_readme_says() -> None:
    """Without a checksum, a digit that becomes another digit is seen by nobody."""
    whole = converse(SNDF, 1.0, scene=Scene(still=True)).heard
    clean = {(r.object, r.value) for r in readings(heard(whole), "report")}
    rng = random.Random(4)
    unseen, tries = 0, 1500
    for bit in rng.sample(range(8 * len(whole)), tries):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        found = readings(heard(bytes(damaged)), "report")
        unseen += any(
            (r.object, r.value) not in clean for r in found if not isinstance(r.value, str) and r.value == r.value
        )
    assert unseen / tries < 0.09
