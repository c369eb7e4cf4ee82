"""A time for a person."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(utc_ns: int) -> str:
    """Return ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(utc_ns / 1e9, UTC).isoformat(timespec="milliseconds")
