"""The key with which a writer signs its checkpoints: ed25519, made on the box, one per writing process.

It signs nothing else, and is not the key of TLS. The private part is readable by its owner only and never leaves the
folder; the public part lies beside it and is in the dossier. An intruder with root has the key too: what then holds is
what has already left the box.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.core.errors import ConfigError
from gateway.security.audit.entry import Checkpoint

KEY, PUBLIC = "key", "key.pub"


class AuditKey:
    """Signs checkpoints. new: it was made just now."""

    def __init__(self, private: Ed25519PrivateKey, new: bool) -> None:
        self._private, self.new = private, new
        self.public = private.public_key().public_bytes_raw().hex()

    def sign(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return the checkpoint with its signature."""
        return replace(checkpoint, sig=self._private.sign(checkpoint.said).hex())

    @classmethod
    def load(cls, folder: Path) -> AuditKey:
        """Return the key of a writer's folder; made if there is none. Raises: OSError, ConfigError."""
        path = folder / KEY
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return cls._make(folder)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigError(f"the audit key is open to others (mode {mode:04o})", str(path), "chmod 0400")
        if len(raw) != 32:
            raise ConfigError(
                f"not an audit key: {len(raw)} bytes, not 32", str(path), "remove it: a new one is made, and audited"
            )
        return cls(Ed25519PrivateKey.from_private_bytes(raw), new=False)

    @classmethod
    def _make(cls, folder: Path) -> AuditKey:
        private = Ed25519PrivateKey.generate()
        made = cls(private, new=True)
        for name, data, mode in (
            (PUBLIC, f"{made.public}\n".encode(), 0o444),
            (KEY, private.private_bytes_raw(), 0o400),
        ):
            new = folder / f"{name}.new"
            new.unlink(missing_ok=True)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            try:
                os.write(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            new.rename(folder / name)
        return made


class MemoryKey(AuditKey):
    """A key that lies nowhere: for tests."""

    def __init__(self) -> None:
        super().__init__(Ed25519PrivateKey.generate(), new=True)
