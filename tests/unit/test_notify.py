"""What systemd hears: datagrams on a real socket, by path and by abstract name."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.kita import Pulse
from gateway.notify import Notify
from tests.parts.systemd import Systemd


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@mdi-test-{os.getpid()}"
    systemd = Systemd(address)
    yield systemd
    systemd.close()


def test_systemd_hears_each_word_as_its_manual_writes_it(systemd: Systemd) -> None:
    notify = Notify({"NOTIFY_SOCKET": systemd.address}, os.getpid())
    notify.ready()
    notify.alive()
    notify.stopping()
    notify.reloading()
    *words, reloading = systemd.heard()
    assert words == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
    first, second = reloading.split("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_the_status_is_one_line_and_said_when_it_changes(systemd: Systemd) -> None:
    notify = Notify({"NOTIFY_SOCKET": systemd.address}, os.getpid())
    for line in ("2 ports receiving", "2 ports receiving", "a reason\nREADY=1 in two lines"):
        notify.status(line)
    assert systemd.heard() == ["STATUS=2 ports receiving", "STATUS=a reason READY=1 in two lines"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "77"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_ours_when_it_names_us_or_nobody(environment: dict[str, str], seconds: float | None) -> None:
    assert Notify(environment, 77).watchdog_s == seconds


def test_without_systemd_nothing_is_said_and_nothing_fails() -> None:
    notify = Notify({}, os.getpid())
    notify.ready()
    notify.status("2 ports receiving")
    notify.close()


def test_a_listener_that_is_gone_or_full_is_said_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    systemd = Systemd(str(tmp_path / "notify"))
    notify = Notify({"NOTIFY_SOCKET": systemd.address}, os.getpid())
    with caplog.at_level(logging.WARNING):
        for _ in range(2000):  # far more than the socket holds: a blocking send would hang here
            notify.alive()
    assert len(caplog.records) == 1
    caplog.clear()
    systemd.close()
    with caplog.at_level(logging.WARNING):
        notify.alive()
        notify.alive()
    assert len(caplog.records) == 1


def test_kita_is_alive_as_long_as_its_loop_turns(systemd: Systemd) -> None:
    now = [100.0]
    notify = Notify({**systemd.environment, "WATCHDOG_USEC": "20000000"}, os.getpid())
    pulse = Pulse(notify, lambda: now[0])
    for _ in range(300):  # a minute of turns
        pulse()
        now[0] += 0.2
    words = systemd.heard()
    assert words[:2] == ["READY=1", "WATCHDOG=1"]
    assert 6 <= words.count("WATCHDOG=1") <= 7
    assert words.count("READY=1") == 1
    now[0] += 60  # it hangs, and nobody pings for it
    assert systemd.heard() == []
