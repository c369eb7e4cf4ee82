"""The crash campaign: histories by the thousand, on all processors, and how to see one again.

python -m tests.model.crash --seed 1210                      one history, every operation told
python -m tests.model.crash --seed 1210 --mutant "no fsync"  the same with a broken spool
python -m tests.model.crash --states 1000000                 a campaign of any length
python -m tests.model.crash --hunt                           the first seed that notices each mutant
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context

from tests.model.crash_history import History, Trace, silent
from tests.model.crash_mutants import CLASSIC, HELD_TWICE, OURS, Mutant
from tests.model.crash_world import Broken

UNEXPECTED = "I9 no error but those that are named"
BLOCK = 200  # seeds per task: about a second
MUTANTS = {mutant.name: mutant for mutant in (*CLASSIC, *OURS, *HELD_TWICE)}


@dataclass(frozen=True)
class Outcome:
    """What one history came to. promise: the one that was broken, or ""."""

    seed: int
    states: int
    promise: str = ""
    what: str = ""

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.what}; python -m tests.model.crash --seed {self.seed}"


def outcome(seed: int, mutant: Mutant | None = None, trace: Trace = silent) -> Outcome:
    """Live the history of a seed, with the spool as it is or with a broken one."""
    history = History(seed, trace)
    try:
        with mutant.applied() if mutant else nullcontext():
            history.run()
    except Broken as broken:
        return Outcome(seed, history.states, broken.promise, str(broken))
    except Exception as error:  # whatever it is, it is a finding
        return Outcome(seed, history.states, UNEXPECTED, f"{UNEXPECTED}: {type(error).__name__}: {error}")
    return Outcome(seed, history.states)


def block(first: int) -> tuple[int, int, list[Outcome]]:
    """Return histories, states, violations of BLOCK seeds."""
    outcomes = [outcome(seed) for seed in range(first, first + BLOCK)]
    return BLOCK, sum(each.states for each in outcomes), [each for each in outcomes if each.promise]


def campaign(states: int) -> tuple[int, int, list[Outcome]]:
    """Return histories, states, violations of at least so many states. The same seeds on any number of processors."""
    histories = reached = 0
    violations: list[Outcome] = []
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        firsts = count(0, BLOCK)
        running = [pool.submit(block, next(firsts)) for _ in range(2 * workers)]
        while reached < states:  # in the order of the seeds, so that what is counted does not depend on speed
            done = running.pop(0).result()
            running.append(pool.submit(block, next(firsts)))
            histories, reached = histories + done[0], reached + done[1]
            violations += done[2]
        for each in running:
            each.cancel()
    return histories, reached, violations


def hunt(mutant: Mutant, seeds: Iterator[int], most_states: int) -> tuple[Outcome | None, int]:
    """Return the first history that notices a mutant, and how many states that took; None: none within bounds."""
    states = 0
    for seed in seeds:
        found = outcome(seed, mutant)
        states += found.states
        if found.promise:
            return found, states
        if states > most_states:
            break
    return None, states


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.crash")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--states", type=int, default=100_000)
    parser.add_argument("--hunt", action="store_true")
    asked = parser.parse_args()
    mutant = MUTANTS.get(asked.mutant)
    if asked.seed is not None:
        found = outcome(asked.seed, mutant, print)
        print(found if found.promise else f"seed {asked.seed}: {found.states} states, every promise held")
        return bool(found.promise)
    if asked.hunt:
        for each in [mutant] if mutant else MUTANTS.values():
            caught, states = hunt(each, count(), asked.states)
            print(f"{each.name}: {states} states, {caught or 'not noticed'}", flush=True)
        return 0
    began = time.monotonic()
    histories, states, violations = campaign(asked.states)
    print(*violations, sep="\n")
    print(f"{histories} histories, {states} states, {len(violations)} violations, {time.monotonic() - began:.0f} s")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
