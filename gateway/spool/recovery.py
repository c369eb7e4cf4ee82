"""What an open finds, after whatever ended the process before: kill, power cut, damaged disk, a crash in here.

Order, and why
1. Headers first: a foreign or newer spool is refused before anything in it is touched.
2. Directory, cursor, ledger and every segment are synced before anything read from them is acted upon. Bytes that
   were only in the page cache could be read now, sent, and gone after the next power cut (KAFKA-10101).
3. Every segment is read and checked. Bytes without a valid record that have valid ones behind them are damage: copied
   to quarantine/, stepped over. Bytes at the end of the newest segment are a torn append, never promised: cut, counted.
4. What is neither done nor there, up to the highest seq known, is missing: the spool declares it lost.
5. What waits is counted, in samples of each device, from the records. A message that stands twice, because a crash came
   while its segment was given up, counts where it stands last.

Each step can be cut short and done again. Damaged bytes never stop a start.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gateway.core.errors import ConfigError
from gateway.spool.compression import require_zstd
from gateway.spool.cover import PLAIN, REFUSING, Covers
from gateway.spool.cursor import CursorFile, SeqSet
from gateway.spool.errors import SpoolRefused
from gateway.spool.files import Disk
from gateway.spool.layout import FORMATS, HEADER_BYTES, Identity, Loss, decode_header, number_of, parse_name
from gateway.spool.ledger import Ledger
from gateway.spool.routed import Routed
from gateway.spool.scan import Scan
from gateway.spool.segment import Segment

QUARANTINE = "quarantine"
QUARANTINE_FILES = 256  # by then the disk has been told from the program; a person empties the folder
QUARANTINE_BYTES = 1 << 20  # of each


@dataclass(slots=True)
class RecoveryReport:
    """What an open found and did.

    segments: segment files there; waiting: messages to be sent; lost: messages declared lost now
    cut_bytes: of a torn append; damaged: byte ranges without a valid record; quarantined: new copies of them
    changed: segments, by number, in which something is as only somebody can have made it: a right checksum over a
    wrong seal, another segment's header, a plain segment behind sealed ones; plain: segments that are not sealed
    cursor_slots_bad: 2 means that everything still stored is sent once more
    routed: how far each device was cared for, so that samples still in the ring are not stored twice
    """

    segments: int = 0
    waiting: int = 0
    lost: int = 0
    cut_bytes: int = 0
    damaged: int = 0
    changed: list[int] = field(default_factory=list)
    plain: int = 0
    quarantined: list[str] = field(default_factory=list)
    cursor_slots_bad: int = 0
    routed: dict[str, Routed] = field(default_factory=dict)


@dataclass(slots=True)
class Recovered:
    """The state to go on from. top, epoch: the highest seq and epoch known; resent: seq by control id of the waiting
    messages that were rejected once."""

    done: SeqSet
    top: int
    epoch: int
    missing: list[tuple[int, int]]
    resent: dict[str, int]
    report: RecoveryReport


def find_segments(disk: Disk, root: Path, covers: Covers) -> list[Segment]:
    """Return the segments of a spool, oldest first. Raises ConfigError for another gateway's or a newer format, and for
    a sealed one whose key is not here.

    Plain ones from before there was a key are read, and sent, as ever. Behind a sealed one, a plain one is none of
    ours: with a key nothing plain is begun.
    """
    found: list[Segment] = []
    sealed = False
    for identity in sorted(filter(None, map(parse_name, disk.names(root)))):
        path = root / identity.name
        _check_header(disk, path, covers.gateway)
        sealed |= bool(identity.mark)
        foreign = sealed and not identity.mark and covers.seal is not None
        cover = REFUSING if foreign else covers.of(identity, str(path))
        found.append(Segment(disk, root, covers.gateway, identity, cover))
    return found


def _check_header(disk: Disk, path: Path, gateway: str) -> None:
    fd = disk.open(path)
    header = decode_header(disk.read(fd, HEADER_BYTES, 0))
    disk.close(fd)
    if header and header.version not in FORMATS:
        what = f"the spool has format {header.version}, this program knows {' and '.join(map(str, FORMATS))}"
        hint = "let the version of mdi that wrote it send what waits, then move the directory away and start again"
        raise ConfigError(what, str(path), hint)
    if header and header.gateway != gateway:
        what = f"the spool belongs to gateway {header.gateway!r}, configured is {gateway!r}"
        raise ConfigError(what, str(path), "set the gateway id back, or give this gateway a directory of its own")


def recover(disk: Disk, segments: list[Segment], cursor: CursorFile, ledger: Ledger) -> Recovered:
    """Read everything and work out what is done, waiting and missing."""
    known = cursor.found
    report = RecoveryReport(segments=len(segments), cursor_slots_bad=cursor.bad_slots if segments else 0)
    first = segments[0].first_seq if segments else 1
    newest = segments[-1] if segments else None
    epoch = max(known.epoch if known else 0, newest.identity.epoch if newest else 0)
    tops = [0]
    losses: list[tuple[int, Loss]] = []
    resent: dict[int, list[tuple[int, str]]] = {}
    there = SeqSet()
    for segment in segments.copy():
        found = _read(disk, segment, report, last=segment is newest)
        if segment.end == HEADER_BYTES and segment.first_seq <= max(tops):
            segments.remove(segment)  # the disk refused it, and the one before went on: it was never in use
            if segment is not newest:  # which knows the epoch; the next open removes it
                segment.remove()
            continue
        there.update(segment.present())
        resent[segment.identity.number] = found.resent
        losses += [(segment.identity.number, loss) for loss in found.losses]
        tops.append(segment.last_seq)
        report.routed |= found.routed
        segment.close()
    done = known.done if known else done_before(first, {seq for segment in segments for seq in segment.carried})
    for _, loss in losses:
        done.update(loss.spans)
        tops.append(loss.last_message)
    tops += [known.durable if known else 0, *(last for _, last in done.ranges())]
    there.update(done.ranges())
    ledger.take_over(losses)
    _leave_out_twins(segments, done, resent)
    again = _count(segments, done, resent)
    return Recovered(done, max(tops), epoch, there.gaps(1, max(tops)), again, report)


def _leave_out_twins(segments: list[Segment], done: SeqSet, resent: dict[int, list[tuple[int, str]]]) -> None:
    """A resent message of which the first one waits, because the cursor that knew it as rejected is gone: once is
    enough."""
    for seq, told in (pair for pairs in resent.values() for pair in pairs):
        if _waits(number_of(told), segments, done):
            done.add(seq, seq)


def _waits(number: tuple[int, int], segments: list[Segment], done: SeqSet) -> bool:
    """Return whether the message with this epoch and seq is there and not done."""
    epoch, seq = number
    return seq not in done and any(
        segment.carries(seq) or (segment.identity.epoch == epoch and segment.first_seq <= seq <= segment.last_seq)
        for segment in segments
    )


def done_before(first: int, carried: set[int]) -> SeqSet:
    """Without a cursor: what was before seq `first`, of the oldest segment, is done, but for what was carried over."""
    done = SeqSet()
    for previous, seq in pairwise((0, *sorted(seq for seq in carried if seq < first), first)):
        done.add(previous + 1, seq - 1)
    return done


def _count(segments: list[Segment], done: SeqSet, resent: dict[int, list[tuple[int, str]]]) -> dict[str, int]:
    """Correct what waits in each segment by what is done, reading again those of which a part is; return the waiting
    messages that were rejected once. resent: those of each segment, by its number."""
    later: set[int] = set()  # carried over into a segment behind this one
    again: dict[str, int] = {}
    for segment in reversed(segments):

        def counts(seq: int) -> bool:
            return seq not in done and seq not in later

        untouched = not segment.carried and all(not segment.first_seq <= seq <= segment.last_seq for seq in later)
        waiting = done.gaps(segment.first_seq, segment.last_seq)
        told = resent.get(segment.identity.number, [])
        if untouched and not waiting:
            segment.samples, segment.periodic, told = Counter(), 0, []
        elif not untouched or waiting != [(segment.first_seq, segment.last_seq)]:
            found, _ = segment.examine(counts)
            segment.samples, segment.periodic, told = found.samples, found.periodic, found.resent
            segment.close()
        again |= {control_id: seq for seq, control_id in told}
        later.update(segment.carried)
    return again


def _read(disk: Disk, segment: Segment, report: RecoveryReport, last: bool) -> Scan:
    """Recover one segment, enter what was found in the report."""
    found, data = segment.recover()
    holes = found.damaged(growing=last)
    header = decode_header(data)
    if any(data[:HEADER_BYTES]) and (header is None or header.identity != segment.identity):
        holes = [(0, HEADER_BYTES), *holes]
    if changed(segment, found, header and header.identity):
        report.changed.append(segment.identity.number)
    report.plain += segment.cover is PLAIN
    if last:
        report.cut_bytes += found.tail
        segment.cut()
    if found.compressed:
        require_zstd()
    report.damaged += len(holes)
    report.quarantined += quarantine(disk, segment, holes, data)
    return found


def changed(segment: Segment, found: Scan, header: Identity | None) -> bool:
    """Return whether a segment is as no crash and no bad block can have left it. header: what its header says."""
    foreign = segment.cover is REFUSING or (header is not None and header != segment.identity)
    return bool(found.changed) or foreign


def quarantine(disk: Disk, segment: Segment, holes: list[tuple[int, int]], data: bytes) -> list[str]:
    """Copy damaged byte ranges of a segment to files of their own; return the new ones.

    They are evidence for a person. What cannot be copied now, for want of space or because there are QUARANTINE_FILES
    already, is left out: the loss is declared all the same, and the report counts the damage.
    """
    folder = segment.path.parent / QUARANTINE
    made: list[str] = []
    with suppress(SpoolRefused):
        there = disk.names(folder)
        for begin, end in holes:
            name = f"{segment.path.name}-{begin}.bin"
            if name not in there and len(there) < QUARANTINE_FILES:
                end = min(end, begin + QUARANTINE_BYTES)
                disk.close(disk.create(folder / name, end - begin, data[begin:end]))
                made.append(name)
                there.add(name)
    return made
