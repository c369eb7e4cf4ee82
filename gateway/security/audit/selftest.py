"""The security self-test: quick tests at each start and on demand. A registry: one function, one line in TESTS.

Known answers of the algorithms that are relied on, the rights of the files of the audit log, and its chain. It takes
well below 2 s: the chain is read once, and the rest is microseconds.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.security.audit.keys import KEY
from gateway.security.audit.verify import verify

_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, SHA-256 of "abc"
_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, 7.1, test 1: of no bytes
_SIGNATURE = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
    "655141438e7a100b"
)
_TAG = "530f8afbc74536b9a963b4f1c4cb738b"  # GCM specification, test case 13: AES-256, all zero, no text
_OKM = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"  # RFC 5869, A.1


@dataclass(frozen=True, slots=True)
class Place:
    """What is looked at. folder: the audit log of one writer; gateway: its name."""

    folder: Path
    gateway: str


def _sha256(_: Place) -> bool:
    return hashlib.sha256(b"abc").hexdigest() == _ABC


def _ed25519(_: Place) -> bool:
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(_KEY))
    key.verify(bytes.fromhex(_SIGNATURE), b"")
    try:
        key.verify(bytes.fromhex(_SIGNATURE), b"x")
    except InvalidSignature:
        return True
    return False


def _aes_gcm(_: Place) -> bool:
    return AESGCM(bytes(32)).encrypt(bytes(12), b"", b"").hex() == _TAG


def _hkdf(_: Place) -> bool:
    made = HKDF(SHA256(), 42, bytes(range(13)), bytes(range(0xF0, 0xFA))).derive(b"\x0b" * 22)
    return made.hex() == _OKM


def _rights(place: Place) -> bool:
    """The key of the audit log is its owner's alone, and nobody else writes in its folder."""
    key, folder = place.folder / KEY, place.folder
    if not folder.exists():
        return True
    closed = not stat.S_IMODE(folder.stat().st_mode) & 0o022
    return closed and (not key.exists() or not stat.S_IMODE(key.stat().st_mode) & 0o277)


def _chain(place: Place) -> bool:
    """The log is what it was, as far as the box itself can tell; the line that a crash has torn is no change."""
    if not place.folder.exists():
        return True
    wrong = [found for found in verify(place.folder, place.gateway).findings if found.weight == "tamper"]
    return all("crash" in found.what for found in wrong)


TESTS: Mapping[str, Callable[[Place], bool]] = {
    "sha-256": _sha256,
    "ed25519": _ed25519,
    "aes-256-gcm": _aes_gcm,
    "hkdf": _hkdf,
    "audit-rights": _rights,
    "audit-chain": _chain,
}
OF_A_LOG = ("audit-rights", "audit-chain")  # the others look at nothing but the program


def selftest(place: Place, tests: Mapping[str, Callable[[Place], bool]] = TESTS) -> list[str]:
    """Return the names of the tests that failed; [] is good."""
    return [name for name, test in tests.items() if not _holds(test, place)]


def _holds(test: Callable[[Place], bool], place: Place) -> bool:
    try:
        return test(place)
    except (OSError, ValueError, InvalidSignature):
        return False
