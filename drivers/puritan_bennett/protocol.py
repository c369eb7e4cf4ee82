"""Asking a ventilator for its report, again and again: the DeviceProtocol of the report port.

One question only, SNDF or SNDA, so an answer cannot be taken for the answer to another; one that comes late is a report
like any other, with the ventilator's own time in it. RSET (clear the receive buffer) is never sent: the CR of the next
command ends what noise has left there, and what is not sent cannot do harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from drivers.puritan_bennett.decoder import ReportDecoder
from drivers.puritan_bennett.options import Options
from drivers.puritan_bennett.reports import KINDS, LONGEST, ReportKind, cut
from drivers.puritan_bennett.waves import WaveProtocol
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault
from gateway.core.framing import Delimited, Noise
from gateway.core.polling import Poller
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.settings import build

LOST_S = 10.0  # without an answer for so long, the ventilator is gone (protocol notes, polling)
WAVES = "waveforms"


class ReportProtocol(EventQueue):
    """Polls one ventilator for one kind of report."""

    def __init__(self, device: DeviceSpec, kind: ReportKind, options: Options) -> None:
        super().__init__()
        self._device = device
        self._kind = kind
        self._tries = ceil(LOST_S / options.timeout_s)
        self._poller = Poller([kind.command], options.poll_s, options.timeout_s)
        self._lines = Delimited(b"", b"\r", LONGEST)
        self.start(0.0)

    def start(self, now: float) -> None:
        """Ask at once; nothing is known of the ventilator."""
        self.frames_ok = 0
        self.events.clear()
        self._lines.reset()
        self._decoder = ReportDecoder(self._device, self._kind)
        self._poller.start(now)
        self._now = now
        self._gap = False  # something was lost since the last report

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes of the line; each CR ends a report, or noise."""
        for item in self._lines.feed(data):
            if isinstance(item, Noise):
                self._bad("garbage", f"{item.length} bytes")
            else:
                self._take(item, t_ns)

    def data_to_send(self, now: float) -> bytes:
        """Return the command, when it is due."""
        self._now = now
        if self._poller.overdue(now) is not None:
            self._gap = True
            silent = self._poller.unanswered == self._tries
            self._fault("silent" if silent else "timeout", f"{self._poller.unanswered} in a row")
        return self._poller.ask(now) or b""

    def next_wake(self) -> float | None:
        """Return when to ask again, or when the answer is overdue."""
        return self._poller.next_wake()

    def stop(self, now: float) -> None:
        """Ask nothing more. The protocol has no release."""
        self._now = now
        self._poller.stop()

    def _take(self, line: bytes, t_ns: int) -> None:
        report, noise = cut(line)
        if noise:
            # What begins like a report and was cut off is told apart from what never was one.
            self._bad("report" if b"MISC" in line[:noise] or b"\x02" in line[:noise] else "garbage", f"{noise} bytes")
        if report is None:
            return
        if report.letter != self._kind.letter:
            self._bad("code", f"MISC{report.letter} instead of MISC{self._kind.letter}")
        elif report.announced != len(report.fields):
            self._bad("fields", f"{len(report.fields)} instead of {report.announced}")
        else:
            self.frames_ok += 1
            self._poller.answered(self._now)
            self.events.extend(self._decoder.events(report, t_ns, self._gap))
            self._gap = False

    def _bad(self, reason: str, detail: str) -> None:
        self._gap = True
        self.events.append(Fault(reason, detail, self._device.source, bad_frame=True))

    def _fault(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._device.source))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> DeviceProtocol:
    """Return the protocol of the port that the profile speaks of. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(
            f"{len(devices)} devices on one line", hint="a port of the ventilator serves one gateway port"
        )
    settings = build(Options, options, lambda *keys: " ".join(keys))
    said = speaks(devices[0])
    return WaveProtocol(devices[0]) if said == WAVES else ReportProtocol(devices[0], KINDS[said], settings)


def speaks(device: DeviceSpec) -> str:
    """Return what the profile says of the port: SNDA, SNDF or waveforms. Raises: ProfileError."""
    said = device.profile.driver_table.get("speaks")
    if said not in (*KINDS, WAVES):
        hint = f"write [driver] speaks = one of {', '.join((*KINDS, WAVES))}"
        raise ProfileError(f"speaks = {said!r} is not known", device.profile.where, hint)
    return str(said)
