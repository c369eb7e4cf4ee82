"""A disk in memory for the spool's tests: it forgets what was not synced, and it fails on demand.

The model of a crash
- A process kill keeps everything that was written; a write under way may have been taken in part.
- A power cut keeps, of what was not synced, any subset of 512-byte sectors, a sector also torn (new bytes in front, old
  ones behind); of each file an ordered prefix of its changes of length; of each directory an ordered prefix of its
  changes of names. What was written before a kill and never synced is still lost in a later power cut.
- A sync of a file does not make its name durable, and a sync of one directory does nothing for another. ext4 in its
  default mode promises more than that (one journal for all names, in order), so what holds here holds there.
- Syncs are honest: a disk that answers a flush without doing it is outside of the model.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

SECTOR = 512
TORN = 0.1  # how often a sector that was being written is torn: rare on real disks, so that whole ones dominate


class Crash(BaseException):
    """The process ends here. Not an Exception, so that nothing on the way up can take it for an error."""


@dataclass(eq=False)
class Inode:
    """A file. cache: what a process reads; durable: what is on the medium; the rest: changes since the last sync."""

    cache: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, bytes]] = field(default_factory=list)  # whole sectors, in order
    sizes: list[int] = field(default_factory=list)
    path: str = ""

    def settle(self) -> None:
        """What a process sees is on the medium."""
        if self.sizes:
            self.durable = self.cache.copy()
        else:  # a few sectors of what may be a large file
            for begin, sector in self.writes:
                self.durable[begin : begin + len(sector)] = sector
        self.writes.clear()
        self.sizes.clear()

    def survive(self, sizes: int, sectors: Iterable[tuple[int, bytes]]) -> None:
        """The power is gone: the first `sizes` changes of length and these sectors, or parts of them, are left."""
        if not self.writes and not self.sizes:
            return
        kept = self.durable
        for size in self.sizes[:sizes]:
            del kept[size:]
            kept.extend(bytes(size - len(kept)))
        for begin, sector in sectors:
            part = sector[: max(0, len(kept) - begin)]
            kept[begin : begin + len(part)] = part
        self.cache = kept.copy()
        self.writes.clear()
        self.sizes.clear()


class MemoryDisk:
    """`Files` in memory. before: called with the name of each operation before it takes place; may raise. at: the file
    or directory of that operation."""

    def __init__(self) -> None:
        self.before: Callable[[str], None] = lambda _: None
        self.at = "/"
        self.full = False  # nothing may grow
        self.short_write = False  # the next write takes half
        self._dirs = {"/"}
        self._durable_dirs = set(self._dirs)
        self._names: dict[str, Inode] = {}  # plain strings: pathlib would take a quarter of a campaign
        self._durable_names: dict[str, Inode] = {}
        self._changes: list[dict[str, Inode | None]] = []  # each survives whole or not at all
        self._fds: dict[int, Inode] = {}
        self._locked: set[int] = set()
        self._next_fd = 3

    def _about(self, operation: str, path: str) -> None:
        self.at = path
        self.before(operation)

    # ---- Files

    def make_dir(self, path: Path) -> None:
        for missing in reversed([folder for folder in map(str, (path, *path.parents)) if folder not in self._dirs]):
            self._about("make_dir", missing)
            self._dirs.add(missing)
            self._sync_dir(_folder(missing))

    def names(self, path: Path) -> list[str]:
        folder = str(path)
        self._about("names", folder)
        return [name[len(folder) + 1 :] for name in (*self._names, *self._dirs) if _folder(name) == folder]

    def open(self, path: Path, create: bool = False) -> int:
        name = str(path)
        inode = self._names.get(name)
        self._about("create" if create and inode is None else "open", name)
        if inode is None:
            if not create or _folder(name) not in self._dirs:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            inode = self._names[name] = Inode(path=name)
            self._changes.append({name: inode})
        self._next_fd += 1
        self._fds[self._next_fd] = inode
        return self._next_fd

    def close(self, fd: int) -> None:
        inode = self._fds.pop(fd, None)  # after a crash there is nothing to close
        self._locked.discard(fd)
        if inode:
            self._about("close", inode.path)  # Linux: the descriptor is gone, whatever close says

    def lock(self, fd: int) -> None:
        self._about("lock", self._fds[fd].path)
        if any(self._fds[other] is self._fds[fd] for other in self._locked):
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        self._locked.add(fd)

    def size(self, fd: int) -> int:
        self._about("size", self._fds[fd].path)
        return len(self._fds[fd].cache)

    def allocate(self, fd: int, size: int) -> None:
        inode = self._fds[fd]
        self._about("allocate", inode.path)
        if size > len(inode.cache):
            self._grow(inode, size)

    def truncate(self, fd: int, size: int) -> None:
        self._about("truncate", self._fds[fd].path)
        self._resize(self._fds[fd], size)

    def _grow(self, inode: Inode, size: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._resize(inode, size)

    def _resize(self, inode: Inode, size: int) -> None:
        del inode.cache[size:]
        inode.cache.extend(bytes(size - len(inode.cache)))
        inode.sizes.append(size)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        inode = self._fds[fd]
        self._about("read", inode.path)
        return bytes(inode.cache[offset : offset + size])

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        inode = self._fds[fd]
        self._about("write", inode.path)
        if self.short_write:
            self.short_write = False
            data = data[: (len(data) + 1) // 2]
        end = offset + len(data)
        if end > len(inode.cache):
            self._grow(inode, end)
        inode.cache[offset:end] = data
        for begin in range(offset - offset % SECTOR, end, SECTOR):
            inode.writes.append((begin, bytes(inode.cache[begin : begin + SECTOR])))
        return len(data)

    def sync(self, fd: int) -> None:
        inode = self._fds[fd]
        self._about("sync", inode.path)
        inode.settle()

    def sync_dir(self, path: Path) -> None:
        self._sync_dir(str(path))

    def _sync_dir(self, folder: str) -> None:
        self._about("sync_dir", folder)
        for change in self._changes:
            if _where(change) == folder:
                _apply(self._durable_names, change)
        self._changes = [change for change in self._changes if _where(change) != folder]
        self._durable_dirs |= {made for made in self._dirs if _folder(made) == folder}

    def remove(self, path: Path) -> None:
        name = str(path)
        self._about("remove", name)
        del self._names[name]
        self._changes.append({name: None})

    def rename(self, old: Path, new: Path) -> None:
        self._about("rename", str(old))
        inode = self._names[str(new)] = self._names.pop(str(old))
        inode.path = str(new)
        self._changes.append({str(new): inode, str(old): None})

    # ---- what a test does to it

    def kill(self) -> None:
        """The process ends, the machine does not."""
        self._fds.clear()
        self._locked.clear()

    def cut_power(self, rng: random.Random | None = None, names_survive: bool = False) -> None:
        """The machine ends: keep an arbitrary legal part of what was not synced; without rng nothing of it, or names
        only."""
        kept = {folder: rng.random() if rng else float(names_survive) for folder in sorted(self._dirs)}
        self._forget_names(kept)
        for inode in self._names.values():
            if rng is None or not (inode.writes or inode.sizes):
                inode.survive(0, ())
                continue
            share = rng.choice((0, 0.2, 0.5, 0.8, 1))  # of a file's sectors: also none and all of them
            inode.survive(rng.randint(0, len(inode.sizes)), _sectors(inode, share, rng))

    def _forget_names(self, kept: dict[str, float]) -> None:
        """Keep an ordered prefix of each directory's changes of names, this share of them."""
        self.kill()
        names = self._durable_names.copy()
        changed: dict[str, list[dict[str, Inode | None]]] = {}
        for change in self._changes:
            changed.setdefault(_where(change), []).append(change)
        for folder, changes in changed.items():
            for change in changes[: int(kept[folder] * (len(changes) + 0.999))]:
                _apply(names, change)
        for folder in sorted(self._dirs - self._durable_dirs):  # what holds a directory comes before it
            if kept[_folder(folder)] <= 0.5 or _folder(folder) not in self._dirs:
                self._dirs.remove(folder)
        self._names = {name: inode for name, inode in names.items() if _folder(name) in self._dirs}
        self._durable_names, self._durable_dirs = self._names.copy(), self._dirs.copy()
        self._changes.clear()

    def cut_after(self, order: int, names_survive: bool) -> None:
        """The machine ends: keep the first `order` of the changes that are not synced, lengths and sectors of one file
        after the other."""
        self._forget_names(dict.fromkeys(self._dirs, float(names_survive)))
        for name in sorted(self._names):
            inode = self._names[name]
            sizes, sectors = len(inode.sizes), len(inode.writes)
            inode.survive(min(sizes, order), inode.writes[: max(0, order - sizes)])
            order = max(0, order - sizes - sectors)

    @property
    def unsynced(self) -> int:
        """How many changes of length and sectors are not synced."""
        return sum(len(inode.sizes) + len(inode.writes) for inode in self._names.values())

    @property
    def unsynced_names(self) -> int:
        """How many changes of names are not synced."""
        return len(self._changes) + len(self._dirs - self._durable_dirs)

    def clone(self) -> MemoryDisk:
        """Return a disk with the same contents, durable and not, that nobody has open."""
        other = MemoryDisk()
        inodes = {
            *self._names.values(),
            *self._durable_names.values(),
            *(i for change in self._changes for i in change.values() if i),
        }
        twins = {i: Inode(i.cache.copy(), i.durable.copy(), i.writes.copy(), i.sizes.copy(), i.path) for i in inodes}
        other._names = {path: twins[i] for path, i in self._names.items()}
        other._durable_names = {path: twins[i] for path, i in self._durable_names.items()}
        other._changes = [{path: i and twins[i] for path, i in change.items()} for change in self._changes]
        other._dirs, other._durable_dirs = self._dirs.copy(), self._durable_dirs.copy()
        other.full = self.full
        return other

    def content(self, path: Path) -> bytearray:
        """The bytes of a file as a process sees them, to look at or to change."""
        return self._names[str(path)].cache

    def settle(self, path: Path) -> None:
        """What the file holds now, changed by a test or not, is on the medium."""
        inode = self._names[str(path)]
        inode.sizes.append(len(inode.cache))
        inode.settle()

    def paths(self, pattern: str) -> list[Path]:
        """All files that match a pattern of pathlib, sorted."""
        return sorted(path for path in map(Path, self._names) if path.match(pattern))


@lru_cache(4096)
def _folder(name: str) -> str:
    return name.rpartition("/")[0] or "/"


def _where(change: dict[str, Inode | None]) -> str:
    return _folder(next(iter(change)))


def _apply(names: dict[str, Inode], change: dict[str, Inode | None]) -> None:
    for name, inode in change.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _sectors(inode: Inode, share: float, rng: random.Random) -> list[tuple[int, bytes]]:
    """Return the sectors that survive: about this share, some of them torn."""
    kept: list[tuple[int, bytes]] = []
    for begin, sector in inode.writes:
        luck = rng.random()
        if luck < TORN and share not in (0, 1):
            kept.append((begin, sector[: int(luck / TORN * len(sector))]))
        elif luck < share:
            kept.append((begin, sector))
    return kept
