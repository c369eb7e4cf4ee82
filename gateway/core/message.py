"""What the encoder hands to the spool, the spool to a sink, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One HL7 message, finished.

    seq: the spool's number of it, 1, 2, 3 … never used twice (see spool)
    control_id: MSH-10, the idempotency key; same id, same bytes, for ever
    topic: where it goes, without patient data; payload: ER7 in UTF-8, segments end in CR
    """

    seq: int
    control_id: str
    topic: str
    payload: bytes


class Verdict(Enum):
    """Three outcomes of a delivery, never a boolean. Silence is none of them: the message stays."""

    ACCEPT = "accept"  # MSA-1 AA or CA: the receiver has stored it
    REJECT = "reject"  # AE, AR, CR: it will never take these bytes → side file, the line goes on
    KEEP = "keep"  # CE: cannot store now → resend later


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the receiving application said of one message. `reason`: one line for a person, "" when accepted."""

    control_id: str
    verdict: Verdict
    reason: str = ""


class Sink(Protocol):
    """Where messages go. One owner thread calls all of it; what happens inside is the sink's affair."""

    counters: Any
    """A dataclass of plain counts, for the status."""

    @property
    def due(self) -> float:
        """Monotonic time, s, by which the sink's own thread shows a sign of life; inf when there is none."""

    def start(self) -> None:
        """Begin to connect; return at once."""

    def stop(self) -> None:
        """Disconnect in order; join own threads; may take 5 s at most."""

    def room(self) -> int:
        """Return how many messages may be sent now: 0 while disconnected or the window is full."""

    def send(self, message: Message) -> None:
        """Hand over one message. Calling it again with the same message is a resend of the same bytes."""

    def expiry_s(self, topic: str) -> float:
        """Return after how many seconds nobody wants a message of this topic any more; 0 = never."""

    def forget(self, control_id: str) -> None:
        """This message was given up: it takes no room any more, and nobody waits for its answer."""

    def outcomes(self) -> list[Outcome]:
        """Return and forget what the receiver has said since the last call."""

    def post(self, name: str, payload: bytes) -> None:
        """Publish the newest word of this gateway on something, retained; no answer comes."""

    def session(self) -> int:
        """Return a number that grows with each new connection: on a change, resend what is unanswered."""

    def protection(self) -> dict[str, Any]:
        """Return how the connection is protected, as last seen."""

    def state(self) -> str:
        """Return one short line for a person: connected to …, waiting 4 s to reconnect …"""
