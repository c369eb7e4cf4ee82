"""The standing on a running gateway: who is barred, which ports are open, what is written down, what is reported."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway import registry
from gateway.acquire import Acquire
from gateway.config import read_config
from gateway.core.frame import Identified
from gateway.door import Door
from gateway.reload import Reload
from gateway.security.onboard import guard as guards
from gateway.security.onboard.guard import Guard, admitted
from gateway.security.onboard.life import State, Step
from gateway.security.onboard.observed import read_activated, read_observed
from gateway.security.onboard.standing import Standing
from gateway.security.onboard.unknown import Present, present, unknown
from tests.conftest import ROOT
from tests.parts.onboarding import Ward
from tests.parts.wait import wait_until


def _guard(ward: Ward) -> Guard:
    return Guard(ward.config, writes=True, now=lambda: ward.now)


def test_a_device_is_active_once_the_gateway_has_opened_it(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    assert (guard.open, list(guard.barred)) == (frozenset(), ["pump"])
    ward.approve()
    guard.look(config, {})
    assert guard.open == {"pump"}
    assert guard.standings["pump"].state is State.ACTIVE
    assert read_activated(tmp_path / "state")["A-1"].rev == 1
    assert ward.one().state is State.ACTIVE  # every other process sees the same


def test_nothing_is_read_again_while_nothing_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    calls: list[int] = []
    real = guards.standing
    monkeypatch.setattr(guards, "standing", lambda *args: calls.append(1) or real(*args))
    guard.look(config, {})
    ward.later(seconds=1)
    guard.look(config, {})
    assert calls == []
    ward.hand(Step.SUSPEND)
    guard.look(config, {})
    assert (len(calls), guard.open) == (1, frozenset())
    ward.later(minutes=1)  # a minute has passed: time itself may end something
    guard.look(config, {})
    assert len(calls) == 2


def test_time_ends_an_approval_on_a_running_gateway(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    assert guard.open == {"pump"}
    ward.later(days=365)
    guard.look(config, {})
    assert (guard.open, guard.standings["pump"].state) == (frozenset(), State.EXPIRED)


def test_what_a_device_says_is_written_down_and_judged(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    guard.look(config, {"pump": Identified("Ærø", "C1", "2.0", "7")})
    seen = read_observed(tmp_path / "state")["pump"]
    assert (seen.vendor, seen.model, seen.firmware, seen.serial) == ("Ærø", "C1", "2.0", "7")
    one = guard.standings["pump"]
    assert (one.state, one.may_open, one.flagged) == (State.DRIFTED, True, True)
    ward.later(seconds=1)
    guard.look(config, {"pump": Identified("Ærø", "C2", "2.0", "7")})
    assert guard.open == frozenset()
    ward.hand(Step.RESUME)
    guard.look(config, {})
    assert guard.open == {"pump"}
    ward.later(seconds=1)
    guard.look(config, {"pump": Identified("Ærø", "C2", "2.0", "7")})  # it says the same as before, and again
    assert guard.open == frozenset()


def test_the_process_without_ports_writes_nothing(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    guard = Guard(ward.config, writes=False, now=lambda: ward.now)
    guard.look(ward.config, {"pump": Identified("Ærø", "C2", "2.0", "7")})
    assert guard.open == {"pump"}
    assert not (tmp_path / "state/onboard").exists()


def test_a_list_of_people_that_is_half_copied_is_bridged_for_a_minute(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    path = ward.etc_dir / "trust/approvers.toml"
    path.write_bytes(path.read_bytes() + b"\n")
    ward.later(seconds=1)
    guard.look(config, {})
    assert guard.open == {"pump"}
    ward.later(seconds=guards.GRACE_S)
    guard.look(config, {})
    assert guard.open == frozenset()


def test_what_changes_is_said_once_with_lab_in_front(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ward = Ward(tmp_path, mode="lab")
    caplog.set_level(logging.INFO, "mdi.onboard")
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    guard.look(config, {})
    assert [r.getMessage()[:50] for r in caplog.records] == ["LAB: pump is draft and may be opened: it was never"]
    assert guard.status()[0]["flagged"] is True


def test_the_other_devices_of_a_line_keep_their_numbers(tmp_path: Path) -> None:
    text = (ROOT / "mdi_config.toml").read_text(encoding="utf-8").replace('"/etc/mdi"', f'"{tmp_path}"')
    path = tmp_path / "mdi_config.toml"
    path.write_text(text, encoding="utf-8")
    config = read_config(path)
    standings = {d.settings.name: Standing(d.settings.name, may_open=True) for d in config.devices}
    assert admitted(config, standings).ports == config.ports
    standings["varmeskab-1"] = Standing("varmeskab-1")
    standings["mp70-17"] = Standing("mp70-17")
    found = admitted(config, standings)
    assert [p.settings.name for p in found.ports] == ["stue4-seng1", "laboratorium-skabe", "ecmo"]
    (left,) = found.ports[1].devices
    assert (left.settings.name, left.number) == ("varmeskab-2", 3)
    assert (left.spec.source, left.spec.options) == (0, {"unit": 2})  # its place on the line is now the first
    left_out = {d.settings.name for d in config.devices} - {d.settings.name for d in found.devices}
    assert left_out == {"mp70-17", "varmeskab-1"}
    registry.driver("modbus").protocol([left.spec], found.ports[1].settings.options)


def test_the_door_bars_at_once_and_then_closes_and_opens_ports(tmp_path: Path) -> None:
    ward = Ward(tmp_path, devices=("pump", "scale"))
    ward.approve("A-1")
    ward.approve("A-2")
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    with ExitStack() as undo:
        acquire = Acquire(admitted(config, guard.standings))
        undo.callback(acquire.stop)
        acquire.start()
        reload = Reload(config, lambda: config, acquire, None, guard.admits)
        door = Door(guard, reload, acquire, None, listing=list)

        def ports() -> list[str]:
            door.look()
            reload.just_done()
            return sorted(port.name for port in acquire.ports)

        assert ports() == ["line", "line2"]
        pump = next(device for port in acquire.ports for device in port.devices if device.name == "pump")
        ward.hand(Step.SUSPEND)
        door.look()
        assert pump.barred.startswith("suspended")
        wait_until(lambda: ports() == ["line2"])
        assert [one["may_open"] for one in door.status()["devices"]] == [False, True]
        ward.hand(Step.RESUME)
        wait_until(lambda: ports() == ["line", "line2"])
        ward.hand(Step.REVOKE)
        ward.hand(Step.REVOKE, "A-2")
        wait_until(lambda: ports() == [] or acquire._running == {})
        reload.end()


def test_what_is_plugged_in_and_configured_nowhere_is_reported(tmp_path: Path) -> None:
    """As /sys lists it; a configured port may be named by a link, as /dev/serial/by-id/… is."""
    tty, net, dev = tmp_path / "tty", tmp_path / "net", tmp_path / "dev"
    for name in ("ttyUSB0", "ttyUSB1", "ttyACM0", "ttyS0", "tty1"):
        (tty / name).mkdir(parents=True)
    for name, kind in (("can0", "280"), ("can1", "280"), ("eth0", "1")):
        (net / name).mkdir(parents=True)
        (net / name / "type").write_text(f"{kind}\n")
    dev.mkdir()
    master, slave = os.openpty()
    try:
        (dev / "ttyUSB0").symlink_to(os.ttyname(slave))
        by_id = tmp_path / "usb-FTDI"
        by_id.symlink_to(dev / "ttyUSB0")
        listed = present(tty, net, dev)
        assert listed == [Present("can", "can0"), Present("can", "can1")] + [
            Present("serial", str(dev / name)) for name in ("ttyACM0", "ttyUSB0", "ttyUSB1")
        ]
        links = [SimpleNamespace(device=str(by_id)), SimpleNamespace(channel="can0")]
        config = SimpleNamespace(ports=[SimpleNamespace(link=link) for link in links])
        found = unknown(config, listed)  # type: ignore[arg-type]
        assert [one.name.rpartition("/")[2] for one in found] == ["can1", "ttyACM0", "ttyUSB1"]
    finally:
        os.close(master)
        os.close(slave)


def test_a_device_that_is_plugged_in_is_reported_once_and_never_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Hot-plug: a real pty appears in the listing; nobody opens it."""
    ward = Ward(tmp_path)
    ward.approve()
    config = ward.config
    guard = Guard(config, writes=True, now=lambda: ward.now)
    plugged: list[Present] = []
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    acquire = Acquire(admitted(config, guard.standings))
    try:
        reload = Reload(config, lambda: config, acquire, None, guard.admits)
        door = Door(guard, reload, acquire, None, listing=lambda: plugged)
        door.look()
        assert door.status()["unknown"] == []
        plugged.append(Present("serial", name))
        door.look()
        door.look()
        assert door.status()["unknown"] == [f"serial {name}"]
        assert sum("not configured" in r.getMessage() for r in caplog.records) == 1
        held = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink() and path.exists()]
        assert name not in held
        plugged.clear()
        door.look()
        assert door.status()["unknown"] == []
    finally:
        acquire.stop()
        os.close(master)


def test_a_door_that_can_read_nothing_keeps_its_last_judgement_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Found by a gateway without descriptors: looking for what is plugged in ended it."""
    looks: list[OSError | None] = [None, OSError(24, "Too many open files"), OSError(24, "Too many open files"), None]

    def judge() -> None:
        if (fault := looks.pop(0)) is not None:
            raise fault

    door = Door.__new__(Door)
    door._blind = False
    door._judge = judge  # type: ignore[method-assign]
    for _ in range(4):
        door.look()
    assert [record.message for record in caplog.records] == [
        "devices cannot be judged now: Too many open files; the last judgement holds",
        "devices are judged again",
    ]
