"""Acknowledgements: every real form is understood, doubt is refused, and what we write is read again."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.ack import MAX_ERRORS, MAX_REASON, VERDICTS, Ack, AckError, Err, build_ack, parse_ack
from gateway.core.hl7_check import Finding, Header, parse_oru
from gateway.core.message import Outcome, Verdict
from gateway.hl7_validate import validate
from tests.unit.hl7_rig import NOW_NS, er7_of

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
MSH = r"MSH|^~\&|KITA|RM|MDIGW^0011223344556677^EUI-64|AUH|20261121103001+0100||{}|RM-1|P|{}|||NE|NE"


def answer(msa: str = "MSA|AA|ID-1", *more: str, kind: str = "ACK^R01^ACK", version: str = "2.6") -> bytes:
    """Return an ACK."""
    return er7_of("\n".join((MSH.format(kind, version), msa, *more)))


# ---- reading


# IHE notes, section 5: MSH-9 as seen from real receivers, and other versions
@pytest.mark.parametrize("kind", ["ACK", "ACK^R01", "ACK^R01^ACK", "ACK^^ACK_ALL", " ACK^R01 "])
@pytest.mark.parametrize("version", ["2.4", "2.6", "2.7", ""])
def test_every_form_of_ack(kind: str, version: str) -> None:
    assert parse_ack(answer(kind=kind, version=version)) == Ack("AA", "ID-1")


@pytest.mark.parametrize(
    "payload",
    [
        answer().replace(b"\r", b"\n"),
        answer().replace(b"\r", b"\r\n"),
        answer().rstrip(b"\r"),
        answer() + b" \r\n\t",
        b"\x0b" + answer() + b"\x1c\r",
        answer().replace(b"MSH|^~\\&|", b"MSH|^~\\&#|"),
        answer().replace(b"|", b"*").replace(b"MSH*^~\\&*", b"MSH*:;!,*").replace(b"ACK^R01^ACK", b"ACK:R01:ACK"),
        answer("MSA| AA | ID-1 |"),
        answer("MSA|AA|ID-1|||||"),
        answer("MSA|AA|ID-1", "ZXX|what|ever"),
        "MSH|^~\\&|Sundhedsplatformen Ærø||||||ACK|1|P|2.6\rMSA|AA|ID-1|modtaget på Ærø".encode("latin-1"),
    ],
)
def test_tolerance(payload: bytes) -> None:
    ack = parse_ack(payload)
    assert (ack.code, ack.control_id) == ("AA", "ID-1")


@pytest.mark.parametrize("code", VERDICTS)
def test_each_code_has_its_outcome(code: str) -> None:
    outcome = parse_ack(answer(f"MSA|{code}|ID-1")).outcome
    expected = {"A": Verdict.ACCEPT, "E": Verdict.REJECT, "R": Verdict.REJECT}[code[1]]
    if code == "CE":
        expected = Verdict.KEEP
    assert outcome == Outcome("ID-1", expected, "" if expected is Verdict.ACCEPT else code)


def test_a_control_id_with_escapes() -> None:
    assert parse_ack(answer(r"MSA|AA|a\T\b")).control_id == "a&b"


@pytest.mark.parametrize(
    ("err", "expected", "reason"),
    [
        (
            "ERR||OBX^9^3|103^Table value not found^HL70357|E",
            Err("OBX^9^3", "103", "Table value not found", "E"),
            "AE: OBX 9 3 103 Table value not found",
        ),
        (
            "ERR|||100|E|||Missing required OBR segment",
            Err("", "100", "Missing required OBR segment", "E"),
            "AE: 100 Missing required OBR segment",
        ),
        ("ERR||MSH^1|207^x^HL70357|F|||dia|to the user", Err("MSH^1", "207", "to the user", "F"), None),
        ("ERR|OBX^9^3^103&Table value not found", Err("OBX^9^3^103&Table value not found", "", "", "E"), None),
        ("ERR|", Err("", "", "", "E"), "AE"),
    ],
)
def test_errors_are_told(err: str, expected: Err, reason: str | None) -> None:
    ack = parse_ack(answer("MSA|AE|ID-1", err))
    assert ack.errors == (expected,)
    assert reason is None or ack.outcome.reason == reason


def test_a_reason_is_one_printable_line_of_bounded_length() -> None:
    ack = Ack("AR", "ID-1", "first\nsecond\x1b[31m\u2028third", (Err("OBX^1^5", "102", "x" * 1000),))
    reason = ack.outcome.reason
    assert reason.startswith("AR: first second[31m third; OBX 1 5 102 x")
    assert reason.isprintable()
    assert len(reason) <= MAX_REASON + 4


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (b"", "MSH"),
        (b"PUBACK", "MSH"),
        (b"MSA|AA|ID-1\r", "MSH"),
        (answer("MSA|OK|ID-1"), "a code that is none"),
        (answer("MSA||ID-1"), "a code that is none"),
        (answer("MSA|AA|"), "names no message"),
        (answer("MSA|AA"), "names no message"),
        (answer("ZSA|AA|ID-1"), "0 MSA"),
        (answer("MSA|AA|ID-1", "MSA|AE|ID-2"), "2 MSA"),
        (answer() + answer("MSA|AE|ID-1"), "two messages"),
        (answer(kind="ORU^R01^ORU_R01"), "not ACK"),
        (answer(kind="NACK"), "not ACK"),
        (answer(kind=""), "not ACK"),
    ],
)
def test_what_is_in_doubt_is_no_acknowledgement(payload: bytes, what: str) -> None:
    with pytest.raises(AckError, match=what):
        parse_ack(payload)


@given(st.one_of(st.binary(), st.text(alphabet="MSHAERR|^~\\&CK \r\n1", max_size=80).map(str.encode)))
@example(b"MSH|")
@example(b"MSH|^~\\&|||||||ACK\rMSA|AA|\\X41\\")
def test_any_bytes_are_an_ack_or_an_ack_error(payload: bytes) -> None:
    try:
        ack = parse_ack(payload)
    except AckError:
        return
    assert ack.control_id
    assert ack.outcome.verdict in Verdict


@given(st.text(alphabet="|^~\\&AERRCK\r1 ", max_size=60))
def test_any_bytes_behind_a_header(tail: str) -> None:
    try:
        ack = parse_ack(answer(tail))
    except AckError:
        return
    assert ack.code in VERDICTS


# ---- writing

REQUEST = Header(
    sending_application="MDIGW^0011223344556677^EUI-64",
    sending_facility="AUH",
    receiving_application="KITA",
    receiving_facility="RM",
    type="ORU^R01^ORU_R01",
    control_id="GW-0421-7-18231",
    processing_id="T",
)


def test_the_whole_answer() -> None:
    errors = [Err("OBX^9^3", "103", "150456 is MDC_PULS_OXIM_SAT_O2 | not this"), Err("MSH^1", "900", "", "W")]
    payload = build_ack(REQUEST, "AE", "KITA-7", NOW_NS, COPENHAGEN, errors, "ikke modtaget")
    assert payload.decode().split("\r") == [
        r"MSH|^~\&|KITA|RM|MDIGW^0011223344556677^EUI-64|AUH|20261121103001.400+0100||ACK^R01^ACK|KITA-7|T|2.6|||NE|NE||"
        "UNICODE UTF-8",
        "MSA|AE|GW-0421-7-18231|ikke modtaget",
        r"ERR||OBX^9^3|103^Table value not found^HL70357|E||||150456 is MDC_PULS_OXIM_SAT_O2 \F\ not this",
        "ERR||MSH^1|900^^HL70357|W",
        "",
    ]
    assert validate(payload) == []


def test_an_accept_is_two_segments() -> None:
    payload = build_ack(REQUEST, "CA", "KITA-8", NOW_NS, COPENHAGEN)
    assert payload.decode().split("\r")[1:] == ["MSA|CA|GW-0421-7-18231", ""]
    assert parse_ack(payload) == Ack("CA", "GW-0421-7-18231")
    assert validate(payload) == []


TEXT = st.text(max_size=20)
ERR = st.builds(
    Err, st.sampled_from(["OBX^9^3", "MSH^1^10", "OBR^2"]), st.sampled_from(["101", "207"]), TEXT.filter(str.strip)
)


@given(st.sampled_from(sorted(VERDICTS)), st.lists(ERR, max_size=MAX_ERRORS), TEXT.map(str.strip), TEXT)
def test_what_is_written_is_read_again(code: str, errors: list[Err], text: str, control_id: str) -> None:
    ack = parse_ack(build_ack(REQUEST, code, control_id, NOW_NS, COPENHAGEN, errors, text))
    assert (ack.code, ack.control_id, ack.text.strip()) == (code, REQUEST.control_id, text)
    assert [(e.location, e.code, e.text.strip()) for e in ack.errors] == [
        (e.location, e.code, e.text.strip()) for e in errors
    ]


@given(st.binary(max_size=200))
@example(b"MSH*:;!,*A:B*C|D*E*F*20261121**ORU:R40:ORU_R40*a|b")
def test_a_message_of_any_form_gets_an_answer_that_can_be_read(tail: bytes) -> None:
    header = parse_oru(b"MSH|^~\\&|" + tail if not tail.startswith(b"MSH") else tail).header
    payload = build_ack(header, "AR", "KITA-9", NOW_NS, COPENHAGEN)
    if header.control_id:
        assert parse_ack(payload).code == "AR"
    else:
        with pytest.raises(AckError, match="names no message"):
            parse_ack(payload)


def test_the_event_of_the_message_is_the_event_of_the_answer() -> None:
    payload = build_ack(REQUEST._replace(type="ORU^R40^ORU_R40"), "AA", "K", NOW_NS, COPENHAGEN)
    assert b"|ACK^R40^ACK|" in payload


def test_no_more_errors_than_a_person_reads() -> None:
    payload = build_ack(REQUEST, "AE", "K", NOW_NS, COPENHAGEN, [Err("OBX^1^5", "102", "x")] * 1000)
    assert len(parse_ack(payload).errors) == MAX_ERRORS


def test_an_unknown_code_is_not_written() -> None:
    with pytest.raises(ValueError, match="OK"):
        build_ack(REQUEST, "OK", "K", NOW_NS, COPENHAGEN)


@pytest.mark.parametrize(
    ("finding", "err"),
    [
        (Finding("OBX", 9, 3, "103", "no"), Err("OBX^9^3", "103", "no", "E")),
        (Finding("MSH", 1, 0, "100", "line feeds", "W"), Err("MSH^1", "100", "line feeds", "W")),
    ],
)
def test_a_finding_becomes_an_err(finding: Finding, err: Err) -> None:
    assert Err.of(finding) == err


# ---- others


def test_the_examples_of_the_notes(shared: Path) -> None:
    text = (shared / "captures" / "hl7" / "ex7_acks.er7").read_text(encoding="utf-8")
    first, second = (parse_ack(er7_of("MSH" + part)) for part in text.split("MSH")[1:])
    assert first == Ack("CA", "MDIGW-AUH-ITA03-0000018231")
    assert second.outcome == Outcome(
        "MDIGW-AUH-ITA03-0000018231", Verdict.REJECT, "AE: OBX 9 3 103 Table value not found"
    )


def test_the_answers_of_a_validator_s_own_tests(shared: Path) -> None:
    folder = shared / "captures" / "hl7"
    acks = [parse_ack(p.read_bytes()) for p in sorted(folder.iterdir()) if "response" in p.name]
    assert [(a.code, a.control_id) for a in acks] == [("AA", "MSGID1234"), ("CE", "20070701132554000008")]
    assert acks[1].outcome.reason == "CE: 100 Missing required OBR segment"
