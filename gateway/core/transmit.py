"""The transmit grammar: the only bytes that may ever be written to a device. Read-only by construction.

A profile names patterns, each one message that the driver may send ([transmit] allow). A pattern is a regular
expression of the standard library over bytes, written as text in which \\x02 is the byte 2; `.` is any byte. A write is
allowed when it is a sequence of whole messages, each of which a pattern matches. No pattern: nothing may be written.

The gate stands between protocol and link (gateway.port): what it does not let through never reaches the device, no
matter what a driver says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


def pattern_fault(pattern: str) -> str:
    """Return what is wrong with a pattern, "" when nothing is. A pattern that matches nothing at all is no message."""
    try:
        compiled = re.compile(pattern.encode("latin-1"), re.DOTALL)
    except UnicodeEncodeError:
        return "holds a character that is no byte"
    except re.error as fault:
        return f"is no pattern: {fault}"
    return "matches the empty message" if compiled.fullmatch(b"") else ""


class Gate:
    """Lets through what the grammars of the devices of a line allow, together."""

    def __init__(self, patterns: Iterable[str]) -> None:
        sources = [b"(?:%s)" % pattern.encode("latin-1") for pattern in dict.fromkeys(patterns)]
        self._allowed = re.compile(b"(?:%s)+" % b"|".join(sources), re.DOTALL) if sources else None

    def allows(self, data: bytes) -> bool:
        """Tell whether these bytes may be written."""
        return not data or (self._allowed is not None and self._allowed.fullmatch(data) is not None)
