"""The driver: bytes to lines, lines to readings and alerts. It asks only what the profile's poll says, if anything.

An episodic value that the device repeats (the last cuff pressure, until there is a new one) is given once: when the
text of any episodic field of its line has changed, or its age has fallen. How old the first one is that is seen after
the start nobody knows, unless the line says it: it is given as questionable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.ascii_line.reader import Content, Reader
from drivers.ascii_line.table import Table, read_table
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Alerts, Fault, Frame, Reading
from gateway.core.framing import Delimited, Noise
from gateway.core.polling import Poller
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity

LONGEST = 1024  # characters of a line; what is longer has lost its end
PAUSE_NS = 500_000_000
"""What was begun before a pause is not completed after it: no device rests so long in the middle of a line, and polls
are at least a second apart. So a line that was cut never takes the beginning of the next one for its end."""
SILENT_AFTER = 3  # polls in a row without an answer
_BAD = frozenset({"garbage", "damaged", "checksum"})


class AsciiLines(EventQueue):
    """One device on a line (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, spec: DeviceSpec) -> None:
        """Read the profile's table. Raises: ProfileError."""
        super().__init__()
        self._source = spec.source
        self._table: Table = read_table(spec.profile)
        self._reader = Reader(spec.profile, self._table)
        self._begin = self._table.form.begin.encode("ascii")
        self._ends = self._table.form.end.encode("ascii")
        self._cutter = Delimited(b"", self._ends, LONGEST)
        poll = self._table.poll
        questions = [poll.text.encode("ascii")] if poll else []
        self._poller = Poller(questions, poll.period_s if poll else 1.0, poll.timeout_s if poll else 1.0)
        self._forget()

    def start(self, now: float) -> None:
        """The line is up: forget everything that was true of it before."""
        self.events.clear()
        self._cutter.reset()
        self._forget()
        self._poller.start(now)

    def _forget(self) -> None:
        self._heard_ns = 0
        self._begun = False
        self._answered = False
        self._before: dict[str, tuple[list[str], int | None]] = {}  # kind of line -> episodic texts, and their age

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        if not data:
            return
        if self._begun and abs(t_ns - self._heard_ns) > PAUSE_NS:
            self._take(b"\0" + self._ends[:1], self._heard_ns)  # a NUL is in no line: it is seen as damaged
        self._take(data, t_ns)
        self._heard_ns = t_ns
        self._begun = data[-1] not in self._ends

    def _take(self, data: bytes, t_ns: int) -> None:
        for item in self._cutter.feed(data):
            if isinstance(item, Noise):
                self._fault("garbage", f"{item.length} bytes")
            elif item.strip():
                self._line(item, t_ns)

    def _line(self, item: bytes, t_ns: int) -> None:
        if self._begin:
            at = item.rfind(self._begin)  # the last one: the end of a line before it was lost
            if at < 0:
                self._fault("damaged" if b"\0" in item else "other", f"{len(item)} characters")
                return
            if item[:at].strip():
                self._fault("garbage", f"{at} bytes")
            item = item[at + len(self._begin) :]
        self._answered = True
        content = self._reader.read(item)
        if isinstance(content, str):
            self._fault(content, f"{len(item)} characters", thrown_away=content != "other")
            return
        if content.unread:
            self._fault("field", f"{content.unread} of a line of {len(item)} characters")
        self.frames_ok += 1
        self._tell(content, t_ns)

    def _tell(self, content: Content, t_ns: int) -> None:
        readings = content.readings + self._episodes(content)
        kind = content.line.name
        if readings:
            self.events.append(Frame(kind, readings, t_ns, self._source))
        if content.alerts is not None:
            self.events.append(Frame(kind, Alerts(tuple(content.alerts)), t_ns, self._source))

    def _episodes(self, content: Content) -> list[Reading]:
        """Return the episodic values of a line when they are new."""
        line, age = content.line, content.age_ns
        if not self._table.repeats(line):
            return content.episodes
        before = self._before.get(line.name)
        self._before[line.name] = (content.said, age)
        if before is not None and before[0] == content.said and (age is None or before[1] is None or age >= before[1]):
            return []
        if age is not None or (before is not None and line.age is None):
            return content.episodes
        return [_doubtful(reading) for reading in content.episodes]

    def data_to_send(self, now: float) -> bytes:
        """Return the poll when it is due."""
        if self._answered:
            self._answered = False
            self._poller.answered(now)
        if self._poller.overdue(now) is not None and self._poller.unanswered == SILENT_AFTER:
            self._fault("silent", f"{SILENT_AFTER} polls without an answer")
        return self._poller.ask(now) or b""

    def next_wake(self) -> float | None:
        """Return when to ask again; None where nobody asks."""
        return self._poller.next_wake()

    def stop(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Ask nothing more; a line of text knows no parting."""
        self._poller.stop()

    def _fault(self, reason: str, detail: str, thrown_away: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, thrown_away or reason in _BAD))


def _doubtful(reading: Reading) -> Reading:
    return reading._replace(validity=max(reading.validity, int(Validity.QST)))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> AsciiLines:
    """Build the driver for one line. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="lines of text carry no address: one device each")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none: all is in the profile")
    return AsciiLines(devices[0])
