r"""ER7, the vertical-bar syntax of HL7 v2: characters, escapes, segments, times.

Writing is strict: standard delimiters, UTF-8, segments end in CR, times with milliseconds and an offset. Reading takes
what real products send: other delimiters, LF or CR LF, blank ends, Latin-1. What it had to bend is reported.

Sources: HL7 v2.6 chapter 2 (delimiters, escape sequences, data type DTM, MSH-18); IHE PCD TF-2 (segments end in CR).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

DELIMITERS = "|^~\\&"
"""MSH-1 and MSH-2 of every message that is written here: field, component, repetition, escape, subcomponent."""

# ---- text

_ESCAPED = {
    **{ord(c): f"\\X{ord(c):02X}\\" for c in map(chr, [*range(0x20), 0x7F])},
    ord("\\"): "\\E\\",
    ord("|"): "\\F\\",
    ord("^"): "\\S\\",
    ord("&"): "\\T\\",
    ord("~"): "\\R\\",
}


def escape(text: str) -> str:
    """Return `text` as it may stand in a component: delimiters and control characters escaped, in one pass."""
    return text.translate(_ESCAPED)


_ESCAPE = re.compile(r"\\([^\\]*)\\")
_HEX = re.compile(r"X([0-9A-Fa-f]{2})+")
_PLAIN = {"E": "\\", "F": "|", "S": "^", "T": "&", "R": "~", ".br": "\n"}


def unescape(text: str) -> str:
    """Undo the escapes, left to right in one pass. What is none that is known (highlighting) stays as it is."""
    return _ESCAPE.sub(_plain, text) if "\\" in text else text


def _plain(match: re.Match[str]) -> str:
    name = match[1]
    if _HEX.fullmatch(name):
        return bytes.fromhex(name[1:]).decode("utf-8", "replace")
    return _PLAIN.get(name, match[0])


# ---- messages

_CODECS = {"": "ascii", "ASCII": "ascii", "UNICODE UTF-8": "utf-8", "8859/1": "latin-1"}  # HL7 table 0211
Problem = tuple[int, str]
"""(field of MSH that it concerns, 0 for all; what was bent to be able to read on)."""


def read(payload: bytes) -> tuple[list[str], list[Problem]]:
    """Return the segments of one message, in standard delimiters, and what was not as it must be. Never raises.

    Segments are not empty and have no blanks at the end; CR, LF and CR LF all end one.
    """
    problems: list[Problem] = []
    text = _standard(_decoded(payload, problems), problems)
    if "\n" in text:
        problems.append((0, "line feeds: segments end in CR only"))
        text = text.replace("\n", "\r")
    return [segment for line in text.split("\r") if (segment := line.strip(_BLANK))], problems


_BLANK = " \t\x0b\x1c"  # with the frame bytes of MLLP


def _first_line(text: str) -> str:
    return text.strip(_BLANK + "\r\n").replace("\n", "\r").split("\r", 1)[0]


def _decoded(payload: bytes, problems: list[Problem]) -> str:
    """Decode as MSH-18 says (empty: ASCII); else as UTF-8 when it is that, else as Windows-1252."""
    msh = _first_line(payload.decode("latin-1"))
    name = split(msh, msh[3:4] or "|", 18)[17].split("~", 1)[0].strip()
    codec = _CODECS.get(name)
    if codec is None:
        problems.append((18, f"character set {name[:20]!r} is not known here"))
    try:
        return payload.decode(codec or "utf-8")
    except UnicodeDecodeError:
        problems.append((18, f"bytes do not fit the character set {name[:20] or 'ASCII (MSH-18 is empty)'}"))
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return payload.decode("cp1252", "replace")


def _standard(text: str, problems: list[Problem]) -> str:
    """Rewrite a message that declares other delimiters, so that all that follows knows one kind.

    A fifth character of MSH-2 (truncation, from v2.7 on) means nothing here.
    """
    msh = _first_line(text)
    given = msh[3:4] + msh[4:].split(msh[3:4] or "|", 1)[0]
    if given == DELIMITERS or not msh.startswith("MSH"):
        return text
    problems.append((2, f"delimiters are {given[:10]!r}, not {DELIMITERS!r}"))
    other = [(ours, theirs) for ours, theirs in zip(DELIMITERS, given, strict=False) if ours != theirs]
    table = {ord(ours): _ESCAPED[ord(ours)] for ours, _ in other}  # means nothing to the sender, so it is text
    return text.translate(table | {ord(theirs): ours for ours, theirs in other})


def split(text: str, delimiter: str, count: int) -> list[str]:
    """Return exactly `count` parts; what is missing is "", what is beyond is left out."""
    parts = text.split(delimiter, count)
    return parts[:count] if len(parts) >= count else parts + [""] * (count - len(parts))


# ---- times

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DTM = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:\.(\d{1,4}))?)?"  # year to second, fraction
    r"(?:(?P<sign>[+-])(?P<hours>\d\d)(?P<minutes>[0-5]\d))?",
    re.ASCII,
)
MAX_OFFSET = timedelta(hours=14)  # Line Islands, the largest in use
_YEARS = range(1678, 2262)  # whole years of the signed 64-bit count of nanoseconds


class DtmFormat:
    """Writes instants as DTM of one time zone: "20261025023000.120+0200".

    The offset makes the hour that comes twice in October unambiguous. An offset that is no whole minute (local mean
    time before 1900) has no DTM form; such an instant is written in UTC, which is the same instant.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._second: int | None = None  # the second written last: samples come in order
        self._head = self._tail = ""

    def text(self, t_ns: int) -> str:
        """Return the DTM of UTC nanoseconds, cut off (not rounded) to milliseconds."""
        second, ns = divmod(t_ns, 1_000_000_000)
        if second != self._second:
            self._head, self._tail = self._write(second)
            self._second = second
        return f"{self._head}.{ns // 1_000_000:03d}{self._tail}"

    def _write(self, second: int) -> tuple[str, str]:
        local = (_EPOCH + timedelta(seconds=second)).astimezone(self._zone)
        offset = local.utcoffset() or timedelta(0)
        if offset % timedelta(minutes=1):
            local, offset = local.astimezone(UTC), timedelta(0)
        hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
        return f"{local:%Y%m%d%H%M%S}", f"{'-' if offset < timedelta(0) else '+'}{hours:02d}{minutes:02d}"


@lru_cache(maxsize=4096)
def parse_dtm(text: str) -> datetime:
    """Read a DTM of at least minutes; without an offset the result is naive. Raises: ValueError saying why not."""
    match = _DTM.fullmatch(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not YYYYMMDDHHMMSS[.SSSS]+ZZZZ")
    zone = None
    if match["sign"]:
        offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
        if offset > MAX_OFFSET:
            raise ValueError(f"{text!r}: no place on earth has that offset")
        zone = timezone(-offset if match["sign"] == "-" else offset)
    if int(match[1]) not in _YEARS:
        raise ValueError(f"{text!r}: year out of range")
    year, month, day, hour, minute, second = (int(match[i] or 0) for i in range(1, 7))
    try:
        return datetime(year, month, day, hour, minute, second, int((match[7] or "").ljust(6, "0")), zone)
    except ValueError as fault:
        raise ValueError(f"{text!r} is no date and time: {fault}") from None


@lru_cache(maxsize=4096)
def instant(text: str) -> int:
    """Return the UTC nanoseconds of a DTM. Raises: ValueError, also when it has no offset: a zone is never guessed."""
    time = parse_dtm(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone offset")
    return (time - _EPOCH) // _MICROSECOND * 1000
