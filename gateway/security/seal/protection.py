"""What really protects the master key: what can be seen of it here, and "unknown" for what cannot."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.security.seal.keys import CREDENTIAL, key_file

SYSTEMD = Path("/run/credentials")  # where systemd keeps credentials of services, systemd.exec(5)
STORES = (Path("/etc/credstore.encrypted"), Path("/run/credstore.encrypted"), Path("/usr/lib/credstore.encrypted"))
IN_MEMORY = frozenset({"ramfs", "tmpfs"})  # of these only ramfs is never swapped

# The first 16 bytes of an encrypted credential say which key encrypts it: CRED_AES256_GCM_BY_… in systemd 252,
# src/shared/creds-util.h
_ENCRYPTED_BY = {
    "5a1c6a86df9d4096b1d5a65e0862f19a": "host",
    "0c7cc07b117645919c4b0bea08bc20fe": "tpm2",
    "faf7eb9341e3412ca1a436f95a29362f": "tpm2",
    "93a894094874449090caf2fc93cab553": "host+tpm2",
    "af4950a849134eb1a73846304ff30c05": "host+tpm2",
    "058469daf6f54324800549da0f8ea2fb": "nothing",
}


@dataclass(frozen=True)
class Protection:
    """How the master key is kept.

    source: "none", "systemd credential", "file in memory", "file on disk"
    encrypted_by: what the stored credential is encrypted with: "host+tpm2", "tpm2", "host", "nothing", "unknown"
    memory: the file system that the key lies on while we run; ramfs is never swapped, "unknown" when it cannot be seen
    readable_by_others: whether the key's file mode lets anybody but its owner and group read it
    """

    source: str
    encrypted_by: str
    memory: str
    readable_by_others: bool = False

    @property
    def in_memory(self) -> bool:
        """Whether the key lies in clear on no disk, as far as can be seen here."""
        return self.source in ("systemd credential", "file in memory")

    @property
    def sentence(self) -> str:
        """One sentence for a person."""
        if self.source == "none":
            return "Nothing on the disk is encrypted by the gateway: there is no key."
        stored = {
            "host+tpm2": "stored encrypted with the TPM and the host key",
            "tpm2": "stored encrypted with the TPM",
            "host": "stored encrypted with the host key, a file on the same disk: whoever has the disk has the key",
            "nothing": "stored encrypted with nothing that is secret",
        }.get(self.encrypted_by, "how it is stored cannot be seen from here")
        return f"The key comes from a {self.source} on {self.memory}; {stored}."


def protection(env: Mapping[str, str] = os.environ, stores: tuple[Path, ...] = STORES) -> Protection:
    """Look, and claim nothing that is not seen. env: where CREDENTIALS_DIRECTORY stands."""
    path = key_file(CREDENTIAL, env)
    if path is None:
        return Protection("none", "unknown", "unknown")
    memory = file_system(path)
    if path.resolve().is_relative_to(SYSTEMD):
        source = "systemd credential"
    else:
        source = "file in memory" if memory in IN_MEMORY else "file on disk"
    by = _encrypted_by(stores) if source == "systemd credential" else "nothing"
    return Protection(source, by, memory, bool(path.stat().st_mode & 0o004))


def _encrypted_by(stores: tuple[Path, ...]) -> str:
    for store in stores:
        try:
            raw = base64.b64decode((store / CREDENTIAL).read_bytes()[:64])
        except (OSError, binascii.Error):
            continue
        return _ENCRYPTED_BY.get(raw[:16].hex(), "unknown")
    return "unknown"


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system that a path is on, "unknown" when that cannot be seen."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return "unknown"
    best, kind = Path(), "unknown"
    for _, where, fs, *_ in (line.split() for line in lines):
        point = Path(where.replace("\\040", " "))
        if path.resolve().is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, fs
    return kind
