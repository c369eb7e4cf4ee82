"""ER7: escapes and times go out and come back; whatever comes in is read or said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.er7 import DtmFormat, escape, instant, parse_dtm, read, split, unescape

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
MS = 1_000_000
ANY_NS = st.integers(-(2**63) + 10**17, 2**63 - 10**17)  # 64 bits but for the years that they hold only in part
# The Sundays of 2026 on which Danish clocks change, both at 01:00 UTC.
SPRING, AUTUMN = (int(datetime(2026, m, d, 1, tzinfo=UTC).timestamp()) for m, d in ((3, 29), (10, 25)))


# ---- text


# HL7 v2.6, 2.7.1 and 2.7.5
@pytest.mark.parametrize(
    ("text", "er7"),
    [
        ("a|b", "a\\F\\b"),
        ("a^b", "a\\S\\b"),
        ("a&b", "a\\T\\b"),
        ("a~b", "a\\R\\b"),
        ("a\\b", "a\\E\\b"),
        ("a\rb", "a\\X0D\\b"),
        ("\r\n", "\\X0D\\\\X0A\\"),
        ("Børneafdeling Æ", "Børneafdeling Æ"),
        ("\\F\\", "\\E\\F\\E\\"),
    ],
)
def test_each_delimiter_has_its_escape(text: str, er7: str) -> None:
    assert escape(text) == er7
    assert unescape(er7) == text


def test_no_control_character_gets_through() -> None:
    controls = "".join(map(chr, [*range(0x20), 0x7F]))
    assert escape(controls).isprintable()
    assert unescape(escape(controls)) == controls


@given(st.text())
@example("\\E\\R\\")
@example("\\.br\\")
@example("\\X0D\\")
def test_escaping_is_undone_and_leaves_no_delimiter(text: str) -> None:
    er7 = escape(text)
    assert unescape(er7) == text
    assert not set(er7) & set("|^&~\r\n")


@pytest.mark.parametrize(
    ("er7", "text"),
    [
        ("\\.br\\", "\n"),
        ("\\XC3A6\\", "æ"),
        ("\\H\\high\\N\\", "\\H\\high\\N\\"),  # highlighting is not for us, and not lost
        ("one \\ alone", "one \\ alone"),
        ("\\X0\\", "\\X0\\"),
    ],
)
def test_other_escapes(er7: str, text: str) -> None:
    assert unescape(er7) == text


@given(st.text())
def test_unescape_takes_anything(text: str) -> None:
    assert isinstance(unescape(text), str)


@pytest.mark.parametrize(("text", "parts"), [("a|b", ["a", "b", ""]), ("", ["", "", ""]), ("a|b|c|d", ["a", "b", "c"])])
def test_split_gives_as_many_parts_as_asked_for(text: str, parts: list[str]) -> None:
    assert split(text, "|", 3) == parts


# ---- messages

MSH = "MSH|^~\\&|KITA|RM|||20261121||ACK^R01^ACK|1|P|2.6||||||{}"


def test_a_clean_message_has_no_problems() -> None:
    segments, problems = read((MSH.format("UNICODE UTF-8") + "\rPV1||U|Børn\r").encode())
    assert segments[1] == "PV1||U|Børn"
    assert problems == []


def test_line_feeds_and_blanks_are_read_and_said() -> None:
    segments, problems = read(b"\x0bMSH|^~\\&|A \r\n\nMSA|AA|1\t\r\n\x1c\r")
    assert segments == ["MSH|^~\\&|A", "MSA|AA|1"]
    assert [field for field, _ in problems] == [0]


# Danish design notes, section 5: the bytes of æøå in UTF-8 and Latin-1
@pytest.mark.parametrize(
    ("charset", "encoding", "fields"),
    [
        ("UNICODE UTF-8", "utf-8", []),
        ("8859/1", "latin-1", []),
        ("", "utf-8", [18]),
        ("", "latin-1", [18]),
        ("UNICODE UTF-8", "latin-1", [18]),
        ("ASCII", "latin-1", [18]),
        ("KLINGON", "utf-8", [18]),
    ],
)
def test_characters_are_read_as_declared_and_rescued_otherwise(charset: str, encoding: str, fields: list[int]) -> None:
    segments, problems = read((MSH.format(charset) + "\rPV1||U|æøåÆØÅ\r").encode(encoding))
    assert segments[1] == "PV1||U|æøåÆØÅ"
    assert [field for field, _ in problems] == fields


def test_other_delimiters_are_rewritten() -> None:
    segments, problems = read(b"MSH*:;!,*KITA*A:B,C;D*x!R!y!E!z*a|b^c\r")
    assert segments == ["MSH|^~\\&|KITA|A^B&C~D|x\\R\\y\\E\\z|a\\F\\b\\S\\c"]
    assert [field for field, _ in problems] == [2]


def test_a_truncation_character_changes_nothing() -> None:
    segments, problems = read(b"MSH|^~\\&#|KITA|a#b\r")
    assert segments == ["MSH|^~\\&#|KITA|a#b"]
    assert [field for field, _ in problems] == [2]


@given(st.binary())
@example(b"MSH")
@example(b"MSH|")
@example(b"MSH^^~\\&|")
@example("MSH|^~\\&|\r".encode("utf-16"))
def test_any_bytes_are_read(payload: bytes) -> None:
    segments, _ = read(payload)
    assert all(segment and "\r" not in segment and "\n" not in segment for segment in segments)


# ---- times


@given(
    st.one_of(ANY_NS, *(st.integers((s - 7200) * 1000, (s + 7200) * 1000).map(MS.__mul__) for s in (SPRING, AUTUMN)))
)
def test_a_time_comes_back_to_the_millisecond_in_every_hour_of_the_year(t_ns: int) -> None:
    text = DtmFormat(COPENHAGEN).text(t_ns)
    assert parse_dtm(text).tzinfo is not None
    assert parse_dtm(text) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=t_ns // MS)


@given(st.lists(ANY_NS, min_size=1), st.sampled_from([COPENHAGEN, UTC, timezone(timedelta(hours=-3, minutes=-30))]))
def test_the_memory_of_the_last_second_does_not_show(times: list[int], zone: ZoneInfo) -> None:
    one = DtmFormat(zone)
    assert [one.text(t) for t in times] == [DtmFormat(zone).text(t) for t in times]


@pytest.mark.parametrize(
    ("utc", "text"),
    [
        ("2026-10-25T00:30:00", "20261025023000.000+0200"),
        ("2026-10-25T01:30:00", "20261025023000.000+0100"),
        ("2026-03-29T00:59:59", "20260329015959.000+0100"),
        ("2026-03-29T01:00:00", "20260329030000.000+0200"),
        ("1890-01-01T00:00:00", "18900101000000.000+0000"),  # local mean time, +00:50:20
    ],
)
def test_danish_clock_changes(utc: str, text: str) -> None:
    t_ns = int(datetime.fromisoformat(utc + "+00:00").timestamp()) * 1_000_000_000
    assert DtmFormat(COPENHAGEN).text(t_ns) == text
    assert instant(text) == t_ns


def test_an_offset_west_of_greenwich() -> None:
    text = DtmFormat(timezone(timedelta(hours=-3, minutes=-30))).text(0)
    assert text == "19691231203000.000-0330"
    assert instant(text) == 0


@pytest.mark.parametrize(
    ("text", "t_ns"),
    [
        ("197001010000+0000", 0),
        ("19700101000001+0000", 1_000_000_000),
        ("19700101010000.1234+0100", 123_400_000),
        ("19700101000000.5-0000", 500_000_000),
    ],
)
def test_times_as_others_write_them(text: str, t_ns: int) -> None:
    assert instant(text) == t_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261121103000",  # no offset: no zone is guessed
        "2026-11-21T10:30:00+01:00",
        "20261121+0100",  # a day is no instant
        "20260230120000+0100",
        "20261121246000+0100",
        "20261121103060+0100",
        "20261121103000+0160",
        "20261121103000+1500",
        "20261121103000.12345+0100",
        "20261121103000+01",
        "99991121103000+0100",  # beyond 64-bit nanoseconds
        "00001121103000+0100",
        "٢٠261121103000+0100",
        " 20261121103000+0100",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        instant(text)


@given(st.text(alphabet="0123456789.+-", max_size=24))
def test_an_instant_fits_64_bits_or_is_refused(text: str) -> None:
    try:
        t_ns = instant(text)
    except ValueError:
        return
    assert -(2**63) <= t_ns < 2**63
