"""Is anything missing? What the numbers in poll results say of parts that were lost, doubled or came too late.

A result of an extended poll carries a sequence number and the monitor's relative time; a long one comes in linked parts
that are numbered, but for the final one. On the serial line a loss is also seen by the framing; on the LAN there are
only these numbers.

Source: protocol notes section 10.
"""

from __future__ import annotations

from typing import NamedTuple

from drivers.philips_intellivue.pdu import PollResult

MAX_STREAMS = 64  # requests whose results are followed; we have four at a time


class _Link(NamedTuple):
    """A linked result under way. expected: number of the part to come, 0 = one is missing; next_final: announced."""

    expected: int
    next_final: bool


_BROKEN = _Link(0, False)


class _Last(NamedTuple):
    """The newest result of a request. ended: its final part has come."""

    sequence: int
    relative_time: int
    ended: bool


class Place(NamedTuple):
    """Where a part stands.

    begins: a result begins with it; complete: it is the last one, and surely none is missing
    lost: something before it is missing
    """

    begins: bool
    complete: bool
    lost: bool


class Continuity:
    """Follows the results of one association."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], _Last] = {}  # by polled class and invoke id
        self._links: dict[int, _Link] = {}  # by invoke id: linked results under way
        self._linked: dict[int, int] = {}  # polled class -> how many linked parts its last result had

    def interrupted(self) -> None:
        """Bytes were lost on the line: a linked result under way can no longer be taken as complete."""
        self._links = dict.fromkeys(self._links, _BROKEN)

    def is_stale(self, found: PollResult) -> bool:
        """Tell whether this part, or a newer result of the same request, has come before: datagrams do that.

        Sequence and relative time must both say so, for a monitor may well begin to count anew.
        """
        last = self._last.get((found.polled, found.invoke))
        if last is None or found.sequence is None:
            return False
        if (found.sequence, found.relative_time) == (last.sequence, last.relative_time):
            link = self._links.get(found.invoke)
            return last.ended or (link is not None and 0 < found.part < link.expected)
        return _behind(found.sequence, last.sequence, 16) and _behind(found.relative_time, last.relative_time, 32)

    def place(self, found: PollResult) -> Place:
        """Return where the part stands, and remember it."""
        begins, complete, lost = self._link(found)
        return Place(begins, complete, self._jumped(found) or lost)

    def _jumped(self, found: PollResult) -> bool:
        """Tell whether the sequence number shows a loss. Each request (invoke id) counts for itself."""
        if found.sequence is None:
            return False
        stream = found.polled, found.invoke
        if len(self._last) > MAX_STREAMS:
            self._last.clear()
        before = self._last.get(stream)
        self._last[stream] = _Last(found.sequence, found.relative_time, found.part == 0)
        last = found.sequence if before is None else before.sequence
        return found.sequence not in {last, (last + 1) & 0xFFFF}  # the parts of a linked result share their number

    def _link(self, found: PollResult) -> Place:
        """Look at the number of the part.

        The final part has none, so it is believed when a part before it has announced it, or when no fewer parts came
        than last time. A result that really became shorter is believed the second time: what is no longer in it is then
        gone a second later, instead of being gone whenever a part was lost.
        """
        link = self._links.pop(found.invoke, _Link(1, False))
        if found.part:
            broken = found.part not in {1, link.expected}
            if len(self._links) > MAX_STREAMS:
                self._links.clear()
            self._links[found.invoke] = _BROKEN if broken else _Link(found.part + 1, found.next_final)
            return Place(found.part == 1, False, broken)
        broken, parts = link.expected == 0, link.expected - 1
        whole = not broken and (link.next_final or parts >= self._linked.get(found.polled, 0))
        if not broken:
            self._linked[found.polled] = parts
        return Place(link.expected == 1, whole, broken)


def _behind(number: int, last: int, bits: int) -> bool:
    """Tell whether a counter that wraps stands before `last`."""
    return (number - last) & (1 << bits) - 1 >= 1 << bits - 1
