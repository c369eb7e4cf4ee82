"""How soon a sample is accepted: rounds are at most 200 ms apart, and one that takes long is said."""

from __future__ import annotations

import pytest

from gateway.config_sections import ForwardSettings
from gateway.core.errors import ConfigError
from gateway.rounds import LATE_S, Rounds


def test_a_round_is_at_most_200_ms_apart() -> None:
    assert ForwardSettings().commit_ms <= 200
    ForwardSettings(commit_ms=200)
    with pytest.raises(ConfigError, match="commit_ms"):
        ForwardSettings(commit_ms=201)


def test_a_round_that_takes_longer_than_a_second_is_said_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds()
    rounds.took(0.3, now=0.0)
    assert (rounds.late, caplog.text) == (0, "")
    rounds.took(LATE_S + 0.5, now=1.0)
    assert rounds.late == 1
    assert "1.5 s" in caplog.text


def test_a_disk_that_is_slow_for_long_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds()
    for second in range(0, 120, 2):
        rounds.took(2.0, now=float(second))
    assert rounds.late == 60
    assert len(caplog.records) == 2
    assert rounds.longest_s == 2.0
