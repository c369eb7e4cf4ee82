"""Ward scales: the example lines of the manuals (by way of the protocol notes), and what can be wrong with a line.

No line of a real scale has been recorded. The recordings of the driver are made here, from the simulator:
    python -m tests.unit.test_ward_scales
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from drivers.ward_scales import DRIVER
from drivers.ward_scales.options import FAULTS
from drivers.ward_scales.protocol import REPEAT_NS, ScaleProtocol
from gateway import registry
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Event, Fault, Frame, Identified, NeedData, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.conftest import ROOT

CAPTURES = ROOT / "drivers" / "ward_scales" / "captures"
T0 = 1_767_225_600_000_000_000
AND, ESC, SC_240, BD_815, WB_3000, SOLO, MDW = (
    "and_weighing/standard_format",
    "health_o_meter/proplus",
    "tanita/sc_240",
    "tanita/bd_815u",
    "tanita/wb_3000",
    "detecto/solo",
    "adam/mdw",
)
EVERY = (AND, ESC, SC_240, BD_815, WB_3000, SOLO, MDW)
ESC_READING = b"\x1bR\x1bI1234567890\x1bW090.98\x1bH178.70\x1bT005.7\x1bB28\x1bNm\x1bE"
SC_240_LINE = b'{0,16,~0,1,~1,1,~2,1,MO,"SC-240",Wk,82.7,FW,18.6,fW,15.4,MI,28.6,ZF,369.4,CS,00\r\n'


def profile_of(name: str) -> Profile:
    return registry.Profiles().get(name)


def protocol_of(name: str) -> ScaleProtocol:
    made = DRIVER.protocol([DeviceSpec(0, profile_of(name))], {})
    assert isinstance(made, ScaleProtocol)
    made.start(0.0)
    return made


def events(protocol: ScaleProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


def heard(name: str, data: bytes) -> list[Event]:
    protocol = protocol_of(name)
    protocol.receive_data(data, T0)
    return events(protocol)


def readings(found: list[Event]) -> list[Reading]:
    return [r for e in found if isinstance(e, Frame) and isinstance(e.payload, list) for r in e.payload]


def values(found: list[Event]) -> dict[Any, Any]:
    return {r.object: (r.value, r.unit) for r in readings(found)}


def faults(found: list[Event]) -> list[str]:
    return [e.reason for e in found if isinstance(e, Fault)]


def samples(name: str, data: bytes) -> dict[str, tuple[float, int]]:
    plan = Plan(profile_of(name), "", nomenclature())
    blocks = [plan.decode(e, 0) for e in heard(name, data) if isinstance(e, Frame)]
    return {plan.metrics[row["metric"]].ref_id: (row["value"], int(row["validity"])) for b in blocks for row in b}


# ---- A&D


def test_and_example_line() -> None:
    """EK-L manual p. 28."""
    assert readings(heard(AND, b"ST,+001234.5  g\r\n")) == [Reading("weight", 0, "g", 1234.5)]
    assert samples(AND, b"ST,+001234.5  g\r\n") == {"MDC_MASS_BODY_ACTUAL": (1.2345, Validity.VLD)}


def test_and_pounds_become_kilograms() -> None:
    assert samples(AND, b"ST,+00150.00 lb\r\n")["MDC_MASS_BODY_ACTUAL"][0] == pytest.approx(68.0388555)


def test_and_unstable_is_a_measurement_still_going_on() -> None:
    """Only a stable line is an observation: what is still moving has a validity that nobody charts."""
    (reading,) = readings(heard(AND, b"US,+00070.20 kg\r\n"))
    assert (reading.value, reading.validity) == (70.2, Validity.ONG)


@pytest.mark.parametrize("comparison", [b"LO,", b"OK,", b"HI,", b"--,"])
def test_and_comparison_may_stand_before_the_header(comparison: bytes) -> None:
    assert values(heard(AND, comparison + b"ST,+00070.20 kg\r\n")) == {"weight": (70.2, "kg")}


@pytest.mark.parametrize("line", [b"OL,+999999.9  g\r\n", b"OL,+999999.9\r\n", b"HI,OL,+999999.9 kg\r\n"])
def test_and_overload_has_no_value(line: bytes) -> None:
    (reading,) = readings(heard(AND, line))
    assert math.isnan(reading.value)
    assert reading.validity == Validity.OFLW


def test_and_pieces_are_no_weight() -> None:
    assert faults(heard(AND, b"QT,+00000012 PC\r\n")) == ["counting"]


def test_and_a_weight_in_pieces_or_percent_has_no_meaning() -> None:
    assert samples(AND, b"ST,+00000012 PC\r\n") == {"MDC_MASS_BODY_ACTUAL": (pytest.approx(math.nan, nan_ok=True), 5)}


@pytest.mark.parametrize(
    "line",
    [
        b"ST,+001234.5 g\r\n",  # a character short
        b"ST,+0012234.5  g\r\n",  # one too many
        b"ST,+0012.4.5  g\r\n",
        b"ST,+00l234.5  g\r\n",
        b"ST +001234.5  g\r\n",
        b"XX,+001234.5  g\r\n",
        b"+001234.5  g\r\n",
    ],
)
def test_and_a_line_that_is_not_built_like_one_is_thrown_away(line: bytes) -> None:
    found = heard(AND, line)
    assert faults(found) == ["format"]
    assert not readings(found)


def test_and_an_empty_scale_is_marked() -> None:
    assert samples(AND, b"ST,+00000.00 kg\r\n") == {"MDC_MASS_BODY_ACTUAL": (0.0, Validity.UFLW)}


# ---- Health o meter


def test_health_o_meter_example() -> None:
    assert values(heard(ESC, ESC_READING)) == {
        "weight": (90.98, "kg"),
        "height": (178.7, "cm"),
        "tare": (5.7, "kg"),
        "bmi": (28.0, 0),
    }
    assert samples(ESC, ESC_READING)["MDC_RATIO_MASS_BODY_LEN_SQ"] == (28.0, Validity.VLD)


def test_health_o_meter_us_units() -> None:
    found = samples(ESC, ESC_READING.replace(b"Nm", b"Nc"))
    assert found["MDC_MASS_BODY_ACTUAL"][0] == pytest.approx(90.98 * 0.45359237)
    assert found["MDC_LEN_BODY_ACTUAL"][0] == pytest.approx(178.70 * 2.54)


def test_health_o_meter_never_names_the_patient() -> None:
    protocol = protocol_of(ESC)
    protocol.receive_data(ESC_READING, T0)
    assert "1234567890" not in "".join(map(repr, events(protocol)))


def test_health_o_meter_without_units_has_no_value() -> None:
    found = heard(ESC, ESC_READING.replace(b"\x1bNm", b""))
    assert faults(found) == ["unit"]
    assert not readings(found)


def test_health_o_meter_two_readings_that_ran_into_each_other_are_one_that_is_whole() -> None:
    cut = ESC_READING[:20]
    found = heard(ESC, cut + ESC_READING)
    assert faults(found) == ["garbage"]
    assert values(found) == values(heard(ESC, ESC_READING))


def test_health_o_meter_a_field_twice_is_two_readings() -> None:
    assert faults(heard(ESC, ESC_READING.replace(b"\x1bNm", b"\x1bW060.00\x1bNm"))) == ["format"]


def test_health_o_meter_an_unknown_field_is_told() -> None:
    found = heard(ESC, ESC_READING.replace(b"\x1bNm", b"\x1bQ12\x1bNm"))
    assert faults(found) == ["unread"]
    assert len(readings(found)) == 4


# ---- Tanita


def test_tanita_example() -> None:
    """SC-240 manual p. 24: the values of its example."""
    assert values(heard(SC_240, SC_240_LINE)) == {
        "weight": (82.7, "kg"),
        "fat": (18.6, 0),
        "fat_mass": (15.4, "kg"),
        "bmi": (28.6, 0),
        "impedance": (369.4, 0),
    }


def test_tanita_says_who_it_is_once() -> None:
    line = SC_240_LINE.replace(b",Wk", b',SN,"123",Wk')
    found = heard(SC_240, line + line.replace(b"82.7", b"82.8"))
    assert [e for e in found if isinstance(e, Identified)] == [Identified("Tanita", "SC-240", "", "123")]


def test_tanita_baby_scale() -> None:
    assert samples(BD_815, b'{0,16,~0,1,MO,"BD-815",Wg,3972\r\n')["MDC_MASS_BODY_ACTUAL"] == (3972.0, Validity.VLD)


def test_tanita_what_was_typed_in_goes_no_further() -> None:
    found = heard(SC_240, SC_240_LINE.replace(b",Wk", b",Bt,0,GE,2,AG,43,Wk"))
    assert not faults(found)
    assert len(readings(found)) == 5


def test_tanita_in_pounds_only_the_weight_has_a_unit() -> None:
    found = heard(SC_240, SC_240_LINE.replace(b"Wk,82.7", b"Wp,182.3"))
    assert faults(found) == ["unit"]
    by_object = {r.object: r for r in readings(found)}
    assert by_object["weight"][2:4] == ("lb", 182.3)
    assert by_object["fat_mass"].validity == Validity.INV
    assert by_object["fat"].value == 18.6


@pytest.mark.parametrize(
    "line",
    [
        SC_240_LINE.replace(b",CS,00", b""),  # its end is lost
        SC_240_LINE.replace(b"CS,00", b"CS,0"),
        SC_240_LINE.replace(b",82.7", b""),
        SC_240_LINE.replace(b"82.7", b"8?.7"),
        SC_240_LINE.replace(b"0,16", b"0,17"),
        SC_240_LINE.replace(b"MI,28.6", b"Wk,28.6"),
        SC_240_LINE.replace(b"MI,28.6", b"Wp,28.6"),
    ],
)
def test_tanita_a_line_that_is_not_built_like_one_is_thrown_away(line: bytes) -> None:
    found = heard(SC_240, line)
    assert faults(found) == ["format"]
    assert not readings(found)


def test_tanita_noise_after_the_data_is_harmless() -> None:
    """WB-3000 manual: bytes within 0.1 s after the data are line noise."""
    line = b'{0,16,~0,1,MO,"WB-3000",Wk,70.1\r\n'
    found = heard(WB_3000, line + b"\xff\x00\xfe" + line.replace(b"70.1", b"70.2"))
    assert [r.value for r in readings(found)] == [70.1, 70.2]
    assert faults(found) == ["garbage"]


# ---- Detecto


def test_detecto_example() -> None:
    (frame,) = heard(SOLO, b"12:00,08/07/15,21.5,5'03.0\",132.3lb\r")
    assert isinstance(frame, Frame)
    assert values([frame]) == {"weight": (132.3, "lb"), "height": (63.0, "in"), "bmi": (21.5, 0)}
    assert frame.device_ns == 1_438_948_800_000_000_000  # 2015-08-07 12:00: the month stands first
    found = samples(SOLO, b"12:00,08/07/15,21.5,5'03.0\",132.3lb\r")
    assert found["MDC_MASS_BODY_ACTUAL"][0] == pytest.approx(60.0103, abs=1e-4)
    assert found["MDC_LEN_BODY_ACTUAL"][0] == pytest.approx(160.02)


def test_detecto_without_height() -> None:
    assert values(heard(SOLO, b"12:00,08/07/15,,,132.3lb\r")) == {"weight": (132.3, "lb")}


@pytest.mark.parametrize("line", [b"12:00,13/07/15,21.5,5'03.0\",132.3lb\r", b"12:00,08/07/15,21.5,5'03.0\",132.3\r"])
def test_detecto_a_line_that_is_not_built_like_one_is_thrown_away(line: bytes) -> None:
    assert faults(heard(SOLO, line)) == ["format"]


# ---- Adam


def adam(number: str, h1: int = 0x30, h2: int = 0x70, h3: int = 0x31) -> bytes:
    return b"\n" + number.encode() + b" kg\r\n" + bytes((h1, h2, h3)) + b"\r\x03"


def test_adam_weight_and_its_states() -> None:
    assert readings(heard(MDW, adam(" 000078.4"))) == [Reading("weight", 0, "kg", 78.4)]
    assert readings(heard(MDW, adam("-    12.4"))) == [Reading("weight", 0, "kg", -12.4)]
    assert readings(heard(MDW, adam(" 000078.4", h1=0x31)))[0].validity == Validity.ONG
    assert readings(heard(MDW, adam(" 000000.0", h1=0x32)))[0].validity == Validity.NA


def test_adam_status_has_a_parity_bit() -> None:
    assert values(heard(MDW, adam(" 000078.4", 0xB0, 0xF0, 0xB1))) == {"weight": (78.4, "kg")}


@pytest.mark.parametrize(
    ("reply", "validity"),
    [
        (adam("^" * 9), Validity.OFLW),
        (adam("_" * 9), Validity.UFLW),
        (adam("-" * 9), Validity.INV),
        (adam(" 000078.4", h2=0x72), Validity.OFLW),
        (adam(" 000078.4", h2=0x71), Validity.UFLW),
        (adam(" 000078.4", h1=0x38), Validity.INV),
    ],
)
def test_adam_what_is_no_weight_has_no_value(reply: bytes, validity: Validity) -> None:
    (reading,) = readings(heard(MDW, reply))
    assert math.isnan(reading.value)
    assert reading.validity == validity


def test_adam_faults() -> None:
    assert faults(heard(MDW, b"\n?\r\x03")) == ["refused"]
    assert faults(heard(MDW, adam("-" * 9))) == ["zero"]
    assert faults(heard(MDW, adam(" 000078.4", h1=0x38))) == ["eeprom"]
    assert faults(heard(MDW, adam(" 000078.4", h1=0x10))) == ["status"]
    assert faults(heard(MDW, adam(" 000078.4", h3=0x33))) == ["status"]
    assert faults(heard(MDW, adam(" 0000x8.4"))) == ["format"]
    assert faults(heard(MDW, b"x\x03")) == ["format"]
    assert faults(heard(MDW, b"xyz" + adam(" 000078.4"))) == ["garbage"]


def test_adam_is_asked_for_its_weight_and_nothing_else() -> None:
    protocol, gate = protocol_of(MDW), Gate(profile_of(MDW).transmit)
    said = b"".join(protocol.data_to_send(now / 10) for now in range(100))
    assert gate.allows(said)
    assert set(said.split(b"\r")) == {b"W", b""}
    assert faults(events(protocol)) == ["silent"]  # said once
    protocol.stop(11.0)
    assert protocol.data_to_send(20.0) == b""
    assert protocol.next_wake() is None


@pytest.mark.parametrize("forbidden", [b"Z\r", b"T\r", b"U\r", b"X\r", b"S\r", b"W\rZ\r", b"W"])
def test_adam_nothing_that_changes_the_scale_can_be_sent(forbidden: bytes) -> None:
    assert not Gate(profile_of(MDW).transmit).allows(forbidden)


@pytest.mark.parametrize("name", [name for name in EVERY if name != MDW])
def test_all_others_are_never_written_to(name: str) -> None:
    protocol = protocol_of(name)
    assert protocol.data_to_send(0.0) == protocol.data_to_send(100.0) == b""
    assert not profile_of(name).transmit


# ---- one weighing


def test_a_stream_of_one_weighing_is_one_value() -> None:
    """A scale that sends ten lines a second while somebody stands on it has weighed one person once."""
    protocol = protocol_of(AND)
    for tenth in range(40):
        line = b"US,+000%02d.20 kg\r\n" % (tenth + 40) if tenth < 10 else b"ST,+00070.20 kg\r\n"
        protocol.receive_data(line, T0 + tenth * 100_000_000)
    assert [(r.value, r.validity) for r in readings(events(protocol))] == [(40.2, Validity.ONG), (70.2, Validity.VLD)]


def test_the_same_weight_later_is_another_weighing() -> None:
    protocol = protocol_of(AND)
    for t_ns in (0, REPEAT_NS, 3 * REPEAT_NS, 3 * REPEAT_NS - 1):  # the last: the clock of this box was set back
        protocol.receive_data(b"ST,+00070.20 kg\r\n", T0 + t_ns)
    assert len(readings(events(protocol))) == 3


def test_another_weight_is_another_weighing() -> None:
    found = heard(AND, b"ST,+00070.20 kg\r\nST,+00070.30 kg\r\nST,+00070.20 kg\r\n")
    assert [r.value for r in readings(found)] == [70.2, 70.3, 70.2]


# ---- the driver as a whole


def test_every_fault_is_provoked_by_a_test() -> None:
    provoked = {
        *faults(heard(AND, b"x\r\nQT,+00000012 PC\r\n")),
        *faults(heard(ESC, ESC_READING.replace(b"\x1bNm", b""))),
        *faults(heard(ESC, b"x" + ESC_READING.replace(b"T005", b"T005"))),
        *faults(heard(SC_240, SC_240_LINE.replace(b"MI", b"??"))),
        *faults(heard(MDW, b"\n?\r\x03" + adam("-" * 9) + adam(" 000078.4", h1=0x38) + adam(" 000078.4", h1=0x10))),
    }
    assert provoked | {"silent"} == set(FAULTS)


@pytest.mark.parametrize(
    "table", ['dialect = "seca"', "", 'dialect = "adam"\nchecked = true', 'dialect = "tanita"\nx = 1']
)
def test_a_driver_table_that_does_not_fit_is_refused(table: str) -> None:
    text = (ROOT / "firmware_profiles" / f"{AND}.toml").read_text(encoding="utf-8").replace('dialect = "and"', table)
    with pytest.raises(ProfileError):
        DRIVER.protocol([DeviceSpec(0, parse_profile(text, AND, "x.toml"))], {})


def test_a_scale_is_alone_on_its_line() -> None:
    with pytest.raises(ConfigError):
        DRIVER.protocol([DeviceSpec(0, profile_of(AND)), DeviceSpec(1, profile_of(AND))], {})
    with pytest.raises(ConfigError):
        DRIVER.simulator([], {}, Scene())
    with pytest.raises(ConfigError):
        DRIVER.protocol([DeviceSpec(0, profile_of(MDW))], {"poll_s": 0.1})


# ---- recordings


def recording(name: str) -> bytes:
    """Return what the simulated scale of a profile says in 25 s to a driver that is there."""
    protocol, scale = protocol_of(name), DRIVER.simulator([DeviceSpec(0, profile_of(name))], {}, Scene())
    said = b""
    for tenth in range(250):
        now = tenth / 10
        scale.receive_data(protocol.data_to_send(now), now)
        data = scale.data_to_send(now)
        protocol.receive_data(data, T0)
        said += data
    return said


def summary(name: str, data: bytes) -> dict[str, Any]:
    """Return what the driver reads when a recording comes line by line, each 0.1 s after the one before."""
    protocol = protocol_of(name)
    for n, line in enumerate(data.splitlines(keepends=True)):
        protocol.receive_data(line, T0 + n * 100_000_000)
    found = events(protocol)
    return {
        "profile": name,
        "frames_ok": protocol.frames_ok,
        "faults": faults(found),
        "values": [f"{r.object} {r.value} {r.unit or ''} {Validity(r.validity).name}" for r in readings(found)],
    }


@pytest.mark.parametrize("name", EVERY)
def test_recordings_read_as_told(name: str) -> None:
    stem = name.split("/")[1]
    data = (CAPTURES / f"{stem}.bin").read_bytes()
    assert data == recording(name)
    assert summary(name, data) == json.loads((CAPTURES / f"{stem}.expected.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    for made in EVERY:
        bytes_said, where = recording(made), CAPTURES / made.split("/")[1]
        where.with_suffix(".bin").write_bytes(bytes_said)
        text = json.dumps(summary(made, bytes_said), indent=1)
        where.with_suffix(".expected.json").write_text(text + "\n", encoding="utf-8")
