"""The test of the tests: each way to break the spool on purpose is noticed by the crash campaign, and soon."""

from __future__ import annotations

from itertools import chain, count

import pytest

from tests.model.crash import hunt, outcome
from tests.model.crash_mutants import CLASSIC, HELD_TWICE, OURS, Mutant, replaced
from tests.model.crash_seeds import MUTANTS
from tests.model.figures import tell

MOST_STATES = 20_000  # a fifth of the campaign: what takes longer is no matter of course

BROKEN = (*CLASSIC, *OURS)


def test_ten_classic_mistakes_and_our_own() -> None:
    assert len(CLASSIC) == 10
    assert {mutant.name for mutant in BROKEN} == MUTANTS.keys(), "each has its seed in crash_seeds.py"


@pytest.mark.parametrize("mutant", BROKEN, ids=lambda mutant: mutant.name)
def test_a_broken_spool_is_noticed(mutant: Mutant) -> None:
    seeds = chain([MUTANTS[mutant.name]], count())
    found, states = hunt(mutant, seeds, MOST_STATES)
    assert found, f"{mutant.broken}: {states} states, and nothing was noticed"
    assert found.promise in mutant.breaks, f"{mutant.broken}: {found}"
    assert not outcome(found.seed).promise, "the spool as it is passes where the broken one fails"


def test_figures_of_the_mutants(capsys: pytest.CaptureFixture[str]) -> None:
    caught = {mutant.name: hunt(mutant, iter([MUTANTS[mutant.name]]), 0)[0] for mutant in BROKEN}
    seeds = {name: found.seed + 1 for name, found in caught.items() if found}
    with capsys.disabled():
        told = {"row": "F4", "title": "spools broken on purpose are noticed", "count": len(BROKEN)}
        missed = len(BROKEN) - len(seeds)
        tell(told | {"violations": missed, "caught": f"{len(seeds)}/{len(BROKEN)}", "first_noticing_history": seeds})
    assert len(seeds) == len(BROKEN), "crash_seeds.py is out of date: python -m tests.model.crash --hunt"


@pytest.mark.parametrize("mutant", HELD_TWICE, ids=lambda mutant: mutant.name)
def test_a_step_that_another_one_makes_needless_is_not_missed(mutant: Mutant) -> None:
    """If this one day fails, the step has become necessary: the mutant then belongs to the others."""
    found, _ = hunt(mutant, count(), 1000)
    assert found is None, str(found)


def test_a_mutant_is_gone_after_its_test() -> None:
    for mutant in (*BROKEN, *HELD_TWICE):
        before = [vars(owner)[name] for owner, name, _ in mutant.patches]
        with mutant.applied():
            assert [vars(owner)[name] for owner, name, _ in mutant.patches] != before
        assert [vars(owner)[name] for owner, name, _ in mutant.patches] == before
    with replaced(Mutant, "__doc__", "x"):
        assert Mutant.__doc__ == "x"
