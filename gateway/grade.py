"""What this gateway promises of a message, as one letter that is shown wherever its state is.

    A   kept until the receiving application has acknowledged it: the whole promise
    B   kept until the broker has it: the promise ends there. A broker that is killed can lose what it has confirmed
        (mosquitto 2.0.11 with default persistence: 2,000 of 2,000), and the sums of this gateway cannot show it. The
        holes show at the receiver, in the numbers of the messages: `mdi kita gaps`
    C   lab, by its mode or by what it is made of: nothing that it sends is charted

Pure: the grade follows from the configuration alone, so it is known before anything runs. The worst that holds counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.sinks.base import ReleasedBy

PROMISES = {
    "A": "kept until the receiver has acknowledged it",
    "B": "kept until the broker has it; what the broker loses is lost",
    "C": "lab, nothing is charted",
}


@dataclass(frozen=True, slots=True)
class Grade:
    """letter: A, B or C; promise: what it means, in words; reasons: one line each, why it is no better, () for A."""

    letter: str
    promise: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line for a person."""
        return f"guarantee {self.letter}: {self.promise}" + (f" ({'; '.join(self.reasons)})" if self.reasons else "")


def grade(processing_id: str, released_by: ReleasedBy, made_up: Sequence[str], lab: bool = False) -> Grade:
    """Return the grade of a configuration.

    processing_id: MSH-11; made_up: names of ports whose link carries no device's present values (replay, loopback);
    lab: the mode in [security]
    """
    why = ["lab"] if lab else []
    if processing_id != "P" and not lab:
        why.append(f"processing id {processing_id}, not P")
    if released_by is ReleasedBy.NOBODY:
        why.append("the sink has no receiver")
    why += [f"port {port} carries no device's present values" for port in made_up]
    if why:
        return Grade("C", PROMISES["C"], tuple(why))
    if released_by is ReleasedBy.BROKER:
        return Grade("B", PROMISES["B"], ('release = "puback"',))
    return Grade("A", PROMISES["A"], ())
