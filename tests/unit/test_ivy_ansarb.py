"""Ivy 450C: the worked message of the protocol notes, framing without a checksum, the cuff, known errors elsewhere."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from drivers.ivy_ansarb.framing import Message, MessageReader
from drivers.ivy_ansarb.options import FAULTS
from drivers.ivy_ansarb.protocol import AnsarB
from drivers.ivy_ansarb.text import lead
from gateway.core.errors import ConfigError
from gateway.core.frame import Alert, Event, Fault, Frame, Reading
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene
from tests.unit.converse_rig import (
    T0,
    S,
    Talk,
    alerts,
    check_recording,
    decoded,
    drain,
    driver,
    faults,
    frames,
    plan,
    profile,
    readings,
    values,
    waves,
)

PROFILE = "ivy/450c"
# Message 0 of the recording, by way of the protocol notes ("worked example"): its text in full, of each wave the first
# eight samples. What is not given there is filled up with the last of them.
TEXT = (
    "HR=1;80;ECG-II-DIAG;/RR=1;35;APNEA: 20 SEC;/ETCO2=1;;;/SPO2=1;100;PR=80 ;/NIBP=4;121;75;92;80;;"
    "/P1=3;111;73;88;;/P2=3;;;;NO TRANSDUCER;/T1=1;;;/T2=1;;;/"
).replace("/", "\r")
STARTS = [
    ("8A 86 8A 8E 86 88 8C 88", 200),
    ("6D 60 54 48 3D 32 27 1E", 50),
    ("98 95 8F 89 84 81 7E 7C", 50),
    ("67 63 61 61 63 64 61 5D", 50),
    ("FB", 50),
]
WAVES = b"".join(bytes.fromhex(start).ljust(count, bytes.fromhex(start)[-1:]) for start, count in STARTS)


def message(text: str = TEXT, waves: bytes = WAVES) -> bytes:
    return b"\xffANSAR-B " + waves + text.encode("latin-1") + b"\xfe"


def fed(data: bytes, size: int = 0) -> list[Event]:
    protocol = AnsarB()
    for at in range(0, len(data), size or len(data)):
        protocol.receive_data(data[at : at + (size or len(data))], T0)
    return list(drain(protocol))


def seconds(*texts: str) -> list[list[Event]]:
    """Return the events of messages that come a second apart."""
    protocol = AnsarB()
    found: list[list[Event]] = []
    for n, text in enumerate(texts):
        protocol.receive_data(message(text), T0 + n * S)
        found.append(list(drain(protocol)))
    return found


def by_name(events: list[Event]) -> dict[object, Reading]:
    return {reading.object: reading for reading in readings(events)}


def good_messages(data: bytes) -> int:
    return sum(isinstance(item, Message) for item in MessageReader().feed(data))


# ---- the worked message


def test_the_worked_message_of_the_notes() -> None:
    assert len(message()) == 562
    first, second = seconds(TEXT, TEXT)
    said = {name: reading.value for name, reading in by_name(second).items() if not math.isnan(float(reading.value))}
    assert said == {
        "HR": 80, "RR": 35, "SPO2": 100, "PR": 80, "APNEA": 20, "NIBP sys": 121, "NIBP dia": 75, "NIBP mean": 92,
        "NIBP pulse": 80, "P1 sys": 111, "P1 dia": 73, "P1 mean": 88,
    }  # fmt: skip
    none = {name for name, reading in by_name(first).items() if math.isnan(float(reading.value))}
    assert none == {"ETCO2", "P2 sys", "P2 dia", "P2 mean", "T1", "T2"}
    assert {by_name(first)[name].validity for name in none} == {Validity.NA}


def test_the_worked_waves_of_the_notes() -> None:
    ecg, resp, pleth, p1, p2 = waves(fed(message()))
    assert [w.object for w in (ecg, resp, pleth, p1, p2)] == ["ECG-II", "RESP", "PLETH", "P1", "P2"]
    assert [len(w.samples) for w in (ecg, resp, pleth, p1, p2)] == [200, 50, 50, 50, 50]
    assert [w.period_ns for w in (ecg, resp, pleth, p1, p2)] == [5_000_000] + [20_000_000] * 4
    assert ecg.samples[:8].tolist() == [138, 134, 138, 142, 134, 136, 140, 136]
    assert p1.samples[:8].tolist() == [103, 99, 97, 97, 99, 100, 97, 93]
    assert np.isnan(p2.samples).all()
    assert (p1.validity, p2.validity, ecg.validity) == (Validity.VLD, Validity.NA, Validity.QST)


def test_the_plan_gives_millivolts_and_mmhg() -> None:
    compiled = plan(PROFILE)
    rows = {compiled.metrics[block["metric"][0]].path: block for block in decoded(fed(message()), compiled)[1:6]}
    assert rows["1.1.1.3"]["value"][0] == pytest.approx(0.76)  # ECG II
    assert set(rows["1.1.1.3"]["validity"].tolist()) == {Validity.QST}
    assert rows["1.5.1.4"]["value"][0] == 103  # P1


# ---- framing, without anything that protects it


def test_bytes_before_the_first_message_are_thrown_away() -> None:
    tail = message()[-252:]
    assert [e.reason for e in fed(tail + message()) if isinstance(e, Fault)] == ["noise"]
    assert len(frames(fed(tail + message()), "numeric")) == 1


def test_fe_and_ff_inside_a_wave_do_not_break_a_message() -> None:
    hit = bytearray(message() * 3)
    hit[100:102] = b"\xfe\xff"
    hit[562 + 150 : 562 + 152] = b"\xff\xfe"
    assert good_messages(bytes(hit)) == 3


def test_a_lost_end_costs_its_own_message_only() -> None:
    hit = bytearray(message() * 5)
    hit[562 * 3 - 1] = 0
    events = fed(bytes(hit))
    assert len(frames(events, "numeric")) == 4
    assert faults(events) == ["text", "noise"]
    assert [frame.after_gap for frame in frames(events, "numeric")] == [False, False, True, False]


def test_noise_between_messages() -> None:
    rng = random.Random(4)
    assert good_messages(b"".join(rng.randbytes(5) + message() for _ in range(27))) == 27


@pytest.mark.parametrize("length", range(0, 562 * 4, 37))
def test_a_cut_stream_gives_exactly_the_messages_whose_end_came(length: int) -> None:
    events = fed((message() * 4)[:length]) if length else []
    assert len(frames(events, "numeric")) == length // 562
    assert not faults(events)


def test_a_message_without_an_end_is_given_up() -> None:
    events = fed(message("x" * 700) + message())
    assert "too_long" in faults(events)
    assert len(frames(events, "numeric")) == 1


def test_any_split_gives_the_same_events() -> None:
    rng = random.Random(9)
    hit = bytearray(rng.randbytes(9000) + message() * 6)
    for _ in range(40):
        hit[rng.randrange(9000, len(hit))] = rng.randrange(256)
    whole = [repr(event) for event in fed(bytes(hit))]
    assert [repr(event) for event in fed(bytes(hit), 1)] == whole
    assert [repr(event) for event in fed(bytes(hit), 61)] == whole


# ---- lines


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("HR=1;80;", "HR=1;8O;"),
        ("HR=1;80;", "HR=1;-80;"),
        ("HR=1;80;", "HR=1;80.;"),
        ("HR=1;80;", "HR=2;80;"),
        ("HR=1;80;", "HR=1;80:"),
        ("HR=1;80;", "HR=1;80;;"),
        ("HR=1;80;", "IR=1;80;"),
        ("HR=1;80;", "T1=1;80;"),
        ("HR=1", "HR1"),
        ("HR=1;80;ECG-II-DIAG;\r", "HR=1;80;ECG-II-DIAG;"),
    ],
)
def test_a_line_that_does_not_fit_to_the_letter_is_not_read(old: str, new: str) -> None:
    events = fed(message(TEXT.replace(old, new)))
    assert "line" in faults(events)
    assert "HR" not in by_name(events)
    assert not [reading for reading in readings(events) if reading.value == 8]


def test_a_line_that_comes_twice_is_read_once() -> None:
    events = fed(message(TEXT.replace("RR=1;35", "HR=1;81;;\rRR=1;35")))
    assert [reading.value for reading in readings(events) if reading.object == "HR"] == [80]
    assert faults(events) == ["line"]


def test_text_behind_the_last_line_is_told() -> None:
    assert faults(fed(message(TEXT + "T3=1"))) == ["line"]


def test_an_empty_value_is_never_zero() -> None:
    found = by_name(fed(message(TEXT.replace("HR=1;80;", "HR=1;;").replace("PR=80 ", "PR=-- "))))
    for name in ("HR", "PR"):
        assert math.isnan(float(found[name].value))
        assert found[name].validity == Validity.NA
    assert by_name(fed(message(TEXT.replace("HR=1;80;", "HR=1;0;"))))["HR"].value == 0


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ECG-I-DIAG", "ECG-I"), ("ECG-II-DIAG", "ECG-II"), ("ECG-III-MON", "ECG-III"), ("ECG-III", "ECG-III"),
        ("ECG-IV", "ECG"), ("LEADS OFF", "ECG"), ("", "ECG"),
    ],
)  # fmt: skip
def test_the_lead_is_that_of_the_label(label: str, name: str) -> None:
    assert lead(label) == name
    assert waves(fed(message(TEXT.replace("ECG-II-DIAG", label))))[0].object == name


def test_with_end_tidal_co2_breath_rate_and_curve_are_those_of_the_capnogram() -> None:
    events = fed(message(TEXT.replace("ETCO2=1;;", "ETCO2=1;38;")))
    found = by_name(events)
    assert found["RR CO2"].value == 35
    assert "RR" not in found
    assert waves(events)[1].object == "RESP CO2"
    assert found["ETCO2"].validity == Validity.QST  # its unit is not on the wire
    assert by_name(fed(message(TEXT.replace("T1=1;;", "T1=1;36.9;"))))["T1"] == Reading("T1", 0, 0, 36.9, Validity.QST)


def test_a_pressure_curve_at_its_limit_has_no_value_there() -> None:
    raw = bytearray(WAVES)
    raw[300:305] = bytes([0, 1, 249, 250, 255])
    samples = waves(fed(message(waves=bytes(raw))))[3].samples[:5]
    assert [None if math.isnan(value) else value for value in samples] == [None, 1, 249, None, None]


# ---- alarms


def test_an_alarm_lives_until_the_next_message_without_it() -> None:
    first, second = seconds(TEXT.replace("SPO2=1;100;PR=80 ;", "SPO2=1;85;PR=80 ;LOW SPO2"), TEXT)
    assert alerts(first, "alert") == [(Alert("SPO2", "SPO2", text="LOW SPO2"),)]
    assert alerts(second, "alert") == [()]


def test_a_damaged_line_may_hold_an_alarm_so_nothing_is_said_to_have_ended() -> None:
    assert alerts(fed(message(TEXT.replace("SPO2=1", "SPO2=2"))), "alert") == []


def test_every_line_that_can_alarm_has_a_row_in_the_profile() -> None:
    rows = {spec.object for channel in profile(PROFILE).channels for spec in channel.metrics if spec.kind == "alert"}
    assert rows == {"HR", "RR", "ETCO2", "SPO2", "NIBP", "P1", "P2", "T1", "T2", "*"}


# ---- the cuff


def cuff(text: str) -> str:
    return TEXT.replace("NIBP=4;121;75;92;80", "NIBP=4;" + text)


def nibp(events: list[Event]) -> list[tuple[float | str, int]]:
    return [(r.value, r.validity) for r in readings(events) if r.object == "NIBP sys"]


def test_a_cuff_pressure_is_given_once_and_the_one_found_is_questionable() -> None:
    found = seconds(TEXT, TEXT, TEXT, TEXT)
    assert [nibp(events) for events in found] == [[], [(121, Validity.QST)], [], []]


def test_a_new_cuff_pressure_is_given_when_it_came_twice() -> None:
    none = cuff(";;;")
    found = seconds(none, none, none, TEXT, TEXT, TEXT, cuff("130;80;97;81"), cuff("130;80;97;81"))
    said = [nibp(events) for events in found]
    assert math.isnan(float(said[1][0][0]))
    assert said[4] == [(121, Validity.VLD)]
    assert said[7] == [(130, Validity.VLD)]
    assert [len(item) for item in said] == [0, 1, 0, 0, 1, 0, 0, 1]


def test_a_digit_that_was_hit_is_no_new_cuff_pressure() -> None:
    found = seconds(TEXT, TEXT, cuff("921;75;92;80"), TEXT, TEXT)
    assert [len(nibp(events)) for events in found] == [0, 1, 0, 0, 0]


def test_the_plan_marks_cuff_pressures_as_episodic() -> None:
    compiled = plan(PROFILE)
    _, second = seconds(TEXT, TEXT)
    rows = decoded(second, compiled)[0]
    episodic = {compiled.metrics[row["metric"]].path for row in rows if row["flags"] & Flag.EPISODIC}
    assert episodic == {"1.4.1.1", "1.4.1.2", "1.4.1.3", "1.4.1.4"}


# ---- errors of OpenICE, not repeated (protocol notes, "traps")


def test_openice_1_its_line_loop_stops_one_byte_early_and_never_delivers_the_last_line() -> None:
    found = by_name(fed(message(TEXT.replace("T2=1;;", "T2=1;37.1;"))))
    assert found["T2"].value == 37.1


def test_openice_2_a_read_that_begins_inside_a_message_is_fine() -> None:
    assert len(frames(fed((message() * 3)[300:]), "numeric")) == 2


def test_openice_3_units_are_not_dimensionless() -> None:
    units = {m.ref_id: m.unit.ucum for m in plan(PROFILE).metrics if m.unit}
    assert units["MDC_ECG_HEART_RATE"] == "/min"
    assert units["MDC_PRESS_BLD_SYS"] == "mm[Hg]"
    assert units["MDC_TEMP"] == "Cel"


def test_openice_4_offsets_for_the_screen_are_not_taken_for_pressures() -> None:
    assert waves(fed(message()))[3].samples[0] == 103  # OpenICE shows 23


# ---- the session


def test_nothing_is_ever_sent() -> None:
    talk = Talk(PROFILE)
    talk.until(30)
    assert talk.said == []
    assert profile(PROFILE).transmit == ()


def test_silence_is_told_once_and_the_next_message_is_behind_a_gap() -> None:
    talk = Talk(PROFILE)
    talk.until(3)
    device, talk.device = talk.device, None
    talk.until(40)
    assert faults(talk.events) == ["silent"]
    talk.device = device
    talk.until(41)
    after = [event.after_gap for event in talk.events if isinstance(event, Frame) and event.kind == "numeric"]
    assert after.count(True) == 1
    talk.protocol.stop(41.0)
    assert talk.protocol.next_wake() is None


def test_one_line_one_monitor_and_no_options() -> None:
    spec = DeviceSpec(0, profile(PROFILE))
    for make in (driver("ivy_ansarb").protocol, lambda d, o: driver("ivy_ansarb").simulator(d, o, Scene())):
        with pytest.raises(ConfigError, match="unknown option"):
            make([spec], {"baud": 9600})
    with pytest.raises(ConfigError, match="2 devices"):
        driver("ivy_ansarb").protocol([spec, spec], {})


def test_all_faults_are_in_the_table_and_nothing_else() -> None:
    assert set(driver("ivy_ansarb").faults) == set(FAULTS) == {"noise", "text", "too_long", "line", "silent"}


def test_with_nothing_measured_there_is_no_value() -> None:
    events = Talk(PROFILE, Scene(nothing=True)).until(12)
    assert readings(events)
    assert values(events) == set()


def test_our_recording_is_what_the_simulator_says() -> None:
    check_recording("ivy_ansarb")
