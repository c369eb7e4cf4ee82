"""Compressed messages in the spool: the same bytes come back, mixed with plain ones, and a missing library is said."""

from __future__ import annotations

import sys

import pytest

from gateway.core.errors import ConfigError
from gateway.spool import compression
from tests.unit.spool_rig import Start, append, check_sums


def test_a_spool_may_hold_both_kinds(start: Start) -> None:
    sent = []
    for kind in ("none", "zstd", "none", "zstd"):
        spool = start(compression=kind)
        sent += append(spool, 3, size=3000)
        spool.close()
    spool = start()
    assert spool.unacknowledged() == sent
    assert [spool.stored(seq).flags.name for seq in (1, 4)] == ["PERIODIC", "PERIODIC|ZSTD"]
    check_sums(spool)


def test_compressed_messages_take_less_room(start: Start) -> None:
    spool = start(compression="zstd")
    append(spool, 100, size=3000)
    assert spool.counters.bytes < 100 * 300


@pytest.mark.parametrize("holds", [False, True], ids=["asked for", "already in the spool"])
def test_a_missing_library_is_one_line(start: Start, monkeypatch: pytest.MonkeyPatch, holds: bool) -> None:
    if holds:
        spool = start(compression="zstd")
        append(spool)
        spool.close()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    compression._codec.cache_clear()
    with pytest.raises(ConfigError, match="zstandard, which is not installed → pip install"):
        start(compression="none" if holds else "zstd")
    monkeypatch.undo()
    start(compression="none" if holds else "zstd").close()


def test_another_word_is_refused(start: Start) -> None:
    with pytest.raises(ConfigError, match="compression 'gzip' is not known → none or zstd"):
        start(compression="gzip")
