"""The door: what may be opened now, carried out on a running gateway. Once a second, in the main thread.

    devices say what they are ─► Guard ─► barred: their samples are dropped at once, in this process
                                       ─► other devices open than may be: their ports are closed or opened, in order
                                       ─► forward: samples of a barred device are not sent

A device is barred within a second of the act that says so, before its port is closed: parting takes up to four. What
the spool has accepted until then was measured while the device was approved, and is delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gateway.acquire import Acquire
from gateway.core.frame import Identified
from gateway.reload import Reload
from gateway.security.onboard.guard import Guard
from gateway.security.onboard.unknown import Present, present, unknown
from gateway.service import Forward

log = logging.getLogger("mdi.onboard")


class Door:
    """See the module text. listing: what is plugged in, for tests to play."""

    def __init__(
        self,
        guard: Guard,
        reload: Reload,
        acquire: Acquire | None,
        forward: Forward | None,
        listing: Callable[[], list[Present]] = present,
    ) -> None:
        self._guard, self._reload, self._acquire, self._forward = guard, reload, acquire, forward
        self._listing = listing
        self._unknown: list[Present] = []
        self._blind = False

    def look(self) -> None:
        """Judge, and carry it out. What takes time is done by the reload's thread.

        A system that lets nothing be read now (no descriptor left, a disk that fails) ends nothing: the last judgement
        holds, and that is said.
        """
        try:
            self._judge()
        except OSError as fault:
            if not self._blind:
                log.error("devices cannot be judged now: %s; the last judgement holds", fault.strerror)
            self._blind = True
            return
        if self._blind:
            log.warning("devices are judged again")
            self._blind = False

    def _judge(self) -> None:
        acquire = self._acquire
        self._guard.look(self._reload.config, identities(acquire) if acquire else {})
        barred = self._guard.barred
        if self._forward:
            self._forward.hold(frozenset(barred))
        if acquire:
            acquire.bar(barred)
            self._report_unknown()
            if not self._reload.running and self._guard.open != self._reload.admits:
                self._reload.readmit()

    def status(self) -> dict[str, Any]:
        """Return who may be opened and why not, and what is plugged in and not configured."""
        return {"devices": self._guard.status(), "unknown": [f"{one.kind} {one.name}" for one in self._unknown]}

    def _report_unknown(self) -> None:
        """Say what was plugged in and is configured nowhere. It is never opened."""
        found = unknown(self._reload.config, self._listing())
        for one in found:
            if one not in self._unknown:
                log.warning("%s %s is plugged in and not configured; it is not opened", one.kind, one.name)
                self._guard.refused(one.name)
        self._unknown = found


def identities(acquire: Acquire) -> dict[str, Identified]:
    """Return device -> what it has said that it is, of those that have."""
    return {d.name: d.identity for port in acquire.ports for d in port.devices if d.identity is not None}
