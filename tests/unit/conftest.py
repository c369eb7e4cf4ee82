"""Fixtures of more than one module here: the spool's clock, disk and start."""

from __future__ import annotations

from tests.unit.spool_rig import clock, disk, start

__all__ = ["clock", "disk", "start"]
