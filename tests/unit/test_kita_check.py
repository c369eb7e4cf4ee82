"""What KITA makes of one message: what is stored, what is answered."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ack import parse_ack
from gateway.core.message import Verdict
from gateway.core.sample import Flag, Validity
from kita.check import Checked, Judgement, answer, check_message
from tests.parts.messages import DEVICE, METRICS, T_NS, changed, payload

HR, SPO2, TEMP = 1, 0, 2


def reply(checked: Checked, judgement: Judgement | None = None) -> tuple[str, bytes | None]:
    return answer(checked.header, judgement or checked.judgement, "kita.1", T_NS, checked.errors)


def test_a_good_message_becomes_rows_with_value_unit_time_and_device() -> None:
    bytes_ = payload()
    intake = check_message(bytes_).intake
    assert not intake.refused
    assert (intake.sender, intake.facility, intake.control_id) == ("MDIGW^0011223344556677^EUI-64", "AUH", "gw-1.1.1")
    assert intake.sha256 == hashlib.sha256(bytes_).digest()
    assert intake.device == DEVICE
    assert intake.location == "ITA^Stue 3^Seng 2^AUH"
    assert len(intake.profile_digest) == 16
    assert [(row[2], row[3], row[5], row[6]) for row in intake.rows] == [
        ("MDC_PULS_OXIM_SAT_O2", 97.0, "%", "VLD"),
        ("MDC_ECG_HEART_RATE", 72.0, "/min", "VLD"),
        ("MDC_TEMP_CORE", 36.8, "Cel", "VLD"),
    ]
    assert {row[9] for row in intake.rows} == {T_NS}
    assert not intake.apart


def test_no_value_is_a_row_without_a_number_that_says_why() -> None:
    intake = check_message(payload(values=(float("nan"),), validity=Validity.NA)).intake
    ((path, code, ref_id, value, text, _, validity, _, status, t_ns, _),) = intake.rows
    assert (path, code, ref_id, t_ns) == ("1.1.1.1", 150456, METRICS[SPO2], T_NS)
    assert (value, text, validity, status) == (None, None, "NA", "X")


@pytest.mark.parametrize("processing_id", ["T", "D"])
def test_training_and_debugging_messages_are_kept_apart_whole(processing_id: str) -> None:
    intake = check_message(payload(processing_id=processing_id)).intake
    assert (len(intake.rows), len(intake.apart)) == (0, 3)


@pytest.mark.parametrize("flag", [Flag.TEST, Flag.DEMO])
def test_test_and_demo_rows_are_kept_apart_in_a_production_message_too(flag: Flag) -> None:
    one_of_three = changed(
        payload(),
        "|97|262688^MDC_DIM_PERCENT^MDC^%^%^UCUM||",
        "|97|262688^MDC_DIM_PERCENT^MDC^%^%^UCUM||" + str(flag.name),
    )
    intake = check_message(one_of_three).intake
    assert [row[2] for row in intake.apart] == [METRICS[SPO2]]
    assert [row[2] for row in intake.rows] == [METRICS[HR], METRICS[TEMP]]


def test_one_episodic_value_keeps_its_own_time() -> None:
    own = changed(
        payload(),
        "|36.8|268192^MDC_DIM_DEGC^MDC^Cel^Cel^UCUM|||||R|||",
        "|36.8|268192^MDC_DIM_DEGC^MDC^Cel^Cel^UCUM|||||R|||20261121103000+0100",
    )
    times = {row[2]: row[9] for row in check_message(own).intake.rows}
    assert times[METRICS[TEMP]] == T_NS - 1_400_000_000
    assert times[METRICS[HR]] == T_NS


# ---- which answer

ACKS = [
    (("AL", "NE"), "CA"),  # enhanced, commit only: the gateway's default
    (("NE", "AL"), "AA"),  # enhanced, application only
    (("AL", "AL"), "AA"),
    (("", ""), "AA"),  # original mode
    (("SU", "NE"), "CA"),
    (("ER", "NE"), ""),
    (("NE", "NE"), ""),
]


@pytest.mark.parametrize(("acks", "code"), ACKS)
def test_an_accepted_message_is_answered_as_its_sender_asks(acks: tuple[str, str], code: str) -> None:
    checked = check_message(payload(acks=acks))
    given_code, ack = reply(checked)
    assert given_code == code
    if ack is None:
        assert code == ""
        return
    read = parse_ack(ack)
    assert (read.code, read.control_id) == (code, "gw-1.1.1")
    assert read.outcome.verdict is Verdict.ACCEPT


@pytest.mark.parametrize(
    ("acks", "error", "unsupported", "not_now"),
    [
        (("AL", "NE"), "AE", "CR", "CE"),
        (("NE", "AL"), "AE", "AR", ""),
        (("", ""), "AE", "AR", ""),
        (("ER", "NE"), "AE", "CR", "CE"),
        (("SU", "NE"), "", "", ""),
    ],
)
def test_what_is_not_accepted_is_said_in_the_words_of_the_mode(
    acks: tuple[str, str], error: str, unsupported: str, not_now: str
) -> None:
    checked = check_message(payload(acks=acks))
    said = [reply(checked, judgement)[0] for judgement in (Judgement.ERROR, Judgement.REJECT, Judgement.NOT_NOW)]
    assert said == [error, unsupported, not_now]


def test_cannot_store_now_means_keep_to_the_gateway() -> None:
    _, ack = reply(check_message(payload()), Judgement.NOT_NOW)
    assert ack is not None
    assert parse_ack(ack).outcome.verdict is Verdict.KEEP


# ---- what is refused

FAULTS = [
    ("|97|", "|97,5|", "OBX^7^5", "102"),  # a comma is no decimal point
    ("150456^MDC_PULS_OXIM_SAT_O2", "147842^MDC_PULS_OXIM_SAT_O2", "OBX^7^3", "103"),
    ("^^0009FBFFFE012345^EUI-64\rOBX|2", "^^0009FBFFFE012345^EUI-64\rOBX|1", "OBX^2^1", "100"),
    ("|20261121093001.400+0000\r", "|20261121093001.400\r", "OBR^1^7", "102"),  # no zone: no instant
]


@pytest.mark.parametrize(("old", "new", "location", "code"), FAULTS)
def test_an_error_is_answered_with_its_segment_and_field_and_kept_with_the_reason(
    old: str, new: str, location: str, code: str
) -> None:
    bad = changed(payload(), old, new)
    checked = check_message(bad)
    assert checked.judgement is Judgement.ERROR
    assert checked.intake.payload == bad
    assert location.replace("^", " ") in checked.intake.refused
    said, ack = reply(checked)
    assert (said, ack is not None) == ("AE", True)
    read = parse_ack(ack or b"")
    assert (location, code) in [(error.location, error.code) for error in read.errors]
    assert read.outcome.verdict is Verdict.REJECT


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("ORU^R01^ORU_R01", "ADT^A01^ADT_A01", "200"),
        ("|P|2.6|", "|P|2.2|", "203"),
        ("|P|2.6|", "|X|2.6|", "202"),
    ],
)
def test_what_kita_does_not_take_is_rejected(old: str, new: str, code: str) -> None:
    checked = check_message(changed(payload(), old, new))
    assert checked.judgement is Judgement.REJECT
    assert code in [error.code for error in checked.errors]
    assert reply(checked)[0] == "CR"


def test_a_message_that_does_not_show_its_id_is_answered_by_its_correlation() -> None:
    checked = check_message(b"not HL7 at all", b"gw-1.1.9")
    _, ack = reply(checked)
    assert ack is not None
    assert parse_ack(ack).control_id == "gw-1.1.9"


def test_a_message_that_nobody_can_name_gets_no_answer() -> None:
    assert reply(check_message(b"not HL7 at all")) == ("", None)


def test_what_goes_to_logs_repeats_nothing_of_the_message() -> None:
    checked = check_message(changed(payload(), "|97|", "|Jens Hansen|"))
    assert "Jens" in checked.intake.refused  # with the dead letter, where the message is too
    assert "Jens" not in checked.where
    assert "OBX 7 5" in checked.where


def broken(data: st.DataObject) -> bytes:
    """A valid message with some bytes replaced, taken out or put in."""
    bytes_ = bytearray(payload())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(bytes_) - 1))
        bytes_[at : at + data.draw(st.integers(0, 8))] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"|", b"\r", b"^", b"|||", b"9" * 30])
        )
    return bytes(bytes_)


@given(st.data())
def test_any_bytes_are_judged_and_only_errors_refuse(data: st.DataObject) -> None:
    bytes_ = broken(data) if data.draw(st.booleans()) else data.draw(st.binary(max_size=200))
    checked = check_message(bytes_, data.draw(st.none() | st.binary(max_size=20)))
    assert (checked.judgement is Judgement.ACCEPT) == (not checked.errors) == (not checked.intake.refused)
    said, ack = reply(checked)
    assert (said == "") == (ack is None)
    if ack is not None:
        assert (parse_ack(ack).outcome.verdict is Verdict.ACCEPT) == (not checked.errors)
