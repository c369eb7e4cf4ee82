"""The transmit grammar: the only bytes that may ever be written to a device. Read-only by construction.

A profile names patterns, each one message that the driver may send ([transmit] allow). A pattern has the syntax of a
regular expression over bytes (gateway.core.grammar says which part of it), written as text in which \\x02 is the byte
2; `.` is any byte. A write is allowed when it is a sequence of whole messages, each of which a pattern matches. No
pattern: nothing may be written.

Below the grammar stands what the protocol's standard says (`only_reads` of the driver, where a standard tells reading
from writing, as Modbus does): a profile, however it came to be, cannot allow what would change a device.

The gate stands between protocol and link (gateway.port): what it does not let through never reaches the device, no
matter what a driver says. The cost of a look is bounded (gateway.core.grammar), whatever both say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway.core.grammar import GrammarError, automaton

WRITE_MAX = 4096  # bytes of one write; the longest message of a shipped driver has 513 (Modbus ASCII)
PATTERNS_MAX = 256  # of one profile; the most shipped is 13
OnlyReads = Callable[[bytes], bool]


def pattern_fault(pattern: str) -> str:
    """Return what is wrong with a pattern, "" when nothing is. A pattern that matches nothing at all is no message."""
    try:
        automaton((pattern,))
    except GrammarError as fault:
        return str(fault)
    return ""


def grammar_fault(patterns: Sequence[str]) -> tuple[int, str]:
    """Return (number of the first pattern that is wrong, what is wrong); the text is "" when all may stand together."""
    if len(patterns) > PATTERNS_MAX:
        return 0, f"is one of more than {PATTERNS_MAX}"
    try:
        automaton(tuple(dict.fromkeys(patterns)))
    except GrammarError as whole:
        faults = ((n, pattern_fault(pattern)) for n, pattern in enumerate(patterns))
        return next((found for found in faults if found[1]), (0, f"and those behind it: together {whole}"))
    return 0, ""


class Gate:
    """Lets through what the grammars of the devices of a line allow, together, and what only reads.

    only_reads: bytes of one write -> whether they cannot change a device; None: the protocol's standard does not tell
    Raises: GrammarError when the patterns are none, or too large together.
    """

    def __init__(self, patterns: Iterable[str], only_reads: OnlyReads | None = None) -> None:
        self._allowed = automaton(tuple(dict.fromkeys(patterns)))
        self._only_reads = only_reads

    def allows(self, data: bytes) -> bool:
        """Tell whether these bytes may be written."""
        if not data:
            return True
        if len(data) > WRITE_MAX or not self._allowed.matches(data):
            return False
        return self._only_reads is None or self._only_reads(data)
