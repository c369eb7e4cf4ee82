"""Lines of text: the three layouts, numbers, checksums, alerts, episodic values, and every fault once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from drivers.ascii_line import DRIVER
from drivers.ascii_line.checksum import KINDS
from gateway import registry
from gateway.core.errors import ConfigError
from gateway.core.frame import Alerts, Event, Fault, Frame, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.profile_lint import lint
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE, Validity
from gateway.core.scene import Scene
from tests.unit.ascii_line_rig import (
    CAPTURE,
    T0,
    S,
    accutorr,
    drained,
    heard,
    parsed,
    record,
    started,
    text_of,
    warmer,
)

TEMP = 'n = 1, id = "MDC_TEMP_BLD", object = 1, unit = "Cel"'
SPO2 = 'n = 1, id = "MDC_PULS_OXIM_SAT_O2", object = "SPO2", unit = "%"'
COLUMNS = 'layout = "columns"\nsentinels = ["---"]\n'
PLAIN = '[[driver.line]]\nname = "values"\ncolumns = 2\n'


def readings(events: list[Event]) -> list[list[Reading]]:
    return [e.payload for e in events if isinstance(e, Frame) and isinstance(e.payload, list)]


def values(events: list[Event]) -> list[list[float | str | None]]:
    """Return what each line told, None for no value."""
    found = [[r.value for r in line] for line in readings(events)]
    return [[None if isinstance(v, float) and math.isnan(v) else v for v in line] for line in found]


def alerts(events: list[Event]) -> list[list[int | str]]:
    return [
        [a.object for a in e.payload.active] for e in events if isinstance(e, Frame) and isinstance(e.payload, Alerts)
    ]


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def of(driver: str, *rows: str, more: str = "") -> Profile:
    return parsed(text_of(driver, *(rows or (TEMP,)), more=more))


def xor(text: str) -> bytes:
    """Return a line of the Acme Warmer: its checksum by hand."""
    total = 0
    for byte in text.encode():
        total ^= byte
    return f"\x02{text}*{total:02X}\r\n".encode()


# ---- the README's example


def test_the_example_of_the_readme_lints() -> None:
    assert lint(parsed(warmer()), nomenclature(), DRIVER.frames) == []


def test_the_example_of_the_readme_is_read() -> None:
    profile = parsed(warmer())
    events = heard(profile, xor("T;37,1;36,9;warming;02"), xor("T;---;36,9;standby;00"), xor("P;120;1"))
    assert faults(events) == []
    assert values(events) == [[37.1, 36.9, "warming"], [None, 36.9, "standby"], [120.0]]
    assert alerts(events) == [["5.1"], []]
    plan = Plan(profile, "", nomenclature())
    blocks = [plan.decode(event, 0) for event in events if isinstance(event, Frame)]
    assert not plan.unmapped
    assert [plan.metrics[m].ref_id for m in blocks[0]["metric"]] == [
        "MDC_TEMP_BLD",
        "MDC_TEMP_SKIN",
        "MDC_ATTR_ALARM_STATE",
    ]


def test_driver_and_simulator_agree_on_the_example() -> None:
    """Every row of the invented device is spoken and read, its alert begins and ends, its sentinel is no value."""
    profile = parsed(warmer())
    for scene, some in ((Scene(), True), (Scene(nothing=True), False)):
        device = DRIVER.simulator([DeviceSpec(0, profile)], {"period_s": 0.5}, scene)
        events = heard(profile, *(device.data_to_send(n / 2) for n in range(160)), every_s=0.5)
        plan = Plan(profile, "", nomenclature())
        blocks = [plan.decode(event, 0) for event in events if isinstance(event, Frame)]
        assert faults(events) == []
        assert not plan.unmapped
        usable = {int(m) for b in blocks for m in b["metric"][IS_USABLE[b["validity"]]]}
        assert ({m.index for m in plan.metrics if m.kind in ("numeric", "enumeration")} <= usable) is some
        assert {tuple(a) for a in alerts(events)} == ({(), ("5.1",)} if some else {()})


def test_a_checksum_sees_every_flipped_bit_of_what_it_covers() -> None:
    line = xor("T;37,1;36,9;warming;02")
    profile = parsed(warmer())
    for bit in range(8 * len(line)):
        spoiled = bytearray(line)
        spoiled[bit // 8] ^= 1 << bit % 8
        told = values(heard(profile, bytes(spoiled) + xor("P;120;1")))
        assert [line for line in told if line != [120.0]] in ([], [[37.1, 36.9, "warming"]])  # the last: in CR LF


# ---- layouts and numbers


def test_columns_are_counted() -> None:
    events = heard(of(COLUMNS + PLAIN), b"37.1,5\r\n37.1\r\n37.1,5,6\r\n")
    assert values(events) == [[37.1, 5.0]]
    assert faults(events) == ["damaged", "damaged"]


@pytest.mark.parametrize(
    ("separator", "line"), [(",", b" 37.1 , 5 "), ("\\t", b"37.1\t5"), (" ", b"  37.1   5 "), ("; ", b"37.1; 5")]
)
def test_separators(separator: str, line: bytes) -> None:
    assert values(heard(of(f'separator = "{separator}"\n' + COLUMNS + PLAIN), line + b"\r")) == [[37.1, 5.0]]


@pytest.mark.parametrize(
    ("text", "value"), [("37,1", 37.1), ("-0,5", -0.5), ("+ 12", 12.0), (",5", 0.5), ("007", 7.0), ("---", None)]
)
def test_decimal_comma_signs_and_sentinels(text: str, value: float | None) -> None:
    profile = of('decimal = ","\nseparator = ";"\n' + COLUMNS + PLAIN)
    assert values(heard(profile, f"{text};1\r\n".encode())) == [[value, 1.0]]


@pytest.mark.parametrize("text", ["1.000,5", "1e5", "0x12", "37.1C", "", "1" * 20, "NaN", "inf", "٣"])
def test_what_is_no_number_is_not_taken_for_one(text: str) -> None:
    events = heard(of(COLUMNS + PLAIN), f"{text},1\r\n".encode())
    assert values(events) == []
    assert set(faults(events)) <= {"field", "damaged"}


def test_a_unit_behind_the_number_is_told() -> None:
    profile = of(COLUMNS + PLAIN, TEMP, more='[units]\nC = "Cel"\nF = "[degF]"\n')
    assert [line[0][2:4] for line in readings(heard(profile, b"37.1 C,1\r\n98.6F,1\r\n"))] == [("C", 37.1), ("F", 98.6)]


def test_fixed_columns() -> None:
    profile = of('layout = "fixed"\n[[driver.line]]\nname = "values"\nwidths = [4, 3]\nignore = [2]\n')
    events = heard(profile, b"37.1abc\r\n 7.1abc\r\n37.1ab\r\n")
    assert values(events) == [[37.1], [7.1]]
    assert faults(events) == ["damaged"]


def test_pairs() -> None:
    profile = of('layout = "pairs"\nseparator = " "\n[[driver.line]]\nname = "values"\nrequired = ["SPO2"]\n', SPO2)
    events = heard(profile, b"SPO2=098 HR=72\r\nHR=72\r\nSPO2=98 SPO2=99\r\nSPO2 98\r\n")
    assert [[(r.object, r.value) for r in line] for line in readings(events)] == [[("SPO2", 98.0), ("HR", 72.0)]]
    assert faults(events) == ["damaged"] * 3


def test_a_width_sees_a_doubled_character() -> None:
    profile = of(COLUMNS + PLAIN + "widths = [4, 1]\n")
    assert faults(heard(profile, b"377.1,5\r\n")) == ["damaged"]


def test_a_field_that_no_row_names_is_counted_and_never_shown() -> None:
    profile = of(COLUMNS + PLAIN)
    events = heard(profile, b"37.1,Hansen\r\n")
    plan = Plan(profile, "", nomenclature())
    [plan.decode(event, 0) for event in events if isinstance(event, Frame)]
    assert dict(plan.unmapped) == {("values", 2): 1}
    assert "Hansen" not in repr(events)


# ---- what protects a line


@pytest.mark.parametrize("kind", ["sum8", "xor8", "crc8.smbus", "crc16.modbus", "crc16.xmodem", "crc32.iso_hdlc"])
def test_checksums_over_the_check_string(kind: str) -> None:
    """The CRC catalogue's check values of "123456789"; the sums by hand."""
    known = {"sum8": 0xDD, "xor8": 0x31, "crc8.smbus": 0xF4, "crc16.modbus": 0x4B37, "crc16.xmodem": 0x31C3}
    compute, digits = KINDS[kind]
    assert compute(b"123456789") == {**known, "crc32.iso_hdlc": 0xCBF43926}[kind]
    profile = of(COLUMNS + f'{PLAIN}[driver.checksum]\nkind = "{kind}"\n')
    line = b"37.1,5" + b"%0*x" % (digits, compute(b"37.1,5"))
    assert values(heard(profile, line + b"\r\n")) == [[37.1, 5.0]]
    assert faults(heard(profile, line[:-1] + b"\r\n", line + b"0\r\n")) == ["checksum"] * 2


def test_what_a_checksum_covers() -> None:
    keys = '[driver.checksum]\nkind = "sum8"\nafter = "\\u0003"\ncovers_begin = true\ncovers_after = true\n'
    profile = of('begin = "\\u0002"\nend = "\\r"\n' + COLUMNS + PLAIN + keys)
    body = b"\x0237.1,5\x03"
    assert values(heard(profile, body + b"%02X\r" % (sum(body) & 255))) == [[37.1, 5.0]]
    assert faults(heard(profile, body + b"%02X\r" % (sum(body[1:]) & 255))) == ["checksum"]


def test_under_a_right_checksum_the_other_fields_are_used() -> None:
    events = heard(parsed(warmer()), xor("T;ERR;36,9;warming;00"))
    assert values(events) == [[None, 36.9, "warming"]]
    assert readings(events)[0][0].validity == Validity.INV
    assert faults(events) == ["field"]


def test_a_word_that_the_profile_does_not_know_is_told() -> None:
    assert faults(heard(parsed(warmer()), xor("T;37,1;36,9;cooling;00"))) == ["field"]


def test_a_lost_end_does_not_join_two_lines() -> None:
    profile = of('begin = "#"\n' + COLUMNS + PLAIN)
    events = heard(profile, b"#37.1,5#36.9,6\r\n")
    assert values(events) == [[36.9, 6.0]]
    assert faults(events) == ["garbage"]


def test_what_was_begun_before_a_pause_is_not_completed_after_it() -> None:
    assert values(heard(of(COLUMNS + PLAIN), b"3", b"7.1,5\r\n", every_s=1.0)) == [[7.1, 5.0]]
    assert values(heard(of(COLUMNS + PLAIN), b"3", b"7.1,5\r\n", every_s=0.1)) == [[37.1, 5.0]]


def test_faults_of_the_line() -> None:
    profile = parsed(warmer())
    assert faults(heard(profile, b"noise\x02" + xor("P;120;1")[1:])) == ["garbage"]
    assert faults(heard(profile, xor("G;Acme Warmer"))) == ["other"]
    assert faults(heard(profile, b"Acme Warmer 3\r\n")) == ["other"]
    assert faults(heard(profile, b"x" * 5000 + b"\r\n" + xor("P;120;1"))) == ["garbage"]
    assert faults(heard(profile, b"\r\n\r\n")) == []


# ---- alerts


def test_alert_words_and_decimal_bits() -> None:
    line = '[[driver.line]]\nname = "values"\ncolumns = 3\nalert_words = [2]\nalert_bits = [3]\nalert_base = 10\n'
    event = 'id = "MDC_EVT_HI", kind = "alert", alert = "technical", object'
    rows = (TEMP, f'n = 2, {event} = "HIGH"', f'n = 3, {event} = "3.0"', f'n = 4, {event} = "*"')
    profile = of('layout = "columns"\nsentinels = ["OK"]\n' + line, *rows)
    events = heard(profile, b"37.1,HIGH OPEN,5\r\n37.1,OK,0\r\n")
    assert alerts(events) == [["3.0", "3.2", "HIGH", "OPEN"], []]


# ---- episodic values

CUFF = 'n = 1, id = "MDC_PRESS_BLD_NONINV_SYS", object = 1, unit = "mm[Hg]", episodic = true'


def test_each_line_of_a_spot_thermometer_is_a_measurement() -> None:
    events = heard(of(COLUMNS + PLAIN + "ignore = [2]\n", CUFF), b"120,1\r\n", b"120,1\r\n")
    assert values(events) == [[120.0], [120.0]]


def test_a_repeated_value_is_given_once_and_the_first_is_questionable() -> None:
    profile = of(COLUMNS + PLAIN + "ignore = [2]\nrepeats = true\n", CUFF)
    events = heard(profile, b"120,1\r\n", b"120,1\r\n", b"118,1\r\n", b"---,1\r\n", b"118,1\r\n")
    assert values(events) == [[120.0], [118.0], [None], [118.0]]
    assert [line[0].validity for line in readings(events)] == [Validity.QST, Validity.VLD, Validity.NA, Validity.VLD]


def test_an_age_dates_the_value_and_tells_a_new_one() -> None:
    profile = of(COLUMNS + PLAIN + "age = 2\nage_unit_s = 60\n", CUFF)
    events = heard(profile, b"120,3\r\n", b"120,4\r\n", b"120,0\r\n", b"120,0\r\n", b"118,---\r\n")
    told = [line[0] for line in readings(events)]
    assert [(r.value, r.age_ns // (60 * S), r.validity) for r in told] == [
        (120.0, 3, Validity.VLD),
        (120.0, 0, Validity.VLD),
        (118.0, 0, Validity.QST),
    ]


# ---- polls


def test_a_poll_goes_out_at_its_period_and_silence_is_told_once() -> None:
    protocol = started(accutorr())
    assert [protocol.data_to_send(float(now)) for now in range(5)] == [b"P", b"", b"P", b"", b"P"]
    for now in range(5, 20):
        protocol.data_to_send(float(now))
    assert faults(drained(protocol)) == ["silent"]
    protocol.stop(20.0)
    assert protocol.data_to_send(21.0) == b""
    assert protocol.next_wake() is None


def test_a_line_of_an_accutorr_3() -> None:
    """Nine fields in the order of the vendor's page, by way of the protocol notes; `--` is one without a value."""
    events = heard(accutorr(), b"P: 97, 72,122, 88, 71, --, --, --,  3\r\n")
    assert values(events) == [[97.0, 72.0, 122.0, 88.0, 71.0]]
    plan = Plan(accutorr(), "", nomenclature())
    block = plan.decode(next(e for e in events if isinstance(e, Frame)), 0)
    told = {plan.metrics[row["metric"]].ref_id: (float(row["value"]), int(row["t_ns"])) for row in block}
    assert told["MDC_PULS_OXIM_SAT_O2"] == (97.0, T0)
    assert told["MDC_PRESS_BLD_NONINV_SYS"] == (122.0, T0 - 180 * S)
    assert told["MDC_PRESS_BLD_NONINV_MEAN"] == (88.0, T0 - 180 * S)
    assert told["MDC_PRESS_BLD_NONINV_DIA"] == (71.0, T0 - 180 * S)
    assert set(block["validity"].tolist()) == {Validity.QST}  # experimental: nothing of it is valid


def test_an_unused_field_of_an_accutorr_3_is_no_value() -> None:
    assert values(heard(accutorr(), b"P:--,--,--,--,--,--,--,--,--\r\n")) == [[None] * 5]


# ---- the card


def test_the_recording_reads_as_it_says(tmp_path: Path) -> None:
    expected = json.loads(CAPTURE.with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert record(tmp_path / "again.mdirec") == expected
    assert (tmp_path / "again.mdirec").read_bytes() == CAPTURE.read_bytes()


def test_one_device_and_no_option() -> None:
    spec = DeviceSpec(0, accutorr())
    for devices, options in (([spec, spec], {}), ([spec], {"period_s": 2.0})):
        with pytest.raises(ConfigError):
            DRIVER.protocol(devices, options)
    with pytest.raises(ConfigError, match="devices on one line"):
        DRIVER.simulator([spec, spec], {}, Scene())


def test_every_fault_has_been_provoked() -> None:
    """The names above, against the closed set."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{reason}"' in source for reason in registry.driver("ascii_line").faults)
