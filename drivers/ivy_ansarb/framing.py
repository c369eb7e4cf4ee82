"""Messages of ANSAR-B in a byte stream.

    FF | "ANSAR-B " | 400 bytes of waves | text | FE

There is no length and no checksum. Wave bytes can be anything, so they are jumped over, never searched; the text is of
printable characters and CR, so the first other byte ends it: FE is the end, anything else is damage. That way a lost
end costs its own message and not the one behind it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.core.framing import Bad, Outside

BEGIN = 0xFF
END = 0xFE
NAME = b"ANSAR-B "
WAVES = 400
HEAD = 1 + len(NAME) + WAVES
MAX_TEXT = 600  # protocol notes; seen are 152
_TEXT = re.compile(rb"[\x20-\x7E\r]*")


class Message(NamedTuple):
    """One message, not yet understood."""

    waves: bytes
    text: str


class MessageReader:
    """Cuts messages out of a stream in any split. Holds one message at most: 1,010 bytes."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._outside = Outside()

    def feed(self, data: bytes) -> list[Message | Bad]:
        """Return what is complete, and what is no message. After damage the search goes on one byte further."""
        held = self._held
        held += data
        found: list[Message | Bad] = []
        at = 0
        while (begin := held.find(BEGIN, at)) >= 0:
            self._outside.add(begin - at, found)
            at = begin
            head = held[at + 1 : at + 1 + len(NAME)]
            if head != NAME[: len(head)]:  # a wave byte of the message before, or a head that was hit
                self._outside.add(1, found)
                at += 1
                continue
            item, end = _take(held, at)
            if item is None:
                break
            self._outside.tell(found)
            found.append(item)
            self._outside.add(int(isinstance(item, Bad)), found)
            at = end
        else:
            self._outside.add(len(held) - at, found)
            at = len(held)
        del held[:at]
        return found


def _take(held: bytearray, at: int) -> tuple[Message | Bad | None, int]:
    """Return the message at `at`, what is wrong with it, or None when bytes are missing; and where to go on."""
    text_at = at + HEAD
    match = _TEXT.match(held, text_at, text_at + MAX_TEXT + 1) if len(held) > text_at else None
    if match is None:
        return None, at
    length = match.end() - text_at
    if length > MAX_TEXT:
        return Bad("too_long", f"more than {MAX_TEXT} characters without an end"), at + 1
    if match.end() == len(held):
        return None, at
    if held[match.end()] != END:
        return Bad("text", f"byte {held[match.end()]:02X} after {length} characters"), at + 1
    return Message(bytes(held[at + HEAD - WAVES : text_at]), match[0].decode("ascii")), match.end() + 1
