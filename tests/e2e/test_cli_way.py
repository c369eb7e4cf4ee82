"""The commands working together, each a process of its own: simulate → record → decode, replay → run, and acquire and
forward apart and killed. Everything waits on conditions."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.config import read_config
from gateway.core.hl7_parse import parse_oru
from gateway.status import read_status
from tests.parts.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
HEAD = """
[security]
mode = "lab"
[gateway]
name = "gw-cli"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
processing_id = "T"
state_dir = "{state}"
run_dir = "{folder}/run"
[spool]
segment_mib = 1
limit_mib = 64
[sink]
kind = "file"
directory = "{state}/out"
[[route]]
interval_s = 0.0
[[port]]
name = "line"
"""
DEVICE = """
[[port.device]]
name = "device"
eui64 = "0009FBFFFE012345"
"""
KINDS: dict[str, dict[str, Any]] = {
    "pty": {
        "port": 'driver = "philips_intellivue"\nlink = {{ kind = "serial", device = "{folder}/line", baud = 115200 }}',
        "device": 'profile = "philips/intellivue_mp"',
        "simulate": ["philips_intellivue", "-p", "philips/intellivue_mp"],
        "decode": [],
    },
    "tcp": {
        "port": 'driver = "modbus"\noptions = {{ framing = "tcp" }}\n'
        'link = {{ kind = "tcp", host = "127.0.0.1", port = {number} }}',
        "device": 'profile = "hettich/hettcube"',
        "simulate": ["modbus", "-p", "hettich/hettcube", "-o", "framing=tcp"],
        "decode": ["-o", "framing=tcp"],
    },
    "can": {
        "port": 'driver = "can_signals"\n'
        'link = {{ kind = "can", interface = "socketcand", channel = "can0", port = {number} }}',
        "device": 'profile = "smartecla/bedside_network"\nfirmware = "2690"',
        "simulate": ["can_signals", "-p", "smartecla/bedside_network"],
        "decode": ["--firmware", "2690"],
    },
}


class Bench:
    """A folder with a configuration, and the processes that were started on it."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.number = probe.getsockname()[1]
        self.at = [f"--{kind}", str(folder / "line") if kind == "pty" else str(self.number)]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.configure("state")

    def configure(self, state: str) -> None:
        kind = KINDS[self.kind]
        text = HEAD + kind["port"] + DEVICE + kind["device"]
        self.out = self.folder / state / "out"
        self.config = self.folder / "mdi_config.toml"
        self.config.write_text(
            text.format(folder=self.folder, state=self.folder / state, number=self.number), encoding="utf-8"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.end(name, signal.SIGKILL)

    def run(self, *arguments: str | Path) -> str:
        command = [sys.executable, "-m", "gateway.cli.app", *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert result.returncode == 0, result.stderr.decode() + result.stdout.decode()[-2000:]
        return result.stdout.decode()

    def start(self, name: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gateway.cli.app", *map(str, arguments)]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._running[name] = process
        return process

    def simulate(self) -> None:
        self.start("simulate", "simulate", *KINDS[self.kind]["simulate"], *self.at)
        wait_until(lambda: "simulating" in self.log("simulate"), lambda: self.log("simulate"), 30)

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        process = self._running.pop(name)
        process.send_signal(how)
        return process.wait(30)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def status(self) -> dict[str, Any]:
        return read_status(read_config(self.config))

    def alive(self, role: str) -> bool:
        pids = {process.pid for process in self._running.values()}
        return self.status().get(role, {}).get("pid") in pids

    def messages(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.out.glob("*.hl7"))]


@pytest.fixture(params=["pty", "tcp", "can"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, request.param) as found:
        yield found


def decoded(bench: Bench, file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bench.run("decode", file, *KINDS[bench.kind]["decode"]).splitlines()]


def numerics(samples: list[dict[str, Any]]) -> Counter[tuple[str, float | None]]:
    return Counter(
        (sample["ref_id"], sample["value"])
        for sample in samples
        if not sample["waveform"] and isinstance(sample["value"], float) and sample["unit"]
    )


def test_record_decode_and_replay_give_the_same_values(bench: Bench) -> None:
    recording = bench.folder / "line.mdirec"
    bench.simulate()
    said = bench.run("record", "line", recording, "--config", bench.config, "--for", "5")
    assert "good frames" in said
    bench.end("simulate")
    want = numerics(decoded(bench, recording))
    assert sum(want.values()) >= 2

    bench.start("gateway", "run", "--config", bench.config)
    wait_until(lambda: " started: " in bench.log("gateway"), lambda: bench.log("gateway"), 60)
    player = bench.start("replay", "replay", recording, *bench.at, "--speed", "0")
    wait_until(lambda: player.poll() is not None, lambda: bench.log("replay") + bench.log("gateway"), 60)
    assert player.returncode == 0, bench.log("replay")
    assert "playing anyway" not in bench.log("replay")
    assert bench.end("gateway") == 0, bench.log("gateway")
    got = Counter({key: n for key, n in values(bench).items() if n})
    missing, more = want - got, got - want
    assert not missing, f"{missing}\nmore: {more}\n{bench.log('replay')}\n{bench.log('gateway')}"
    assert not more


def values(bench: Bench) -> Counter[tuple[str, float | None]]:
    """The numeric values in the messages: OBX-3.2 and OBX-5 of each OBX of type NM that has a value."""
    found: Counter[tuple[str, float | None]] = Counter()
    for payload in bench.messages():
        for segment in payload.decode("utf-8").split("\r"):
            fields = segment.split("|")
            if fields[0] == "OBX" and fields[2] == "NM" and fields[5]:
                found[(fields[3].split("^")[1], float(fields[5]))] += 1
    return found


def test_two_processes_killed_in_turn_lose_and_double_nothing(tmp_path: Path) -> None:
    """What was in the ring is stored exactly once, whoever of the two dies. Sample times tell repeats apart."""
    with Bench(tmp_path, "can") as bench:
        bench.simulate()
        bench.start("forward", "forward", "--config", bench.config)
        bench.start("acquire", "acquire", "--config", bench.config)
        wait_until(lambda: len(bench.messages()) > 3, lambda: bench.log("forward") + bench.log("acquire"), 40)
        for role in ("forward", "acquire", "forward"):
            before = len(bench.messages())
            bench.end(role, signal.SIGKILL)
            bench.start(role, role, "--config", bench.config)
            wait_until(lambda role=role: bench.alive(role), lambda role=role: bench.log(role), 30)
            wait_until(lambda before=before: len(bench.messages()) > before + 3, lambda: bench.log("forward"), 30)
        assert bench.run("status", "--config", bench.config).count("alive") == 2
        assert set(json.loads(bench.run("status", "--json", "--config", bench.config))) == {"acquire", "forward"}
        assert bench.end("acquire") == 0
        taken = bench.status()["acquire"]["ports"][0]["ring"]
        wait_until(lambda: bench.status()["forward"]["rings"][0]["fill"] == 0, lambda: str(bench.status()), 20)
        assert bench.end("forward") == 0
        forward = bench.status()["forward"]
        assert taken["dropped"] == 0
        assert forward["counters"]["rows_lost"] == 0
        assert forward["spool"]["waiting"] == 0
        rows = observations(bench)
        assert len(rows) > 100
        assert not [row for row, n in Counter(rows).items() if n > 1]
        result = subprocess.run(
            [sys.executable, "-m", "gateway.cli.app", "status", "--config", str(bench.config)],
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert result.returncode == 1
        assert b"NOT alive" in result.stdout


def observations(bench: Bench) -> list[tuple[str, str, str, str]]:
    """(OBX-3, OBX-4, OBX-5, OBR-7) of each observation: what, where, its value and its time."""
    found = []
    for payload in bench.messages():
        assert not parse_oru(payload).findings
        time = ""
        for segment in payload.decode("utf-8").split("\r"):
            fields = segment.split("|")
            if fields[0] == "OBR":
                time = fields[7]
            elif fields[0] == "OBX" and fields[5]:
                found.append((fields[3], fields[4], fields[5], time))
    return found
