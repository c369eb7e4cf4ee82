"""ASTM E1381/E1394: the vectors of the protocol notes, the messages beside them, and what can be wrong with a line.

The recordings of the driver are made here, from the simulator: python -m tests.unit.test_astm_e1381
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.astm_e1381 import DRIVER
from drivers.astm_e1381.frames import Damaged, FrameReader, Text, read_frame
from drivers.astm_e1381.options import FAULTS
from drivers.astm_e1381.protocol import MAX_ANSWERS, RECEIVE_S, SILENCE_S, AstmProtocol
from drivers.astm_e1381.records import Record, delimiters
from gateway import registry
from gateway.core.errors import ConfigError
from gateway.core.frame import Event, Fault, Frame, Identified, NeedData, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.conftest import ROOT

CAPTURES = ROOT / "drivers" / "astm_e1381" / "captures"
T0 = 1_767_225_600_000_000_000
COBAS, VIDAS, SPOTCHEM = "roche/cobas_c111", "biomerieux/mini_vidas", "arkray/spotchem_el"
ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
# Protocol notes, "Vectors": frames 1, 2, 4 and 7 of a cobas c111 message, with their checksums.
VECTORS = (
    rb"1H|\^&|||SENAITE^Roche^c111^4.2.2.1730^1^13147|||||host|RSUPL^REAL|P|1|20230803131713" + b"\r\x17C6\r\n",
    b"2P|1||\r\x174B\r\n",
    b"4R|1|^^^413|40.13|g/L||N||F||$SYS$||20230803131700\r\x17CE\r\n",
    b"7L|1|N\r\x030A\r\n",
)


def profile_of(name: str) -> Profile:
    return registry.Profiles().get(name)


def protocol_of(name: str = COBAS) -> AstmProtocol:
    made = DRIVER.protocol([DeviceSpec(0, profile_of(name))], {})
    assert isinstance(made, AstmProtocol)
    made.start(0.0)
    return made


def events(protocol: AstmProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


def frame(number: int, text: str, end: int = 0x17) -> bytes:
    """Return one frame with a right checksum."""
    body = b"%d" % (number % 8) + text.encode("latin-1") + bytes((end,))
    return b"\x02" + body + b"%02X\r\n" % (sum(body) % 256)


def transmission(*records: str) -> bytes:
    """Return a message with one record to a frame."""
    frames = [frame(n, f"{record}\r") for n, record in enumerate(records, 1)]
    return ENQ + b"".join(frames) + EOT


HEADER = "H|\\^&||||||||||P||20230803131713"  # field 12: P, field 14: the time
RESULT = "R|1|^^^413|40.13|g/L||N||F||||20230803131700"
LAST = "L|1|N"


def heard(data: bytes, name: str = COBAS) -> list[Event]:
    protocol = protocol_of(name)
    protocol.receive_data(data, T0)
    return events(protocol)


def readings(found: list[Event]) -> dict[Any, Reading]:
    frames = [e for e in found if isinstance(e, Frame)]
    return {r.object: r for f in frames if isinstance(f.payload, list) for r in f.payload}


def faults(found: list[Event]) -> list[str]:
    return [e.reason for e in found if isinstance(e, Fault)]


def captured(shared: Path, name: str) -> bytes:
    """Return a message of the captures: its frames stand one to a line, without CR, ENQ and EOT."""
    lines = (shared / "captures" / "astm" / name).read_bytes().split(b"\n")
    return ENQ + b"".join(line.removesuffix(b"\r") + b"\r\n" for line in lines if line) + EOT


# ---- frames


@pytest.mark.parametrize("vector", VECTORS)
def test_checksums_of_the_vectors(vector: bytes) -> None:
    read = read_frame(vector[:-1])
    assert isinstance(read, Text)
    assert read.number == vector[0] - ord("0")
    assert read_frame(vector[:-4] + vector[-4:-2].lower() + b"\r") == read


@pytest.mark.parametrize("vector", VECTORS)
def test_every_flipped_bit_of_a_frame_is_seen(vector: bytes) -> None:
    """Except in the case of a letter of the checksum, where upper and lower mean the same."""
    content = vector[:-1]
    whole = read_frame(content)
    for at in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            read = read_frame(bytes(damaged))
            assert isinstance(read, Damaged) or (read == whole and at in (len(content) - 3, len(content) - 2))


@pytest.mark.parametrize("told", [b" 6", b"+6", b"_6", b"6 ", b"G6"])
def test_a_checksum_is_two_hexadecimal_digits(told: bytes) -> None:
    assert read_frame(VECTORS[0][:-4] + told + b"\r") == Damaged("checksum", len(VECTORS[0]) - 1)


def test_a_long_frame_is_read() -> None:
    """OsmoTECH sends up to 64,000 bytes in a frame."""
    (item,) = FrameReader().feed(frame(1, "x" * 64_000))
    assert item == Text(1, b"x" * 64_000)


# ---- messages


def test_the_vector_of_the_notes() -> None:
    numbered = [VECTORS[0][1:-6], VECTORS[1][1:-6], VECTORS[2][1:-6], VECTORS[3][1:-6]]
    found = heard(transmission(*(text.decode() for text in numbered)))
    reading = readings(found)["413"]
    assert (reading.value, reading.unit, reading.validity) == (40.13, "g/L", Validity.VLD)
    assert reading.age_ns == 13_000_000_000  # 13:17:13 less 13:17:00
    assert Identified("Roche", "c111", "4.2.2.1730", "13147") in found
    (result,) = [e for e in found if isinstance(e, Frame)]
    assert result.device_ns == 1_691_068_633_000_000_000  # 2023-08-03 13:17:13


def test_cobas_c111_message(shared: Path) -> None:
    protocol = protocol_of()
    protocol.receive_data(captured(shared, "cobas_c111.txt"), T0)
    found = events(protocol)
    assert protocol.frames_ok == 7
    assert not faults(found)
    assert protocol.data_to_send(0.0) == ACK * 8
    assert {key: r.value for key, r in readings(found).items()} == {"patient": "no", "413": 40.13, "413 abnormal": "N"}
    plan = Plan(profile_of(COBAS), "", nomenclature())
    rows = [row for e in found if isinstance(e, Frame) for row in plan.decode(e, 0)]
    values = {plan.metrics[row["metric"]].ref_id: (row["value"], int(row["t_ns"])) for row in rows}
    assert values["MDCX_COBAS_C111_TEST_413"] == (40.13, T0 - 13_000_000_000)
    assert not plan.unmapped


def test_mini_vidas_message(shared: Path) -> None:
    """Constructed. Its header names five delimiters, two of them alike; its status is no status."""
    found = heard(captured(shared, "mini_vidas_mock.txt"), VIDAS)
    assert faults(found) == ["delimiters", "status"]
    assert {key: (r.value, r.validity) for key, r in readings(found).items()} == {
        "patient": ("yes", Validity.VLD),
        "HBCT": (0.05, Validity.QST),
    }
    assert "test_patient" not in repr(found)
    assert "Z1G021SCR" not in repr(found)


def test_spotchem_message(shared: Path) -> None:
    """Constructed, with the same header."""
    found = heard(captured(shared, "spotchem_el_mock.txt"), SPOTCHEM)
    assert faults(found) == ["delimiters"]
    assert {key: (r.value, r.unit) for key, r in readings(found).items()} == {
        "patient": ("no", 0),
        "sample_type": ("B. Plasma", 0),
        "Na": (131.0, "mmol/L"),
        "K": (9.7, "mmol/L"),
        "Cl": (96.0, "mmol/L"),
    }


def test_error_7_genexpert_uses_other_delimiters() -> None:
    """Errors found in public sources, 7: GeneXpert sends H|@^\\, so that @ repeats and \\ escapes."""
    how = delimiters("H|@^\\|||GeneXpert")
    assert how is not None
    assert (how.field, how.component, how.escape, how.unclear) == ("|", "^", "\\", frozenset())
    found = heard(transmission(HEADER.replace("\\^&", "@^\\"), RESULT, LAST))
    assert readings(found)["413"].value == 40.13
    assert Record("R|1|^^^A\\F\\B\\S\\C\\R\\D\\E\\E\\X41\\F|1", how).components(3)[3] == "A|B^C@D\\EAF"


@given(st.permutations("|\\^&@!~#$%").map(lambda signs: "".join(signs[:4])))
def test_any_four_delimiters_give_the_same_result(signs: str) -> None:
    usual = {"|": signs[0], "\\": signs[1], "^": signs[2], "&": signs[3]}
    records = ("".join(usual.get(c, c) for c in record) for record in (HEADER, RESULT, LAST))
    assert readings(heard(transmission(*records)))["413"].value == 40.13


def test_a_header_that_names_a_delimiter_twice_hides_what_depends_on_it() -> None:
    found = heard(
        transmission(HEADER.replace("\\^&", "\\\\^"), RESULT, "R|2|Na|131.0|mmol/L||||F||||20230803131700", LAST)
    )
    assert faults(found) == ["delimiters", "delimiters"]
    assert set(readings(found)) == {"patient", "Na"}


@pytest.mark.parametrize("packing", ["record", "message"])
def test_both_packings_say_the_same(packing: str) -> None:
    profile = profile_of(SPOTCHEM)
    protocol = protocol_of(SPOTCHEM)
    device = DRIVER.simulator([DeviceSpec(0, profile)], {"packing": packing, "delimiters": "|@^\\"}, Scene())
    for step in range(200):
        now = step / 100
        device.receive_data(protocol.data_to_send(now), now)
        protocol.receive_data(device.data_to_send(now), T0)
    assert set(readings(events(protocol))) == {"patient", "sample_type", "Na", "K", "Cl"}


# ---- what a result is worth


def judged(result: str, header: str = HEADER, before: tuple[str, ...] = ()) -> tuple[Reading, list[str]]:
    found = heard(transmission(header, *before, result, LAST))
    return readings(found)["413"], faults(found)


@pytest.mark.parametrize(
    ("status", "validity", "flags", "told"),
    [
        ("F", Validity.VLD, 0, []),
        ("C", Validity.VLD, 0, []),
        ("", Validity.VLD, 0, []),
        ("P", Validity.QST, Flag.EARLY, []),
        ("Z", Validity.QST, 0, ["status"]),
    ],
)
def test_status(status: str, validity: Validity, flags: int, told: list[str]) -> None:
    reading, said = judged(RESULT.replace("||F||", f"||{status}||"))
    assert (reading.value, reading.validity, reading.flags) == (40.13, validity, flags)
    assert said == told


def test_a_result_that_was_not_done_has_no_value() -> None:
    for result in (RESULT.replace("||F||", "||X||"), RESULT.replace("40.13", "")):
        reading, _ = judged(result)
        assert math.isnan(float(reading.value))
        assert reading.validity == Validity.NA


@pytest.mark.parametrize(("flag", "validity"), [("<", Validity.UFLW), (">", Validity.OFLW), ("HH", Validity.VLD)])
def test_a_result_beyond_what_can_be_measured_is_its_limit(flag: str, validity: Validity) -> None:
    found = heard(transmission(HEADER, RESULT.replace("||N||", f"||{flag}||"), LAST))
    assert readings(found)["413"].validity == validity
    assert readings(found)["413 abnormal"].value == flag


@pytest.mark.parametrize("value", ["<5", "40,13", "4 0", "1e5", "0x10", "nan", "inf", "--5", "NEGATIVE", "9" * 400])
def test_only_a_plain_number_is_a_number(value: str) -> None:
    reading, said = judged(RESULT.replace("40.13", value))
    assert math.isnan(float(reading.value))
    assert (reading.validity, said) == (Validity.INV, ["word"])


def test_a_word_that_the_profile_lists_is_a_value() -> None:
    """A qualitative result: the profile has an enumeration for the test."""
    text = (ROOT / "firmware_profiles" / f"{COBAS}.toml").read_text(encoding="utf-8")
    number = 'object = "413", unit = "g/L", range = [0, 1000]'
    words = 'object = "413", kind = "enumeration", values = [["NEG", "negative"]]'
    profile = parse_profile(text.replace(number, words), COBAS, "x.toml")
    protocol = DRIVER.protocol([DeviceSpec(0, profile)], {})
    protocol.start(0.0)
    protocol.receive_data(transmission(HEADER, RESULT.replace("40.13", "NEG"), LAST), T0)
    event = protocol.next_event()
    while not isinstance(event, Frame):
        event = protocol.next_event()
    assert readings([event])["413"].value == "NEG"


@pytest.mark.parametrize(
    ("header", "before"),
    [
        (HEADER.replace("|P|", "|Q|"), ()),
        (HEADER.replace("|P|", "|D|"), ()),
        (HEADER, ("O|1||||||||||Q",)),
    ],
)
def test_controls_are_marked_as_test_data(header: str, before: tuple[str, ...]) -> None:
    found = heard(transmission(header, *before, RESULT, LAST))
    assert faults(found) == ["not_routine"]
    assert all(reading.flags & Flag.TEST for reading in readings(found).values())


def test_the_time_of_a_result_is_that_of_its_completion_else_of_its_start() -> None:
    reading, _ = judged("R|1|^^^413|40.13|g/L||N||F|||20230803131600|")
    assert reading.age_ns == 73_000_000_000


@pytest.mark.parametrize(
    ("header", "result"),
    [
        (HEADER, RESULT.replace("|20230803131700", "|")),
        (HEADER, RESULT.replace("131700", "131799")),
        (HEADER, RESULT.replace("131700", "131714")),  # after the message that tells it
        (HEADER.replace("20230803131713", ""), RESULT),
    ],
)
def test_a_result_without_a_time_that_fits_is_questionable(header: str, result: str) -> None:
    reading, said = judged(result, header)
    assert said == ["time"]
    assert (reading.age_ns, reading.validity) == (0, Validity.QST)


# ---- who: never


def test_no_identity_goes_further() -> None:
    """Ids, names, birth dates, samples, operators: in no reading, no fault, no event at all."""
    secret = ("0101901234", "LAB-77", "THIRD-88", "HANSEN^BIRGIT", "19900101", "SAMPLE-42", "OPERATOR-7", "DOCTOR-9")
    patient = f"P|1|{secret[0]}|{secret[1]}|{secret[2]}|{secret[3]}||{secret[4]}|F|||||{secret[7]}"
    order = f"O|1|{secret[5]}|{secret[5]}^1|^^^413|||||||N||||{secret[0]}"
    result = RESULT.replace("F||||", f"F||{secret[6]}||")
    good = transmission(HEADER, patient, order, result, f"C|1|I|{secret[3]}|G", LAST)
    bad = (
        good.replace(b"40.13", b"40.14"),  # checksum
        good[: len(good) // 2] + ENQ + good,  # cut
        transmission(HEADER, patient, order, result.replace("^^^413", f"^{secret[0]}"), LAST),
        transmission(HEADER, patient, f"X|{secret[0]}", f"Q|1|{secret[0]}", LAST),
        transmission(patient, order, result, LAST),
        transmission(HEADER, patient),
    )
    for data in (good, *bad):
        found = heard(data)
        assert found
        said = repr(found)
        assert not [word for part in secret for word in part.split("^") if word in said]
    assert readings(heard(good))["patient"].value == "yes"


@pytest.mark.parametrize("fields", ["|||", "||^^^|", "|||^|"])
def test_a_patient_record_without_anybody(fields: str) -> None:
    assert readings(heard(transmission(HEADER, f"P|1{fields}", RESULT, LAST)))["patient"].value == "no"


def test_each_order_has_its_own_patient() -> None:
    other = RESULT.replace("40.13", "41.5")
    found = heard(transmission(HEADER, "P|1|A", "O|1|a", RESULT, "P|2", "O|1|b", other, LAST))
    frames = [e.payload for e in found if isinstance(e, Frame)]
    assert [[r.value for r in payload[:2]] for payload in frames if isinstance(payload, list)] == [
        ["yes", 40.13],
        ["no", 41.5],
    ]


# ---- a result is given once


def test_a_message_that_is_sent_again_says_nothing_new() -> None:
    sent = transmission(HEADER, "P|1", "O|1|S1", RESULT, LAST)
    found = heard(sent + sent.replace(b"P||20230803131713", b"P||20230803131713"))
    assert len([e for e in found if isinstance(e, Frame)]) == 1


def test_the_same_result_of_another_sample_is_another_result() -> None:
    found = heard(transmission(HEADER, "O|1|S1", RESULT, LAST) + transmission(HEADER, "O|1|S2", RESULT, LAST))
    assert len([e for e in found if isinstance(e, Frame)]) == 2


def test_a_corrected_result_is_given() -> None:
    corrected = RESULT.replace("40.13", "41.0").replace("||F||", "||C||")
    found = heard(transmission(HEADER, RESULT, LAST) + transmission(HEADER, corrected, LAST))
    assert readings(found)["413"].value == 41.0


# ---- the line


def ask(protocol: AstmProtocol, data: bytes, now: float = 0.0) -> bytes:
    protocol.receive_data(data, T0)
    return protocol.data_to_send(now)


def test_answers() -> None:
    protocol = protocol_of()
    assert ask(protocol, frame(1, HEADER)) == b""  # nobody has said ENQ
    assert ask(protocol, ENQ) == ACK
    assert ask(protocol, frame(2, "P|1\r")) == NAK  # the first is 1
    assert ask(protocol, frame(1, HEADER + "\r")) == ACK
    assert ask(protocol, frame(1, HEADER + "\r")) == ACK  # the answer was not heard
    assert ask(protocol, frame(1, "P|1\r")) == NAK  # another frame with that number
    assert ask(protocol, frame(2, RESULT + "\r").replace(b"40", b"41")) == NAK
    assert ask(protocol, frame(2, RESULT + "\r")) == ACK
    assert ask(protocol, frame(3, LAST + "\r", 0x03)) == ACK
    assert ask(protocol, EOT) == b""
    found = events(protocol)
    assert faults(found) == ["unasked", "sequence", "sequence", "checksum"]
    assert readings(found)["413"].value == 40.13
    assert protocol.frames_ok == 3


def test_frame_numbers_wrap_after_seven() -> None:
    results = [RESULT.replace("40.13", f"{n}.5") for n in range(20)]
    found = heard(transmission(HEADER, *results, LAST))
    assert not faults(found)
    assert readings(found)["413"].value == 19.5


def test_keep_alive_is_no_message_and_no_error() -> None:
    """Yumizen H500: ENQ followed at once by EOT."""
    protocol = protocol_of()
    assert ask(protocol, ENQ + EOT) == ACK or not events(protocol)
    assert not events(protocol)


def test_a_message_without_its_last_record_is_thrown_away() -> None:
    found = heard(transmission(HEADER, RESULT))
    assert faults(found) == ["incomplete"]
    assert not readings(found)


def test_a_new_transmission_ends_the_one_before() -> None:
    cut = transmission(HEADER, RESULT)[:-1]
    whole = transmission(HEADER, RESULT.replace("40.13", "41.5"), LAST)
    found = heard(cut + whole)
    assert faults(found) == ["incomplete"]
    assert readings(found)["413"].value == 41.5


def test_a_message_whose_eot_is_lost_counts_when_it_was_complete() -> None:
    protocol = protocol_of()
    ask(protocol, transmission(HEADER, RESULT, LAST)[:-1])
    assert not events(protocol)
    wake = protocol.next_wake()
    assert wake == RECEIVE_S
    assert protocol.data_to_send(wake) == b""
    assert readings(events(protocol))["413"].value == 40.13
    assert protocol.next_wake() is None


def test_a_frame_that_stands_still_is_refused_in_time() -> None:
    """The sender waits 15 s for an answer; a frame whose LF is lost must not cost the message."""
    protocol = protocol_of()
    ask(protocol, ENQ)
    ask(protocol, frame(1, HEADER + "\r")[:-1], now=1.0)
    assert protocol.next_wake() == 1.0 + SILENCE_S
    assert protocol.data_to_send(1.0 + SILENCE_S) == NAK
    assert faults(events(protocol)) == ["cut"]
    assert ask(protocol, frame(1, HEADER + "\r"), now=4.0) == ACK


def test_noise_that_looks_like_a_beginning_does_not_swallow_enq() -> None:
    protocol = protocol_of()
    assert ask(protocol, b"\x02noise" + ENQ) == b""
    assert protocol.data_to_send(SILENCE_S) == ACK
    assert faults(events(protocol)) == ["garbage"]


def test_a_lost_end_costs_one_frame() -> None:
    protocol = protocol_of()
    assert ask(protocol, ENQ + b"\x021H|" + frame(1, HEADER + "\r")) == ACK + ACK
    assert faults(events(protocol)) == ["garbage"]


def test_a_message_larger_than_any_is_refused() -> None:
    protocol = protocol_of()
    text = "M|" + "x" * 60_000 + "\r"
    said = ask(protocol, ENQ) + b"".join(ask(protocol, frame(n, text)) for n in range(1, 12))
    assert said[-1:] == NAK
    assert "too_long" in faults(events(protocol))


def test_an_endless_frame_is_refused() -> None:
    protocol = protocol_of()
    assert ask(protocol, ENQ + b"\x021" + b"x" * 70_000) == ACK + NAK
    assert faults(events(protocol)) == ["too_long"]


def test_answers_do_not_pile_up() -> None:
    protocol = protocol_of()
    protocol.receive_data(ENQ * 100_000, T0)
    assert len(protocol.data_to_send(0.0)) == MAX_ANSWERS


def test_nothing_but_answers_can_be_sent() -> None:
    gate = Gate(profile_of(COBAS).transmit)
    assert gate.allows(ACK + NAK)
    for forbidden in (ENQ, EOT, b"\x02", ACK + ENQ, b"H|"):
        assert not gate.allows(forbidden)


def test_parting_leaves_the_message_with_the_analyser() -> None:
    protocol = protocol_of()
    protocol.receive_data(transmission(HEADER, RESULT, LAST)[:-1], T0)
    protocol.stop(1.0)
    assert protocol.data_to_send(1.0) == b""
    assert protocol.next_wake() is None
    assert not readings(events(protocol))


def test_every_fault_is_provoked() -> None:
    found = (
        heard(ENQ + b"x" + b"\x02\n" + frame(1, HEADER + "\r").replace(b"H", b"I") + frame(3, "") + EOT + frame(1, ""))
        + heard(transmission(RESULT, LAST) + transmission(HEADER))
        + heard(transmission("H|\\\\&", "O|1||||||||||Q", "Z|1", "Q|1", "R|1|^413|1|||||F", RESULT, LAST))
        + heard(transmission(HEADER, "R|1|^413|1", RESULT.replace("||F||", "||?||").replace("131700", ""), LAST))
        + heard(
            transmission(HEADER.replace("|P|", "|Q|"), RESULT.replace("40.13", "?"), LAST)
            + ENQ
            + b"\x02"
            + b"x" * 70_000
        )
    )
    protocol = protocol_of()
    ask(protocol, ENQ + b"\x02")
    protocol.data_to_send(SILENCE_S)
    assert set(faults(found + events(protocol))) == set(FAULTS)


# ---- the driver as a whole


def test_the_simulated_analyser_sends_again_what_is_refused_and_lost() -> None:
    """A line that damages one byte in two hundred, and one answer in ten is lost."""
    protocol, device = protocol_of(), DRIVER.simulator([DeviceSpec(0, profile_of(COBAS))], {}, Scene())
    chance = random.Random(5)
    for step in range(60_000):
        now = step / 100
        said = bytes(byte ^ (0x10 if chance.random() < 0.005 else 0) for byte in device.data_to_send(now))
        protocol.receive_data(said, T0)
        out = protocol.data_to_send(now)
        if chance.random() > 0.1:
            device.receive_data(out, now)
    found = events(protocol)
    assert {"checksum"} <= set(faults(found))
    values = {r.value for e in found if isinstance(e, Frame) and isinstance(e.payload, list) for r in e.payload}
    assert len([e for e in found if isinstance(e, Frame)]) > 10
    assert values <= {"yes", "no", 531.3, "N", "L", "H", "LL", "HH", "<", ">", "A"}


@pytest.mark.parametrize("table", ['sender = ["who"]', "sample_type = 1", "x = 1"])
def test_a_driver_table_that_does_not_fit_is_refused(table: str) -> None:
    text = (ROOT / "firmware_profiles" / f"{COBAS}.toml").read_text(encoding="utf-8")
    text = text.replace('sender = ["-", "vendor", "model", "firmware", "-", "serial"]', table)
    with pytest.raises(ConfigError):
        DRIVER.protocol([DeviceSpec(0, parse_profile(text, COBAS, "x.toml"))], {})


def test_an_analyser_is_alone_on_its_line() -> None:
    specs = [DeviceSpec(0, profile_of(COBAS)), DeviceSpec(1, profile_of(COBAS))]
    with pytest.raises(ConfigError):
        DRIVER.protocol(specs, {})
    with pytest.raises(ConfigError):
        DRIVER.simulator(specs, {}, Scene())


# ---- recordings


def recording(name: str) -> bytes:
    """Return what the simulated analyser of a profile says in 20 s to a driver that is there."""
    protocol, device = protocol_of(name), DRIVER.simulator([DeviceSpec(0, profile_of(name))], {}, Scene())
    said = b""
    for step in range(2000):
        now = step / 100
        device.receive_data(protocol.data_to_send(now), now)
        data = device.data_to_send(now)
        protocol.receive_data(data, T0)
        said += data
    return said


def summary(name: str, data: bytes) -> dict[str, Any]:
    found = heard(data, name)
    frames = [e for e in found if isinstance(e, Frame)]
    return {
        "profile": name,
        "identified": [f"{e.vendor} {e.model} {e.firmware} {e.serial}" for e in found if isinstance(e, Identified)],
        "faults": faults(found),
        "results": [
            [
                f"{r.object} {r.value} {r.unit or ''} {Validity(r.validity).name} {r.age_ns // 10**9} s"
                for r in f.payload
            ]
            for f in frames
            if isinstance(f.payload, list)
        ],
    }


@pytest.mark.parametrize("name", [COBAS, VIDAS, SPOTCHEM])
def test_recordings_read_as_told(name: str) -> None:
    stem = name.split("/")[1]
    data = (CAPTURES / f"{stem}.bin").read_bytes()
    assert data == recording(name)
    assert summary(name, data) == json.loads((CAPTURES / f"{stem}.expected.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    for made in (COBAS, VIDAS, SPOTCHEM):
        line, where = recording(made), CAPTURES / made.split("/")[1]
        where.with_suffix(".bin").write_bytes(line)
        where.with_suffix(".expected.json").write_text(
            json.dumps(summary(made, line), indent=1) + "\n", encoding="utf-8"
        )
