"""A disk in memory for the spool's tests: it forgets what was not synced, and it fails on demand.

The model of a crash: a process kill keeps everything that was written. A power cut keeps, of what was not synced, any
subset of 512-byte sectors, a sector also torn; file sizes per file, and names over the whole disk, as an ordered prefix
of their changes. Syncs are honest. That is the contract of ext4 in its default mode, not of every disk.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


class Crash(BaseException):
    """The process ends here. Not an Exception, so that nothing on the way up can take it for an error."""


@dataclass
class _Inode:
    cache: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, bytes]] = field(default_factory=list)  # sectors, in order, since the last sync
    sizes: list[int] = field(default_factory=list)


class MemoryDisk:
    """`Files` in memory. before: called with the name of each operation before it takes place; may raise."""

    def __init__(self) -> None:
        self.before: Callable[[str], None] = lambda _: None
        self.full = False  # nothing may grow
        self.short_write = False  # the next write takes half
        self._dirs: set[Path] = set()
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._changes: list[dict[Path, _Inode | None]] = []  # each survives whole or not at all
        self._fds: dict[int, _Inode] = {}
        self._locked: set[int] = set()
        self._next_fd = 3

    # ---- Files

    def make_dir(self, path: Path) -> None:
        self._dirs.add(path)

    def names(self, path: Path) -> list[str]:
        self.before("names")
        return [name.name for name in (*self._names, *self._dirs) if name.parent == path]

    def open(self, path: Path, create: bool = False) -> int:
        self.before("open")
        if path not in self._names:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            self._names[path] = _Inode()
            self._changes.append({path: self._names[path]})
        self._next_fd += 1
        self._fds[self._next_fd] = self._names[path]
        return self._next_fd

    def close(self, fd: int) -> None:
        self._fds.pop(fd, None)  # after a crash there is nothing to close
        self._locked.discard(fd)

    def lock(self, fd: int) -> None:
        if any(self._fds[other] is self._fds[fd] for other in self._locked):
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        self._locked.add(fd)

    def size(self, fd: int) -> int:
        return len(self._fds[fd].cache)

    def allocate(self, fd: int, size: int) -> None:
        self.before("allocate")
        if size > len(self._fds[fd].cache):
            self._grow(self._fds[fd], size)

    def truncate(self, fd: int, size: int) -> None:
        self.before("truncate")
        self._resize(self._fds[fd], size)

    def _grow(self, inode: _Inode, size: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._resize(inode, size)

    def _resize(self, inode: _Inode, size: int) -> None:
        del inode.cache[size:]
        inode.cache.extend(bytes(size - len(inode.cache)))
        inode.sizes.append(size)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        self.before("read")
        return bytes(self._fds[fd].cache[offset : offset + size])

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self.before("write")
        if self.short_write:
            self.short_write = False
            data = data[: (len(data) + 1) // 2]
        inode = self._fds[fd]
        if offset + len(data) > len(inode.cache):
            self._grow(inode, offset + len(data))
        inode.cache[offset : offset + len(data)] = data
        for begin in range(offset - offset % SECTOR, offset + len(data), SECTOR):
            inode.writes.append((begin, bytes(inode.cache[begin : begin + SECTOR])))
        return len(data)

    def sync(self, fd: int) -> None:
        self.before("sync")
        self._settle(self._fds[fd])

    def sync_dir(self, path: Path) -> None:
        assert path
        self.before("sync_dir")
        self._durable_names = dict(self._names)
        self._changes.clear()

    def remove(self, path: Path) -> None:
        self.before("remove")
        del self._names[path]
        self._changes.append({path: None})

    def rename(self, old: Path, new: Path) -> None:
        self.before("rename")
        self._names[new] = self._names.pop(old)
        self._changes.append({new: self._names[new], old: None})

    # ---- what a test does to it

    def kill(self) -> None:
        """The process ends, the machine does not."""
        self._fds.clear()
        self._locked.clear()

    def cut_power(self, rng: random.Random | None = None, names_survive: bool = False) -> None:
        """The machine ends: keep an arbitrary legal part of what was not synced; without rng nothing of it, or names
        only."""
        self.kill()
        names = dict(self._durable_names)
        kept = rng.randint(0, len(self._changes)) if rng else len(self._changes) * names_survive
        for path, inode in (pair for change in self._changes[:kept] for pair in change.items()):
            if inode is None:
                names.pop(path, None)
            else:
                names[path] = inode
        for inode in names.values():
            self._lose_writes(inode, rng)
        self._names, self._durable_names = names, dict(names)
        self._changes.clear()

    @staticmethod
    def _lose_writes(inode: _Inode, rng: random.Random | None) -> None:
        kept = bytearray(inode.durable)
        for size in inode.sizes[: rng.randint(0, len(inode.sizes)) if rng else 0]:
            del kept[size:]
            kept.extend(bytes(size - len(kept)))
        for begin, sector in inode.writes:
            survives = rng.choice((0, 0, 1, 1, rng.random())) if rng else 0
            part = sector[: int(survives * len(sector))][: max(0, len(kept) - begin)]
            kept[begin : begin + len(part)] = part
        inode.cache, inode.durable = kept, bytearray(kept)
        inode.writes.clear()
        inode.sizes.clear()

    def content(self, path: Path) -> bytearray:
        """The bytes of a file as a process sees them, to look at or to change."""
        return self._names[path].cache

    def settle(self, path: Path) -> None:
        """What the file holds now, changed by a test or not, is on the medium."""
        self._settle(self._names[path])

    @staticmethod
    def _settle(inode: _Inode) -> None:
        inode.durable = bytearray(inode.cache)
        inode.writes.clear()
        inode.sizes.clear()

    def paths(self, pattern: str) -> list[Path]:
        """All files that match a pattern of pathlib, sorted."""
        return sorted(path for path in self._names if path.match(pattern))
