"""The thin layer between the spool and the file system, in three steps.

`Files`    what the spool asks of an operating system, raising plain OSError. A test puts a simulated disk here.
`OsFiles`  the real one.
`Disk`     what the rest of the spool calls: completes short reads and writes, types the errors, and remembers a
           failed sync, after which it does nothing more.

Nothing is ever written through a memory map: a full file system would answer with SIGBUS instead of ENOSPC.
A call interrupted by a signal is repeated by Python itself (PEP 475).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from gateway.spool.errors import SpoolFailed, SpoolFull, SpoolRefused
from gateway.spool.layout import BLOCK

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Files(Protocol):
    """A file system. Every method may raise OSError; descriptors are integers."""

    def make_dir(self, path: Path) -> None:
        """Make a directory, and what it is in, unless it is there."""

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory."""

    def open(self, path: Path, create: bool = False) -> int:
        """Open for reading and writing, keep the contents."""

    def close(self, fd: int) -> None:
        """Close; writes are not synced by it."""

    def lock(self, fd: int) -> None:
        """Take the exclusive lock of a file, held until it is closed or the process ends; else BlockingIOError."""

    def size(self, fd: int) -> int:
        """Return the length in bytes."""

    def allocate(self, fd: int, size: int) -> None:
        """Reserve space and make the file at least `size` long, reading as zeros."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut or lengthen to `size`."""

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Return up to `size` bytes; fewer is no error, none means end of file."""

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write at `offset`; return how much was taken, which may be less than all."""

    def sync(self, fd: int) -> None:
        """Make contents and length durable."""

    def sync_dir(self, path: Path) -> None:
        """Make the names in a directory durable."""

    def remove(self, path: Path) -> None:
        """Remove a file."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in one step; what had that name is gone."""


class OsFiles:
    """The operating system's files, readable by their owner only: they hold clinical values."""

    def make_dir(self, path: Path) -> None:
        """mkdir(2), its parents too; what holds a new one is made durable."""
        for missing in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
            self.sync_dir(missing.parent)

    def names(self, path: Path) -> list[str]:
        """readdir(3)."""
        return os.listdir(path)

    def open(self, path: Path, create: bool = False) -> int:
        """open(2)."""
        return os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)

    def close(self, fd: int) -> None:
        """close(2)."""
        os.close(fd)

    def lock(self, fd: int) -> None:
        """flock(2)."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def size(self, fd: int) -> int:
        """fstat(2)."""
        return os.fstat(fd).st_size

    def allocate(self, fd: int, size: int) -> None:
        """posix_fallocate(3)."""
        os.posix_fallocate(fd, 0, size)

    def truncate(self, fd: int, size: int) -> None:
        """ftruncate(2)."""
        os.ftruncate(fd, size)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """pread(2)."""
        return os.pread(fd, size, offset)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """pwrite(2)."""
        return os.pwrite(fd, data, offset)

    def sync(self, fd: int) -> None:
        """fdatasync(2): also the metadata without which the data could not be read back."""
        os.fdatasync(fd)

    def sync_dir(self, path: Path) -> None:
        """fsync(2) of the directory."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        """unlink(2)."""
        path.unlink()

    def rename(self, old: Path, new: Path) -> None:
        """rename(2)."""
        os.rename(old, new)


class Disk:
    """Files with whole reads and writes and typed errors. `where`: the spool's directory, named in every error."""

    def __init__(self, files: Files, where: Path) -> None:
        self.files = files
        self.where = where
        self._failed = ""
        self._open: set[int] = set()

    def check(self) -> None:
        """Raise SpoolFailed if a sync has failed."""
        if self._failed:
            raise SpoolFailed(self._failed, str(self.where), "start again: recovery reads what is really there")

    @contextmanager
    def typed(self, what: str) -> Iterator[None]:
        """Turn an OSError of the block into SpoolFull or SpoolRefused: "cannot `what`"."""
        self.check()
        try:
            yield
        except OSError as error:
            kind = SpoolFull if error.errno in _NO_SPACE else SpoolRefused
            raise kind(f"cannot {what}: {error.strerror or error}", str(self.where)) from error

    @contextmanager
    def _fatal(self, what: str) -> Iterator[None]:
        self.check()
        try:
            yield
        except OSError as error:
            self._failed = f"cannot make {what} durable: {error.strerror or error}"
            raise SpoolFailed(self._failed, str(self.where), "start again") from error

    def sync(self, fd: int, what: str) -> None:
        """Make a file durable; SpoolFailed, for good, if that fails."""
        with self._fatal(what):
            self.files.sync(fd)

    def sync_dir(self, path: Path) -> None:
        """Make a directory durable; as `sync`."""
        with self._fatal(path.name):
            self.files.sync_dir(path)

    def names(self, path: Path) -> set[str]:
        """Return the names in a directory."""
        with self.typed(f"list {path.name}"):
            return set(self.files.names(path))

    def open(self, path: Path, create: bool = False) -> int:
        """Open a file."""
        with self.typed(f"open {path.name}"):
            fd = self.files.open(path, create)
        self._open.add(fd)
        return fd

    def close(self, fd: int) -> None:
        """Close a file. What matters of it is synced before; Linux frees the descriptor whatever close(2) answers."""
        self._open.remove(fd)
        with suppress(OSError):
            self.files.close(fd)

    def close_all(self) -> None:
        """Close every file that is open, the lock with it."""
        for fd in sorted(self._open):
            self.close(fd)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`, or raise; what a failed call has written stands there and must be written over."""
        with self.typed("write"):
            done = 0
            while done < len(data):
                taken = self.files.write(fd, memoryview(data)[done:], offset + done)
                if not taken:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                done += taken

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Return `size` bytes, fewer at the end of the file. A block that cannot be read comes back as zeros:
        no checksum passes there, so it is treated as damage instead of stopping the line."""
        try:
            return self._read(fd, size, offset)
        except OSError:
            return b"".join(self._block(fd, min(BLOCK, size - at), offset + at) for at in range(0, size, BLOCK))

    def _read(self, fd: int, size: int, offset: int) -> bytes:
        parts: list[bytes] = []
        while size:
            part = self.files.read(fd, size, offset)
            if not part:
                break
            parts.append(part)
            size -= len(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block(self, fd: int, size: int, offset: int) -> bytes:
        try:
            return self._read(fd, size, offset)
        except OSError:
            return bytes(size)

    def create(self, path: Path, size: int, head: bytes) -> int:
        """Return the descriptor of a new durable file of `size` bytes beginning with `head`. Refused: not there."""
        fd = self.open(path, create=True)
        try:
            with self.typed(f"reserve {size} bytes"):
                self.files.allocate(fd, size)
            self.write(fd, head, 0)
        except SpoolRefused:
            self.close(fd)
            with suppress(OSError):  # it holds no record: recovery takes it away
                self.files.remove(path)
            raise
        self.sync(fd, path.name)
        self.sync_dir(path.parent)
        return fd

    def remove(self, path: Path) -> None:
        """Remove a file."""
        with self.typed(f"remove {path.name}"):
            self.files.remove(path)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file, durably."""
        with self.typed(f"rename {old.name}"):
            self.files.rename(old, new)
        self.sync_dir(new.parent)
