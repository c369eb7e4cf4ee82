"""The spool, broken on purpose: each mutant is the real one with one step left out, and the campaign must notice.

This is the test of the tests. Ten of them are the classic mistakes of such code, the others are the steps on which this
design rests. A mutant replaces a named method for as long as it is applied and touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from gateway.spool import cursor, layout, store
from gateway.spool.chain import Chain
from gateway.spool.cursor import CursorFile
from gateway.spool.files import Disk
from gateway.spool.ledger import Journal
from gateway.spool.losses import Losses
from gateway.spool.spool import Spool
from gateway.spool.store import Store
from tests.model.crash_seal import NONCE, one_key_for_all
from tests.model.crash_world import IDS, INTACT, KEPT, SETTLED
from tests.model.spool_disk import MemoryDisk

Patch = tuple[Any, str, Any]


@contextmanager
def replaced(owner: Any, name: str, new: Any) -> Iterator[None]:
    """Put `new` in the place of a method or function."""
    old = vars(owner)[name]
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, old)


@dataclass(frozen=True)
class Mutant:
    """name: for people and the command line; broken: what it does not do; breaks: promises that may be the first to
    fail; patches: owner, method, what stands in its place."""

    name: str
    broken: str
    breaks: frozenset[str]
    patches: tuple[Patch, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Break the spool."""
        with ExitStack() as stack:
            for patch in self.patches:
                stack.enter_context(replaced(*patch))
            yield


def during(owner: Any, name: str, *inner: Patch) -> Patch:
    """Replace the `inner` ones while owner.name runs."""
    original = vars(owner)[name]

    def run(*args: Any) -> Any:
        with ExitStack() as stack:
            for patch in inner:
                stack.enter_context(replaced(*patch))
            return original(*args)

    return owner, name, run


def nothing(*_: object) -> None:
    """Do not do it."""


def except_for(skip: Callable[[str], bool]) -> Patch:
    """Sync files, but those whose name is to be skipped."""
    original = Disk.sync

    def sync(disk: Disk, fd: int, what: str) -> None:
        if not skip(what):
            original(disk, fd, what)

    return Disk, "sync", sync


def no_sync(name: str) -> Patch:
    """Do not sync files of this name."""
    return except_for(lambda what: what == name)


NO_SYNC: Patch = (Disk, "sync", nothing)
NO_SYNC_DIR: Patch = (Disk, "sync_dir", nothing)


def _roll() -> Patch:
    original = Store._grow

    def grow(self: Store) -> Any:
        old = self.chain.active
        with replaced(*no_sync(old.path.name if old else "")):
            return original(self)

    return Store, "_grow", grow


def _in_place() -> Patch:
    original = Disk.write
    return during(CursorFile, "save", (Disk, "write", lambda disk, fd, data, _: original(disk, fd, data, 0)))


def _remove_first() -> Patch:
    original = Store.save_cursor

    def save(self: Store) -> None:
        self.chain.remove(self.done.watermark, {number for number, _ in self.ledger.waiting})
        original(self)

    return Store, "save_cursor", save


def _send_early() -> Patch:
    original = Store.append

    def append(self: Store, *args: Any) -> None:
        original(self, *args)
        assert self.chain.active
        self.chain.active.flush()
        self.durable = self.next_seq - 1

    return Store, "append", append


def _sync_dir_but(skip: Callable[[Disk, Any], bool]) -> Patch:
    original = Disk.sync_dir

    def sync_dir(disk: Disk, path: Any) -> None:
        if not skip(disk, path):
            original(disk, path)

    return Disk, "sync_dir", sync_dir


def _known_epoch(epoch: Callable[[Any, int], int]) -> Patch:
    original = store.recover

    def recover(*args: Any) -> Any:
        found = original(*args)
        found.epoch = epoch(args[2], found.epoch)
        return found

    return store, "recover", recover


def _unpinned() -> Patch:
    original = Chain.remove
    return Chain, "remove", lambda self, watermark, _: original(self, watermark, set())


def _believed_slot() -> tuple[Patch, ...]:
    original = cursor.decode_slot

    def decode(*args: Any) -> Any:
        found = original(*args)
        absurd = found and max(found[1].durable, *(last for _, last in found[1].done.ranges())) > 10**6
        return None if absurd else found  # a flipped high bit would cost all memory before anything is noticed

    return (cursor, "crc32c", lambda *_: 0), (cursor, "decode_slot", decode)


def _mutant(name: str, broken: str, breaks: set[str], *patches: Patch) -> Mutant:
    return Mutant(name, broken, frozenset(breaks), patches)


CLASSIC = (
    _mutant("no fsync", "nothing is ever synced", {KEPT, IDS, SETTLED}, NO_SYNC),
    _mutant("roll without fsync", "the old segment is not synced when a new one is begun", {KEPT, SETTLED}, _roll()),
    _mutant("no directory fsync", "no name is ever made durable", {KEPT, IDS, SETTLED}, NO_SYNC_DIR),
    _mutant(
        "cursor in place", "there is one slot, written over while it is the only one", {SETTLED, KEPT}, _in_place()
    ),
    _mutant(
        "cursor believed before its sync",
        "segments go on the strength of a slot that is not synced, as after a rename without fsync of the new file",
        {SETTLED, KEPT, IDS},
        during(CursorFile, "save", NO_SYNC),
    ),
    _mutant(
        "segment removed before the cursor",
        "a segment goes as soon as all of it is done, and the cursor is saved behind that",
        {KEPT, SETTLED},
        _remove_first(),
    ),
    _mutant("no checksum", "a record is believed by its length", {INTACT, KEPT, IDS}, (layout, "crc32c", lambda *_: 0)),
    _mutant(
        "recovery does not fsync segments",
        "what is read may be in the page cache only (KAFKA-10101)",
        {KEPT, IDS, SETTLED},
        during(store, "recover", NO_SYNC),
    ),
    _mutant(
        "recovery does not fsync the directory",
        "an open makes no name durable, not even of the segment it begins",
        {KEPT, SETTLED, IDS},
        during(Spool, "__init__", NO_SYNC_DIR),
    ),
    _mutant("send before sync", "a message can be read as soon as it is written", {IDS, KEPT}, _send_early()),
)

OURS = (
    _mutant(
        "opening does not fsync the directory above",
        "a spool made by a life that was killed may have no durable name",
        {KEPT, IDS, SETTLED},
        during(Store, "__init__", _sync_dir_but(lambda disk, path: path == disk.where.parent)),
    ),
    _mutant(
        "opening does not fsync the ledger",
        "a loss counts as copied when its line is in the page cache only, and its segment goes",
        {SETTLED, KEPT},
        during(Journal, "__init__", NO_SYNC),
    ),
    _mutant(
        "loss done before its record",
        "messages count as done before the record of their loss is synced",
        {SETTLED, KEPT},
        during(Losses, "_keep", (Store, "sync", nothing)),
    ),
    _mutant(
        "side file not synced",
        "a rejected message is done before its copy is durable",
        {KEPT},
        no_sync("messages.jsonl"),
    ),
    _mutant(
        "epoch not durable",
        "the epoch is taken from the cursor alone, and that is not synced before the first append",
        {IDS},
        _known_epoch(lambda cursor_file, epoch: cursor_file.found.epoch if cursor_file.found else epoch),
        during(Store, "_begin", no_sync("cursor")),
    ),
    _mutant(
        "epoch does not grow",
        "a start goes on with the ids of the life before",
        {IDS},
        _known_epoch(lambda _, e: e - 1),
    ),
    _mutant(
        "loss not copied before its segment goes",
        "a segment goes though the ledger has not taken the losses recorded in it",
        {SETTLED, KEPT},
        _unpinned(),
    ),
    _mutant(
        "cursor without its space",
        "the cursor's blocks are not reserved when it is made, so that a full disk refuses to save it",
        {KEPT},
        during(CursorFile, "__init__", (MemoryDisk, "allocate", nothing)),
    ),
    _mutant(
        "one slot is enough",
        "a segment goes when one slot of the cursor is beyond it",
        {KEPT, SETTLED},
        (CursorFile, "safe_watermark", property(lambda self: max(self._watermarks))),
    ),
    _mutant(
        "tail sealed again under the same key",
        "a start goes on with the key of the segments before: a torn tail and what is written there share nonces",
        {NONCE},
        *one_key_for_all(),
    ),
    _mutant("no checksum of the cursor", "a torn slot is believed", {KEPT, IDS, SETTLED}, *_believed_slot()),
    _mutant(
        "opening does not fsync the cursor",
        "a slot that was only in the page cache is acted upon, and the next power cut takes it back",
        {SETTLED},
        during(CursorFile, "__init__", no_sync("cursor")),
    ),
)

HELD_TWICE = (
    _mutant(
        "opening does not fsync its directory",
        "the directory is synced with the segment that an open begins, or nothing new can be promised in it",
        set(),
        during(Store, "__init__", _sync_dir_but(lambda disk, path: path == disk.where)),
    ),
)
"""A step that another one makes needless; it stays, for the day the other one changes. It cannot be noticed."""
