"""What the spool counts: messages in `Counters`, samples of each device in `Samples`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Plain counts since this open, in messages unless the name says otherwise.

    At every moment recovered + appended = acked + rejected + lost + waiting, as in `Samples`.

    recovered: not done when opened; durable: appended and synced; duplicates: answers for what was done already,
    ignored; foreign: answers for what is not in here, ignored; damaged: found unreadable while running; tampered: of
    these, where somebody has changed something;
    rejected: without those that wait again; resent: rejected ones that wait again; bytes: of records appended;
    declared: losses declared, also of samples that never became a message; dropped: segments given up for want of
    space; carried: messages moved out of these, because they are not periodic; refused: housekeeping the disk did not
    do at once
    """

    recovered: int = 0
    appended: int = 0
    durable: int = 0
    acked: int = 0
    rejected: int = 0
    resent: int = 0
    lost: int = 0
    duplicates: int = 0
    foreign: int = 0
    damaged: int = 0
    bytes: int = 0
    syncs: int = 0
    checkpoints: int = 0
    declared: int = 0
    dropped: int = 0
    carried: int = 0
    refused: int = 0
    tampered: int = 0


@dataclass(slots=True)
class Samples:
    """Samples of one device since this open; only of messages that were in the spool.

    At every moment recovered + appended = acked + rejected + lost + waiting. Each is counted on its own, waiting from
    what the segments hold, so this is a check and no definition.

    recovered: in messages not done when opened; what damage made unreadable before is in none of these counts
    rejected: without what waits again. What an earlier life rejected and this one resends makes it less than 0
    resent: rejected ones that wait, or waited, again
    """

    recovered: int = 0
    appended: int = 0
    acked: int = 0
    rejected: int = 0
    lost: int = 0
    waiting: int = 0
    resent: int = 0
