"""Seeds that have failed once: they are run first, always.

A seed is a history only as long as tests/model/crash_history.py draws it in the same way. When that changes, run
`python -m tests.model.crash --hunt` and enter what it finds; until then the tests go on searching from seed 0.
"""

FAILED: dict[int, str] = {}
"""Seed: what was wrong with the spool. The one bug that the campaign has found so far is a test of its own, because
the histories are drawn in another way since: test_a_cursor_left_short_by_a_power_cut_needs_no_space_later."""

MUTANTS = {
    "no fsync": 0,
    "roll without fsync": 77,
    "no directory fsync": 0,
    "cursor in place": 71,
    "cursor believed before its sync": 45,
    "segment removed before the cursor": 8,
    "no checksum": 0,
    "recovery does not fsync segments": 21,
    "recovery does not fsync the directory": 13,
    "send before sync": 8,
    "opening does not fsync the directory above": 497,
    "opening does not fsync the ledger": 250,
    "loss done before its record": 8,
    "side file not synced": 12,
    "epoch not durable": 13,
    "epoch does not grow": 0,
    "loss not copied before its segment goes": 393,
    "cursor without its space": 179,
    "one slot is enough": 1135,
    "opening does not fsync the cursor": 5362,
    "no checksum of the cursor": 83,
    "tail sealed again under the same key": 0,
}
"""Mutant: the first seed, counted from 0, whose history notices it."""
