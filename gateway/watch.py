"""What happened to a running gateway, for the audit log: once a second its counters are compared with those before.

The threads that do the work count, and know nothing of the audit log: a disk that hangs holds none of them up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.core.clock import ClockQuality, ClockState
from gateway.forward import Forwarder
from gateway.port import Port
from gateway.security.audit import Audit, Event
from gateway.spool import RecoveryReport


class Watch:
    """Looks at ports, forwarder and clock, and writes what is new of them."""

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._seen: dict[tuple[str, str], Any] = {}
        self._quality: ClockQuality | None = None

    def ports(self, ports: Iterable[Port]) -> None:
        """Lines that were opened, devices that are refused, bytes that were not written."""
        for port in ports:
            if self._more(port.name, "opened", port.counters.opened):
                self.audit.write(Event.DEVICE_OPENED, port.name)
            if more := self._more(port.name, "writes", port.counters.refused_writes):
                self.audit.write(Event.TRANSMIT_REFUSED, port.name, count=more)
            for device in port.devices:
                if self._turned(device.name, "refused", bool(device.refused)) and device.refused:
                    self.audit.write(Event.DEVICE_REFUSED, device.name, port=port.name, profile=device.profile_id)

    def forwarder(self, forwarder: Forwarder) -> None:
        """Messages and samples that were lost, messages that broker or receiver refuse."""
        if more := self._more("spool", "lost", forwarder.spool.counters.lost):
            self.audit.write(Event.SPOOL_LOSS, messages=more, reason="spool")
        counted = forwarder.spool.counters
        for word, now in (("tampered", counted.tampered), ("damaged", counted.damaged - counted.tampered)):
            if more := self._more("spool", word, now):
                self.audit.write(Event.SPOOL_TAMPERED, messages=more, reason=word)
        if more := self._more("spool", "rows", forwarder.counters.rows_lost):
            self.audit.write(Event.SPOOL_LOSS, samples=more, reason="before-spool")
        if more := self._more("sink", "rejected", forwarder.counters.rejected):
            self.audit.write(Event.MESSAGE_REJECTED, count=more)
        if more := self._more("sink", "refused", getattr(forwarder.sink.counters, "puback_refused", 0)):
            self.audit.write(Event.BROKER_REFUSED, rule="puback", count=more)

    def recovery(self, report: RecoveryReport) -> None:
        """What the spool found when it was opened."""
        if report.damaged and not report.changed:
            self.audit.write(Event.SPOOL_TAMPERED, records=report.damaged, reason="damaged")
        for number in report.changed:  # a right checksum over a wrong seal: no disk does that by itself
            where = f"segment-{number}"
            self.audit.write(Event.SPOOL_TAMPERED, records=report.damaged, segment=where, reason="tampered")
        if report.lost:
            self.audit.write(Event.SPOOL_LOSS, messages=report.lost, reason="recovery")

    def clock(self, state: ClockState) -> None:
        """Steps of the clock, and how well it is kept."""
        if state.step_ns:
            self.audit.write(Event.CLOCK_STEP, step_s=round(state.step_ns / 1e9, 3))
        if state.quality is not self._quality:
            was = self._quality.name.lower() if self._quality is not None else "unknown"
            self.audit.write(Event.CLOCK_QUALITY, now=state.quality.name.lower(), was=was)
            self._quality = state.quality

    def _more(self, of: str, what: str, now: int) -> int:
        before: int = self._seen.get((of, what), 0)
        self._seen[of, what] = now
        return max(0, now - before)  # a port that was made anew counts from 0

    def _turned(self, of: str, what: str, now: bool) -> bool:
        before = self._seen.get((of, what), False)
        self._seen[of, what] = now
        return now is not before
