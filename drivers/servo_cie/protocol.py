"""The session with one CIE: hello, extended mode, how the channels are scaled, then settings and breath data in turn.

    HO ─► RCTY ─► RCCO for each channel ─► ┌ SDADS ─► RADAS ─► SDADB ─► RADAB ┐ every poll_s
     ▲                                     └──────────────────────────────────┘
     └── no answer in time, or an answer that cannot be that of its command

An answer does not say what it answers, so one command is on its way at a time, and an answer of the wrong shape means
that question and answer have parted: all is thrown away, the line is left quiet, and the session begins anew with HO,
which brings the CIE back to a known state. The lists are defined before each reading, as the app of the notes does it:
whether a list outlives the definition of the other one is not known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import ceil, nan
from typing import Any

from drivers.servo_cie.channels import CATEGORIES, Agreement, Channels
from drivers.servo_cie.cie import (
    FIELD,
    HELLO,
    NOT_AVAILABLE,
    Answers,
    Trailers,
    command,
    configuration,
    definition,
    error_of,
    number_of,
    reading,
    scaling_of,
)
from drivers.servo_cie.options import ERRORS, STANDBY, Options
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Reading
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.sample import Validity
from gateway.core.settings import build

EXTENDED = command(b"RCTY")
QUIET_S = 1.0  # an answer that is late or left over has come by then: 300 bytes at 9600 Bd take a third of it
LOST_S = 10.0  # without an answer for so long, the ventilator is gone


class ServoProtocol(EventQueue):
    """Reads one ventilator. Replayable: a recording knows what was asked."""

    def __init__(self, device: DeviceSpec, options: Options) -> None:
        super().__init__()
        self._device = device
        self._options = options
        self._tries = ceil(LOST_S / options.timeout_s)
        lists = Channels(device.profile).lists
        self._round = [ask for c, channels in lists.items() for ask in (definition(c, channels), reading(c))]
        described = (configuration(channel) for channels in lists.values() for channel in channels)
        self._known = frozenset((HELLO, EXTENDED, *self._round, *described))
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget the line and what the ventilator said of its channels."""
        self.frames_ok = 0
        self.events.clear()
        self._answers = Answers()
        self._trailers = Trailers()
        self._channels = Channels(self._device.profile)
        self._describes = True  # the ventilator answers RCCO, as far as is known
        self._now = self._round_at = now
        self._misses = 0
        self._gaps = dict.fromkeys(CATEGORIES, False)
        self._asks = True
        self._asked = b""  # on its way
        self._due = now
        self._begin(now)

    def stop(self, now: float) -> None:
        """Ask nothing more. HO would be the way back to basic mode, but the next session says it anyway."""
        self._now = now
        self._asks = False
        self._asked = b""

    def next_wake(self) -> float | None:
        """Return when the answer is overdue, or when to ask again."""
        if not self._asks:
            return None
        if self._asked:
            return self._due
        return self._quiet_until if self._queue else max(self._quiet_until, self._round_at)

    def data_to_send(self, now: float) -> bytes:
        """Return the next command, when none is on its way."""
        self._now = now
        if not self._asks:
            return b""
        if self._asked:
            if now < self._due:
                return b""
            self._time_out()
        if now < self._quiet_until:
            return b""
        if not self._queue:
            if now < self._round_at:
                return b""
            self._queue.extend(self._round)
            self._round_at = max(now, self._round_at + self._options.poll_s)
        self._ask(self._queue.popleft(), now)
        return self._asked

    def was_sent(self, data: bytes, now: float) -> None:
        """Replay: take what the recording says was asked; from then on nothing else is."""
        self._asks = False
        self._now = now
        self._ask(data if data in self._known else b"", now)

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes; each EOT ends an answer."""
        answers, lost = self._answers.feed(data)
        if lost:
            self._bad("garbage", f"{lost} bytes")
        for answer in answers:
            self._take(answer, t_ns)

    # ---- asking

    def _ask(self, ask: bytes, now: float) -> None:
        self._asked = ask
        self._due = now + self._options.timeout_s

    def _begin(self, quiet_until: float) -> None:
        """Begin the session anew, not before `quiet_until`."""
        self._asked = b""
        self._quiet_until = quiet_until
        self._queue = deque([HELLO, EXTENDED])
        if self._describes:
            unsaid = (channel for channel, state in self._channels.agreement.items() if state is Agreement.UNSAID)
            self._queue.extend(map(configuration, unsaid))

    def _part(self) -> None:
        """Question and answer have parted."""
        self._gaps = dict.fromkeys(CATEGORIES, True)
        self._begin(self._now + QUIET_S)

    def _time_out(self) -> None:
        if self._asked.startswith(b"RCCO"):
            self._describes = False  # only one source knows the command: go on without it
        self._misses += 1
        self._fault("silent" if self._misses == self._tries else "timeout", f"{self._misses} in a row")
        self._gaps = dict.fromkeys(CATEGORIES, True)
        self._begin(self._now)

    # ---- answers

    def _take(self, answer: bytes, t_ns: int) -> None:
        asked, self._asked = self._asked, b""
        if not asked:
            self._bad("unexpected", f"{len(answer)} bytes")
            if self._asks:
                self._begin(self._now + QUIET_S)
            return
        self._misses = 0
        code = error_of(answer)
        if code is not None:
            self._refused(asked, code, t_ns)
        elif asked == HELLO and b"900PCI" not in answer:
            self._bad("hello", f"{len(answer)} bytes")
            self._part()
        elif asked.startswith(b"RADA"):
            self._data(asked[4:5], answer, t_ns)
        elif asked.startswith(b"RCCO"):
            self._description(int(asked[4:7]), answer)
        else:  # an acknowledgement: HO, RCTY, SDAD. What it holds is not known.
            self.frames_ok += 1

    def _refused(self, asked: bytes, code: int, t_ns: int) -> None:
        self.frames_ok += 1
        self._fault(f"error_{code:02}" if code in ERRORS else "error_other", f"{asked[:7].decode('latin-1')}: {code}")
        if code == STANDBY and asked.startswith(b"RADA"):
            channels = self._channels.lists[asked[4:5]]
            self._give(asked[4:5], [Reading(channel, 0, 0, nan, Validity.NA) for channel in channels], t_ns)
        elif asked.startswith(b"RADA"):
            self._gaps[asked[4:5]] = True
        elif asked == EXTENDED:
            self._part()

    def _description(self, channel: int, answer: bytes) -> None:
        text = self._trailers.check(answer)
        if text is None and self._trailers.proven:
            self._bad("checksum", f"description of channel {channel}")
            return
        said = scaling_of(answer if text is None else text)
        if said is None:
            self._fault("configuration", f"channel {channel}")
        elif said.channel != channel:
            self._bad("unexpected", f"channel {said.channel} instead of {channel}")
            self._part()
        else:
            self.frames_ok += 1
            what = self._channels.compare(said)
            if what:
                self._fault("conflict", f"channel {channel}: {what}")

    def _data(self, category: bytes, answer: bytes, t_ns: int) -> None:
        channels = self._channels.lists[category]
        size = FIELD * len(channels)
        if len(answer) != size + 2 and (self._trailers.proven or len(answer) != size):
            self._bad("length", f"{len(answer)} bytes for {len(channels)} channels")
            self._part()
            return
        checked = self._trailers.check(answer) is not None
        if not checked and self._trailers.proven:
            self._bad("checksum", f"{len(channels)} channels")
            self._gaps[category] = True
            return
        if not checked:
            self._fault("unchecked", f"{len(channels)} channels")
        self.frames_ok += 1
        fields = [answer[at : at + FIELD] for at in range(0, size, FIELD)]
        self._give(category, [self._reading(c, f, checked) for c, f in zip(channels, fields, strict=True)], t_ns)

    def _reading(self, channel: int, field: bytes, checked: bool) -> Reading:
        raw = number_of(field)
        agreement = self._channels.agreement[channel]
        if raw == NOT_AVAILABLE or not field.strip(b" "):
            return Reading(channel, 0, 0, nan, Validity.NA)
        if raw is None:
            self._fault("value", f"channel {channel}")
        if raw is None or agreement is Agreement.CONFLICT:
            return Reading(channel, 0, 0, nan, Validity.INV)
        good = checked and agreement is Agreement.SAME
        return Reading(channel, 0, 0, raw, Validity.VLD if good else Validity.QST)

    def _give(self, category: bytes, readings: list[Reading], t_ns: int) -> None:
        gap, self._gaps[category] = self._gaps[category], False
        self.events.append(Frame(CATEGORIES[category], readings, t_ns, self._device.source, after_gap=gap))

    def _bad(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._device.source, bad_frame=True))

    def _fault(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._device.source))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> DeviceProtocol:
    """Return the protocol of one ventilator. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a CIE port serves exactly one ventilator")
    return ServoProtocol(devices[0], build(Options, options, lambda *keys: " ".join(keys)))
