"""What was written and comes back: the line's own echo, told apart from the device.

An adapter with a local echo, or a plug that joins two pins, gives back all that is written, once, and before the device
can have answered it. MEDIBUS makes that dangerous: both sides ask, and an answer without data is the question's echo.
Who answers the echo of "which alarms?" as if the device had asked, and then reads the echo of that empty answer, has
been told that no alarm is active, by nobody.

    only we say it       data requests, questions for the curves, and who we are: when they come, it is an echo. No
                         source has a device that asks them of us (protocol notes, section 3: what the device asks)
    either side says it  ICC, "who are you", NOP, STOP, and their answers, NAK: one that equals what was just written is
                         an echo on a line that is known to have one, and the device's otherwise. On a line not known
                         yet it is answered, and the answer to "who are you" settles the question: it can only be ours

So before any data is asked for, the line is known. What is answered on the way there ends by itself: an answer is never
answered. On a line with an echo each message written is taken back once; the same one again is the device's.
"""

from __future__ import annotations

from collections import deque

from drivers.draeger_medibus.framing import Control, FrameReader, Message, command, response

ECHO_S = 2.0  # ours: an echo comes at once; what we write takes 0.5 s at 1200 Bd at most
_EITHER = frozenset((0x51, 0x52, 0x55, 0x30))  # ICC, who are you, STOP, NOP: protocol notes, sections 3 and 4
_HELD = 64  # ours: messages that are waited for; in 2 s far fewer are written

Written = Message | Control


class Echo:
    """What was written to one line. known: what is written comes back, as far as the last of it tells."""

    def __init__(self) -> None:
        self.known = False
        self._due: deque[tuple[float, Written]] = deque(maxlen=_HELD)
        self._ours: set[tuple[bool, int, bytes]] = set()  # what only we say, of all that was ever written

    def wrote(self, data: bytes, now: float) -> None:
        """Take note of what goes out; what has not come back for some time does not come any more."""
        while self._due and now - self._due[0][0] >= ECHO_S:
            self._due.popleft()
            self.known = False
        for item in FrameReader().feed(data):
            if isinstance(item, Message | Control):
                self._due.append((now, item))
            if isinstance(item, Message) and (item.data or (item.command and item.code not in _EITHER)):
                self._ours.add(_name(item))

    def is_back(self, item: Written) -> bool:
        """Tell whether `item` is what was written and not the device's."""
        was_due = self._strike(item)
        if isinstance(item, Control) or (item.code in _EITHER and not item.data):
            return was_due and self.known
        if was_due or _name(item) in self._ours:
            self.known = True
            return True
        return False

    def may_be(self, begun: bytes) -> bool:
        """Tell whether a frame that has begun so may become an echo."""
        if not self.known or not begun:
            return False
        frames = (
            (command if item.command else response)(item.code, item.data)
            for _, item in self._due
            if isinstance(item, Message)
        )
        return any(frame.startswith(begun) for frame in frames)

    def _strike(self, item: Written) -> bool:
        """Strike `item` out, and all that was written before it: an echo keeps the order. False: it is not due."""
        for place, (_, due) in enumerate(self._due):
            if due == item:
                for _ in range(place + 1):
                    self._due.popleft()
                return True
        return False


def _name(message: Message) -> tuple[bool, int, bytes]:
    """Return what tells a message apart: of a command its code, whatever its argument."""
    return message.command, message.code, b"" if message.command else message.data
