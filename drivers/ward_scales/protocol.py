"""The driver: lines of a dialect in, one frame for each weighing out.

None of these scales says which lines belong to one weighing, and some repeat a line ten times a second for as long as
somebody stands on them. A line is therefore given when it is new: the same line again, within REPEAT_NS of the one
before, is the same weighing. While a scale has not settled, one frame says so, with the first weight it showed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.ward_scales.dialects import Dialect, Weighing, dialect_of
from drivers.ward_scales.options import BAD_FRAMES, Options
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Identified
from gateway.core.framing import Delimited, Noise
from gateway.core.polling import Poller
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.settings import build

KIND = "weighing"
REPEAT_NS = 2_000_000_000
"""Longer than the pause between two lines of a stream, shorter than from one person on the scale to the next."""
ANSWER_S = 1.0  # Adam: a reply comes within 300 ms, time-out 1 s (protocol notes)
SILENT_AFTER = 3  # unanswered questions in a row


class ScaleProtocol(EventQueue):
    """One ward scale on a line (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, spec: DeviceSpec, dialect: Dialect, poll_s: float) -> None:
        super().__init__()
        self._source = spec.source
        self._vendor = spec.profile.vendor
        self._dialect = dialect
        self._lines = Delimited(dialect.begin, dialect.ends, dialect.limit)
        self._poller = Poller([dialect.poll] if dialect.poll else [], poll_s, ANSWER_S)
        self._forget()

    def start(self, now: float) -> None:
        """The link is up: forget everything that was true of the line before."""
        self.events.clear()
        self._lines.reset()
        self._forget()
        self._poller.start(now)

    def _forget(self) -> None:
        self._before: tuple[bytes, int] | None = None  # the last line, and when it came
        self._told = ("", "")  # model and serial number
        self._answered = False

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        for item in self._lines.feed(data):
            if isinstance(item, Noise):
                self._fault("garbage", f"{item.length} bytes")
                continue
            self._answered = True
            read = self._dialect.read(item)
            if isinstance(read, str):
                self._fault(read, f"{len(item)} bytes")
            else:
                self.frames_ok += 1
                self._weighing(item, read, t_ns)

    def data_to_send(self, now: float) -> bytes:
        """Return the question for the weight, where the scale wants to be asked."""
        if self._answered:
            self._answered = False
            self._poller.answered(now)
        if self._poller.overdue(now) is not None and self._poller.unanswered == SILENT_AFTER:
            self._fault("silent", f"{SILENT_AFTER} questions without an answer")
        return self._poller.ask(now) or b""

    def next_wake(self) -> float | None:
        """Return when to ask again."""
        return self._poller.next_wake()

    def stop(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Ask nothing more; a scale knows no parting."""
        self._poller.stop()

    def _fault(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._source, reason in BAD_FRAMES))

    def _weighing(self, line: bytes, read: Weighing, t_ns: int) -> None:
        if read.trouble:
            self._fault(read.trouble, f"{len(line)} bytes")
        told = (read.model, read.serial)
        if any(told) and told != self._told:
            self._told = told
            self.events.append(Identified(self._vendor, read.model, "", read.serial, self._source))
        settling = any(reading.validity == Validity.ONG for reading in read.readings)
        line = b"settling" if settling else line
        before, self._before = self._before, (line, t_ns)
        if before is not None and before[0] == line and 0 <= t_ns - before[1] <= REPEAT_NS:
            return
        if read.readings:
            self.events.append(Frame(KIND, read.readings, t_ns, self._source, read.device_ns))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> ScaleProtocol:
    """Build the driver for one line. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a scale is alone on its line")
    profile = devices[0].profile
    dialect = dialect_of(profile.driver_table, profile.where)
    settings = build(Options, options, lambda *_: "")
    return ScaleProtocol(devices[0], dialect, settings.poll_s)
