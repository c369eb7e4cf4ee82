"""Side notes: short texts that a row of numbers cannot hold, each told once and then named by its number.

SAMPLE.note is such a number; 0 = no note. Two kinds of row have one: an alert (what it is about and what the device
says of it), a waveform sample (its period). Notes are few: a device has a handful of waves and a closed set of alerts.
"""

from __future__ import annotations

from typing import Protocol

MAX_NOTES = 512  # of one line; further ones are not kept, their rows say 0
NOTE_BYTES = 124  # of UTF-8; a longer text is cut


class Notes(Protocol):
    """Where texts get their numbers: the ring of a port, or a list in memory."""

    def index(self, text: str) -> int:
        """Return the number of this text, from 1 on; 0 when there is no room for it."""


class NoteList:
    """Notes in memory, for a plan that is used without a ring."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def index(self, text: str) -> int:
        """See Notes."""
        if text not in self._texts and len(self._texts) >= MAX_NOTES:
            return 0
        return self._texts.setdefault(text, len(self._texts) + 1)

    def text(self, index: int) -> str:
        """Return the text of a number, "" when there is none."""
        return next((text for text, known in self._texts.items() if known == index), "")


def cut(text: str) -> bytes:
    """Return the UTF-8 of a note, at most NOTE_BYTES, no character halved."""
    return text.encode()[:NOTE_BYTES].decode(errors="ignore").encode()
