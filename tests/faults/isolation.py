"""How much one disturbed device costs the others: latencies of quiet devices with and without it, in one run, by turns.

    latency = when KITA committed a number - when its device said it

    turns = Turns(rig, QUIET)
    for _ in range(n):
        turns.turn(2.0, disturbed=False)
        turns.turn(2.0, disturbed=True)
    calm, hurt = turns.latencies_ms()

By turns, because the machine does other things too; the first moment of each turn, in which the one before still has
its effect, is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from tests.faults import oracle
from tests.faults.rig import Rig

SETTLE_S = 0.5


class Turns:
    """See the module text. quiet: the names of the devices that are measured."""

    def __init__(self, rig: Rig, quiet: Iterable[str]) -> None:
        self._rig = rig
        self._names = tuple(quiet)
        self._turns: list[tuple[int, int, bool]] = []

    def turn(self, seconds: float, disturbed: bool) -> None:
        """Let a turn pass. What disturbs has been switched on or off before."""
        self._rig.pass_time(SETTLE_S)
        begin = time.time_ns()
        self._rig.pass_time(seconds)
        self._turns.append((begin, time.time_ns(), disturbed))

    def latencies_ms(self) -> tuple[list[float], list[float]]:
        """Return the latencies without and with the disturbance."""
        found: dict[bool, list[float]] = {False: [], True: []}
        committed = oracle.committed(self._rig.database)
        for name in self._names:
            said = oracle.said_utc(self._rig.folder / f"{name}.ledger")
            for n, at in committed.get(name, []):
                for begin, end, disturbed in self._turns:
                    if begin <= said.get(n, 0) < end:
                        found[disturbed].append((at - said[n]) / 1e6)
        return found[False], found[True]
