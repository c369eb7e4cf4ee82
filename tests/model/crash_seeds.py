"""Seeds that have failed once: they are run first, always.

A seed is a history only as long as tests/model/crash_history.py draws it in the same way. When that changes, run
`python -m tests.model.crash --hunt` and enter what it finds; until then the tests go on searching from seed 0.
"""

FAILED: dict[int, str] = {}
"""Seed: what was wrong with the spool. The one bug that the campaign has found so far is a test of its own, because
the histories are drawn in another way since: test_a_cursor_left_short_by_a_power_cut_needs_no_space_later."""

MUTANTS = {
    "no fsync": 0,
    "roll without fsync": 29,
    "no directory fsync": 0,
    "cursor in place": 54,
    "cursor believed before its sync": 3,
    "segment removed before the cursor": 27,
    "no checksum": 0,
    "recovery does not fsync segments": 53,
    "recovery does not fsync the directory": 0,
    "send before sync": 16,
    "opening does not fsync the directory above": 497,
    "opening does not fsync the ledger": 24,
    "loss done before its record": 41,
    "side file not synced": 9,
    "epoch not durable": 1,
    "epoch does not grow": 0,
    "loss not copied before its segment goes": 208,
    "cursor without its space": 157,
    "one slot is enough": 323,
    "no checksum of the cursor": 388,
}
"""Mutant: the first seed, counted from 0, whose history notices it."""
