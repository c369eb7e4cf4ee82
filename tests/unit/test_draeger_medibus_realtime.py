"""MEDIBUS, curves: the device's offer, the choice, records whole and damaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivers.draeger_medibus.realtime import BLOCK_S, Choice, Records, Stream, asked, choose, offered
from gateway.core.errors import ConfigError
from gateway.core.frame import Event, Fault, Wave
from gateway.core.protocol import DeviceProtocol
from tests.unit.medibus_rig import T0, answered, command, drained, faults, frames, protocol, response, told, waves

# Worked example 5 of the definition: airway pressure and CO2, 16 ms each
OFFER = b"00   16000-  10  10037006   16000-  20  100460"
PRESSURE = Stream(0x00, 16_000, -10.0, 100.0, 0x370)
CO2 = Stream(0x06, 16_000, -20.0, 100.0, 0x460)
BOTH = Choice((PRESSURE, CO2), 1)
PER_BLOCK = round(BLOCK_S / 0.016)


def offer(code: int, interval_us: int = 16_000, low: str = "-  10", high: str = "  100", maxbin: int = 0xFFF) -> bytes:
    return b"%02X%8d%s%s%03X" % (code, interval_us, low.encode(), high.encode(), maxbin)


def value(raw: int) -> bytes:
    return bytes((0x80 | raw & 0x3F, 0x80 | raw >> 6))


def fed(choice: Choice, data: bytes) -> tuple[list[Wave], list[Fault]]:
    found = Records(choice).feed(data + b"\xd0")
    return [item[0] for item in found if isinstance(item, tuple)], [item for item in found if isinstance(item, Fault)]


# ---- worked examples of the definition


def test_example_5_the_offer() -> None:
    assert told(protocol(), b"") == []
    assert response(0x53, OFFER).endswith(b"3B\r")
    assert offered(OFFER) == [PRESSURE, CO2]


def test_example_5_the_choice() -> None:
    assert command(0x54, b"0002" + b"0603") == bytes.fromhex("1B54303030323036303346410D")
    assert BOTH.argument == b"00010601"
    assert BOTH.enable == bytes.fromhex("D0C1C3C0C0")
    assert BOTH.disable == bytes.fromhex("D0C1C0C0C0")


@pytest.mark.parametrize(
    ("record", "pressure", "co2"),
    [
        ("D391818D83", -10 + 81 * 110 / 880, -20 + 205 * 120 / 1120),
        ("D3C6C090818A83", -10 + 80 * 110 / 880, -20 + 202 * 120 / 1120),  # start of inspiration and both values
    ],
)
def test_example_5_records(record: str, pressure: float, co2: float) -> None:
    found, bad = fed(BOTH, bytes.fromhex(record) * PER_BLOCK)
    assert not bad
    assert [wave.object for wave in found] == [0x00, 0x06]
    np.testing.assert_allclose(found[0].samples, pressure)
    np.testing.assert_allclose(found[1].samples, co2)
    assert {wave.period_ns for wave in found} == {16_000_000}


def test_example_6_a_stream_that_is_missing() -> None:
    """D5: streams 1 and 3; the second one has no value in this record."""
    three = Choice(tuple(Stream(code, 16_000, 0.0, 4095.0, 0xFFF) for code in (0, 1, 2)), 1)
    whole = b"\xd7" + value(1) + value(2) + value(3)
    found, bad = fed(three, whole + bytes.fromhex("D5B0A38BBC") + whole * PER_BLOCK)
    assert not bad
    samples = {wave.object: wave.samples.tolist()[:3] for wave in found}
    assert samples[0] == [1, 0x8F0, 1]
    assert samples[1][0] == samples[1][2] == 2
    assert np.isnan(samples[1][1])
    assert samples[2] == [3, 0xF0B, 3]


# ---- the offer


@pytest.mark.parametrize(
    ("row", "stream"),
    [
        (offer(1, 20_000, "-  99", "  200"), Stream(1, 20_000, -99.0, 200.0, 0xFFF)),
        (offer(1, 20_000, "- 2.5", " 12.5"), Stream(1, 20_000, -2.5, 12.5, 0xFFF)),
        (offer(1, 20_000, "    0", "10000"), Stream(1, 20_000, 0.0, 10000.0, 0xFFF)),
    ],
)
def test_error_of_vscapture_min_and_max_are_decimal_numbers(row: bytes, stream: Stream) -> None:
    """VSCaptureDrgVent reads them as whole numbers, and would fail on a decimal point (notes, section 6)."""
    assert offered(row) == [stream]


@pytest.mark.parametrize(
    "row",
    [
        OFFER[:-1],
        offer(1, 0),
        offer(1, maxbin=0),
        offer(1, low="  100", high="  100"),
        offer(1, low="  abc"),
        b"0" * 23,
    ],
)
def test_an_offer_that_cannot_be_is_none(row: bytes) -> None:
    assert offered(row) is None


def test_curves_are_thinned_to_half_of_the_line() -> None:
    """Ten curves at 62.5/s are 1312 bytes a second: every second sample at 872, every fourth at 436."""
    streams = [Stream(code, 16_000, 0.0, 1.0, 1) for code in range(10)]
    for bytes_per_s, multiplier in ((5000.0, 1), (872.0, 2), (436.0, 4), (100.0, 14)):
        found = choose(streams, range(10), bytes_per_s)
        assert found is not None
        assert found.multiplier == multiplier
    assert choose(streams, range(10), 1.0) is None
    assert choose(streams, [77], 1000.0) is None


def test_no_more_than_twelve_curves_are_asked_for_in_the_order_of_the_profile() -> None:
    streams = [Stream(code, 16_000, 0.0, 1.0, 1) for code in range(20)]
    found = choose(streams, [9, 3, 3, 99, *range(10, 20), 0, 1], 1e6)
    assert found is not None
    assert [stream.code for stream in found.streams] == [9, 3, *range(10, 20)]
    assert found.enable == bytes.fromhex("D0C1CFC2CFC3CFC0C0")
    assert found.disable == bytes.fromhex("D0C1C0C2C0C3C0C0C0")


def test_the_choice_of_a_recording_is_understood() -> None:
    assert asked([PRESSURE, CO2], b"06020002") == Choice((CO2, PRESSURE), 2)
    for argument in (b"0602", b"0001", b"060200"):
        assert asked([PRESSURE], argument) == (Choice((PRESSURE,), 1) if argument == b"0001" else None)
    assert asked([PRESSURE, CO2], b"00020603") is None  # ours are never of two kinds


# ---- records


def test_streams_from_five_on_are_announced_by_commands_that_last() -> None:
    six = Choice(tuple(Stream(code, 16_000, 0.0, 4095.0, 0xFFF) for code in range(6)), 1)
    body = b"".join(map(value, range(6)))
    first = b"\xdf\xc4\xc3\xc5\xc0" + body
    found, bad = fed(six, first + (b"\xdf" + body) * (PER_BLOCK - 1))
    assert not bad
    assert [wave.samples.tolist() for wave in found] == [[float(i)] * PER_BLOCK for i in range(6)]


def test_a_record_without_any_value() -> None:
    """D0 C0 C0: every stream is due and has none."""
    found, bad = fed(BOTH, b"\xd3" + value(1) + value(1) + b"\xd0\xc0\xc0" * PER_BLOCK)
    assert not bad
    assert [np.isnan(wave.samples).sum() for wave in found] == [PER_BLOCK - 1, PER_BLOCK - 1]


def test_a_slower_stream_has_its_own_rate() -> None:
    """Assumed: the fastest stream sets the tick, a slower one is announced in every n-th record."""
    choice = Choice((PRESSURE, Stream(0x06, 48_000, -20.0, 100.0, 0x460)), 1)
    data = (b"\xd3" + value(1) + value(2) + (b"\xd1" + value(1)) * 2) * PER_BLOCK
    found, bad = fed(choice, data)
    assert not bad
    assert {(wave.object, wave.period_ns) for wave in found} == {(0x00, 16_000_000), (0x06, 48_000_000)}
    assert not any(np.isnan(wave.samples).any() for wave in found)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (b"\xd3" + value(1), "a value is missing"),
        (b"\xd3" + value(1) * 3, "a value too much"),
        (b"\xd3" + value(1) + b"\x81", "half a value: its class was spoilt"),
        (b"\xd7" + value(1) * 3, "a stream that was not asked for"),
        (b"\xd3\xe0" + value(1) * 2, "a byte of no class"),
        (b"\xd3" + b"\xc6" + value(1) * 2, "half a command"),
    ],
)
def test_a_record_that_is_not_whole_costs_one_sample_and_is_said(damage: bytes, what: str) -> None:
    good = b"\xd3" + value(1) + value(2)
    found, bad = fed(BOTH, good + bytes(b for b in damage if b >= 0x80) + good * PER_BLOCK)
    assert [fault.reason for fault in bad] == ["realtime"], what
    assert [np.isnan(wave.samples).tolist()[:3] for wave in found] == [[False, True, False]] * 2


def test_damage_marks_the_next_block() -> None:
    good = b"\xd3" + value(1) + value(2)
    found = Records(BOTH).feed(good * PER_BLOCK + b"\xd3" + good * 2 * PER_BLOCK + b"\xd0")
    gaps = [gap for item in found if isinstance(item, tuple) for gap in item[1:]]
    assert gaps == [False, False, True, True, False, False][: len(gaps)]


def test_splits_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    data = b"".join(b"\xd3" + value(int(a)) + value(int(b)) for a, b in rng.integers(0, 4096, (100, 2)))
    data = data[:77] + b"\xa0\xe3\xa0" + data[77:]

    def items(size: int) -> list[str]:
        records = Records(BOTH)
        return [repr(item) for at in range(0, len(data), size) for item in records.feed(data[at : at + size])]

    assert items(1) == items(7) == items(len(data))


def test_endless_realtime_bytes_take_no_memory() -> None:
    records = Records(BOTH)
    for _ in range(100):
        records.feed(b"\x80" * 10_000)
        records.feed(b"\xd3" + b"\xc6" * 9_999)
    assert len(records._held) < 200


# ---- in a session


def streaming(offer_of_device: bytes = OFFER, **options: Any) -> tuple[DeviceProtocol, bytes]:
    """Bring a session to where curves flow; return it and what was sent last."""
    source = protocol(**options)
    now = answered(source)
    source.data_to_send(now)
    assert source.data_to_send(now + 0.3) == command(0x53)
    source.receive_data(response(0x53, offer_of_device), T0)
    sent = source.data_to_send(now + 0.4)
    source.receive_data(response(0x54), T0)
    drained(source)
    return source, sent


def test_the_profiles_curves_are_asked_for_and_enabled_again_and_again() -> None:
    source, sent = streaming()
    assert sent == command(0x54, b"00010601")
    assert source.data_to_send(1.0).endswith(bytes.fromhex("D0C1C3C0C0"))
    again = []
    for now in range(2, 20):
        source.receive_data(command(0x30), T0)
        if bytes.fromhex("D0C1C3C0C0") in source.data_to_send(float(now)):
            again.append(now)
    assert again == [6, 11, 16]


def test_curves_become_waves() -> None:
    source, _ = streaming()
    events = told(source, (b"\xd3" + value(81) + value(205)) * (PER_BLOCK + 1))
    assert [wave.object for wave in waves(events)] == [0x00, 0x06]
    assert waves(events)[0].samples[0] == pytest.approx(0.125)


def test_curves_before_their_configuration_mean_nothing() -> None:
    """They flow by the configuration of a session before: which stream is which is not known."""
    events: list[Event] = told(protocol(), (b"\xd3" + value(81) + value(205)) * 100)
    assert events == []


def test_a_person_chooses_curves_and_is_told_what_the_device_does_not_offer() -> None:
    source = protocol(waves=["MDC_FLOW_AWAY", "MDC_PRESS_AWAY"])
    now = answered(source)
    source.data_to_send(now)
    source.data_to_send(now + 0.3)
    events = told(source, response(0x53, OFFER))
    assert faults(events) == ["no_waves"]
    assert source.data_to_send(now + 0.4) == command(0x54, b"0001")
    with pytest.raises(ConfigError, match="MDC_ECG"):
        protocol(waves=["MDC_ECG_ELEC_POTL"])


def test_without_curves_none_are_asked_for() -> None:
    source = protocol(waves=[])
    now = answered(source)
    source.data_to_send(now)
    assert source.data_to_send(now + 0.3) == command(0x2A)


def test_a_changed_configuration_is_asked_for_anew() -> None:
    """0x56 from the device: what flows now is another thing."""
    source, _ = streaming()
    source.data_to_send(1.0)
    source.receive_data(command(0x56), T0)
    assert told(source, (b"\xd3" + value(81) + value(205)) * 100) == []
    sent = source.data_to_send(1.1)
    assert sent.startswith(response(0x56))
    for code in (0x2A, 0x24):
        source.receive_data(response(code), T0)
        sent += source.data_to_send(1.2)
    assert command(0x53) in sent


def test_curves_that_never_fit_are_configured_anew() -> None:
    source, _ = streaming()
    source.data_to_send(1.0)
    events = told(source, (b"\xd1" + value(81) + value(205)) * 110)
    assert faults(events).count("realtime") == 100
    source.receive_data(response(0x2A), T0)
    assert command(0x53) in source.data_to_send(1.1)


def test_an_offer_of_another_layout_is_a_fault() -> None:
    assert faults(told(protocol(), response(0x53, b"00   16000"))) == ["layout"]


def test_parting_stops_the_curves_first() -> None:
    source, _ = streaming()
    source.data_to_send(1.0)
    source.stop(2.0)
    assert source.data_to_send(2.0) == bytes.fromhex("D0C1C0C0C0") + command(0x55)


def test_a_wave_frame_carries_the_time_of_arrival() -> None:
    source, _ = streaming()
    source.receive_data((b"\xd3" + value(81) + value(205)) * (PER_BLOCK + 1), T0 + 7)
    assert {frame.t_ns for frame in frames(drained(source), "wave")} == {T0 + 7}
