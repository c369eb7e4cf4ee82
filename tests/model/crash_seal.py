"""Sealing in the crash campaign: one history in four has a key, and every nonce of every key is watched.

Of the sealed histories, every other one begins plain, as an upgrade does, and takes a new key at each start, as a
rotation does. The salts come from the seed, so a history can be seen again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.security.seal import Box, Mark, Seal, box
from gateway.security.seal.box import COUNTER_BYTES
from gateway.spool.cover import PURPOSE, Covers
from tests.model.crash_world import Broken

NONCE = "I10 no two texts under one nonce of one key"
EVERY = 4  # chosen so that the seeds of the mutants in crash_seeds.py keep their histories


class Keys:
    """What a history seals with, from life to life."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._sealed = seed % EVERY == 0
        self._turns = seed % (2 * EVERY) == EVERY
        self._lives = 0
        self._keys = [self._rng.randbytes(32)]

    def next(self) -> Seal | None:
        """Return the seal of the next life."""
        self._lives += 1
        if not self._sealed or (self._turns and self._lives == 1):
            return None
        if self._turns:
            self._keys.insert(0, self._rng.randbytes(32))
        return Seal(self._keys, self._rng.randbytes)


@contextmanager
def watched() -> Iterator[None]:
    """Raise Broken when two texts are sealed under one nonce of one key, while this lasts."""
    used: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}

    class Watched:
        def __init__(self, key: bytes) -> None:
            self._key, self._inner = key, AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, place: bytes) -> bytes:
            if used.setdefault((self._key, nonce), (data, place)) != (data, place):
                raise Broken(NONCE, f"nonce {nonce.hex()} is used again")
            return self._inner.encrypt(nonce, data, place)

        def decrypt(self, nonce: bytes, data: bytes, place: bytes) -> bytes:
            return self._inner.decrypt(nonce, data, place)

    whole = box.AESGCM
    box.AESGCM = Watched  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        box.AESGCM = whole  # type: ignore[misc]


def one_key_for_all() -> tuple[tuple[Any, str, Any], ...]:
    """Patches of a mutant: the key of the segments goes on over a start, and the counter behind the last record that
    recovery has found. So what is written in the place of a torn tail is sealed under the nonces of that tail."""
    begin, seal, opened, init, file_key = Seal.begin, Box.seal, Box.open, Covers.__init__, Seal._file_key
    following = [0]  # the counter of the next record, as far as this life knows

    def counted(sealed: bytes | None) -> None:
        if sealed:
            following[0] = max(following[0], int.from_bytes(sealed[:COUNTER_BYTES], "big") + 1)

    def key(self: Seal, mark: Mark, purpose: str, whose: str) -> bytes:
        return self._keys[mark.key] if purpose == PURPOSE else file_key(self, mark, purpose, whose)

    def begun(self: Seal, mark: Mark, purpose: str, whose: str) -> Box:
        found = begin(self, mark, purpose, whose)
        found._counter = following[0] if purpose == PURPOSE else 0
        return found

    def sealed(self: Box, data: bytes, place: bytes) -> bytes:
        found = seal(self, data, place)
        counted(found if place else None)  # a line of the side file has no place
        return found

    def open_(self: Box, data: bytes, place: bytes) -> bytes | None:
        found = opened(self, data, place)
        counted(data if found is not None and place else None)
        return found

    def covers(self: Covers, gateway: str, by: Seal | None) -> None:
        following[0] = 0
        init(self, gateway, by)

    return (
        (Seal, "_file_key", key),
        (Seal, "begin", begun),
        (Box, "seal", sealed),
        (Box, "open", open_),
        (Covers, "__init__", covers),
    )
