"""The master key: where it comes from. It never leaves this process, and no repr, log or error shows it.

There is one way, for the gateway and for the tools: a file of 32 bytes named mdi-seal in $CREDENTIALS_DIRECTORY.
systemd puts it there, decrypted into memory that is not swapped (LoadCredentialEncrypted=; systemd.exec(5)).
mdi-seal-old beside it is the key before, as long as anything is left that was sealed with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.core.errors import ConfigError

CREDENTIAL = "mdi-seal"
OLD_CREDENTIAL = "mdi-seal-old"
KEY_BYTES = 32  # AES-256
HINT = (
    "dd if=/dev/urandom bs=32 count=1 status=none | systemd-creds encrypt --with-key=auto --name=mdi-seal - "
    "/etc/credstore.encrypted/mdi-seal"
)


def key_file(name: str = CREDENTIAL, env: Mapping[str, str] = os.environ) -> Path | None:
    """Return where a key is, None when there is none."""
    folder = env.get("CREDENTIALS_DIRECTORY", "")
    path = Path(folder) / name
    return path if folder and path.is_file() else None


def read_keys(env: Mapping[str, str] = os.environ) -> list[bytes]:
    """Return the master key and, behind it, the one before; none at all when there is no key.

    Raises: ConfigError when a key cannot be read or is not KEY_BYTES long, or there is an old one and no new one.
    """
    found: list[bytes] = []
    for name in (CREDENTIAL, OLD_CREDENTIAL):
        path = key_file(name, env)
        if path is not None:
            found.append(_read(path))
        elif name == CREDENTIAL and key_file(OLD_CREDENTIAL, env) is not None:
            raise ConfigError(f"there is {OLD_CREDENTIAL} and no {CREDENTIAL}", env["CREDENTIALS_DIRECTORY"], HINT)
    return found


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as fault:
        hint = "the unit's LoadCredentialEncrypted= must name it"
        raise ConfigError(f"the key cannot be read: {fault.strerror}", str(path), hint) from None
    if len(key) != KEY_BYTES:
        raise ConfigError(f"a key has {KEY_BYTES} bytes, this one {len(key)}", str(path), HINT)
    return key
