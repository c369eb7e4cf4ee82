"""Authenticated encryption of what lies on the disk: AES-256-GCM, a key of its own for each file.

    master key ─ HKDF-SHA256, salt: 256 bits by chance for each file; info: what for and whose ─► key of one file

A Seal has the master keys. `begin` gives the Box of a new file, `box` that of one that is there, by the Mark that
stands with it: which master key, and the salt. Neither is a secret.

The one mistake that AES-GCM does not forgive is two texts under one nonce of one key (NIST SP 800-38D, section 8). A
box that seals counts, and its counter never goes back; a box of a file that is there already does not seal at all. So
who goes on after a crash has a new file, a new salt, a new key.

Sources: AES-GCM: NIST SP 800-38D. HKDF: RFC 5869. Both of the library `cryptography`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.core.errors import ConfigError, InternalError
from gateway.security.seal.keys import CREDENTIAL, HINT, KEY_BYTES, OLD_CREDENTIAL, read_keys

SALT_BYTES = 32
ID_BYTES = 8  # enough to tell a few keys apart; says nothing of the key
TAG_BYTES = 16
COUNTER_BYTES = 4  # more than a file has records
OVERHEAD = COUNTER_BYTES + TAG_BYTES  # bytes that sealing adds
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.1: 96 bits, here a counter
_FORMAT = b"mdi-seal/1"

Random = Callable[[int], bytes]
Mac = Callable[[bytes], bytes]


class Mark(NamedTuple):
    """What stands in clear with a sealed file. key: which master key; salt: from which the key of the file follows."""

    key: bytes
    salt: bytes

    @property
    def text(self) -> str:
        """80 hexadecimal digits."""
        return (self.key + self.salt).hex()


def parse_mark(text: str) -> Mark | None:
    """Return the mark of its text, None for any other text."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return Mark(raw[:ID_BYTES], raw[ID_BYTES:]) if len(raw) == ID_BYTES + SALT_BYTES else None


class Box:
    """Seals and opens the pieces of one file. It has the key; nothing shows it."""

    def __init__(self, key: bytes, counter: int | None) -> None:
        """counter: of the first piece to be sealed; None: nothing may be sealed."""
        self._cipher = AESGCM(key)
        self._counter = counter

    def seal(self, data: bytes, place: bytes) -> bytes:
        """Return counter, ciphertext, tag. place: what must be the same when it is opened; not a secret."""
        if self._counter is None:
            raise InternalError("a file that was there before must not be sealed on")
        nonce = self._counter.to_bytes(COUNTER_BYTES, "big")  # OverflowError beyond the last one: never twice
        self._counter += 1
        return nonce + self._cipher.encrypt(nonce.rjust(_NONCE_BYTES, b"\0"), data, place)

    def open(self, sealed: bytes, place: bytes) -> bytes | None:
        """Return what was sealed for this place; None when it was not, or has been changed since."""
        if len(sealed) < OVERHEAD:
            return None
        nonce = sealed[:COUNTER_BYTES].rjust(_NONCE_BYTES, b"\0")
        try:
            return self._cipher.decrypt(nonce, sealed[COUNTER_BYTES:], place)
        except InvalidTag:
            return None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a box is not to be copied")


class Seal:
    """The master keys: the first seals, all of them open. random: gives salts; a test may make it repeatable."""

    def __init__(self, keys: Sequence[bytes], random: Random = secrets.token_bytes) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise InternalError(f"a seal needs keys of {KEY_BYTES} bytes")
        self._keys = {_id(key): key for key in reversed(keys)}  # were both the same, the first one counts
        self._newest = _id(keys[0])
        self._random = random

    @classmethod
    def read(cls, env: Mapping[str, str] | None = None) -> Seal | None:
        """Return the seal of the credentials, None when there is no key. Raises: ConfigError."""
        keys = read_keys() if env is None else read_keys(env)
        return cls(keys) if keys else None

    @property
    def key_id(self) -> str:
        """Which key seals: a name of it, no part of it."""
        return self._newest.hex()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Which keys are here, the one that seals first."""
        return (self.key_id, *(key.hex() for key in self._keys if key != self._newest))

    def mark(self) -> Mark:
        """Return the mark of a new file."""
        return Mark(self._newest, self._random(SALT_BYTES))

    def begin(self, mark: Mark, purpose: str, whose: str) -> Box:
        """Return the box of a new file, with a mark that no file had before. purpose, whose: see `box`."""
        return Box(self._file_key(mark, purpose, whose), 0)

    def box(self, mark: Mark, purpose: str, whose: str) -> Box:
        """Return the box of a file that is there. It opens only what was sealed for this purpose and owner.

        Raises: ConfigError when its master key is not here.
        """
        if mark.key not in self._keys:
            raise missing_key(mark)
        return Box(self._file_key(mark, purpose, whose), None)

    def macs(self, purpose: str, whose: str) -> tuple[Mac, ...]:
        """Return a function for each key, that of the newest first: bytes to their HMAC-SHA256 (RFC 2104)."""
        info = b"\0".join((_FORMAT, b"mac", purpose.encode(), whose.encode()))
        keys = [self._keys[self._newest], *(key for name, key in self._keys.items() if name != self._newest)]
        made = [HKDF(SHA256(), KEY_BYTES, None, info).derive(key) for key in keys]
        return tuple(partial(_mac, key) for key in made)

    def knows(self, mark: Mark) -> bool:
        """Return whether the master key of a mark is here."""
        return mark.key in self._keys

    def _file_key(self, mark: Mark, purpose: str, whose: str) -> bytes:
        info = b"\0".join((_FORMAT, purpose.encode(), whose.encode()))
        return HKDF(SHA256(), KEY_BYTES, mark.salt, info).derive(self._keys[mark.key])

    def __repr__(self) -> str:
        return f"Seal({self.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a seal is not to be copied")


def needed(seal: Seal | None, production: bool) -> Seal | None:
    """Return the seal, None only in the lab. Raises: ConfigError in production without a key."""
    if seal is None and production:
        what = "production needs a key for what lies on the disk, and there is none"
        raise ConfigError(what, f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}", f"make one: {HINT}")
    return seal


def missing_key(mark: Mark, where: str = "") -> ConfigError:
    """Return the error for what cannot be opened here."""
    hint = f"load the key as the credential {CREDENTIAL} or {OLD_CREDENTIAL}: docs/operation.md#the-key-of-the-disk"
    return ConfigError(f"it is sealed with the key {mark.key.hex()}, which is not here", where, hint)


def _id(key: bytes) -> bytes:
    return HKDF(SHA256(), ID_BYTES, None, _FORMAT + b" id").derive(key)


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
