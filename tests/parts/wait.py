"""Wait for a condition, never for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], what: str | Callable[[], str] = "the condition", timeout_s: float = 8.0
) -> None:
    """Return when the condition holds. what: named in the AssertionError when it does not within the time."""
    pause = threading.Event()
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s:g} s: {what() if callable(what) else what}")
        pause.wait(0.01)
