"""How often and how long: rate limit, lock-out after failures, end of a session. Pure: time is an argument, in s.

A failure is a request that the role does not allow, or one that is none. There is no password to guess; the lock-out
slows down whoever tries what there is, and makes it seen. root is never locked out: it needs no socket, and a
break-glass must not be in its own way.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gateway.config_security import AccessSettings

MOST_UIDS = 1024  # remembered at a time; each is a real account of this box


@dataclass
class _Account:
    asked: deque[float] = field(default_factory=deque)
    failed: deque[float] = field(default_factory=deque)
    locked_until: float = 0.0


class Gate:
    """What each account has done lately."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._accounts: dict[int, _Account] = {}

    def refusal(self, uid: int, now: float) -> str:
        """Count one request; return "locked" or "too-often" when it is not to be answered, else ""."""
        account = self._account(uid)
        if uid and now < account.locked_until:
            return "locked"
        _forget(account.asked, now - 60.0)
        if len(account.asked) >= self._settings.per_minute:
            return "too-often"
        account.asked.append(now)
        return ""

    def failed(self, uid: int, now: float) -> bool:
        """Count a failure; tell whether the account is locked out by it."""
        account = self._account(uid)
        _forget(account.failed, now - self._settings.lockout_s)
        account.failed.append(now)
        if uid == 0 or len(account.failed) < self._settings.failures:
            return False
        account.failed.clear()
        account.locked_until = now + self._settings.lockout_s
        return True

    def _account(self, uid: int) -> _Account:
        if uid not in self._accounts and len(self._accounts) >= MOST_UIDS:
            self._accounts.pop(min(self._accounts, key=lambda u: self._accounts[u].locked_until))
        return self._accounts.setdefault(uid, _Account())


def _forget(times: deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()


@dataclass
class Session:
    """One connection. began, active: when; a session ends when it is idle, or old."""

    settings: AccessSettings
    began: float
    active: float

    def left(self, now: float) -> float:
        """Return how long it may still wait for the next request; 0 or less: it is over."""
        return min(self.active + self.settings.idle_s, self.began + self.settings.session_s) - now

    def over(self, now: float) -> str:
        """Return why it is over, "idle" or "session-end", or ""."""
        if now >= self.began + self.settings.session_s:
            return "session-end"
        return "idle" if now >= self.active + self.settings.idle_s else ""
