"""The minisign format: read, verify, sign. The mathematics is in `cryptography` and hashlib; here is only the layout.

A signature is four lines:

    untrusted comment: …                       covered by nothing
    base64("ED" + key id + ed25519(BLAKE2b-512(file)))
    trusted comment: …
    base64(ed25519(the 64 signature bytes + the trusted comment))

Layout and numbers: https://jedisct1.github.io/minisign/ ("Signature format", "Public key format", "Secret key format").
Legacy signatures ("Ed", over the file itself) are refused: minisign makes "ED" by default since 0.10.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from gateway.core.errors import TrustError

PURE, PREHASHED = b"Ed", b"ED"
ID, KEY, SIGNATURE = 8, 32, 64  # bytes
MAX_TEXT = 16 * 1024  # minisign itself allows 8 KiB of trusted comment and 1 KiB of untrusted comment
UNTRUSTED, TRUSTED = "untrusted comment: ", "trusted comment: "
KDF_NONE, KDF_SCRYPT, CHECKSUM = b"\0\0", b"Sc", b"B2"
SECRET = 2 + 2 + 2 + 32 + 8 + 8 + ID + 64 + 32  # algorithms, salt, limits, id, seed and public key, checksum


@dataclass(frozen=True)
class PublicKey:
    """A public key. id: 8 bytes, only a name; raw: the ed25519 key."""

    id: bytes
    raw: bytes

    @classmethod
    def parse(cls, text: str, where: str = "") -> PublicKey:
        """Read the file that minisign writes, or its second line alone. Raises: TrustError."""
        lines = text.strip().split("\n")
        if len(lines) > 2 or (len(lines) == 2 and not lines[0].startswith(UNTRUSTED)):
            raise _malformed("is no minisign public key", where, "give the file that minisign -G wrote as .pub")
        data = _base64(lines[-1], where)
        if len(data) != 2 + ID + KEY or data[:2] != PURE:
            raise _malformed("is no minisign public key", where, "give the file that minisign -G wrote as .pub")
        return cls(data[2 : 2 + ID], data[2 + ID :])

    @property
    def name(self) -> str:
        """The key's id as minisign shows it."""
        return key_name(self.id)

    @property
    def line(self) -> str:
        """The key on one line of base64, as `minisign -P` takes it."""
        return base64.b64encode(PURE + self.id + self.raw).decode()

    @property
    def text(self) -> str:
        """The key as a file."""
        return f"{UNTRUSTED}minisign public key {self.name}\n{self.line}\n"

    def fits(self, signature: bytes, data: bytes) -> bool:
        """Tell whether an ed25519 signature over `data` is of this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Signature:
    """A parsed signature; nothing in it is checked yet."""

    key_id: bytes
    signature: bytes
    comment: str
    over_comment: bytes

    @classmethod
    def parse(cls, text: str, where: str = "") -> Signature:
        """Read four lines, exactly as minisign writes them. Raises: TrustError."""
        hint = "sign again with minisign -S or mdi trust sign"
        if len(text) > MAX_TEXT:
            raise _malformed(f"is larger than {MAX_TEXT // 1024} KiB, so no minisign signature", where, hint)
        lines = text.split("\n")
        if len(lines) != 5 or lines[4] or not lines[0].startswith(UNTRUSTED) or not lines[2].startswith(TRUSTED):
            raise _malformed("is no minisign signature", where, hint)
        data, over = _base64(lines[1], where), _base64(lines[3], where)
        if data[:2] == PURE:
            raise _malformed("is a legacy signature, over the file itself", where, "sign with minisign 0.10 or later")
        if len(data) != 2 + ID + SIGNATURE or data[:2] != PREHASHED or len(over) != SIGNATURE:
            raise _malformed("is no minisign signature", where, hint)
        return cls(data[2 : 2 + ID], data[2 + ID :], lines[2][len(TRUSTED) :], over)


def verify(key: PublicKey, data: bytes, signature: str, where: str = "") -> str:
    """Return the trusted comment of a signature of `key` over `data`. Raises: TrustError, which says what was changed.

    Both signatures are always looked at, so that the message can tell a changed file from a changed signature.
    """
    found = Signature.parse(signature, where)
    if found.key_id != key.id:
        what = f"is signed with key {key_name(found.key_id)}, not with {key.name}"
        raise TrustError(what, where, "have it signed by somebody who may", "unknown_signer")
    file_fits = key.fits(found.signature, hashlib.blake2b(data).digest())
    comment_fits = key.fits(found.over_comment, found.signature + found.comment.encode())
    again = "find out who changed it, then have it signed again"
    if not file_fits and comment_fits:
        raise TrustError("was changed after it was signed", where, again, "changed")
    if file_fits and not comment_fits:
        raise TrustError("the trusted comment was changed after it was signed", where, again, "comment_changed")
    if not file_fits:
        raise TrustError("the signature is damaged or of another key", where, again, "signature_changed")
    return found.comment


@dataclass(frozen=True, repr=False)
class SecretKey:
    """A key that signs. It belongs to a person and never lies on a gateway; repr does not show it."""

    id: bytes
    seed: bytes

    @classmethod
    def generate(cls) -> SecretKey:
        """Make a key from the system's random source."""
        return cls(secrets.token_bytes(ID), secrets.token_bytes(KEY))

    @classmethod
    def parse(cls, text: str, password: str = "", where: str = "") -> SecretKey:
        """Read the key file of minisign, with its password when it has one. Raises: TrustError."""
        data = _base64(text.strip().split("\n")[-1], where)
        if len(data) != SECRET or data[:2] != PURE or data[2:4] not in (KDF_NONE, KDF_SCRYPT) or data[4:6] != CHECKSUM:
            raise _malformed("is no minisign secret key", where, "give the file that minisign -G wrote as .key")
        body = data[54:]
        if data[2:4] == KDF_SCRYPT:
            limits = int.from_bytes(data[38:46], "little"), int.from_bytes(data[46:54], "little")
            body = _xor(body, _stretch(password, data[6:38], *limits))
        key_id, pair, checksum = body[:ID], body[ID : ID + 64], body[ID + 64 :]
        unchecked = data[2:4] == KDF_NONE and not any(checksum)  # minisign -W leaves it empty
        if not unchecked and hashlib.blake2b(PURE + key_id + pair, digest_size=32).digest() != checksum:
            raise _malformed("the password is wrong, or the key file is damaged", where, "try the password again")
        key = cls(key_id, pair[:KEY])
        if key.public.raw != pair[KEY:]:
            raise _malformed("its two halves do not belong together", where, "get the key file again")
        return key

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.id, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def text(self, password: str = "") -> str:
        """Return the key as a file; with a password, encrypted as minisign does it (scrypt, 1 GiB)."""
        pair = self.seed + self.public.raw
        body = self.id + pair + hashlib.blake2b(PURE + self.id + pair, digest_size=32).digest()
        kdf, salt, limits = KDF_NONE, bytes(32), (0, 0)
        if password:
            kdf, salt, limits = KDF_SCRYPT, secrets.token_bytes(32), SENSITIVE
            body = _xor(body, _stretch(password, salt, *limits))
        head = PURE + kdf + CHECKSUM + salt + b"".join(n.to_bytes(8, "little") for n in limits)
        kind = "encrypted secret key" if password else "secret key without a password"
        return f"{UNTRUSTED}minisign {kind}\n{base64.b64encode(head + body).decode()}\n"


def sign(secret: SecretKey, data: bytes, comment: str) -> str:
    """Return a minisign signature over `data` with a trusted comment of one line."""
    if not comment.isprintable():
        raise TrustError("a trusted comment is one line of printable text", "", "leave out line ends and tabs")
    key = Ed25519PrivateKey.from_private_bytes(secret.seed)
    signature = key.sign(hashlib.blake2b(data).digest())
    first = base64.b64encode(PREHASHED + secret.id + signature).decode()
    second = base64.b64encode(key.sign(signature + comment.encode())).decode()
    return f"{UNTRUSTED}signature of key {key_name(secret.id)}\n{first}\n{TRUSTED}{comment}\n{second}\n"


def key_name(key_id: bytes) -> str:
    """Return a key's id as minisign shows it: a little-endian number in hex, without leading zeros."""
    return f"{int.from_bytes(key_id, 'little'):X}"


SENSITIVE = (33554432, 1073741824)  # libsodium's crypto_pwhash_scryptsalsa208sha256 OPSLIMIT and MEMLIMIT _SENSITIVE


def _stretch(password: str, salt: bytes, operations: int, memory: int) -> bytes:
    """Derive the 104 bytes over id, key and checksum. Limits to N, r, p as libsodium's pickparams does it.

    Raises: TrustError when a key file asks for more than minisign ever does: it would only exhaust this machine.
    """
    if (operations, memory) > SENSITIVE or memory > SENSITIVE[1]:
        raise _malformed("the key file asks for too much memory", "", "make it with minisign -G")
    r, operations = 8, max(operations, 32768)
    if operations < memory // 32:
        p, n = 1, _power(operations // (4 * r))
    else:
        n = _power(memory // (128 * r))
        p = max(1, operations // 4 // n // r)
    return Scrypt(salt=salt, length=ID + 64 + 32, n=n, r=r, p=p).derive(password.encode())


def _power(most: int) -> int:
    """Return the first power of two above half of `most`."""
    n = 2
    while n <= most // 2:
        n *= 2
    return n


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _base64(line: str, where: str) -> bytes:
    """Decode one line; only the one spelling that an encoder makes, so that no bit of it can change unseen."""
    try:
        data = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("a line is not base64", where, "get the file again; it was damaged on the way") from None
    if base64.b64encode(data).decode() != line:
        raise _malformed("a line is not base64", where, "get the file again; it was damaged on the way")
    return data


def _malformed(what: str, where: str, hint: str) -> TrustError:
    return TrustError(what, where, hint, "malformed")
