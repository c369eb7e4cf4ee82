"""Known answers of the cryptography this program rests on: computed now, compared with what the standards print."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# FIPS 180-2, appendix B.1
SHA_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
# The Galois/Counter Mode of Operation (McGrew, Viega), appendix B, test case 14: key, nonce and plaintext are zero
GCM = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
# RFC 5869, appendix A.3: HKDF-SHA-256 with neither salt nor info
HKDF_OKM = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
# RFC 8032, section 7.1, test 1: the empty message
ED_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
ED_SIGNATURE = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)


def known_answers() -> tuple[tuple[str, bool], ...]:
    """Return name → right, for each."""
    return (
        ("SHA-256", hashlib.sha256(b"abc").hexdigest() == SHA_ABC),
        ("AES-256-GCM", _gcm()),
        ("HKDF", HKDF(SHA256(), 42, None, b"").derive(b"\x0b" * 22).hex() == HKDF_OKM),
        ("Ed25519", _ed25519()),
    )


def _gcm() -> bool:
    """The answer is right, and a changed one is refused."""
    box = AESGCM(bytes(32))
    answer = box.encrypt(bytes(12), bytes(16), None)
    try:
        box.decrypt(bytes(12), answer[:-1] + bytes([answer[-1] ^ 1]), None)
    except InvalidTag:
        return answer.hex() == GCM
    return False


def _ed25519() -> bool:
    """The signature is right, and does not fit another message."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(ED_KEY))
    signature = bytes.fromhex(ED_SIGNATURE)
    try:
        key.verify(signature, b"")
        key.verify(signature, b"x")
    except InvalidSignature:
        return _verifies(key, signature)
    return False


def _verifies(key: Ed25519PublicKey, signature: bytes) -> bool:
    try:
        key.verify(signature, b"")
    except InvalidSignature:
        return False
    return True
