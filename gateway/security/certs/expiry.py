"""What a running sender says of its certificates: once per threshold in log and audit log, always in its status."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from gateway.security.audit import Audit, Event
from gateway.security.certs.state import PREVIOUS, THRESHOLDS, CertificateState, Configured, status

log = logging.getLogger("mdi.certs")
LOOK_S = 60.0  # between two readings of the files: some milliseconds, for something that counts in days


class Expiry:
    """Warns of each certificate once per threshold, and again at the next one. A new certificate begins anew."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], int] = {}

    def due(self, states: Iterable[CertificateState]) -> list[CertificateState]:
        """Return those that have passed a threshold since the last call; the first call tells of all before."""
        found = []
        for state in states:
            if state.warn is None or state.role == PREVIOUS:
                continue
            key = state.path, state.sha256
            if self._said.get(key, THRESHOLDS[0] + 1) > state.warn:
                self._said[key] = state.warn
                found.append(state)
        return found


def warning(state: CertificateState) -> str:
    """Return one line for the log."""
    name = state.subject or state.path
    if state.days_left is not None and state.days_left <= 0:
        return f"the {state.role} certificate {name} has EXPIRED: it was valid until {state.not_after}"
    return f"the {state.role} certificate {name} expires in {state.days_left:.0f} days, {state.not_after}"


class CertificateWatch:
    """Looks at the certificates of a running sender from time to time."""

    def __init__(self, audit: Audit) -> None:
        self._audit, self._expiry = audit, Expiry()
        self._next, self._states = float("-inf"), list[dict[str, Any]]()
        self._faults: set[str] = set()

    def look(self, config: Configured, now: datetime, monotonic: float) -> list[dict[str, Any]]:
        """Return all states as of the last look; warn of what is new. monotonic: s."""
        if monotonic < self._next:
            return self._states
        self._next = monotonic + LOOK_S
        states = status(config, now)
        for state in self._expiry.due(states):
            log.warning("%s", warning(state))
            days = int(state.days_left or 0)
            self._audit.write(
                Event.CERTIFICATE_EXPIRING, state.role, fingerprint=state.sha256, days_left=days, use=state.role
            )
        faults = {fault for state in states for fault in state.faults}
        for fault in sorted(faults - self._faults):  # a state that lasts is one line
            log.error("%s", fault)
        self._faults = faults
        self._states = [state.as_dict() for state in states]
        return self._states
