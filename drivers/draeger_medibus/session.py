"""When to say what. Both sides may ask: the device's questions are answered at once, ours go one at a time.

    calling ──ICC answered, or the device's own ICC──► identify ► curves ► rounds of data requests ──► STOP
       ▲                                                                       │
       └────── 3 s without a slow character, three repeats unanswered, or the device's STOP

Laws
  * Nothing is said that changes the device: data requests, NOP, ICC, STOP, the choice of curves, and answers.
  * One command in flight; the next goes out when its response is complete. What is not answered in 10 s is repeated.
  * After an ICC the device has forgotten its configuration, and who it is, is asked anew: it may be another device.
  * The line is kept alive by a NOP when nothing else was said for 1.5 s.

Times and counts: protocol notes, section 4, unless said otherwise.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.draeger_medibus.contents import CLOCK, DATA, HIGH, LOW, SETTING, TEXT, Contents
from drivers.draeger_medibus.framing import CAN, DC1, DC3, Damaged, command, response
from drivers.draeger_medibus.realtime import Choice, Records, Stream, asked, choose, offered
from gateway.core.frame import Fault

ICC, IDENTIFY, STOP, NOP = 0x51, 0x52, 0x55, 0x30
TIME_CHANGED, REALTIME_CONFIG, CONFIGURE_REALTIME, REALTIME_CHANGED = 0x49, 0x53, 0x54, 0x56
REFUSAL = b"\x01\x1516\r"  # the answer to a command whose checksum is wrong

CALL_S = 3.0  # ICC is repeated so often, as the device does
ANSWER_S = 10.0
REPEATS = 3
SILENCE_S = 3.0
NOP_S = 1.5
SETTLE_S = 0.2  # after the identification: a configuration that comes earlier is ignored
SUSPENDED_S = 3.0  # DC3 follows DC1 within this time
ENABLE_S = 5.0  # "every few seconds": sync commands are not acknowledged
PART_S = 2.5  # ours: a port waits 3 s for the parting
CLOCK_S = 60.0  # ours
RARE_S = 30.0  # ours: for what was never answered with data; section 10 would stop asking, but data may begin any time
SLOWER = 5  # ours: settings and limits are changed by hand
_ANSWERS = 1000  # bytes of answers that are kept while they cannot be sent

_SENT = re.compile(rb"\x1b([\x20-\x7f])([\x20-\x7f]*)[0-9A-F]{2}\r")


@dataclass(slots=True)
class _Asked:
    """The command in flight."""

    code: int
    argument: bytes
    at: float
    repeats: int = 0
    answered: bool = False
    failed: bool = False


class Session:
    """See the module text.

    waves: codes of the curves to ask for; demanded: a person has named them; records: reads the curves that flow now
    """

    def __init__(
        self, contents: Contents, waves: Sequence[int], demanded: bool, poll_s: float, tell: Callable[[Fault], None]
    ) -> None:
        self._bytes_per_s = contents.wave_bytes_per_s
        self._waves, self._demanded, self._tell = waves, demanded, tell
        self._periods = {code: _period(code, poll_s) for code in contents.commands}
        self._identity = response(IDENTIFY, b"0161'MDI gateway'01.00:" + contents.revision.encode())
        self._asked: _Asked | None = None
        self._choice: Choice | None = None
        self.records: Records | None = None
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget the line; the device is called first."""
        self._now = self._said_at = self._heard_at = now
        self._heard = self._settles = False
        self._answers = bytearray()
        self._suspended_until = now
        self._parting_until: float | None = None
        self._gone = False
        self._unheard_calls = 0
        self._call(now)

    # ---- what the device says

    def heard(self) -> None:
        """Take note of slow characters: the link is alive."""
        self._heard = True

    def control(self, code: int) -> None:
        """Take DC1 (say nothing until DC3), CAN (what was being sent is void) or NAK (our command was not read)."""
        if code == DC1:
            self._suspended_until = self._now + SUSPENDED_S
        elif code == DC3:
            self._suspended_until = self._now
        else:
            self._tell(Fault("aborted" if code == CAN else "refused", bad_frame=code != CAN))
            self._fail()

    def damaged(self, item: Damaged) -> None:
        """Take note of a frame that was thrown away: a command is refused, a response is asked for again."""
        if item.command:
            self._answer(REFUSAL)
        elif item.reason != "garbage":
            self._fail()

    def command(self, code: int) -> None:
        """Answer a command of the device; one that is not known is answered, too."""
        self._answer(self._identity if code == IDENTIFY else response(code))
        self._settles = self._settles or code == IDENTIFY
        if code == ICC:
            self._connect()
        elif code == STOP:
            self._tell(Fault("ended"))
            self._call(self._now + CALL_S)
        elif code == TIME_CHANGED and 0x28 in self._due:
            self._due[0x28] = self._now
        elif code == REALTIME_CHANGED:
            self.reconfigure()

    def response(self, code: int, data: bytes) -> None:
        """Take the response to our command, in flight or not."""
        asked_for = self._asked if self._asked and self._asked.code == code else None
        if asked_for:
            asked_for.answered = True
            self._settles = self._settles or code == IDENTIFY
        if code == STOP and self._parting_until is not None:
            self._gone = True
        elif code == ICC and (asked_for or not self._connected):
            self._connect()
        elif code == REALTIME_CONFIG:
            self._offered(data)
        elif code == CONFIGURE_REALTIME and asked_for and self._choice:
            self.records = Records(self._choice)
            self._enable_at = self._now
        elif data:
            self._silent.discard(code)
        elif code in self._silent:
            self._due[code] = max(self._due[code], self._now + RARE_S)

    def reconfigure(self) -> None:
        """Ask for the curves anew: the device has changed them, or what comes is not what was configured."""
        self.records = None
        if self._waves and REALTIME_CONFIG not in self._first:
            self._first.append(REALTIME_CONFIG)

    # ---- what is said

    def data_to_send(self, now: float) -> bytes:
        """Return answers, and the next command when none is in flight."""
        self._now = now
        if self._heard:
            self._heard, self._heard_at, self._unheard_calls = False, now, 0
        if self._settles:
            self._settles, self._quiet_until = False, now + SETTLE_S
        if self._gone or now < self._suspended_until:
            return b""
        if self._parting_until is not None:
            self._gone = now >= self._parting_until
        elif self._settled(now):
            self._ask_next(now)
        out, self._answers = bytes(self._answers), bytearray()
        if self.records is not None and self._choice and now >= self._enable_at:
            out += self._choice.enable
            self._enable_at = now + ENABLE_S
        if out:
            self._said_at = now
        return out

    def next_wake(self) -> float | None:
        """Return when data_to_send is wanted."""
        if self._gone:
            return None
        if self._now < self._suspended_until:
            return self._suspended_until
        asked_for = self._asked
        if self._heard or self._answers or (asked_for and (asked_for.answered or asked_for.failed)):
            return self._now
        if self._parting_until is not None:
            return self._parting_until
        times = [self._enable_at] if self.records is not None else []
        if asked_for:
            times.append(asked_for.at + (ANSWER_S if self._connected else CALL_S))
            times += [self._heard_at + SILENCE_S] if self._connected else []
        elif self._connected and not self._first:
            times.append(max(self._quiet_until, min([self._said_at + NOP_S, *self._due.values()])))
        else:
            times.append(self._quiet_until)
        return min(times)

    def stop(self, now: float) -> None:
        """Stop the curves and part; that keeps the device from alarming about a lost communication."""
        self._now = now
        if self.records is not None and self._choice:
            self._answers += self._choice.disable
        self._answers += command(STOP)
        self.records = self._asked = None
        self._parting_until = now + PART_S

    def was_sent(self, data: bytes, now: float) -> None:
        """Take what a recording says was asked, in place of our own command."""
        self._now = now
        for match in _SENT.finditer(data):
            self._asked = _Asked(match[1][0], match[2], now)
            if self._asked.code == CONFIGURE_REALTIME:
                self._choice = asked(self._offer, self._asked.argument)

    # ---- inside

    def _call(self, at: float) -> None:
        """Begin anew with ICC, not before `at`: all that was configured is lost."""
        self._connected = False
        self._asked = None
        self._quiet_until = at
        self._forget()

    def _forget(self) -> None:
        self._first: deque[int] = deque()
        self._due: dict[int, float] = {}
        self._silent: set[int] = set()
        self._offer: list[Stream] = []
        self._choice = None
        self.records = None
        self._enable_at = self._now

    def _connect(self) -> None:
        """The communication is established, or established anew: begin with who the device is."""
        if self._asked and self._asked.code != ICC:
            self._asked = None  # the device has forgotten the question
        elif self._asked:
            self._asked.answered = True
        self._connected = True
        self._quiet_until = self._now
        self._forget()
        self._first.append(IDENTIFY)
        if self._waves:
            self._first.append(REALTIME_CONFIG)
        self._due = dict.fromkeys(self._periods, self._now)
        self._silent = {code for code in self._periods if DATA[code][0] in (LOW, HIGH, SETTING, TEXT)}
        self._silent |= self._periods.keys() & {0x2B}

    def _offered(self, data: bytes) -> None:
        """Choose among the curves that the device offers; what flows by another configuration is not read."""
        streams = offered(data)
        if streams is None:
            self._tell(Fault("layout", "realtime configuration: not built as the protocol says", bad_frame=True))
            return
        self.records = None
        self._offer = streams
        missing = set(self._waves) - {stream.code for stream in streams}
        if self._demanded and missing:
            self._tell(Fault("no_waves", "curves " + ", ".join(f"0x{code:02X}" for code in sorted(missing))))
        self._choice = choose(streams, self._waves, self._bytes_per_s)
        if self._choice:
            self._first.appendleft(CONFIGURE_REALTIME)

    def _answer(self, data: bytes) -> None:
        if len(self._answers) < _ANSWERS:
            self._answers += data

    def _fail(self) -> None:
        if self._asked:
            self._asked.failed = True

    def _settled(self, now: float) -> bool:
        """Tell whether no command is in flight any more; repeat it or call anew when that is due."""
        if self._connected and now - self._heard_at >= SILENCE_S:
            self._tell(Fault("silence", f"for {SILENCE_S:.0f} s"))
            self._call(now)
        asked_for = self._asked
        if asked_for is None:
            return True
        if asked_for.answered:
            self._asked = None
            return True
        if not self._connected:  # a call is not repeated before its time
            asked_for.failed = False
            return now >= asked_for.at + CALL_S
        if not asked_for.failed and now < asked_for.at + ANSWER_S:
            return False
        return self._repeat(asked_for, now)

    def _repeat(self, asked_for: _Asked, now: float) -> bool:
        """Send the command again; give it up after the last repeat. What nothing came of, ends the session."""
        if not asked_for.failed:
            self._tell(Fault("late", f"request 0x{asked_for.code:02X}"))
        if asked_for.repeats < REPEATS:
            self._asked = _Asked(asked_for.code, asked_for.argument, now, asked_for.repeats + 1)
            self._answers += command(asked_for.code, asked_for.argument)
            return False
        if not asked_for.failed:
            self._call(now)
        self._asked = None
        return True

    def _ask_next(self, now: float) -> None:
        if now < self._quiet_until:
            return
        code, argument = self._next_question(now)
        if code is not None:
            self._asked = _Asked(code, argument, now)
            self._answers += command(code, argument)

    def _next_question(self, now: float) -> tuple[int | None, bytes]:
        """Return the command that is due, the one that has waited longest first, and its argument."""
        if not self._connected:
            if self._unheard_calls == REPEATS:
                self._tell(Fault("no_answer", f"to {REPEATS} calls"))
            self._unheard_calls += 1
            return ICC, b""
        if self._first:
            code = self._first.popleft()
            return code, self._choice.argument if code == CONFIGURE_REALTIME and self._choice else b""
        code = min(self._due, key=self._due.__getitem__, default=NOP)
        if code == NOP or self._due[code] > now:
            return (NOP if now >= self._said_at + NOP_S else None), b""
        self._due[code] = max(self._due[code] + self._periods[code], now)
        return code, b""


def _period(code: int, poll_s: float) -> float:
    kind = DATA[code][0]
    if kind == CLOCK:
        return CLOCK_S
    return poll_s * SLOWER if kind in (LOW, HIGH, SETTING) else poll_s
