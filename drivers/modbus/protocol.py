"""The Modbus master of one line: asks each unit for its blocks in turn and lets no reply pass for another's.

    poll plan ──► one request in flight ──► reply of that request ──► Frame(kind = block name)
                        │ time-out                 │ anything else
                        ▼                          ▼
                  unit is held, backs off     named, counted, thrown away

Laws
  * One request in flight per line. The unit asked least recently goes first, and of its blocks the one due longest.
    A dead unit costs the others one time-out whenever it is tried again, and is tried ever less often.
  * A reply is accepted only while its request is in flight, and only when unit, function code, byte count, checksum
    and (TCP) transaction are those of the request.
  * No answer, no frame. The last value is never said again.
  * The same calls at the same times give the same bytes. A recording knows better what was asked: see `was_sent`.

Late replies. On a serial line nothing in a reply says which of two requests with the same function code and byte count
it belongs to: an answer to block A that comes while block B is in flight would become B's. So each unit keeps a list of
what it still owes. Where two blocks of a unit have the same function code and byte count, neither is asked while the
unit owes such an answer: until it has come, or `late_s` after its request. Answers of other blocks settle nothing, so
the order in which a unit answers does not matter. On TCP the transaction number tells replies apart.
README.md has the argument in full, and its limit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers.modbus.adu import EXCEPTION, FRAMINGS, MAX_ADU, Adu, Ascii, Framing
from drivers.modbus.blocks import Block, read_blocks
from drivers.modbus.dialect import line_framing, read_dialect
from drivers.modbus.options import EXCEPTIONS, MIN_RTU_SILENCE_S, LineOptions, UnitOptions
from gateway.core.errors import ConfigError
from gateway.core.frame import NEED_DATA, Event, Fault, Frame
from gateway.core.protocol import DeviceSpec
from gateway.core.settings import build

MAX_BACK_OFF_S = 30.0  # a dead unit is tried at least this often
SETTLE_S = 0.05  # silence after bytes that were no reply: three times the 16 ms for which USB adapters hold bytes back
_EARLY_S = 0.02  # a poll may go out this much early: a replay, a few ms beside the recorded times, still finds it due
_ROUNDING_S = 1e-6


@dataclass(slots=True)
class _Poll:
    """One block of one unit, and when it is due. alone: no other block of the unit gets replies of the same shape."""

    block: Block
    alone: bool
    due: float
    failures: int = 0  # in a row


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request as sent."""

    poll: _Poll
    unit: int
    transaction: int
    at: float
    sent: bytes

    def answered_by(self, adu: Adu) -> bool:
        """Tell whether `adu` can be the reply: data of the right size, or an exception."""
        block, pdu = self.poll.block, adu.pdu
        if (adu.transaction, adu.unit, pdu[0] & ~EXCEPTION) != (self.transaction, self.unit, block.fc):
            return False
        if pdu[0] & EXCEPTION:
            return True
        return pdu[1:2] == bytes([block.byte_count]) and len(pdu) - 2 in block.data_sizes


@dataclass(slots=True)
class _Unit:
    """One device of the line."""

    source: int
    number: int
    polls: list[_Poll]
    asked_at: float = float("-inf")
    held_until: float = float("-inf")
    misses: int = 0  # time-outs in a row
    owed: list[_Asked] = field(default_factory=list)

    def settle(self, adu: Adu, asked: list[_Asked]) -> bool:
        """Take `adu` as the answer to the first of `asked` that it fits; the others are still owed."""
        for i, request in enumerate(asked):
            if request.answered_by(adu):
                self.owed = asked[:i] + asked[i + 1 :]
                return True
        return False


def _unit(number: int, source: int, plan: Sequence[Block], now: float) -> _Unit:
    shapes = [block.shape for block in plan]
    return _Unit(source, number, [_Poll(block, shapes.count(block.shape) == 1, now) for block in plan])


def _number(spec: DeviceSpec) -> int:
    return build(UnitOptions, spec.options, lambda *keys: " ".join(keys)).unit


def _framing(name: str, devices: Sequence[DeviceSpec]) -> Framing:
    """Return the framing of a line; in ASCII, some units' LRC is judged more leniently."""
    lenient = frozenset(_number(spec) for spec in devices if not read_dialect(spec.profile).lrc_strict)
    return Ascii(lenient) if lenient else FRAMINGS[name]


class ModbusProtocol:
    """Sans-IO Modbus master (DeviceProtocol).

    devices: units of the line, each with its profile; options: see LineOptions
    frames_ok: replies accepted so far, exceptions among them
    Raises: ConfigError, ProfileError on construction; never later.
    """

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> None:
        self._options = build(LineOptions, options, lambda *keys: " ".join(keys))
        framing = line_framing(self._options.framing, {s.profile.id: read_dialect(s.profile) for s in devices})
        self._framing = _framing(framing, devices)
        self._turnaround = 0.0 if self._framing.tagged else self._options.turnaround_s
        if framing == "rtu" and self._turnaround < MIN_RTU_SILENCE_S:
            hint = "3.5 characters of 11 bits: 0.0041 at 9600 Bd, 0.0021 at 19200, 0.00175 above"
            raise ConfigError(f"turnaround_s = {self._turnaround} is too short for RTU", "turnaround_s", hint)
        if self._options.late_s <= self._options.timeout_s:
            raise ConfigError(f"late_s = {self._options.late_s} ends before the time-out", "late_s", "make it longer")
        self._plan: dict[int, tuple[int, tuple[Block, ...]]] = {}
        for spec in devices:
            unit = _number(spec)
            if unit in self._plan:
                raise ConfigError(f"unit {unit} is configured twice on this line", "unit", "each unit once per port")
            self._plan[unit] = (spec.source, read_blocks(spec.profile))
        self.frames_ok = 0
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget the line; every block is due."""
        self._units = {number: _unit(number, source, plan, now) for number, (source, plan) in self._plan.items()}
        self._events: deque[Event] = deque()
        self._asked: _Asked | None = None  # in flight
        self._last: _Asked | None = None  # the last request, in flight or not
        self._transaction = 0
        self._line = bytearray()  # bytes of the line that are not accounted for; at most MAX_ADU are kept
        self._searched = 0  # so many of them are known to hold no whole reply
        self._cut = False  # more came than is kept
        self._heard = False  # bytes came since data_to_send was asked
        self._quiet_from = self._noisy_from = float("-inf")
        self._echo_told = False
        self._asks = True
        self._now = self._start = now

    def stop(self, now: float) -> None:
        """Ask nothing more. Modbus has no release; what is in flight may be answered, so the line is left quiet."""
        self._now, self._asks = now, False

    def next_event(self) -> Event:
        """Return the next event, or NEED_DATA."""
        return self._events.popleft() if self._events else NEED_DATA

    def next_wake(self) -> float | None:
        """Return the time-out of what is in flight, or when the next block may be asked; None after `stop`."""
        if self._asked:
            return self._asked.at + self._options.timeout_s
        if self._heard:
            return self._now  # at once: the silence is counted from there
        if self._line:
            return self._free_at()
        if not self._asks:
            return None
        return max(self._free_at(), min(self._ready_at(u, p) for u in self._units.values() for p in u.polls))

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes of the line. The reply in flight becomes a frame at once; all else waits to be named."""
        self._heard = True
        self._line += data
        if self._asked:
            self._find_reply(self._asked, t_ns)
        if len(self._line) > MAX_ADU:
            self._cut = True
            del self._line[:-MAX_ADU]
        self._searched = len(self._line)

    def data_to_send(self, now: float) -> bytes:
        """Return the next request, when the line is free and a block is due."""
        self._now = now
        if self._heard:
            self._heard = False
            if now > self._quiet_from + SETTLE_S:
                self._noisy_from = now  # the first sound after a silence
            self._quiet_from = now
        if self._asked:
            if now < self._asked.at + self._options.timeout_s:
                return b""
            self._time_out(self._asked)
        if now + _ROUNDING_S < self._free_at():
            return b""
        self._clear_line()
        ready = [
            (unit, poll)
            for unit in self._units.values()
            for poll in unit.polls
            if self._asks and self._ready_at(unit, poll) <= now + _EARLY_S
        ]
        if not ready:
            return b""
        unit, poll = min(ready, key=lambda pair: (pair[0].asked_at, pair[1].due))
        if self._framing.tagged:
            # 1 to 65535: a device that does not fill the field in sends 0.
            self._transaction = self._transaction % 0xFFFF + 1
        sent = self._framing.encode(poll.block.request(unit.number, self._transaction))
        self._ask(_Asked(poll, unit.number, self._transaction, now, sent))
        return sent

    def was_sent(self, data: bytes, now: float) -> None:
        """Replay: a recording says that `data` was sent at `now`. From then on nothing is asked but what it says.

        Left to its own schedule a replay drifts from the recording by the lateness of each call. Once it asks something
        else, replies match nothing, or the wrong block.
        """
        if self._asks:
            self._asks, self._asked = False, None  # what this schedule would have asked was never sent
        self._now = now
        if self._asked:
            self._time_out(self._asked)
        self._clear_line()
        adu = self._framing.open(data)
        if adu is None or adu.unit not in self._units:
            return  # not from this plan; its reply will be named as a stray
        for poll in self._units[adu.unit].polls:
            if data == self._framing.encode(poll.block.request(adu.unit, adu.transaction)):
                self._ask(_Asked(poll, adu.unit, adu.transaction, now, data))

    def _ask(self, asked: _Asked) -> None:
        """Put a request in flight; what its unit can owe no longer is forgotten."""
        self._asked = self._last = asked
        self._searched = 0
        unit = self._units[asked.unit]
        unit.asked_at = asked.at
        unit.owed = [owed for owed in unit.owed if owed.at + self._options.late_s > asked.at]

    def _clear_line(self) -> None:
        """Account for all that stands on the line, so that the next request finds it empty."""
        if self._line:
            self._name_strays(bytes(self._line))
            self._line.clear()

    def _ready_at(self, unit: _Unit, poll: _Poll) -> float:
        """Return when a block may be asked: it is due, its unit is not held, no owed reply could pass for its own."""
        at = max(poll.due, unit.held_until)
        if self._framing.tagged or poll.alone:
            return at
        doubts = (owed.at + self._options.late_s for owed in unit.owed if owed.poll.block.shape == poll.block.shape)
        return max([at, *doubts])

    def _free_at(self) -> float:
        """Return when the line has been quiet long enough. Endless noise holds it up for one time-out, not for ever."""
        if not self._line:
            return self._quiet_from + self._turnaround
        return min(self._quiet_from + max(self._turnaround, SETTLE_S), self._noisy_from + self._options.timeout_s)

    def _next_due(self, asked: _Asked) -> float:
        """Return the first time of the poll's grid after the one just served; those missed meanwhile are left out."""
        interval = asked.poll.block.interval_s
        return self._start + interval * (math.floor((asked.at + _EARLY_S - self._start) / interval) + 1)

    def _pause(self, failures: int) -> float:
        """Return the wait after so many failures in a row: one time-out, from the last try on 1, 2, 4 … 30 s."""
        beyond = failures - self._options.tries
        return self._options.timeout_s if beyond < 0 else min(2.0 ** min(beyond, 5), MAX_BACK_OFF_S)

    def _find_reply(self, asked: _Asked, t_ns: int) -> None:
        """Look for the reply in flight: the data asked for or an exception, whichever is complete first."""
        block, data = asked.poll.block, bytes(self._line)
        best: tuple[int, int, Adu] | None = None
        head = bytes([block.fc, block.byte_count])
        looks = [(bytes([block.fc | EXCEPTION]), 2), *((head, 2 + size) for size in block.data_sizes)]
        for start, pdu_size in looks:
            expected = self._framing.expect(asked.transaction, asked.unit, start, pdu_size)
            found = self._framing.search(data, max(0, self._searched - expected.size + 1), expected, asked.sent)
            if found and (best is None or found[0] + expected.size < best[1]):
                best = (found[0], found[0] + expected.size, found[1])
        if best is None:
            return
        at, end, adu = best
        # What the line holds when bytes come one by one is also what is named when they come at once.
        self._cut = self._cut or end > MAX_ADU
        self._name_strays(data[max(0, end - MAX_ADU) : at])
        self._answer(asked, adu, t_ns)
        del self._line[:end]

    def _answer(self, asked: _Asked, adu: Adu, t_ns: int) -> None:
        """Close the request in flight with its reply."""
        self._asked = None
        self.frames_ok += 1
        unit, poll = self._units[asked.unit], asked.poll
        if adu.pdu[0] & EXCEPTION and unit.owed and not self._framing.tagged:
            unit.owed.append(asked)  # a refusal does not say of what: it may be one of what was asked before
        else:
            unit.settle(adu, [*unit.owed, asked])
        unit.misses = 0
        if adu.pdu[0] & EXCEPTION:
            poll.failures += 1
            poll.due = self._next_due(asked)
            if poll.failures >= self._options.tries:
                poll.due = max(poll.due, asked.at + self._pause(poll.failures))
            code = adu.pdu[1]
            reason = f"exception_{code:02X}" if code in EXCEPTIONS else "exception_other"
            self._events.append(Fault(reason, f"unit {asked.unit}, block {poll.block.name}, code {code}", unit.source))
            return
        payload = poll.block.payload(adu.pdu[2:])
        self._events.append(Frame(poll.block.name, payload, t_ns, unit.source, after_gap=poll.failures > 0))
        poll.failures = 0
        poll.due = self._next_due(asked)

    def _time_out(self, asked: _Asked) -> None:
        """Give up the request in flight, as of the end of its time; the call that noticed may have come later."""
        self._asked = None
        unit, poll, given_up = self._units[asked.unit], asked.poll, asked.at + self._options.timeout_s
        unit.misses += 1
        poll.failures += 1
        unit.held_until = given_up + self._pause(unit.misses)
        poll.due = given_up + self._pause(poll.failures)
        unit.owed.append(asked)
        detail = f"unit {asked.unit}, block {poll.block.name}"
        if unit.misses < self._options.tries:
            self._events.append(Fault("timeout", detail, unit.source))
        elif unit.misses == self._options.tries:
            self._events.append(Fault("silent", f"{detail}: no answer {unit.misses} times in a row", unit.source))

    def _name_strays(self, data: bytes) -> None:
        """Say what came that was not the reply in flight."""
        last = self._last
        if last and data.startswith(last.sent):
            data = data[len(last.sent) :]
            if not self._echo_told:
                self._echo_told = True
                self._events.append(Fault("echo", source=self._source(last)))
        garbage = 0
        for stray in self._framing.strays(data):
            if isinstance(stray, int):
                garbage += stray
            else:
                self._name_reply(stray)
        if garbage or self._cut:
            more = "more than " if self._cut else ""
            self._events.append(Fault("garbled", f"{more}{garbage} bytes", self._source(last), bad_frame=True))
        self._cut = False

    def _name_reply(self, adu: Adu) -> None:
        """Name a whole reply that was not the one in flight; a late one settles what its unit owes."""
        unit, last = self._units.get(adu.unit), self._last
        if unit and unit.settle(adu, unit.owed):
            reason = "late"
        elif last is None:
            reason = "unexpected"
        elif adu.transaction != last.transaction:
            reason = "wrong_transaction"
        elif adu.unit != last.unit:
            reason = "wrong_unit"
        elif adu.pdu[0] & ~EXCEPTION != last.poll.block.fc:
            reason = "wrong_function"
        elif not last.answered_by(adu):
            reason = "wrong_length"
        else:
            reason = "unexpected"
        detail = f"from unit {adu.unit}, function {adu.pdu[0]}"
        self._events.append(Fault(reason, detail, unit.source if unit else self._source(last), bad_frame=True))

    def _source(self, last: _Asked | None) -> int:
        """Return whose fault it is when nobody signed: the device asked last, or the first of the line."""
        number = last.unit if last else next(iter(self._units))
        return self._units[number].source
