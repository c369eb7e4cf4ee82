"""What the spool counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Plain counts since this open, in messages unless the name says otherwise.

    recovered: not done when opened; durable: appended and synced; duplicates: answers for what was done already,
    ignored; foreign: answers for what is not in here, ignored; damaged: found unreadable while running;
    bytes: of records appended; declared: losses declared, also of samples that never became a message;
    dropped: segments given up for want of space; refused: housekeeping the disk did not do at once
    """

    recovered: int = 0
    appended: int = 0
    durable: int = 0
    acked: int = 0
    rejected: int = 0
    lost: int = 0
    duplicates: int = 0
    foreign: int = 0
    damaged: int = 0
    bytes: int = 0
    syncs: int = 0
    checkpoints: int = 0
    declared: int = 0
    dropped: int = 0
    refused: int = 0
