"""What the registry knows of a kind of sink. The contract itself is `gateway.core.message.Sink`.
Kinds register in entry-point group `mdi.sinks` as a SinkKind. Settings are a `gateway.core.settings.Settings`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from gateway.core.message import Sink
from gateway.core.way import Way
from gateway.security.certs.tls import TlsRules

S = TypeVar("S")


class ReleasedBy(Enum):
    """Whose word lets go of a message: what a promise of delivery can rest on. See gateway.grade."""

    RECEIVER = "receiver"  # the receiving application's acknowledgement
    BROKER = "broker"  # a broker has it; what the broker then loses, nobody here knows
    NOBODY = "nobody"  # nothing receives: a folder, a lab


@dataclass(frozen=True, slots=True)
class SinkKind(Generic[S]):
    """create: settings, base topic (`mdi/v1/{site}/{unit}/{gateway}`), rules for TLS -> a sink, not yet started.

    released_by: settings -> whose word releases; each kind must say it
    ways: settings -> where it leads, each of which a conduit must allow
    Raises of create: ConfigError when the base topic or the settings do not fit.
    """

    name: str
    settings: type[S]
    create: Callable[[S, str, TlsRules], Sink]
    released_by: Callable[[S], ReleasedBy]
    ways: Callable[[S], tuple[Way, ...]] = lambda _: ()
