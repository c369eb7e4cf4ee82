"""Hamilton's polling port: frames and values of the notes, the mode, damaged, late and missing answers."""

from __future__ import annotations

import math
import random
import re

import pytest

from drivers.hamilton import DRIVER
from drivers.hamilton.meaning import Meaning
from drivers.hamilton.options import FAULTS
from drivers.hamilton.protocol import HamiltonProtocol, request
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Event, Fault, Frame, Reading
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.registry import Profiles
from tests.unit.ventilator_rig import T0, converse, drained, profile_of, protocol_of, readings

POLLING = "hamilton/polling"
# Parameters of the notes' table, hexadecimal as in their requests
NOTED = [0x28, 0x29, 0x2A, 0x2B, 0x30, 0x31, 0x32, 0x35, 0x36, 0x3D, 0x3E, 0x3F, 0x41, 0x42, 0x43, 0x45, 0x47]
NOTED += [0x49, 0x4A, 0x4B, 0x57, 0x69, 0x6A, 0x6F, 0x71]
MODES = {1, 2, 4, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26}


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def asked_for(number: int) -> HamiltonProtocol:
    protocol = protocol_of(POLLING)
    assert isinstance(protocol, HamiltonProtocol)
    protocol.was_sent(request(number), 0.0)
    return protocol


def answer(number: int, text: str) -> bytes:
    return b"\x02%c%s\x03\r" % (number, text.encode())


def read(number: int, text: str) -> Reading:
    """Return the reading of a parameter that means the same in every mode."""
    protocol = asked_for(number)
    protocol.receive_data(answer(number, text), T0)
    return next(readings(drained(protocol), "parameter"))


def in_mode(number: int, text: str, before: str, after: str) -> tuple[dict[int, Reading], list[str]]:
    """Return the readings, by instance, of a parameter that was asked between two readings of the mode; and faults."""
    protocol = asked_for(40)
    protocol.receive_data(answer(40, before), T0)
    for asked, said in ((number, text), (40, after)):
        protocol.was_sent(request(asked), 0.0)
        protocol.receive_data(answer(asked, said), T0)
    events = drained(protocol)
    return {r.instance: r for r in readings(events, "parameter") if r.object == number}, faults(events)


# ---- frames


def test_the_worked_example_of_the_notes() -> None:
    assert request(66) == bytes.fromhex("02 42 03 0D")
    protocol = asked_for(66)
    protocol.receive_data(bytes.fromhex("02 42 20 20 32 34 2E 03 0D"), T0)
    (frame,) = drained(protocol)
    assert frame == Frame("parameter", [Reading(66, 0, 0, 24.0)], T0)
    protocol = asked_for(66)
    protocol.receive_data(bytes.fromhex("02 42 39 39 39 39 2E 03 0D"), T0)
    reading = next(readings(drained(protocol), "parameter"))
    assert math.isnan(float(reading.value))
    assert reading.validity == Validity.NA


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("  24.", 24),
        ("24.  ", 24),
        (" 7.2 ", 7.2),
        ("12.50", 12.5),
        ("    0", 0),
        ("  0.0", 0),
        (" -12.", -12),
        ("0480.", 480),
    ],
)
def test_values(text: str, value: float) -> None:
    assert read(66, text) == Reading(66, 0, 0, value)


@pytest.mark.parametrize("text", ["9999.", "9999 ", " 9999", "999.9", "     "])
def test_no_value(text: str) -> None:
    reading = read(62, text)
    assert math.isnan(float(reading.value))
    assert reading.validity == Validity.NA


@pytest.mark.parametrize("text", ["2 4. ", "1.2.3", "12e1 ", "nan  ", "----.", "0x10 "])
def test_what_is_no_number_is_no_value(text: str) -> None:
    reading = read(66, text)
    assert math.isnan(float(reading.value))
    assert reading.validity == Validity.INV


def test_bit_7_of_every_byte_is_cleared() -> None:
    """A line with a parity bit that is read as 8 bits, as the app of the notes does it."""
    even = bytes(byte | (byte.bit_count() & 1) << 7 for byte in answer(66, "  24."))
    assert any(byte & 0x80 for byte in even)
    protocol = asked_for(66)
    protocol.receive_data(even, T0)
    assert [r.value for r in readings(drained(protocol), "parameter")] == [24.0]


def test_after_every_cut_the_next_answer_is_read() -> None:
    whole = answer(66, "  24.")
    for at in range(len(whole)):
        protocol = asked_for(66)
        protocol.receive_data(whole[:at] + answer(66, "  31."), T0)
        assert [r.value for r in readings(drained(protocol), "parameter")] == [31.0], at


# ---- what is asked


def test_all_parameters_of_the_notes_and_no_other_are_asked_for() -> None:
    meaning = Meaning(profile_of(POLLING))
    assert sorted(meaning.instances) == NOTED
    gate = Gate(profile_of(POLLING).transmit)
    assert [number for number in range(256) if gate.allows(request(number))] == NOTED
    talk = converse(POLLING, 3.0)
    assert [ask[1] for ask in talk.sent[: len(meaning.bound) + 2]] == [40, *meaning.bound, 40]
    assert {ask[1] for ask in talk.sent} == set(NOTED)
    assert all(map(gate.allows, talk.sent))


def test_every_mode_of_the_notes_has_a_token_and_meanings_name_no_other() -> None:
    rows = [spec for channel in profile_of(POLLING).channels for spec in channel.metrics if spec.object == 40]
    assert {raw for raw, _ in rows[0].values} == MODES
    for entry in profile_of(POLLING).driver_table["meaning"]:
        assert set(entry["modes"]) <= MODES


# ---- what depends on the mode


@pytest.mark.parametrize(("mode", "instance"), [("   17", 0), ("   19", 0), ("   23", 1), ("   24", 1)])
def test_parameter_87_is_control_pressure_or_p_high(mode: str, instance: int) -> None:
    found, said = in_mode(87, "  22.", mode, mode)
    assert found[instance].value == 22
    assert math.isnan(float(found[1 - instance].value))
    assert said == []


def test_what_has_no_meaning_in_the_mode_has_no_value() -> None:
    """Notes: rate not in modes 2 and 17, PEEP void in 16, mean pressure, flow and inspiratory time not in 4."""
    void = {41: (2, 17), 42: (1, 4, 22), 43: (4, 17, 22), 48: (16, 24), 67: (4,), 75: (4,), 113: (4,), 111: (1,)}
    for number, modes in void.items():
        for mode in modes:
            found, _ = in_mode(number, "   5.", f"{mode:5}", f"{mode:5}")
            assert math.isnan(float(found[0].value)), (number, mode)
            assert found[0].validity == Validity.NA


@pytest.mark.parametrize(
    ("before", "after"), [("   19", "   23"), ("9999.", "   23"), ("   23", "9999."), ("   99", "   99")]
)
def test_while_the_mode_changes_or_is_not_known_nothing_that_depends_on_it_has_a_value(before: str, after: str) -> None:
    found, said = in_mode(87, "  22.", before, after)
    assert all(math.isnan(float(reading.value)) for reading in found.values())
    assert said == ([] if before == after else ["mode"])


def test_a_mode_without_an_answer_leaves_what_depends_on_it_without_a_value() -> None:
    bound = len(Meaning(profile_of(POLLING)).bound)
    for lost in (0, bound + 1):  # the mode before, the mode after
        talk = converse(POLLING, 4.0, scene=Scene(still=True), lost=frozenset({lost}))
        held = [r for frame in talk.frames("parameter") for r in frame.payload if r.object == 43]  # type: ignore[union-attr]
        assert [math.isnan(r.value) for r in held[:2]] == [True, False]
        assert talk.faults["timeout"] == 1


# ---- damaged, late, twice, never


def test_no_lost_late_or_repeated_answer_puts_a_value_under_another_name() -> None:
    still = Scene(still=True)
    clean = {(r.object, r.instance, r.value) for r in readings(converse(POLLING, 6.0, scene=still).events, "parameter")}
    clean = {row for row in clean if row[2] == row[2]}
    rng = random.Random(3)
    for _ in range(30):
        protocol = protocol_of(POLLING)
        device = DRIVER.simulator([DeviceSpec(0, profile_of(POLLING))], {}, still)
        now, found, held = 0.0, [], b""
        while now < 20.0:
            device.receive_data(protocol.data_to_send(now), now)
            said, held = held + device.data_to_send(now), b""
            fate = rng.random()
            if fate < 0.05:
                held, said = said, b""
            elif fate < 0.1:
                said += said
            elif fate < 0.12:
                said = b""
            protocol.receive_data(said, T0)
            found += drained(protocol)
            now = max(now + 0.001, protocol.next_wake() or 20.0)
        values = {(r.object, r.instance, r.value) for r in readings(found, "parameter")}
        assert {row for row in values if row[2] == row[2]} <= clean


def test_a_damaged_id_is_no_other_parameter() -> None:
    whole = answer(66, "  24.")
    for bit in range(8):
        protocol = asked_for(66)
        protocol.receive_data(bytes([whole[0], whole[1] ^ 1 << bit, *whole[2:]]), T0)
        found = list(readings(drained(protocol), "parameter"))
        assert found == ([Reading(66, 0, 0, 24.0)] if bit == 7 else [])


def test_single_bit_flips_that_change_a_value_unseen_are_no_more_than_the_readme_says() -> None:
    unseen = tries = 0
    for text in ("  24.", "  7.2", "0480.", " 2.50", "  40."):
        whole = answer(66, text)
        for bit in range(8 * len(whole)):
            protocol = asked_for(66)
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            protocol.receive_data(bytes(damaged), T0)
            values = [r.value for r in readings(drained(protocol), "parameter") if r.value == r.value]
            unseen += values not in ([], [float(text)])
            tries += 1
    assert 0.1 < unseen / tries < 0.25


def test_a_dead_parameter_costs_one_time_out_and_a_dead_ventilator_is_silent() -> None:
    talk = converse(POLLING, 10.0, lost=frozenset(range(1000)))
    assert talk.faults == {"timeout": 8, "silent": 1}
    talk = converse(POLLING, 10.0, lost=frozenset({20}))
    assert talk.faults == {"timeout": 1}
    again = [frame.after_gap for frame in talk.frames("parameter")]
    assert sum(again) == 1


# ---- faults and settings


def test_every_fault_can_be_provoked() -> None:
    def after(data: bytes) -> set[str]:
        protocol = asked_for(66)
        protocol.receive_data(data, T0)
        return set(faults(drained(protocol)))

    good = answer(66, "  24.")
    assert after(b"noise" + good) == {"garbage"}
    assert after(good[:5] + b"\r") == {"answer"}
    assert after(request(66)) == {"echo"}
    assert after(answer(67, "  24.")) == {"unexpected"}
    assert after(answer(66, "2 4. ")) == {"value"}
    assert in_mode(87, "  22.", "   19", "   23")[1] == ["mode"]
    silence = set(converse(POLLING, 10.0, lost=frozenset(range(1000))).faults)
    assert silence | {"garbage", "answer", "echo", "unexpected", "value", "mode"} == set(FAULTS)


def test_an_adapter_that_echoes_is_told_and_read() -> None:
    protocol = asked_for(66)
    protocol.receive_data(request(66) + answer(66, "  24."), T0)
    events = drained(protocol)
    assert faults(events) == ["echo"]
    assert [r.value for r in readings(events, "parameter")] == [24.0]


def test_after_stop_nothing_is_asked() -> None:
    protocol = protocol_of(POLLING)
    protocol.stop(0.0)
    assert protocol.data_to_send(5.0) == b""
    assert protocol.next_wake() is None


def changed(pattern: str, text: str) -> Profile:
    whole = Profiles().path(POLLING).read_text(encoding="utf-8")
    assert re.search(pattern, whole)
    return parse_profile(re.sub(pattern, text, whole, count=1), "hamilton/changed", "changed.toml")


@pytest.mark.parametrize(
    ("pattern", "text", "what"),
    [
        (r"mode = 40", "mode = 39", "mode has no row"),
        (r"id = 41, modes", "id = 99, modes", "has no row"),
        (r"id = 41, modes", "id = 41, mods", "is not known"),
        (r"instance = 1 }", "instance = 5 }", "has no row"),
        (r"object = 61,", "object = 13,", "is not possible"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(pattern: str, text: str, what: str) -> None:
    with pytest.raises(ProfileError, match=what):
        DRIVER.protocol([DeviceSpec(0, changed(pattern, text))], {})


def test_one_ventilator_to_a_line() -> None:
    device = DeviceSpec(0, profile_of(POLLING))
    with pytest.raises(ConfigError):
        DRIVER.protocol([device, device], {})
    with pytest.raises(ConfigError):
        DRIVER.simulator([device, device], {}, Scene())
