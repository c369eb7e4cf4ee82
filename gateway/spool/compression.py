"""The only place that knows zstd: whole messages in, one frame each out. The library is optional and comes lazily."""

from __future__ import annotations

from functools import cache
from typing import Any

from gateway.core.errors import ConfigError

LEVEL = 3  # zstd's own default: ER7 shrinks to a tenth or so, and more effort gains little on 500 rows


@cache
def _codec() -> tuple[Any, Any]:
    """Return compressor and decompressor. Raises: ConfigError when the library is not installed."""
    try:
        import zstandard
    except ImportError:
        what = "compression of the spool needs the package zstandard, which is not installed"
        raise ConfigError(what, "[spool] compression", "pip install 'mdi-edge-gateway[zstd]'") from None
    return zstandard.ZstdCompressor(level=LEVEL), zstandard.ZstdDecompressor()


def require_zstd() -> None:
    """Raise ConfigError unless messages can be compressed and read back here."""
    _codec()


def compress(data: bytes) -> bytes:
    """Return one zstd frame that knows its content's length."""
    return bytes(_codec()[0].compress(data))


def decompress(frame: bytes) -> bytes:
    """Return the content of a frame of `compress`."""
    return bytes(_codec()[1].decompress(frame))
