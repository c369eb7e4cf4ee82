"""CAN logs (ASC, BLF, TRC, candump) through python-can's readers, as can_frame records with their times."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import can
from can.io.blf import BLFParseError

from gateway.core.can_frame import can_frame
from gateway.core.errors import ConfigError

_READERS: dict[str, Callable[[Any], Iterable[can.Message]]] = {
    ".asc": can.ASCReader,
    ".blf": can.BLFReader,
    ".trc": can.TRCReader,
    ".log": can.CanutilsLogReader,
}
LOG_SUFFIXES = tuple(_READERS)
# What these readers raise on damaged files, found by fuzzing them; they have no error of their own in common.
_DAMAGE = (ValueError, LookupError, ArithmeticError, NotImplementedError, struct.error, zlib.error, BLFParseError)
_RENAME = "line bytes in a file of this name? give it the suffix .bin"


def read_log(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (ns, can_frame record) for each frame of a CAN log; b"" stands for one that is not CAN 2.0.

    The ns are UTC where the log has absolute time (BLF, TRC, candump -L), else they count from the start of the
    measurement (ASC, whose date has no time zone). ConfigError, one line: damaged, or no frame in it.
    """
    suffix = path.suffix.lower()
    frames = 0
    try:
        # We open the file: python-can would take text in whatever encoding the locale has.
        with path.open("rb") if suffix == ".blf" else path.open(encoding="utf-8", errors="replace") as file:
            for message in _READERS[suffix](file):
                yield message_ns(message), message_record(message)
                frames += 1
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", str(path)) from error
    except _DAMAGE as error:
        # Not what the error says: it quotes the file, which may be the text of some other device.
        raise ConfigError(f"damaged after {frames} frames ({type(error).__name__})", str(path), _RENAME) from error
    if not frames:
        raise ConfigError("no CAN frame in it", str(path), _RENAME)


def message_ns(message: can.Message) -> int:
    """Return python-can's float seconds as ns, to the microsecond: near today a float resolves no more than 0.2 µs."""
    return round(message.timestamp * 1e6) * 1000


def message_record(message: can.Message) -> bytes:
    """Return the can_frame record, or b"" when the message is no CAN 2.0 frame."""
    if message.is_fd:
        return b""
    try:
        return can_frame(
            message.arbitration_id,
            bytes(message.data),
            extended=message.is_extended_id,
            remote=message.dlc if message.is_remote_frame else None,
            error=message.is_error_frame,
        )
    except ValueError:
        return b""
