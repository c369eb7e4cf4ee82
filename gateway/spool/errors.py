"""What can go wrong with the spool's disk. Both are delivery errors: the ring is not released, nothing is lost."""

from __future__ import annotations

from gateway.core.errors import DeliveryError


class SpoolRefused(DeliveryError):
    """The disk does not do it now (I/O error, read-only). Nothing half-written counts; try the same call again."""


class SpoolFull(SpoolRefused):
    """There is no space now. As SpoolRefused."""


class SpoolFailed(DeliveryError):
    """A sync failed: Linux may have dropped the pages, so a second try would lie. Stop; the next open recovers."""

    exit_code = 75  # EX_TEMPFAIL, sysexits.h: the supervisor starts us again
