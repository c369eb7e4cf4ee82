"""A recorder is just a listener: it stands between a port and its link and passes everything on untouched.

Nothing that goes wrong with a recording (disk full, size limit) may touch the data of the port: the recording stops.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.core.errors import LinkError
from gateway.links.base import Clock, Link
from gateway.record import Direction, RecordingWriter

_log = logging.getLogger(__name__)


class RecordingLink:
    """Implements Link by another one; everything that passes is also recorded while a recording runs.

    start and stop may be called by any thread.
    """

    def __init__(self, inner: Link, clock: Clock, writer: RecordingWriter | None = None) -> None:
        self._inner = inner
        self._clock = clock
        self._writer = writer
        self._writing = threading.Lock()
        self.stopped_by = ""  # why the last recording ended by itself, for a person

    def start(self, writer: RecordingWriter) -> None:
        """Record to `writer` from now on; the recording that runs is ended."""
        self.stop()
        with self._writing:
            self.stopped_by = ""
            self._writer = writer
        self._event("recording started")

    def stop(self) -> None:
        """End the recording that runs, if any."""
        self._event("recording stopped")
        with self._writing:
            writer, self._writer = self._writer, None
        if writer is not None:  # synced outside the lock: the port does not wait for the disk
            self._end(writer, "", sync=True)

    def open(self) -> None:
        """Open the inner link."""
        with self._told("not opened"):
            self._inner.open()
        self._event("opened")

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        """Read from the inner link."""
        with self._told("failed"):
            chunks = self._inner.read(timeout)
        for t_ns, data in chunks:
            self._append(t_ns, Direction.FROM_DEVICE, data)
        return chunks

    def write(self, data: bytes) -> None:
        """Write to the inner link."""
        with self._told("not written"):
            self._inner.write(data)
        self._append(self._clock(), Direction.TO_DEVICE, data)

    def close(self) -> None:
        """Close the inner link; the recording goes on, the port may open again."""
        self._inner.close()
        self._event("closed")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Record a failure of the inner link on its way to the port."""
        try:
            yield
        except LinkError as error:
            self._event(f"{what}: {error}")
            raise

    def _event(self, text: str) -> None:
        self._append(self._clock(), Direction.EVENT, text.encode(errors="replace"))

    def _append(self, t_ns: int, direction: Direction, data: bytes) -> None:
        with self._writing:
            if self._writer is not None:
                try:
                    self._writer.append(t_ns, direction, data)
                except OSError as error:
                    writer, self._writer = self._writer, None
                    self._end(writer, error.strerror or str(error), sync=False)

    def _end(self, writer: RecordingWriter, why: str, sync: bool) -> None:
        """Close the file and tell why. why: "" when somebody asked for it."""
        try:
            writer.close(sync)
        except OSError as error:
            why = why or error.strerror or str(error)
        if why:
            self.stopped_by = why
            _log.warning("%s: recording stopped: %s", writer.path, why)
