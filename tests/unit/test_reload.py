"""What a reload takes over, what it refuses, what it leaves alone; what the supervisor hears of threads that hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway import service
from gateway.acquire import Acquire
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError
from gateway.notify import Notify
from gateway.reload import Reload, needs_restart
from gateway.serve import Orders, serve
from gateway.supervise import Supervisor
from tests.parts.systemd import Systemd
from tests.parts.wait import wait_until
from tests.unit.reload_rig import Ward

BEDS = {"p": [("pump", "1")], "q": [("monitor", "2")]}


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    if ward.forward:
        ward.stop()
    ward.files.close()


@pytest.fixture
def acquire(ward: Ward) -> Iterator[Acquire]:
    acquire = Acquire(ward.config(BEDS))
    acquire.start()
    yield acquire
    acquire.stop()


def edited(config: Config, old: str, new: str) -> Config:
    text = config.path.read_text(encoding="utf-8")
    assert old in text
    config.path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return read_config(config.path)


def take(acquire: Acquire, config: Config) -> str:
    with ExitStack() as undo:
        rings = acquire.added(config, undo)
        undo.pop_all()
    return acquire.change(config, rings)


# ---- ports


def test_only_the_port_that_was_edited_is_made_anew(ward: Ward, acquire: Acquire) -> None:
    threads = {name: running.thread for name, running in acquire._running.items()}
    ports = {port.name: port for port in acquire.ports}
    assert take(acquire, edited(ward.config(BEDS), "port = 7000", "port = 7009")) == "changed p"
    now = {port.name: port for port in acquire.ports}
    assert now["q"] is ports["q"]
    assert acquire._running["q"].thread is threads["q"]
    assert now["p"] is not ports["p"]
    assert threads["p"] is not None
    assert not threads["p"].is_alive()
    assert now["p"].ring.seen == ports["p"].ring.seen  # the same ring


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('bed = "1"', 'bed = "7"', "no port changed"),  # where it stands is the sender's affair
        ("interval_s = 0.0", "interval_s = 9.0", "no port changed"),
        ('name = "pump"', 'name = "pump-2"', "changed p"),
        ('firmware = "1"', 'firmware = "2"', "changed p"),
    ],
)
def test_what_makes_a_port_another_one(ward: Ward, old: str, new: str, said: str) -> None:
    config = edited(ward.config(BEDS), 'profile = "ledger/counter"', 'profile = "ledger/counter"\nfirmware = "1"')
    acquire = Acquire(config)
    try:
        assert take(acquire, edited(config, old, new)) == said
    finally:
        acquire.stop()


def test_a_profile_that_was_edited_makes_its_ports_anew(ward: Ward, acquire: Acquire) -> None:
    path = ward.folder / "profiles/ledger/counter.toml"
    ward.profile(path.read_text(encoding="utf-8").replace("1e15", "1e14"))
    assert take(acquire, ward.config(BEDS)) == "changed p, q"


def test_ports_come_and_go_and_give_their_ring_back(ward: Ward, acquire: Acquire) -> None:
    one, three = {"p": BEDS["p"]}, BEDS | {"r": [("scale", "3")]}
    assert take(acquire, ward.config(one)) == "removed q"
    other = Acquire(ward.config({"q": BEDS["q"]}))  # another process could have it now
    other.stop()
    assert take(acquire, ward.config(three)) == "added q, r"
    assert [port.name for port in acquire.ports] == ["p", "q", "r"]


def test_a_limit_of_threads_is_said_and_the_port_starts_when_it_is_gone(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, granted = threading.Thread.start, [1]

    def sparing(thread: threading.Thread) -> None:
        if thread.name.startswith("port-"):
            if not granted[0]:
                raise RuntimeError("can't start new thread")  # what CPython says at RLIMIT_NPROC and TasksMax
            granted[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", sparing)
    acquire = Acquire(ward.config(BEDS))
    try:
        acquire.start()
        assert ["no thread" in port.state for port in acquire.ports] == [False, True]
        granted[0] = 1
        acquire.keep_running()
        assert acquire._running["q"].thread is not None
    finally:
        acquire.stop()


# ---- what is refused


def test_what_needs_a_restart_is_named_key_by_key(ward: Ward) -> None:
    config = ward.config(BEDS)
    for old, new, key in (
        ('site = "auh"', 'site = "ouh"', "[gateway] site"),
        ("/state", "/state2", "[gateway] state_dir"),
        ('processing_id = "T"', 'processing_id = "D"', "[gateway] processing_id"),
        ("/out", "/out2", "[sink] directory"),
        ("[sink]", "[spool]\nlimit_mib = 64\n[sink]", "[spool] limit_mib"),
        ("ring_rows = 1024", "ring_rows = 2048", "ring_rows of port p"),
        ('"lab"', '"lab"\ntls_min = "1.2"', "[security] tls_min"),
    ):
        assert needs_restart(config, edited(ward.config(BEDS), old, new)) == [key]
    for old, new in (("commit_ms = 10", "commit_ms = 20"), ("[sink]", '[receiver]\nfacility = "X"\n[sink]')):
        assert needs_restart(config, edited(ward.config(BEDS), old, new)) == []


@pytest.mark.parametrize("fault", [ConfigError("line 3 is wrong"), KeyError("a bug of ours")])
def test_a_reload_that_fails_changes_nothing_and_says_why(ward: Ward, acquire: Acquire, fault: Exception) -> None:
    def read() -> Config:
        raise fault

    config, ports = ward.config(BEDS), acquire.ports
    reload = Reload(config, read, acquire, None)
    reload.begin()
    wait_until(reload.just_done)
    assert not reload.said["ok"]
    assert str(fault) in reload.said["said"]
    assert reload.config is config
    assert all(a is b for a, b in zip(acquire.ports, ports, strict=True))
    reload.end()


def test_a_ring_that_cannot_be_opened_refuses_the_whole_reload(ward: Ward, acquire: Acquire) -> None:
    config, forward = ward.config(BEDS), ward.start(ward.config(BEDS))
    other = Acquire(ward.config({"r": [("scale", "3")]}))
    three = ward.config(BEDS | {"r": [("scale", "3")]})
    reload = Reload(config, lambda: three, acquire, forward)
    for count in (1, 2):  # and nothing is left behind that would hold up the second
        if count == 2:
            other.stop()
        reload.begin()
        wait_until(reload.just_done)
        assert (reload.said["count"], reload.said["ok"]) == (count, count == 2), reload.said
    assert [ring.port for ring in forward.forwarder.rings] == ["p", "q", "r"]


# ---- the whole process


def test_systemd_hears_when_it_is_ready_how_it_stands_when_it_reloads_and_when_it_stops(
    ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd, orders, config = Systemd(str(tmp_path / "notify"), 4.0), Orders(), ward.config(BEDS)
    for key, value in systemd.environment.items():
        monkeypatch.setenv(key, value)
    thread = threading.Thread(
        target=serve, args=(config, ("forward", "acquire"), orders, lambda: read_config(config.path))
    )
    thread.start()
    try:
        wait_until(lambda: systemd.ready() and systemd.pings() > 1, timeout_s=20)
        assert systemd.words[0] == "READY=1"
        assert systemd.status.startswith("LAB, 0 of 2 ports receiving, connected to ")
        assert systemd.status.endswith(", 0 messages waiting, guarantee C")
        ward.config(BEDS | {"r": [("scale", "3")]})
        orders.reload.set()
        wait_until(lambda: "0 of 3 ports" in systemd.heard_status(), lambda: str(systemd.words), 20)
        words = [word.split("\n")[0] for word in systemd.words if word.startswith(("RELOADING", "READY"))]
        assert words == ["READY=1", "RELOADING=1", "READY=1"]
    finally:
        orders.stop.set()
        thread.join()
    systemd.heard()
    assert systemd.words[-1] == "STOPPING=1"
    systemd.close()


def test_a_second_order_to_stop_does_not_wait_for_answers(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DRAIN_S", 3600.0)
    forward = ward.start(config := ward.config(BEDS))
    ward.measure(config, "p", "pump")
    (ward.folder / "out").rmdir()  # nobody takes the message now
    (ward.folder / "out").write_text("")
    wait_until(lambda: forward.forwarder.waiting == 1)
    monkeypatch.setattr(forward.sink, "state", lambda: "connected, and silent")
    stopping = threading.Thread(target=ward.stop)
    stopping.start()
    wait_until(forward._stop.is_set)
    forward._hurry.set()
    wait_until(lambda: not stopping.is_alive())
    assert forward.spool.waiting == 1  # it stays in the spool


# ---- who hangs


def test_a_disk_that_hangs_in_a_sync_is_named_as_storing(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, hang, synced = ward.start(config := ward.config(BEDS)), threading.Event(), threading.Event()
    sync = forward.spool.sync

    def hanging() -> None:
        synced.set()
        hang.wait()
        sync()

    wait_until(lambda: forward.rounds)
    supervisor = Supervisor(Notify({}, 1), time.monotonic())
    monkeypatch.setattr(forward.spool, "sync", hanging)
    ward.measure(config, "p", "pump")
    wait_until(synced.is_set)
    now = time.monotonic()
    for second in range(20):
        supervisor.look(forward.workers, now + second)
    hang.set()
    assert supervisor.stuck == ("forwarder",)
    assert forward.workers[0].doing() == "storing" or forward.rounds  # it goes on now
    wait_until(lambda: forward.workers[0].due() > now)


def test_a_port_that_hangs_in_its_driver_is_named_and_one_without_a_device_is_not(
    ward: Ward, acquire: Acquire, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, hang, inside = acquire.ports[0], threading.Event(), threading.Event()

    def hanging() -> None:
        inside.set()
        hang.wait()

    monkeypatch.setattr(port.link, "open", hanging)  # as a name server that is silent
    supervisor = Supervisor(Notify({}, 1), time.monotonic())
    wait_until(inside.is_set)
    now = time.monotonic()
    for second in range(59):
        supervisor.look([w for w in acquire.workers if w.name == "port p"], now + second)
    assert supervisor.stuck == ()  # a name server may take so long
    for second in range(59, 70):
        supervisor.look([w for w in acquire.workers if w.name == "port p"], now + second)
    assert supervisor.stuck == ("port p",)
    supervisor.look(acquire.workers[1:], time.monotonic())
    assert supervisor.stuck == ()  # no device answers there, and its thread turns
    hang.set()
