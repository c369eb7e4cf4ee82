"""The little that the audit log asks of a file system, so that a test can put a disk there that fails and crashes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

FILE_MODE, FOLDER_MODE = 0o640, 0o750  # the group may read: whoever publishes checkpoints, whoever answers for the box


class Files(Protocol):
    """A file system; the same calls as those of gateway.spool.files. Every method may raise OSError."""

    def make_dir(self, path: Path) -> None:
        """Make a directory durably, unless it is there."""

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory."""

    def open(self, path: Path, create: bool = False) -> int:
        """Open for reading and writing."""

    def close(self, fd: int) -> None:
        """Close."""

    def lock(self, fd: int) -> None:
        """Take the exclusive lock of a file, else BlockingIOError."""

    def size(self, fd: int) -> int:
        """Return the length in bytes."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut to `size`."""

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Return up to `size` bytes."""

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write; return how much was taken."""

    def sync(self, fd: int) -> None:
        """Make contents and length durable."""

    def sync_dir(self, path: Path) -> None:
        """Make the names in a directory durable."""

    def remove(self, path: Path) -> None:
        """Remove a file."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in one step."""


class OsFiles:
    """The operating system's."""

    def make_dir(self, path: Path) -> None:
        """mkdir(2), its parents too."""
        for missing in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
            missing.mkdir(mode=FOLDER_MODE, exist_ok=True)
            self.sync_dir(missing.parent)

    def names(self, path: Path) -> list[str]:
        """readdir(3)."""
        return os.listdir(path)

    def open(self, path: Path, create: bool = False) -> int:
        """open(2)."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0), FILE_MODE)

    def close(self, fd: int) -> None:
        """close(2)."""
        os.close(fd)

    def lock(self, fd: int) -> None:
        """flock(2)."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def size(self, fd: int) -> int:
        """fstat(2)."""
        return os.fstat(fd).st_size

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
        """fdatasync(2)."""
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
