"""The whole chain as processes of its own, in one folder: ledger devices, gateway, mosquitto, KITA; any can be hurt.

    with Rig(tmp_path, devices=(Counter("d1", 200),)) as rig:
        rig.kill("gateway")             # kill -9; also "acquire" and "forward" with split=True, "broker", "kita"
        rig.start("gateway", wait=False)
        rig.finish()                    # devices silent, all delivered, everything ended in order
        verdict = rig.verdict()         # see oracle.py

What is done to a part is kept with its time (`rig.events`): the oracle lets a device's lines be unread only around the
times at which nobody could read them.
"""

from __future__ import annotations

import atexit
import getpass
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gateway.config import read_config
from gateway.status import read_status
from tests.faults import ledger_device, oracle
from tests.faults.parts_config import CONFIG, port_table, spec_file
from tests.faults.process import Part
from tests.faults.pty_proxy import PtyProxy
from tests.faults.tcp_proxy import TcpProxy
from tests.parts.equation import unbalanced
from tests.parts.wait import wait_until

HOST = "127.0.0.1"
# Debian's mosquitto: persistence on, the state saved each 1800 s and at an orderly end (mosquitto.conf(5), autosave).
DEFAULT_PERSISTENCE = ("persistence true",)
NO_PERSISTENCE = ("persistence false",)
SETTLE_S = 90.0  # all is delivered within seconds; on a machine that does much else it may take very long
_JUDGED = Path(tempfile.mkdtemp(prefix="mdi-judged-"))  # plans judged once by the first gateway: a second each
atexit.register(shutil.rmtree, _JUDGED, True)


@dataclass(frozen=True, slots=True)
class Counter:
    """One ledger device, on a port of its own. wire: "pty" or "tcp"; rate: lines a second."""

    name: str
    rate: float = 50.0
    wire: str = "pty"


@dataclass(frozen=True, slots=True)
class Event:
    """Something was done to a part. what: start, ready, kill, term, stop, cont, unplug, plug, away …"""

    t_ns: int  # monotonic
    part: str
    what: str


class Rig:
    """See the module text.

    split: acquire and forward as two processes; broker: further lines of its configuration; net_proxy: the gateway
    reaches the broker through `net`; line_proxies: it reaches each pty device through `lines[name]`; seed: of the
    proxies; state: another folder for the spool (a small tmpfs); given: fields of parts_config.CONFIG.
    """

    def __init__(
        self,
        folder: Path,
        devices: Iterable[Counter] = (Counter("d1"),),
        *,
        split: bool = False,
        broker: Iterable[str] = DEFAULT_PERSISTENCE,
        net_proxy: bool = False,
        line_proxies: bool = False,
        seed: int = 0,
        state: Path | None = None,
        **given: Any,
    ) -> None:
        self.folder = folder
        self.devices = tuple(devices)
        self.split = split
        self.state_dir = state or folder / "state"
        self.database = folder / "kita.db"
        self.config_path = folder / "mdi_config.toml"
        self.events: list[Event] = []
        self.unbalanced: set[str] = set()  # what was wrong in any status that was read
        self.starts: dict[str, list[float]] = {}  # seconds that each start took, where it was waited for
        self.broker_port = free_port()
        self.net: TcpProxy
        self.lines: dict[str, PtyProxy] = {}
        self.parts: dict[str, Part] = {}
        self._net_port = free_port() if net_proxy else self.broker_port
        self.wires = {
            d.name: str(free_port()) if d.wire == "tcp" else str(folder / f"{d.name}.tty") for d in self.devices
        }
        self._line_proxies = line_proxies
        self._seed = seed
        self._proxies = ExitStack()
        self._broker_lines = tuple(broker)
        self._given = given
        self._status: dict[str, Any] = {}

    # ---- start and end

    def __enter__(self) -> Self:
        try:
            self._write_files()
            self._make_parts()
            for name in ("broker", "devices", "kita"):
                self.start(name)
            self._start_proxies()
            for name in self.roles:
                self.start(name)
            self._keep_judged()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in reversed(self.parts.values()):
            part.close()
        self._proxies.close()

    def _start_proxies(self) -> None:
        if self._net_port != self.broker_port:
            self.net = self._proxies.enter_context(TcpProxy(self._net_port, self.broker_port, self._seed))
        for number, device in enumerate(self.devices):
            end = self.gateway_end(device)
            if end != self.wires[device.name]:
                proxy = PtyProxy(self.wires[device.name], end, self._seed + number)
                self.lines[device.name] = self._proxies.enter_context(proxy)

    @property
    def roles(self) -> tuple[str, ...]:
        """The processes of the gateway, in the order of their start."""
        return ("forward", "acquire") if self.split else ("gateway",)

    def _write_files(self) -> None:
        (self.folder / "broker").mkdir(parents=True)
        lines = [f"listener {self.broker_port} {HOST}", "allow_anonymous true", f"user {getpass.getuser()}"]
        lines += [f"persistence_location {self.folder}/broker/", "max_queued_messages 100000", *self._broker_lines]
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "devices.json").write_text(spec_file(self.folder, self.devices, self.wires))
        ports = "\n".join(port_table(d, self.gateway_end(d), n) for n, d in enumerate(self.devices))
        shutil.copytree(_JUDGED, self.state_dir, dirs_exist_ok=True)
        self.config_path.write_text(self._config_text(ports), encoding="utf-8")
        self.config = read_config(self.config_path)

    def _config_text(self, ports: str) -> str:
        usual: dict[str, Any] = {"commit_ms": 50, "ack_timeout_s": 2.0, "keep_s": 0.5, "limit_mib": 64, "window": 20}
        usual |= {"ring_rows": 16384, "more": "", "sink": "", "folder": self.folder, "state": self.state_dir}
        usual |= {"port": self._net_port, "profiles": Path(__file__).parent / "profiles", "keepalive_s": 10}
        given = usual | self._given
        return CONFIG.format(**given) + ports.replace("RING_ROWS", str(given["ring_rows"]))

    def gateway_end(self, device: Counter) -> str:
        """Return what the gateway opens for a device: the device itself, or the end of a proxy."""
        through = self._line_proxies and device.wire == "pty"
        return str(self.folder / f"{device.name}.line") if through else self.wires[device.name]

    def _make_parts(self) -> None:
        mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        assert mosquitto, "mosquitto is not installed; these tests need it: apt-get install mosquitto"
        mdi = [sys.executable, "-m", "gateway.cli.app"]
        config = ["--config", str(self.config_path)]
        kita = ["kita", "run", "--database", str(self.database), "--host", HOST, "--port", str(self.broker_port)]
        self._part("broker", [mosquitto, "-c", str(self.folder / "mosquitto.conf")], " running")
        device = [sys.executable, "-I", "-S", ledger_device.__file__, str(self.folder / "devices.json")]
        self._part("devices", device, "ready")
        self._part("kita", [*mdi, *kita], "connected to")
        for role in self.roles:
            self._part(role, [*mdi, "run" if role == "gateway" else role, *config], " started: ")

    def _part(self, name: str, command: list[str], ready: str) -> None:
        self.parts[name] = Part(name, command, self.folder / f"{name}.log", ready)

    def _keep_judged(self) -> None:
        if not any(_JUDGED.iterdir()):
            shutil.copytree(self.state_dir / "validated", _JUDGED / "validated", dirs_exist_ok=True)

    # ---- what is done to parts

    def note(self, part: str, what: str) -> None:
        """Keep that something was done. A test notes itself what is done to a line (unplug, plug; part: its device)."""
        self.events.append(Event(time.monotonic_ns(), part, what))

    def start(self, name: str, wait: bool = True, **environment: str) -> float:
        """Start a part again; return the seconds until it said that it is ready."""
        part = self.parts[name]
        if environment:
            part.environment = {**part.environment, **environment}
        self.note(name, "start")
        took = part.start(wait)
        if wait:
            self.note(name, "ready")
            self.starts.setdefault(name, []).append(round(took, 3))
        return took

    def kill(self, name: str) -> None:
        """kill -9."""
        self.note(name, "kill")
        self.parts[name].end(signal.SIGKILL)

    def term(self, name: str) -> int:
        """SIGTERM; return the exit code."""
        self.note(name, "term")
        return self.parts[name].end(signal.SIGTERM)

    def stop(self, name: str) -> None:
        """SIGSTOP: it stands still."""
        self.note(name, "stop")
        self.parts[name].send(signal.SIGSTOP)

    def cont(self, name: str) -> None:
        """SIGCONT."""
        self.parts[name].send(signal.SIGCONT)
        self.note(name, "cont")

    def order(self, what: str, device: str, value: object) -> None:
        """Tell a device: rate, raw, stick; see ledger_device."""
        part = self.parts["devices"]
        answers = part.said().count("ok\n")
        assert part.process is not None
        assert part.process.stdin is not None
        part.process.stdin.write(f"{what} {device} {value}\n".encode())
        part.process.stdin.flush()
        wait_until(lambda: part.said().count("ok\n") > answers, "the devices do not answer", SETTLE_S)

    def pass_time(self, seconds: float) -> None:
        """Let the chain run: the length of a fault, never a wait for something."""
        time.sleep(seconds)

    # ---- what became of it

    def status(self) -> dict[str, Any]:
        """Return the status of the roles that has been written since their last start."""
        found = read_status(self.config)
        self.unbalanced.update(unbalanced(found))
        pids = {role: self.parts[role if self.split else "gateway"] for role in found}
        return {role: s for role, s in found.items() if pids[role].running and s["pid"] == pids[role].pid}

    def committed(self, device: str) -> int:
        """Return how many numbers of a device KITA holds."""
        return len(oracle.committed(self.database).get(device, []))

    def said(self, device: str) -> int:
        """Return how many lines a device has said."""
        return len(oracle.read_ledger(self.folder / f"{device}.ledger"))

    def wait_flowing(self, device: str = "", timeout_s: float = SETTLE_S) -> None:
        """Return when KITA has a number that was said after this call."""
        name = device or self.devices[0].name
        goal = self.said(name)
        wait_until(
            lambda: oracle.newest(self.database, name) > goal,
            lambda: f"nothing new of {name} after {goal}\n{self.logs()}",
            timeout_s,
        )

    def settled(self, after_ns: int) -> bool:
        """Tell whether a status written after `after_ns` (UTC) says that nothing is on its way."""
        status = self.status()
        forward = status.get("forward")
        if not forward or forward["t_ns"] < after_ns:
            return False
        return forward["spool"]["waiting"] == 0 and all(r["fill"] == 0 or r["blocked"] for r in forward["rings"])

    def finish(self) -> None:
        """Silence the devices, wait until all is delivered, end everything in order."""
        for device in self.devices:
            self.order("rate", device.name, 0)
        # What was said last is read, published and in the spool before the next but one status is written.
        after_ns = time.time_ns() + 1_100_000_000
        wait_until(lambda: self.settled(after_ns), lambda: f"{self.status()}\n{self.logs()}", SETTLE_S)
        self._status = self.status()
        for name in (*reversed(self.roles), "kita"):
            self.term(name)

    def verdict(self) -> oracle.Verdict:
        """Return the verdict of the oracle over all that happened."""
        for part in self.parts.values():
            if part.process is not None:
                part.died()
        ended = [end for part in self.parts.values() for end in part.ended]
        logs = {name: part.log for name, part in self.parts.items() if name in (*self.roles, "kita")}
        verdict = oracle.judge(
            oracle.Traces(
                {d.name: self.folder / f"{d.name}.ledger" for d in self.devices},
                self.database,
                self.state_dir / "spool",
                self.events,
                ended,
                logs,
                self._status,
                {name: line.damaged for name, line in self.lines.items()},
            )
        )
        verdict.faults += sorted(self.unbalanced)
        return verdict

    def logs(self) -> str:
        """Return the end of each log."""
        return "\n".join(f"--- {n}\n{p.said()[-2000:]}" for n, p in self.parts.items() if p.log.exists())


def free_port() -> int:
    """Return a port of loopback that nobody uses now, and that the system gives to no outgoing connection.

    Otherwise somebody has it when its part is down, maybe the one who tries to reach that part: it is connected to
    itself then (a simultaneous open, RFC 9293, 3.5).
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = secrets.choice(range(first // 2, first))
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def environment_of(faketime: str) -> Mapping[str, str]:
    """Return the environment of a process whose wall clock is shifted ("+1y", "-1d"); its monotonic clock is not."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is not installed; these tests need it: apt-get install faketime"
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": faketime, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
