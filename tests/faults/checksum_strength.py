"""How much damage a checksum cannot see: computed, so that what drivers accept can be held against it.

A sum and an exclusive or see every single flipped bit; of k flipped bits they miss those that cancel out. The share is
computed exactly under one assumption: each flip hits any bit of a byte with the same chance, 0 or 1 with the same
chance. The CRCs here have the factor x + 1: they see every odd number of flips, and of even ones beyond their reach
they miss 2^-(width - 1). Reach: CRC-16 sees 2 flips up to 32,751 bits; CRC-8 Dallas/Maxim up to 119, and frames are
longer: two flips 127 bits apart pass (the order of x modulo its polynomial, computed). A dropped or doubled byte shifts
all behind it: then 2^-width.

Which checksum a driver has: its README, "What protects a value".
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

KINDS = {  # bits
    "crc16": 16,
    "crc8": 8,
    "sum16": 16,
    "sum8": 8,
    "xor8": 8,
}
OF_DRIVER = {
    "alaris_asena": "crc16",
    "ascii_line": "crc16",  # of the profile ledger/counter
    "astm_e1381": "sum8",
    "baxter_as50": "crc16",
    "bbraun_bcc": "sum8",
    "bis_vista": "sum16",
    "capnostream": "xor8",
    "fresenius_agilia": "sum8",
    "ge_dri": "sum8",
    "modbus": "crc16",
    "nonin": "sum8",
    "philips_intellivue": "crc16",
    "servo_cie": "xor8",
    "zephyr": "crc8",
}
OF_PROFILE = {"thermo/ult_freezer": "sum8"}  # Modbus ASCII: LRC
REACH = {"crc16": 3, "crc8": 1}  # flips that are always seen
MANY = 40  # flips: from here on the share is 2^-width to many digits
UNLIKELY = 1e-6  # a row that fails once in a million runs by chance


@cache
def passes(kind: str, flips: int, shifted: bool) -> float:
    """Return the chance that a frame so damaged has a right checksum."""
    blind = 2.0 ** -KINDS[kind]
    if shifted or not flips:
        return blind if shifted else 0.0
    if kind in REACH:
        return 2 * blind if flips > REACH[kind] and flips % 2 == 0 else 0.0
    return _cancelled(kind, min(flips, MANY))


@cache
def _cancelled(kind: str, flips: int) -> float:
    """Return the chance that so many flips leave a sum or an exclusive or as it was, by convolution."""
    width = KINDS[kind]
    numbers = np.arange(1 << width)
    chances = np.zeros(1 << width)
    chances[0] = 1.0
    for _ in range(flips):
        if kind.startswith("xor"):
            chances = sum(chances[numbers ^ 1 << place] for place in range(width)) / width
        else:
            steps = [sign << place for place in range(width) for sign in (1, -1)]
            chances = sum(np.roll(chances, step) for step in steps) / len(steps)
    return float(chances[0])


def beyond(observed: int, expected: float) -> bool:
    """Tell whether so many were accepted that chance alone hardly explains it (Poisson)."""
    below = sum(math.exp(-expected) * expected**n / math.factorial(n) for n in range(min(observed, 150)))
    return observed > 0 and 1.0 - below < UNLIKELY
