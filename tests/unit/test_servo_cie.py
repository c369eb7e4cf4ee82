"""Maquet Servo through the CIE: bytes of the notes, session, scales, and answers that are damaged, late or missing."""

from __future__ import annotations

import math
import random

import pytest

from drivers.servo_cie import DRIVER
from drivers.servo_cie.cie import (
    HELLO,
    Answers,
    Scaling,
    Trailers,
    checksum,
    command,
    configuration,
    definition,
    error_of,
    number_of,
    reading,
    scaling_of,
)
from drivers.servo_cie.options import ERRORS, FAULTS
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Event, Fault, Frame
from gateway.core.profile import parse_profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.registry import Profiles
from tests.unit.ventilator_rig import T0, converse, decoded, drained, last, profile_of, protocol_of, readings

SERVO = "maquet/servo_i"
EOT = b"\x04"
FIELDS = b"0480 150 072 215 188  92  40"  # worked example of the addendum


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def values_of(events: list[Event]) -> set[tuple[int | str, float | str]]:
    """Return what was given as a value, by channel."""
    found = [*readings(events, "settings"), *readings(events, "breath")]
    return {(r.object, r.value) for r in found if not math.isnan(float(r.value))}


def answer(text: bytes) -> bytes:
    return text + checksum(text) + EOT


def at_breath(answers_checked: bool = True) -> DeviceProtocol:
    """Return a protocol of a simulated ventilator that waits for the answer to RADAB."""
    profile = profile_of(SERVO)
    protocol = protocol_of(SERVO)
    device = DRIVER.simulator([DeviceSpec(0, profile)], {"answers_checked": answers_checked}, Scene())
    now = 0.0
    while True:
        asked = protocol.data_to_send(now)
        if asked == b"RADAB54\x04":
            drained(protocol)
            return protocol
        device.receive_data(asked, now)
        protocol.receive_data(device.data_to_send(now), T0)
        wake = protocol.next_wake()
        now = max(now, wake or now)


# ---- bytes


@pytest.mark.parametrize(
    ("made", "noted"),
    [
        (HELLO, b"HO\x04"),
        (command(b"RCTY"), b"RCTY1C\x04"),
        (command(b"RHVE"), b"RHVE09\x04"),
        (command(b"SPVE003"), b"SPVE00323\x04"),
        (definition(b"B", [200, 205, 209]), b"SDADB2002052096E\x04"),
        (reading(b"B"), b"RADAB54\x04"),
        (reading(b"S"), b"RADAS45\x04"),
        (command(b"RADC"), b"RADC14\x04"),
        (configuration(200), b"RCCO2002F\x04"),
        (definition(b"B", [201, 200, 204, 205, 207, 206, 209, 241, 233]), b"SDADB2012002042052072062092412336F\x04"),
        (
            definition(
                b"S", [310, 334, 300, 343, 348, 305, 306, 307, 323, 314, 315, 308, 303, 333, 339, 340, 338, 341]
            ),
            b"SDADS31033430034334830530630732331431530830333333934033834143\x04",
        ),
    ],
)
def test_commands_are_those_of_the_notes(made: bytes, noted: bytes) -> None:
    assert made == noted


def test_the_worked_example_of_the_notes() -> None:
    protocol = at_breath()
    protocol.receive_data(answer(FIELDS), T0)
    values = decoded(SERVO, drained(protocol))
    assert {name.split()[1]: column[0][0] for name, column in values.items()} == {
        "MDC_VOL_AWAY_TIDAL_EXP": 480,
        "MDC_VENT_RESP_RATE": 15.0,
        "MDC_VOL_MINUTE_AWAY": 7.2,
        "MDC_PRESS_AWAY_INSP_PEAK": 21.5,
        "MDC_PRESS_RESP_PLAT": 18.8,
        "MDC_PRESS_AWAY_MEAN": 9.2,
        "MDC_CONC_AWAY_O2_INSP": 40,
    }


@pytest.mark.parametrize(
    ("field", "number"), [(b"0480", 480), (b"  92", 92), (b"92  ", 92), (b" -12", -12), (b"+  1", None)]
)
def test_fields(field: bytes, number: int | None) -> None:
    assert number_of(field) == number


@pytest.mark.parametrize("field", [b"1.50", b"1e10", b"\xb2   ", b"4 80", b"----"])
def test_what_is_no_number_is_no_value(field: bytes) -> None:
    protocol = at_breath()
    protocol.receive_data(answer(field + FIELDS[4:]), T0)
    events = drained(protocol)
    found = last(events, "breath")
    assert found[201, 0].validity == Validity.INV
    assert found[200, 0].value == 150
    assert faults(events) == ["value"]


def test_9999_and_blanks_are_no_value_and_zero_is_zero() -> None:
    """The app of the notes takes 0 for no value: that is a filter of its own form, and no rule of the protocol."""
    protocol = at_breath()
    protocol.receive_data(answer(b"9999    0000   0" + FIELDS[16:]), T0)
    found = last(drained(protocol), "breath")
    assert [found[channel, 0].validity for channel in (201, 200)] == [Validity.NA, Validity.NA]
    assert [found[channel, 0].value for channel in (204, 205)] == [0, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("200,+1000E-04,+0000E+00,06,B,RR", Scaling(200, 0.1, 0.0, 6)),
        ("205, +0001 E-01, 5E2, 4", Scaling(205, 0.1, 500.0, 4)),
        ("205,1,0,4,x,y,z", Scaling(205, 1.0, 0.0, 4)),
        ("205,1,0", None),
        ("20x,1,0,4", None),
        ("205,one,0,4", None),
        ("205,1,0,mL", None),
        ("205,1E99999,0,4", None),
        ("", None),
    ],
)
def test_channel_descriptions(text: str, said: Scaling | None) -> None:
    assert scaling_of(text.encode()) == said


def test_error_answers() -> None:
    assert error_of(b"ER17") == 17
    assert error_of(answer(b"ER10")[:-1]) == 10
    assert error_of(b"ERR1") is None
    assert error_of(FIELDS) is None


def test_answers_end_with_eot_and_may_be_empty() -> None:
    answers = Answers()
    assert answers.feed(b"900P") == ([], 0)
    assert answers.feed(b"CI\x04\x04AB") == ([b"900PCI", b""], 0)
    found, lost = answers.feed(b"x" * 3000)
    assert (found, lost) == ([], 1977)
    assert answers.feed(b"yz\x04" + b"ok\x04")[0] == [b"ok"]  # what the long one was is not known


def test_a_checksum_counts_from_the_third_right_one_on() -> None:
    trailers = Trailers()
    good, bad = answer(b" 150")[:-1], b" 15099"
    for proven in (False, False, False, True):
        assert trailers.proven is proven
        assert trailers.check(good) == b" 150"
    assert trailers.check(bad) is None
    assert trailers.proven
    trailers = Trailers()
    for text in (good, good, bad, good, good):
        trailers.check(text)
    assert not trailers.proven


# ---- session


def test_the_session_is_hello_extended_mode_descriptions_and_then_lists_in_turn() -> None:
    talk = converse(SERVO, 5.0)
    assert talk.sent[:3] == [b"HO\x04", b"RCTY1C\x04", b"RCCO2012E\x04"]
    described, rounds = talk.sent[2:26], talk.sent[26:]
    assert len({ask[4:7] for ask in described}) == 24
    assert [ask[:5] for ask in rounds] == [b"SDADS", b"RADAS", b"SDADB", b"RADAB"] * 3
    assert talk.faults == {}
    assert {r.validity for kind in ("settings", "breath") for r in readings(talk.events, kind)} == {Validity.VLD}


def test_only_what_reads_is_ever_sent() -> None:
    for profile_id in (SERVO, "maquet/servo_u"):
        gate = Gate(profile_of(profile_id).transmit)
        assert all(map(gate.allows, converse(profile_id, 30.0).sent))
        # set the time, a time-out, the protocol version, the sample interval; standby; stop or start a stream
        others = [command(text) for text in (b"STIM", b"STOU", b"SPVE003", b"SSMP", b"RSTI", b"RADC", b"SDADA400")]
        assert not any(map(gate.allows, [*others, b"\x1b", b"HO", b"RADAB54"]))


def test_an_experimental_profile_has_no_valid_value() -> None:
    for values in decoded(SERVO, converse(SERVO, 3.0).events).values():
        assert all(value[1] != "VLD" for value in values)


def test_in_standby_nothing_is_zero_and_all_is_not_available() -> None:
    talk = converse(SERVO, 5.0, {"standby": True})
    found = [*readings(talk.events, "settings"), *readings(talk.events, "breath")]
    assert len({r.object for r in found}) == 24
    assert all(math.isnan(float(r.value)) and r.validity == Validity.NA for r in found)
    assert set(talk.faults) == {"error_17"}


def test_a_channel_that_the_ventilator_scales_otherwise_is_withheld() -> None:
    talk = converse(SERVO, 5.0, {"conflict": 209})
    oxygen = [r for r in readings(talk.events, "breath") if r.object == 209]
    assert all(math.isnan(float(r.value)) and r.validity == Validity.INV for r in oxygen)
    assert {r.validity for r in readings(talk.events, "breath") if r.object != 209} == {Validity.VLD}
    assert talk.faults == {"conflict": 1}


@pytest.mark.parametrize(
    ("text", "agrees"),
    [
        ("204,+1000E-04,+0000E+00,8", True),  # 0.1 L/min
        ("204,100,0,3", True),  # the same in mL/min
        ("204,1,0,8", False),
        ("204,+1000E-04,+0001E+00,8", False),  # with an offset
        ("204,+1000E-04,+0000E+00,4", False),  # a pressure
        ("204,+1000E-04,+0000E+00,99", False),  # a unit that is not in the notes
    ],
)
def test_scales_agree_when_they_mean_the_same(text: str, agrees: bool) -> None:
    protocol = protocol_of(SERVO)
    protocol.was_sent(configuration(204), 0.0)  # type: ignore[attr-defined]
    protocol.receive_data(answer(text.encode()), T0)
    assert faults(drained(protocol)) == ([] if agrees else ["conflict"])


def test_a_ventilator_that_knows_no_descriptions_is_read_and_questionable() -> None:
    talk = converse(SERVO, 12.0, {"describes": False})
    assert talk.faults == {"timeout": 1}
    assert {r.validity for r in readings(talk.events, "breath")} == {Validity.QST}
    assert sum(ask.startswith(b"RCCO") for ask in talk.sent) == 1


def test_answers_without_a_checksum_are_read_and_questionable() -> None:
    talk = converse(SERVO, 5.0, {"answers_checked": False})
    assert {r.validity for r in readings(talk.events, "breath")} == {Validity.QST}
    assert set(talk.faults) == {"unchecked"}


def test_a_ventilator_that_falls_silent_begins_anew_when_it_answers_again() -> None:
    talk = converse(SERVO, 40.0, lost=frozenset(range(30, 36)))
    assert talk.faults == {"timeout": 5, "silent": 1}
    assert talk.sent.count(HELLO) == 7
    first_again = next(frame for frame in talk.frames("breath") if frame.t_ns > T0 + 15_000_000_000)
    assert first_again.after_gap


def test_after_stop_nothing_is_asked() -> None:
    protocol = protocol_of(SERVO)
    protocol.stop(0.0)
    assert protocol.data_to_send(5.0) == b""
    assert protocol.next_wake() is None


# ---- damaged, late, twice, never


def test_once_the_checksum_is_proven_no_single_flipped_bit_gives_a_value() -> None:
    whole = answer(FIELDS)
    for bit in range(8 * len(whole)):
        protocol = at_breath()
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        protocol.receive_data(bytes(damaged), T0)
        assert not [event for event in drained(protocol) if isinstance(event, Frame)], bit


@pytest.mark.parametrize("answers_checked", [True, False])
def test_an_answer_of_another_length_shifts_no_field(answers_checked: bool) -> None:
    for size in set(range(40)) - {28, 30}:  # the fields, and with two digits
        protocol = at_breath(answers_checked)
        protocol.receive_data((FIELDS + b" 120 130 140")[:size] + EOT, T0)
        events = drained(protocol)
        assert not [event for event in events if isinstance(event, Frame)], size
        assert faults(events) == ["length"], size
        assert protocol.data_to_send(0.5) == b""  # quiet first
        assert protocol.data_to_send(60.0) == HELLO


def test_no_lost_answer_puts_a_value_under_another_name() -> None:
    still = Scene(still=True)
    clean = values_of(converse(SERVO, 6.0, scene=still).events)
    rng = random.Random(1)
    for _ in range(60):
        lost = frozenset(rng.sample(range(60), 12))
        events = converse(SERVO, 40.0, scene=still, lost=lost).events
        assert values_of(events) <= clean


def test_neither_does_an_answer_that_comes_twice_or_late() -> None:
    still = Scene(still=True)
    wire = converse(SERVO, 6.0, scene=still).wire
    answers = [data for _, way, data in wire if way == "<"]
    clean = values_of(converse(SERVO, 6.0, scene=still).events)
    rng = random.Random(2)
    for _ in range(40):
        protocol = protocol_of(SERVO)
        device = DRIVER.simulator([DeviceSpec(0, profile_of(SERVO))], {}, still)
        now, found = 0.0, []
        held = b""
        while now < 30.0:
            device.receive_data(protocol.data_to_send(now), now)
            said, held = held + device.data_to_send(now), b""
            fate = rng.random()
            if fate < 0.05:
                held, said = said, b""  # late: with the next one
            elif fate < 0.1:
                said += rng.choice(answers)  # another one after it
            protocol.receive_data(said, T0)
            found += drained(protocol)
            now = max(now + 0.001, protocol.next_wake() or 30.0)
        assert values_of(found) <= clean


def test_simv_with_volume_pressure_and_prvc_are_three_modes() -> None:
    """The app of the notes prints one text for modes 6, 7 and 10."""
    rows = [spec for channel in profile_of(SERVO).channels for spec in channel.metrics if spec.object == 310]
    tokens = dict(rows[0].values)
    assert len({tokens[mode] for mode in (6, 7, 10)}) == 3
    assert set(tokens) == {*range(2, 24)} - {16}


# ---- faults and settings


def test_every_fault_can_be_provoked() -> None:
    seen: set[str] = set()

    def after(asked: bytes, said: bytes) -> None:
        protocol = protocol_of(SERVO)
        protocol.was_sent(asked, 0.0)  # type: ignore[attr-defined]
        protocol.receive_data(said, T0)
        seen.update(faults(drained(protocol)))

    after(HELLO, b"x" * 5000)
    after(HELLO, b"SOMETHING ELSE\x04")
    after(b"", b"900PCI\x04")
    after(configuration(204), answer(b"nonsense"))
    after(configuration(204), answer(b"204,1,0,8"))
    for code in (*ERRORS, 99):
        after(reading(b"B"), b"ER%02d\x04" % code)
    for text in (b"9x99" + FIELDS[4:], FIELDS[:-4]):
        protocol = at_breath()
        protocol.receive_data(answer(text), T0)
        seen.update(faults(drained(protocol)))
    protocol = at_breath()
    protocol.receive_data(FIELDS + b"00\x04", T0)
    seen.update(faults(drained(protocol)))
    seen |= set(converse(SERVO, 5.0, {"answers_checked": False}).faults)
    seen |= set(converse(SERVO, 60.0, lost=frozenset(range(1000))).faults)
    assert seen == set(FAULTS)


def test_lists_of_one_length_are_refused() -> None:
    """The length of an answer is all that tells settings from breath data."""
    text = Profiles().path(SERVO).read_text(encoding="utf-8")
    kept = [
        line for line in text.splitlines() if "object = 3" not in line or "object = 33" in line or "object = 34" in line
    ]
    profile = parse_profile("\n".join(kept), "maquet/short", "short.toml")
    with pytest.raises(ProfileError, match="7 settings and 7 breath"):
        DRIVER.protocol([DeviceSpec(0, profile)], {})


def test_one_ventilator_to_a_line() -> None:
    device = DeviceSpec(0, profile_of(SERVO))
    with pytest.raises(ConfigError):
        DRIVER.protocol([device, device], {})
    with pytest.raises(ConfigError):
        DRIVER.simulator([device, device], {}, Scene())
