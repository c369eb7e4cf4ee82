"""GE Dash: the record of the worked example, sentinels, what is no answer, and when which request is sent."""

from __future__ import annotations

import json
import random
from math import isnan

import pytest

from drivers.ge_dash import DRIVER
from drivers.ge_dash.message import REQUEST_PLAIN, REQUEST_WITH_CRC
from gateway.core.errors import ConfigError
from gateway.core.frame import Frame
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import USABLE, Flag, Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit.ge_dash_rig import (
    CAPTURES,
    ECG_OFF,
    SPO2,
    Fed,
    Talk,
    faults,
    lists,
    message,
    profile,
    readings,
    record,
    summary,
)

# ---- records


def test_the_worked_example_of_the_notes() -> None:
    """Also: 70-byte records, of which one program read 68 and checked for 67."""
    found = Fed().readings(ECG_OFF, SPO2)
    assert (found["SPO2.0"].value, found["SPO2.1"].value) == (97, 64)
    assert "SPO2.2" not in found
    assert (found["SPO2.0.low"].value, found["SPO2.0.high"].value) == (94, 101)
    assert (found["SPO2.1.low"].value, found["SPO2.1.high"].value) == (35, 110)
    assert isnan(float(found["ECG.0"].value))
    assert found["ECG.0"].validity == Validity.INV
    assert (found["ECG.0.low"].value, found["ECG.0.high"].value) == (35, 110)


def test_a_limit_that_is_off_or_not_used_is_no_limit() -> None:
    """101 is "off" for SpO2 (worked example); a pair of zeros is none, or premature beats were limited to 0 to 0."""
    plan = Plan(profile(), "", nomenclature())
    frame = next(e for e in Fed().line(message(ECG_OFF, SPO2)) if isinstance(e, Frame))
    limits = {
        (plan.metrics[int(row["metric"])].limit_of, plan.metrics[int(row["metric"])].ref_id[-4:]): float(row["value"])
        for row in plan.decode(frame, 0)
        if plan.metrics[int(row["metric"])].limit_of
    }
    assert (limits["1.2.1.1", "_LOW"], limits["1.2.1.2", "HIGH"]) == (94, 110)
    assert {key for key, value in limits.items() if isnan(value)} == {
        ("1.2.1.1", "HIGH"), ("1.1.1.2", "_LOW"), ("1.1.1.2", "HIGH"),
    }  # fmt: skip


@pytest.mark.parametrize("stride", [68, 70])
def test_records_of_both_versions(stride: int) -> None:
    found = Fed().readings(record(1, 58, (72, 3), stride=stride), record(8, 34, (16,), stride=stride))
    assert (found["ECG.0"].value, found["ECG.1"].value, found["RESP.0"].value) == (72, 3, 16)


@pytest.mark.parametrize(
    ("raw", "validity"),
    [
        (0x8000, Validity.INV),
        (0x8001, Validity.NA),
        (0x8002, Validity.NA),
        (0x8003, Validity.NA),
        (0x8004, Validity.CALIB),
        (0x8005, Validity.CALIB),
        (0x8006, Validity.NA),
        (0x8007, Validity.INV),
        (0x80FF, Validity.INV),
    ],
)
def test_codes_that_are_no_value(raw: int, validity: Validity) -> None:
    reading = Fed().readings(record(2, 77, (raw, 120, 70)))["INVP.0"]
    assert isnan(float(reading.value))
    assert reading.validity == validity


def test_negative_numbers_are_not_off_by_one() -> None:
    """A program makes 0 of 0xFFFF."""
    assert Fed().readings(record(2, 77, (0xFFFF, 0xFFF6)))["INVP.0"].value == -1


def test_the_cuff_says_mean_before_systolic() -> None:
    fed = Fed()
    fed.readings(record(10, 24, ()))
    found = fed.readings(record(10, 24, (90, 120, 75)))
    plan = Plan(profile(), "", nomenclature())
    (frame,) = [e for e in fed.line(message(record(10, 24, (92, 124, 76)))) if isinstance(e, Frame)][:1]
    rows = {plan.metrics[int(row["metric"])].ref_id: float(row["value"]) for row in plan.decode(frame, 0)}
    assert found["NIBP.0"].value == 90
    assert rows["MDC_PRESS_BLD_NONINV_MEAN"] == 92
    assert rows["MDC_PRESS_BLD_NONINV_SYS"] == 124
    assert rows["MDC_PRESS_BLD_NONINV_DIA"] == 76


def test_a_cuff_pressure_is_given_when_it_changes() -> None:
    fed = Fed()
    first = fed.readings(record(10, 24, (90, 120, 75)))
    assert isnan(float(first["NIBP.1"].value))  # from before the line was opened: perhaps another patient's
    assert "NIBP.1" not in fed.readings(record(10, 24, (90, 120, 75)))
    assert fed.readings(record(10, 24, (91, 121, 76)))["NIBP.1"].value == 121
    assert "NIBP.1" not in fed.readings(record(10, 24, (91, 121, 76)))
    assert isnan(float(fed.readings(record(10, 24, ()))["NIBP.1"].value))


def test_what_is_not_known_comes_under_its_numbers_and_is_counted() -> None:
    """ST (scale not proven), temperature (type and scale unknown), BIS (packed), a code under a strange type."""
    plan = Plan(profile(), "", nomenclature())
    strange = [record(13, 86, (5,), (1, 2)), record(99, 35, (370,)), record(64, 132, (1,)), record(1, 45, (97,))]
    for event in Fed().line(message(*strange)):
        if isinstance(event, Frame):
            plan.decode(event, 0)
    assert ("parameter", "type 13 code 86.0") in plan.unmapped
    assert ("parameter", "type 1 code 45.0") in plan.unmapped
    assert not [name for _, name in plan.unmapped if "low" in str(name)]


def test_two_records_of_one_kind_are_never_mixed() -> None:
    plan = Plan(profile(), "", nomenclature())
    two = message(record(2, 77, (90, 120, 75), place=1), record(2, 77, (10, 12, 8), place=2))
    (frame,) = [e for e in Fed().line(two) if isinstance(e, Frame)][:1]
    block = plan.decode(frame, 0)
    means = [float(r["value"]) for r in block if plan.metrics[int(r["metric"])].ref_id == "MDC_PRESS_BLD_MEAN"]
    assert means == [90]


def test_everything_of_an_experimental_driver_is_questionable() -> None:
    plan = Plan(profile(), "", nomenclature())
    for event in Fed().line(message(SPO2)):
        if isinstance(event, Frame):
            states = plan.decode(event, 0)["validity"].tolist()
            assert {state for state in states if state in USABLE} <= {Validity.QST, Validity.VLD}
            if event.kind == "parameter":
                assert Validity.VLD not in states


# ---- alarms


def test_the_alarm_level_is_the_alert() -> None:
    fed = Fed()
    (none,) = lists(fed.line(message(SPO2)))
    assert none.active == ()
    (crisis,) = lists(fed.line(message(SPO2, level=7)))
    assert [alert.object for alert in crisis.active] == [7]
    (silenced,) = lists(fed.line(message(SPO2, level=3, state=1)))
    assert silenced.active[0].flags == Flag.ALERT_INHIBITED
    assert silenced.active[0].technical


def test_a_level_that_is_not_said_ends_no_alert() -> None:
    events = Fed().line(message(SPO2, level=0x80))
    assert lists(events) == []
    assert isnan(float(readings(events)["alarm.level"].value))


def test_an_answer_without_records() -> None:
    assert readings(Fed().line(message(admitted=0)))["admitted"].value == 0


# ---- what is no answer


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (message(SPO2, function=203), "header"),
        (message(SPO2, sub=21), "header"),
        (bytes(12) + b"\x00\xc9\x00\x14" + bytes(42) + b"\xff\xff" + bytes(100), "header"),
        (message(SPO2[:60]), "records"),
        (message(SPO2[:65] + b"\x2c" + SPO2[66:]), "records"),  # the two codes differ
        (message(b"\x02" + SPO2[1:]), "records"),
        (message(SPO2, bytes(68)), "records"),
        (bytes(12) + b"\x00\xc9\x00\x14" + bytes(42) + b"\x00\x03" + bytes(5), "records"),
    ],
)
def test_what_is_no_answer_is_named_and_says_nothing(data: bytes, reason: str) -> None:
    fed = Fed()
    events = fed.line(data)
    assert faults(events) == [reason]
    assert readings(events) == {}
    assert readings(fed.line(message(SPO2)))["SPO2.0"].value == 97  # after silence


def test_after_what_is_no_answer_nothing_is_read_until_the_line_is_silent() -> None:
    fed = Fed()
    fed.line(b"\x11" * 70)
    assert fed.line(message(SPO2), after_s=0.1) == []
    assert readings(fed.line(message(SPO2), after_s=0.3))


def test_an_answer_that_stops_in_its_middle() -> None:
    fed = Fed()
    answer = message(SPO2)
    assert fed.line(answer[:100]) == []
    events = fed.line(answer)
    assert faults(events) == ["cut"]
    assert readings(events)["SPO2.0"].value == 97


def test_an_answer_in_pieces_and_two_at_once() -> None:
    fed = Fed()
    answer = message(SPO2)
    found = [event for i in range(len(answer)) for event in fed.line(answer[i : i + 1], after_s=0.001)]
    assert readings(found)["SPO2.0"].value == 97
    assert len(fed.line(answer + answer)) == 4


@pytest.mark.parametrize("request_", [REQUEST_WITH_CRC, REQUEST_PLAIN])
def test_an_echo_is_named_and_the_answer_read(request_: bytes) -> None:
    fed = Fed()
    if request_ == REQUEST_PLAIN:
        for at in (0.0, 3.0, 5.0, 6.0, 9.0, 10.0):
            fed.protocol.data_to_send(at)
    events = fed.line(request_ + message(SPO2))
    assert faults(events) == ["echo"]
    assert readings(events)["SPO2.0"].value == 97


def test_the_crc_is_not_looked_at() -> None:
    """Nobody knows it: an answer is not refused for it."""
    answer = message(SPO2)
    assert readings(Fed().line(answer[:-2] + b"\x00\x00"))


def test_any_bytes() -> None:
    rng = random.Random(3)
    fed = Fed()
    for _ in range(300):
        damaged = bytearray(message(SPO2, ECG_OFF))
        for _ in range(rng.randrange(6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        fed.line(bytes(damaged[: rng.randrange(len(damaged) + 1)]), after_s=rng.random())


# ---- requests


def test_the_requests_are_those_of_the_two_programs() -> None:
    """Protocol notes, "Requests on the wire": the bytes that are not 0."""
    with_crc = {i: byte for i, byte in enumerate(REQUEST_WITH_CRC) if byte}
    assert with_crc == {0: 0x40, 13: 0xCA, 15: 0x23, 17: 0x01, 49: 0x01, 60: 0xF4, 61: 0xCC}
    assert len(REQUEST_WITH_CRC) == 62
    assert {i: byte for i, byte in enumerate(REQUEST_PLAIN) if byte} == {0: 0x40, 13: 0xCA, 15: 0x23}
    assert len(REQUEST_PLAIN) == 104
    assert all(Gate(profile().transmit).allows(request) for request in (REQUEST_WITH_CRC, REQUEST_PLAIN))


def test_the_monitor_is_asked_every_two_seconds() -> None:
    talk = Talk()
    talk.until(10.5)
    assert [round(at) for at, _ in talk.sent] == [0, 2, 4, 6, 8, 10]
    assert {request for _, request in talk.sent} == {REQUEST_WITH_CRC}


def test_after_three_unanswered_requests_the_other_form_is_tried() -> None:
    talk = Talk(understands="plain")
    events = talk.until(30.0)
    forms = [request for _, request in talk.sent]
    assert forms[:3] == [REQUEST_WITH_CRC] * 3
    assert set(forms[3:]) == {REQUEST_PLAIN}
    assert faults(events) == []
    assert readings(events)


def test_a_monitor_that_answers_neither_is_named_once() -> None:
    talk = Talk(understands="none")
    assert faults(talk.until(100.0)) == ["no_answer"]
    assert {request for _, request in talk.sent[-6:]} == {REQUEST_WITH_CRC, REQUEST_PLAIN}


def test_parting_asks_nothing_more() -> None:
    talk = Talk()
    talk.until(3.0)
    talk.protocol.stop(3.0)
    assert talk.protocol.data_to_send(10.0) == b""
    assert talk.protocol.next_wake() is None


def test_one_monitor_to_a_line_and_known_options() -> None:
    devices = [DeviceSpec(0, profile()), DeviceSpec(1, profile())]
    for make in (lambda: DRIVER.protocol(devices, {}), lambda: DRIVER.simulator(devices, {}, Scene())):
        with pytest.raises(ConfigError, match="2 devices"):
            make()
    with pytest.raises(ConfigError, match="period_s"):
        DRIVER.protocol(devices[:1], {"period_s": 0.1})


def test_our_own_recording() -> None:
    data = (CAPTURES / "parameters.bin").read_bytes()
    assert summary(data) == json.loads((CAPTURES / "parameters.expected.json").read_text(encoding="utf-8"))
