"""One way to write a value down: JSON as RFC 8785 (JSON Canonicalization Scheme) writes it, and its SHA-256.

No blanks; keys sorted by their UTF-16 code units; texts as UTF-8 with the shortest escapes; numbers as ECMAScript
writes them (1.0 is 1, 1e21 is 1e+21). What JSON cannot say the same everywhere is refused: NaN, infinities, whole
numbers beyond 2^53, keys that are no texts.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.core.errors import ConfigError

EXACT = 1 << 53  # beyond it a double does not hold every whole number (RFC 8785, 3.2.2.3; RFC 7493, 2.2)
PLAIN_DIGITS, SMALLEST_PLAIN = 21, -7  # ECMAScript, Number::toString: exponents outside are written with an e


def canonical(value: Any) -> bytes:
    """Return a value as canonical JSON. Raises: ConfigError when it has none."""
    try:
        return _written(value).encode()
    except UnicodeEncodeError as fault:
        raise ConfigError("a text is no Unicode (half a surrogate pair)") from fault


def digest(value: Any) -> str:
    """Return SHA-256 of the canonical JSON of a value, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _written(value: Any) -> str:
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > EXACT:
            raise ConfigError(f"{value} is beyond 2^53", hint="write it as a text")
        return str(int(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ConfigError("a key is no text")
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_written(key)}:{_written(value[key])}" for key in keys) + "}"
    raise ConfigError(f"{type(value).__name__} cannot be written as JSON")


def _number(value: float) -> str:
    """Return a number as ECMAScript writes it: the shortest digits that read back as the same double."""
    if not math.isfinite(value):
        raise ConfigError(f"{value} cannot be written as JSON")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)  # value = 0.text * 10^point
    if SMALLEST_PLAIN + 1 < point <= PLAIN_DIGITS:
        if point <= 0:
            text = "0." + "0" * -point + text
        elif point >= len(text):
            text += "0" * (point - len(text))
        else:
            text = f"{text[:point]}.{text[point:]}"
    else:
        rest = f".{text[1:]}" if len(text) > 1 else ""
        text = f"{text[0]}{rest}e{point - 1:+d}"
    return ("-" if sign else "") + text
