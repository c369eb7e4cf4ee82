"""The link contract, all of it. A link moves bytes and stamps their arrival; it never looks at what they mean.

One thread owns a link and calls open, read and write. close may be called by any thread, at any time.
Kinds register in entry-point group `mdi.links` as a LinkKind. Settings are a `gateway.core.settings.Settings`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.core.errors import LinkError
from gateway.core.way import Way

S = TypeVar("S")
Clock = Callable[[], int]  # UTC ns


class LinkEnded(LinkError):
    """The line has nothing more to give, ever: opening it again would only repeat what was (a recording)."""


class Link(Protocol):
    def open(self) -> None:
        """Open, or open again after a failure. LinkError: one clear line (missing, busy, permission …)."""

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        """Return [(UTC ns of arrival, bytes)], or [] after `timeout` seconds (at most 1) or somewhat earlier.

        LinkError: unplugged, end of file, or closed meanwhile. What came before the failure is returned first.
        """

    def write(self, data: bytes) -> None:
        """Pass on all bytes within 1 s. LinkError: failed, or the link only listens (CAN)."""

    def close(self) -> None:
        """Close; wake a blocked read. Does nothing on a closed link."""


@dataclass(frozen=True, slots=True)
class LinkKind(Generic[S]):
    """What the registry knows of a kind of link.

    describe: settings -> one short line for a person
    resource: settings -> the physical thing it occupies, so that two ports on one are refused; "" = none
    ways: settings -> where it leads, each of which a conduit must allow; () = nowhere outside of this process
    harm: settings -> why opening it could disturb the line, as the system says now; "" = it cannot; None: never
    """

    name: str
    settings: type[S]
    create: Callable[[S, Clock], Link]
    describe: Callable[[S], str]
    resource: Callable[[S], str]
    ways: Callable[[S], tuple[Way, ...]] = lambda _: ()
    harm: Callable[[S], str] | None = None
