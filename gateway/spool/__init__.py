"""Durable, ordered, at least once: see spool.py for the life of a message, layout.py for the bytes on disk."""

from gateway.spool.counters import Counters, Samples
from gateway.spool.errors import SpoolFailed, SpoolFull, SpoolRefused
from gateway.spool.files import Files, OsFiles
from gateway.spool.layout import Extent, Loss, Stored, control_id
from gateway.spool.pressure import Pressure
from gateway.spool.recovery import RecoveryReport
from gateway.spool.routed import Routed
from gateway.spool.spool import Spool

__all__ = [
    "Counters",
    "Extent",
    "Files",
    "Loss",
    "OsFiles",
    "Pressure",
    "RecoveryReport",
    "Routed",
    "Samples",
    "Spool",
    "SpoolFailed",
    "SpoolFull",
    "SpoolRefused",
    "Stored",
    "control_id",
]
