"""The checksums that a line can carry, by name: sums of bytes, and every CRC of fastcrc."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from types import ModuleType

from fastcrc import crc8, crc16, crc32

Checksum = tuple[Callable[[bytes], int], int]
"""(bytes that are covered -> number, how many hexadecimal digits it has on the line)"""


def _sum8(data: bytes) -> int:
    return sum(data) & 0xFF


def _xor8(data: bytes) -> int:
    return functools.reduce(operator.xor, data, 0)


def _crcs(name: str, module: ModuleType, digits: int) -> Mapping[str, Checksum]:
    """Return "crc16.modbus" and its like: all that the module computes."""
    found = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    return {f"{name}.{key}": (value, digits) for key, value in found.items()}


KINDS: Mapping[str, Checksum] = {
    "sum8": (_sum8, 2),
    "xor8": (_xor8, 2),
    **_crcs("crc8", crc8, 2),
    **_crcs("crc16", crc16, 4),
    **_crcs("crc32", crc32, 8),
}
