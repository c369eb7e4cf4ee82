"""Messages that the receiver will never take: rejected/messages.jsonl, for people, and the way back into the line.

A line tells one message with the receiver's reason, whole, so that it can be sent again as the same bytes under the
same control id. Another kind of line says that this was done.

Resending is asked for by a file in requests/, because the spool has one owner and it may be running. The owner looks
there at its start, before anything is sent, and once a second. It appends the messages as RESENT, syncs, writes down
that it did, and then removes the request. A crash in between repeats nothing: a message that waits already, or that was
resent for this very request, is left out.

With a key each line is sealed by itself, under a key of its own: {"sealed": mark, "box": base64}. So a line can be
written at any time, by any life, and no nonce is ever used twice. `opened` gives the line that was sealed.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from fastcrc.crc32 import iscsi as crc32c

from gateway.security.seal import Seal, parse_mark
from gateway.security.seal.box import missing_key
from gateway.spool.layout import Extent, RecordFlag, Stored

REJECTED_BYTES = 64 << 20  # of each of two files
FILE = "messages.jsonl"
REQUESTS = "requests"
_RESENT = b'{"resent":'
_SEALED = b'{"sealed":'
_PURPOSE = "rejected message"


class Rejected(msgspec.Struct, kw_only=True):
    """One rejected message. message: the ER7 text, `jq -r .message` shows it; exact: the same in base64, when it is not
    UTF-8; check: CRC-32C of the line with a check of 0, because what a damaged line says must never be sent.
    """

    control_id: str
    rejected: str
    reason: str
    topic: str
    extent: Extent
    message: str
    exact: str = ""
    periodic: bool = True
    clock_quality: int = 0
    check: int = 0

    def checked(self) -> Rejected:
        """Return it with its check."""
        return msgspec.structs.replace(self, check=crc32c(msgspec.json.encode(msgspec.structs.replace(self, check=0))))

    @property
    def payload(self) -> bytes:
        """The message, byte for byte."""
        return base64.b64decode(self.exact) if self.exact else self.message.encode()


class Resent(msgspec.Struct):
    """A rejected message was resent, because of this request; seq: its number now, 0 when it was not found any more."""

    resent: str
    request: str
    at: str
    seq: int


class Request(msgspec.Struct):
    """What a file in requests/ asks for: control ids, or all that were not resent since they were rejected."""

    resend: list[str] = []
    every: bool = False


class Sealed(msgspec.Struct):
    """A line of the file that is sealed. sealed: its mark; box: what `Box.seal` gave, in base64."""

    sealed: str
    box: str


def covered(line: bytes, seal: Seal | None, gateway: str) -> bytes:
    """Return a line as it is to stand in the file: sealed, when there is a key."""
    if seal is None:
        return line
    mark = seal.mark()
    box = seal.begin(mark, _PURPOSE, gateway).seal(line, b"")
    return msgspec.json.encode(Sealed(mark.text, base64.b64encode(box).decode()))


def opened(lines: Iterable[bytes], seal: Seal | None, gateway: str) -> Iterator[bytes]:
    """Yield the lines of the file, opened where they are sealed; one that cannot be, as it is: it says nothing."""
    for line in lines:
        yield _opened(line, seal, gateway)


def read_opened(lines: Iterable[bytes], seal: Seal | None, gateway: str, where: str) -> Iterator[bytes]:
    """As `opened`, for a person. Raises: ConfigError when a line is sealed with a key that is not here."""
    for line in lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            mark = parse_mark(msgspec.json.decode(line, type=Sealed).sealed) if line.startswith(_SEALED) else None
            if mark is not None and (seal is None or not seal.knows(mark)):
                raise missing_key(mark, where)
        yield _opened(line, seal, gateway)


def _opened(line: bytes, seal: Seal | None, gateway: str) -> bytes:
    if not line.startswith(_SEALED):
        return line
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, binascii.Error):
        told = msgspec.json.decode(line, type=Sealed)
        mark = parse_mark(told.sealed)
        if seal is not None and mark is not None and seal.knows(mark):
            return seal.box(mark, _PURPOSE, gateway).open(base64.b64decode(told.box), b"") or line
    return line


def rejected_line(stored: Stored, reason: str, rejected: str) -> bytes:
    """Return what rejected/messages.jsonl says of one message."""
    message = stored.message
    try:
        text, raw = message.payload.decode(), ""
    except UnicodeDecodeError:
        text = message.payload.decode("utf-8", errors="backslashreplace")
        raw = base64.b64encode(message.payload).decode()
    line = Rejected(
        control_id=message.control_id,
        rejected=rejected,
        reason=reason,
        topic=message.topic,
        extent=stored.extent,
        message=text,
        exact=raw,
        periodic=bool(stored.flags & RecordFlag.PERIODIC),
        clock_quality=stored.clock_quality,
    )
    return msgspec.json.encode(line.checked())


def parse(lines: Iterable[bytes]) -> Iterator[Rejected | Resent]:
    """Yield what the lines say; a damaged one is left out."""
    for line in lines:
        kind: type[Rejected] | type[Resent] = Resent if line.startswith(_RESENT) else Rejected
        with suppress(msgspec.MsgspecError, ValueError):  # bytes that are no UTF-8, or no base64
            entry = msgspec.json.decode(line, type=kind)
            if isinstance(entry, Resent) or entry.check == entry.checked().check:
                yield entry


def latest(lines: Iterable[bytes]) -> dict[str, tuple[str, str]]:
    """Return of each control id why it was rejected the last time, and when it was resent after that ("" if not)."""
    found: dict[str, tuple[str, str]] = {}
    for entry in parse(lines):
        if isinstance(entry, Rejected):
            found.pop(entry.control_id, None)  # so that the order is that of the last word
            found[entry.control_id] = (entry.reason, "")
        elif entry.resent in found and entry.seq:
            found[entry.resent] = (found[entry.resent][0], entry.at)
    return found


def ask(spool: Path, request: Request, name: str) -> Path:
    """Leave a request for the owner of the spool, durably; return its file. name: unique among all requests."""
    folder = spool / REQUESTS
    path = folder / f"{name}.json"
    draft = path.with_suffix(".new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, msgspec.json.encode(request))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, path)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return path
