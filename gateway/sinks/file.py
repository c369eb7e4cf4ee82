"""The file sink: each message becomes one file, and is thereby accepted. For labs and tests.

File name: control id + ".hl7". A file appears whole or not at all: it is written under another name, synced, renamed,
and the folder is synced. Only then is the message accepted. A folder that cannot be written keeps the message. Files
are readable for their owner only: they may hold what a device was told about its patient.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError, InternalError
from gateway.core.message import Message, Outcome, Verdict
from gateway.core.settings import Settings, setting
from gateway.core.way import Way
from gateway.security.certs.tls import TlsRules
from gateway.sinks.base import ReleasedBy, SinkKind

ROOM = 100  # messages at a time: each costs a sync, so a round of the forwarder stays short
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,198}")  # MSH-10 has at most 199 characters


@dataclass(frozen=True)
class FileSettings(Settings):
    """Settings of the file sink."""

    directory: str = field(metadata=setting("Folder that takes one file per message; it is made when it is missing."))


@dataclass(slots=True)
class FileCounters:
    """In messages."""

    written: int = 0
    failed: int = 0


class FileSink:
    """Implements Sink on a folder."""

    due = math.inf  # no thread of its own

    def __init__(self, directory: Path) -> None:
        self.counters = FileCounters()
        self._directory = directory
        self._outcomes: list[Outcome] = []
        self._kept: set[str] = set()  # not written; they hold their place until they are
        self._fault = ""

    def start(self) -> None:
        """Make the folder. Raises: ConfigError when it cannot be made."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise ConfigError(f"folder cannot be made: {fault.strerror}", str(self._directory)) from fault

    def stop(self) -> None:
        """There is nothing to end: each message is finished when send returns."""

    def room(self) -> int:
        """Return how many messages may be sent now."""
        return max(0, ROOM - len(self._outcomes) - len(self._kept))

    def send(self, message: Message) -> None:
        """Write one message; the outcome says whether that went well."""
        if not _SAFE_NAME.fullmatch(message.control_id):
            raise InternalError(f"control id {message.control_id!r} is no file name")
        try:
            self._write(f"{message.control_id}.hl7", message.payload)
        except OSError as fault:
            self._fault = fault.strerror or str(fault)
            self.counters.failed += 1
            self._kept.add(message.control_id)
            self._outcomes.append(Outcome(message.control_id, Verdict.KEEP, f"file not written: {self._fault}"))
            return
        self._fault = ""
        self._kept.discard(message.control_id)
        self.counters.written += 1
        self._outcomes.append(Outcome(message.control_id, Verdict.ACCEPT))

    def expiry_s(self, topic: str) -> float:  # noqa: ARG002  # the contract's signature
        """Return 0: a file waits."""
        return 0.0

    def forget(self, control_id: str) -> None:
        """Do nothing: a file waits, and nothing of it is ever given up."""

    def outcomes(self) -> list[Outcome]:
        """Return and forget the outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def post(self, name: str, payload: bytes) -> None:
        """Do nothing: nobody listens at a folder."""

    def session(self) -> int:
        """A folder is one session for ever: each message is answered at once."""
        return 1

    def protection(self) -> dict[str, Any]:
        """Return {}: nothing leaves the box."""
        return {}

    def state(self) -> str:
        """Return one line for a person."""
        return f"cannot write to {self._directory}: {self._fault}" if self._fault else f"connected to {self._directory}"

    def _write(self, name: str, payload: bytes) -> None:
        draft = self._directory / f".{name}.draft"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._directory / name)
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _create(settings: FileSettings, _base: str = "", _rules: TlsRules | None = None) -> FileSink:
    return FileSink(Path(settings.directory))


def _released_by(_settings: FileSettings) -> ReleasedBy:
    return ReleasedBy.NOBODY


SINK = SinkKind(
    name="file",
    settings=FileSettings,
    create=_create,
    released_by=_released_by,
    ways=lambda settings: (Way("file", "directory", device=settings.directory),),
)
