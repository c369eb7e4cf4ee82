"""A spool looked at from outside: read only, without its lock, also beside the gateway that has it open.

Nothing here writes, locks or changes a byte. The owner goes on meanwhile, so what is read in one go may not fit
together: segments are read first and the cursor after them, so that what was let go in between counts as done. When
the names in the directory have changed while it was read, it is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.errors import ConfigError
from gateway.security.seal import Seal
from gateway.spool.cover import PLAIN, Cover, Covers
from gateway.spool.cursor import SLOT_BYTES, Cursor, SeqSet, decode_slot
from gateway.spool.layout import (
    FORMATS,
    HEADER_BYTES,
    Identity,
    Loss,
    Stored,
    decode_header,
    decode_message,
    parse_name,
)
from gateway.spool.recovery import done_before
from gateway.spool.rejected import FILE, read_opened
from gateway.spool.scan import Scan, scan

_LOOKS = 5  # a directory that changes at each of so many looks is shown as it is

Told = Callable[[float], object]
"""Is told how many bytes were read."""


@dataclass(slots=True)
class SegmentLook:
    """What a segment file holds. header: whether its header block is undamaged; cover: opens its records."""

    identity: Identity
    path: Path
    size: int
    header: bool
    found: Scan
    newest: bool = False
    carried: frozenset[int] = frozenset()
    cover: Cover = PLAIN

    @property
    def last_seq(self) -> int:
        """seq of its last message of its own."""
        return self.identity.first_seq + len(self.found.offsets) - 1

    @property
    def damaged(self) -> list[tuple[int, int]]:
        """Byte ranges without a valid record, the header's too."""
        head = [] if self.header else [(0, HEADER_BYTES)]
        return head + self.found.damaged(growing=self.newest)


@dataclass(slots=True)
class SpoolLook:
    """What a spool holds.

    done: seqs that need no further care; missing: ranges neither done nor there
    slots_bad: of the cursor's two; epochs: whether they never fall from one segment to the next
    """

    root: Path
    gateway: str
    segments: list[SegmentLook]
    done: SeqSet
    missing: list[tuple[int, int]] = field(default_factory=list)
    slots_bad: int = 0
    epochs: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.missing or self.slots_bad or any(s.damaged for s in self.segments)) and self.epochs

    def messages(self, segment: SegmentLook) -> Iterator[tuple[Stored, bool]]:
        """Yield each message that stands in a segment and in no later one, by seq, and whether it waits."""
        try:
            data = segment.path.read_bytes()
        except FileNotFoundError:  # all in it was done meanwhile
            return
        first = segment.identity.first_seq
        places = {first + i: at for i, at in enumerate(segment.found.offsets) if at} | segment.found.carried
        later = {seq for s in self.segments for seq in s.carried if s.identity.number > segment.identity.number}
        for seq, at in sorted(places.items()):
            size = int.from_bytes(data[at : at + 4], "little")
            record = segment.cover.off(data[at : at + size], at) if seq not in later else None
            if record:
                yield decode_message(record, self.gateway), seq not in self.done

    def waiting(self) -> tuple[Counter[str], Counter[str]]:
        """Return what waits, counted from the records: messages and samples of each device."""
        messages: Counter[str] = Counter()
        samples: Counter[str] = Counter()
        for segment in self.segments:
            for stored, waits in self.messages(segment):
                messages[stored.extent.device] += waits
                samples[stored.extent.device] += waits * stored.extent.count
        return messages, samples


def size_of(root: Path) -> int:
    """Return how many bytes a look reads. Raises ConfigError when there is no spool."""
    return sum((root / name).stat().st_size for name in _names(root) if (root / name).exists())


def look(root: Path, told: Told = lambda _: None, gateway: str = "", seal: Seal | None = None) -> SpoolLook:
    """Read the spool in a directory. gateway: whose it is, for when no header says so; seal: opens what is sealed.

    Raises ConfigError when there is none, or it cannot be read, or its key is not here.
    """
    try:
        for _ in range(_LOOKS):
            before = _names(root)
            found = _look(root, before, told, Covers(_gateway(root, before) or gateway, seal))
            if _names(root) == before:
                break
    except PermissionError as fault:
        hint = "ask as the user that the sender runs as"
        raise ConfigError("the spool cannot be read: permission denied", str(root), hint) from fault
    return found


def gateway_of(root: Path) -> str:
    """Return whose spool it is, as a header says; "" when none can be read. Raises ConfigError: there is no spool."""
    return _gateway(root, _names(root))


def rejected_lines(root: Path, gateway: str, seal: Seal | None) -> Iterator[bytes]:
    """Yield the lines of the rejected messages in clear, oldest first. Raises: ConfigError, also without the key."""
    path = root / "rejected" / FILE
    return read_opened(side_lines(path), seal, gateway or gateway_of(root), str(path))


def _names(root: Path) -> list[str]:
    try:
        return sorted(path.name for path in root.iterdir() if parse_name(path.name))
    except (FileNotFoundError, NotADirectoryError) as fault:
        raise ConfigError("there is no spool here", str(root), "name state_dir/spool of the gateway") from fault


def _look(root: Path, names: list[str], told: Told, covers: Covers) -> SpoolLook:
    gateway = covers.gateway
    durable, _, _ = _cursor(root, covers)
    segments: list[SegmentLook] = []
    read = 0
    for name in names:
        identity = parse_name(name)
        try:
            data = (root / name).read_bytes()
        except FileNotFoundError:
            continue
        if identity is None:
            continue
        cover = covers.of(identity, str(root / name))
        found = scan(data, identity, identity.salt(gateway), cover=cover)
        header = decode_header(data)
        sound = header.identity == identity if header else not any(data[:HEADER_BYTES])
        carried = frozenset(found.carried)
        segments.append(SegmentLook(identity, root / name, len(data), sound, found, carried=carried, cover=cover))
        read += len(data)
        told(read)
    if segments:
        segments[-1].newest = True
    _, cursor, bad = _cursor(root, covers)
    return _joined(root, gateway, segments, durable, cursor, bad)


def _joined(
    root: Path, gateway: str, segments: list[SegmentLook], durable: int, cursor: Cursor | None, bad: int
) -> SpoolLook:
    first = segments[0].identity.first_seq if segments else 1
    done = cursor.done if cursor else done_before(first, {seq for s in segments for seq in s.carried})
    losses: list[Loss] = [loss for segment in segments for loss in segment.found.losses]
    for loss in losses:
        for pair in loss.spans:
            done.add(*pair)
    there = SeqSet()
    for segment in segments:
        for seq in segment.carried:
            there.add(seq, seq)
        for i, at in enumerate(segment.found.offsets):
            if at:
                there.add(segment.identity.first_seq + i, segment.identity.first_seq + i)
    for pair in done.ranges():
        there.add(*pair)
    top = max([durable, *(segment.last_seq for segment in segments)])
    epochs = [segment.identity.epoch for segment in segments]
    return SpoolLook(root, gateway, segments, done, there.gaps(1, top), bad, epochs == sorted(epochs))


def _gateway(root: Path, names: list[str]) -> str:
    """Return whose spool it is, from the first header that can be read."""
    for name in names:
        try:
            with (root / name).open("rb") as file:
                header = decode_header(file.read(HEADER_BYTES))
        except FileNotFoundError:
            continue
        if header and header.version not in FORMATS:
            what = f"the spool has format {header.version}, this program knows {' and '.join(map(str, FORMATS))}"
            raise ConfigError(what, str(root / name), "use the version of mdi that wrote it")
        if header:
            return header.gateway
    return ""


def _cursor(root: Path, covers: Covers) -> tuple[int, Cursor | None, int]:
    """Return the last durable seq that the cursor knows, the cursor, and how many of its slots say nothing."""
    try:
        data = (root / "cursor").read_bytes()
    except FileNotFoundError:
        return 0, None, 2
    slots = [decode_slot(data[at : at + SLOT_BYTES], covers.macs) for at in (0, SLOT_BYTES)]
    good = [slot for slot in slots if slot]
    cursor = max(good, key=lambda slot: slot[0])[1] if good else None
    return cursor.durable if cursor else 0, cursor, slots.count(None)


def side_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a side file and of the one before it, oldest first. Raises: ConfigError."""
    for file in (path.with_suffix(f".1{path.suffix}"), path):
        try:
            with file.open("rb") as opened:
                yield from (line.rstrip(b"\n") for line in opened)
        except FileNotFoundError:
            continue
        except PermissionError as fault:
            raise ConfigError("permission denied", str(file), "ask as the user that the sender runs as") from fault
