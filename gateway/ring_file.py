"""A ring in a file that two processes map. The file belongs on tmpfs (/run): it is memory with a name.

The file is allocated in full when it is made, so a full file system is an error here and never a SIGBUS later. Each end
is taken by one process at a time: an exclusive lock per end, released by the kernel when the process dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from pathlib import Path

from gateway.core.errors import ConfigError, InternalError
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import INCARNATION_BITS, buffer_size, format_buffer
from gateway.core.ring_reader import RingReader


class RingFile:
    """One end of a ring file. `writer` and `reader` hand out the end; close() gives it back."""

    def __init__(self, path: Path, slots: int, end: str) -> None:
        """Open or make the ring at `path`. end: "writer" or "reader".

        Raises: ConfigError when another process has this end, or the file cannot be made.
        """
        self.path = path
        self._lock = _take(path, end)
        try:
            self._map = _map(path, slots)
        except BaseException:
            os.close(self._lock)
            raise
        self._view = memoryview(self._map)

    def writer(self) -> RingWriter:
        """Return the port's end."""
        return RingWriter(self._view)

    def reader(self) -> RingReader:
        """Return the forwarder's end."""
        return RingReader(self._view)

    def close(self) -> None:
        """Give the end back. The mapping itself goes with the last view of it."""
        os.close(self._lock)


def _take(path: Path, end: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(f".{end}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        hint = "stop the other gateway process, or give this one a directory of its own"
        raise ConfigError(f"another process is the {end} of this ring", str(path), hint) from None
    return lock


def _map(path: Path, slots: int) -> mmap.mmap:
    """Map the file. A ring that is already there is kept at its own size: it may hold rows not yet read."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # both ends may start at the same moment: one of them makes it
        size = os.fstat(descriptor).st_size
        if size >= buffer_size(2):
            mapping = mmap.mmap(descriptor, size)
            if _is_ring(mapping):
                return mapping
        size = buffer_size(slots)
        os.ftruncate(descriptor, 0)
        os.posix_fallocate(descriptor, 0, size)
        mapping = mmap.mmap(descriptor, size)
        format_buffer(memoryview(mapping), slots, 1 + secrets.randbelow((1 << INCARNATION_BITS) - 1))
        return mapping
    except OSError as fault:
        hint = "check space and rights of the directory"
        raise ConfigError(f"cannot make the ring: {fault.strerror}", str(path), hint) from fault
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # the mapping keeps a copy of the descriptor, and the lock with it
        os.close(descriptor)


def _is_ring(mapping: mmap.mmap) -> bool:
    try:
        RingReader(memoryview(mapping))
    except InternalError:
        return False
    return True
