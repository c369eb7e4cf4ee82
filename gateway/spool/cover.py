"""How the records of a segment lie on the disk: as they are, or sealed.

A sealed record keeps its length, checksum and head, so that recovery finds torn and damaged ones without the key. Its
payload is encrypted, and head and place are authenticated with it:

    len u32 | crc u32 | head, 32 bytes | counter u32 | ciphertext of the payload | tag 16s

The key is that of the segment: it follows from a salt by chance in the segment's name and header, and from gateway id,
number, epoch and first seq. The nonce is the counter; it goes on from record to record and never back, also when a
write is refused and another record stands in its place. Authenticated are head, offset and length. So a record cannot
be changed, moved within its segment, or taken to another one; and because each start begins with a new segment, and
each new segment with a new salt, no nonce is used twice, whatever a crash has cut off.

A checksum that is right over a seal that is not, is no torn write and no bad block: somebody has changed it.
"""

from __future__ import annotations

import struct
from typing import Protocol

from fastcrc.crc32 import iscsi as crc32c

from gateway.core.errors import ConfigError, InternalError
from gateway.security.seal import OVERHEAD, Box, Mac, Seal, parse_mark
from gateway.security.seal.box import missing_key
from gateway.spool.layout import AT_TYPE, RECORD_BYTES, Identity

PURPOSE = "spool segment"
_LENGTH = struct.Struct("<I")
_CRC = struct.Struct("<I")
_PLACE = struct.Struct("<QI")


class Cover(Protocol):
    """Between a record and its bytes in the file. more: bytes that each record takes there beyond its own."""

    more: int

    def on(self, record: bytes, offset: int, /) -> bytes:
        """Return the bytes in the file of a record that will stand at `offset`."""

    def off(self, stored: bytes, offset: int, /) -> bytes | None:
        """Return the record of bytes at `offset` whose checksum is right; None when it is not what was sealed."""


class Plain:
    """Records as they are."""

    more = 0

    def on(self, record: bytes, _: int) -> bytes:
        """The same."""
        return record

    def off(self, stored: bytes, _: int) -> bytes | None:
        """The same."""
        return stored


PLAIN = Plain()


class Refusing:
    """Of a segment that cannot be of this spool: whatever it holds, nothing of it is believed."""

    more = 0

    def on(self, _: bytes, __: int) -> bytes:
        """Nothing is ever written there."""
        raise InternalError("a record for a segment that is not believed")

    def off(self, _: bytes, __: int) -> bytes | None:
        """None."""
        return None


REFUSING = Refusing()


class Sealed:
    """Records that are sealed; salt: of the segment's checksums."""

    more = OVERHEAD

    def __init__(self, box: Box, salt: int) -> None:
        self._box = box
        self._salt = salt

    def on(self, record: bytes, offset: int) -> bytes:
        """Seal."""
        length = _LENGTH.pack(len(record) + OVERHEAD)
        head = record[AT_TYPE:RECORD_BYTES]
        sealed = self._box.seal(record[RECORD_BYTES:], head + _PLACE.pack(offset, len(record)))
        crc = crc32c(sealed, crc32c(length + head, self._salt))
        return b"".join((length, _CRC.pack(crc), head, sealed))

    def off(self, stored: bytes, offset: int) -> bytes | None:
        """Open; the checksum of what comes back is not set, it has been checked."""
        head, size = stored[AT_TYPE:RECORD_BYTES], len(stored) - OVERHEAD
        if size < RECORD_BYTES:
            return None
        payload = self._box.open(stored[RECORD_BYTES:], head + _PLACE.pack(offset, size))
        return None if payload is None else b"".join((_LENGTH.pack(size), stored[4:AT_TYPE], head, payload))


class Covers:
    """Gives each segment of a gateway its cover. seal: what new segments are sealed with; None: they are not."""

    def __init__(self, gateway: str, seal: Seal | None) -> None:
        self.seal = seal
        self.gateway = gateway

    def new(self, number: int, epoch: int, first_seq: int) -> Identity:
        """Return the identity of a new segment: with a mark that no other one has, when segments are sealed."""
        return Identity(number, epoch, first_seq, self.seal.mark().text if self.seal else "")

    def begin(self, identity: Identity) -> Cover:
        """Return the cover of a segment that is begun now, once for each identity."""
        mark = parse_mark(identity.mark)
        if mark is None or self.seal is None:
            return PLAIN
        return Sealed(self.seal.begin(mark, PURPOSE, self._whose(identity)), identity.salt(self.gateway))

    def of(self, identity: Identity, where: str = "") -> Cover:
        """Return the cover of a segment that is there. Raises: ConfigError when its key is not here."""
        mark = parse_mark(identity.mark)
        if mark is None:
            return PLAIN
        if self.seal is None:
            raise missing_key(mark, where)
        try:
            box = self.seal.box(mark, PURPOSE, self._whose(identity))
        except ConfigError as fault:
            raise ConfigError(fault.what, where, fault.hint) from None
        return Sealed(box, identity.salt(self.gateway))

    @property
    def macs(self) -> tuple[Mac, ...]:
        """What authenticates the cursor; none without a key."""
        return self.seal.macs("spool cursor", self.gateway) if self.seal else ()

    def _whose(self, identity: Identity) -> str:
        return f"{self.gateway}/{identity.number}/{identity.epoch}/{identity.first_seq}"
