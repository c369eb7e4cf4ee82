"""A checkpoint that has left the box: read back from a real broker, held against the log, before and after a change.

The change is the worst that a person with root can do: the whole log made anew, signed with the box's own key. The
files alone do not show it; the retained message does. And a clock that is set is written down, and breaks no chain.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.security.audit import Event
from gateway.security.audit.chain import CHECKPOINT, Chain
from gateway.security.audit.files import OsFiles
from gateway.security.audit.keys import AuditKey
from gateway.security.audit.verify import files_of, lines_of
from tests.faults.test_f19_clock_steps import WallClock
from tests.parts.broker import HOST, Mosquitto
from tests.parts.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LONG_S = 180
CONFIG = """
[security]
mode = "lab"
[log]
format = "json"
[gateway]
name = "gw-test"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
[spool]
segment_mib = 1
limit_mib = 8
[sink]
kind = "mqtt"
host = "127.0.0.1"
port = {port}
[[route]]
interval_s = 0.0
[[port]]
name = "monitor-line"
driver = "philips_intellivue"
link = {{ kind = "serial", device = "{folder}/nothing-is-connected", baud = 115200 }}
[[port.device]]
name = "monitor"
profile = "philips/intellivue_mp"
eui64 = "0009FBFFFE012303"
"""


class Box:
    """A gateway, and somebody elsewhere who reads what it leaves at the broker."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.broker = folder, broker
        self.path = folder / "mdi_config.toml"
        self.path.write_text(CONFIG.format(folder=folder, port=broker.port), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-m", "gateway.cli.app", "run", "--config", str(self.path)]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.wait(LONG_S) == 0, self.log()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def mdi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway.cli.app", *arguments, "--config", str(self.path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG_S)

    def heard(self, retained: bool) -> dict[str, bytes]:
        """What comes to a new reader, writer -> checkpoint. retained: only what lay at the broker before it came."""
        found: dict[str, bytes] = {}

        def heard(_client: Client, _: object, message: MQTTMessage) -> None:
            if message.retain or not retained:
                found[message.topic.rsplit("/", 1)[1]] = bytes(message.payload)

        client = Client(CallbackAPIVersion.VERSION2, client_id="reader", protocol=MQTTProtocolVersion.MQTTv5)
        client.on_message = heard
        client.connect(HOST, self.broker.port)
        client.subscribe("mdi/v1/+/+/+/status/audit/+", qos=1)
        client.loop_start()
        try:
            wait_until(lambda: {"run", "admin"} <= found.keys(), lambda: f"{found} {self.log()}", LONG_S)
        finally:
            client.loop_stop()
        return dict(found)


@pytest.fixture
def box(tmp_path: Path, broker: Mosquitto) -> Iterator[Box]:
    made = Box(tmp_path, broker)
    yield made
    made.kill()


def make_anew(folder: Path, entries: int) -> None:
    """What somebody with root can do: another history, with the same key and every hash and signature right."""
    key = AuditKey.load(folder)
    for path in (*files_of(folder), folder / CHECKPOINT):
        path.unlink()
    stamp = {"t_utc": "2026-01-01T00:00:00.000000Z", "t_mono": 1, "clock": "synchronised", "boot_id": "b"}
    chain = Chain(OsFiles(), folder, "gw-test", folder.name, lambda: stamp, 1 << 20, 1 << 20)
    chain.open()
    chain.append(Event.KEY_CREATED, "audit", "mdi", {"use": "audit", "key": key.public})
    for _ in range(entries):
        chain.append(Event.DEVICE_OPENED, "monitor", "mdi", {"port": "monitor-line"})
    chain.checkpoint(key.public, key.sign, "mdi")
    chain.close()


def test_a_retained_checkpoint_finds_a_log_that_was_made_anew_with_the_box_s_own_key(box: Box) -> None:
    box.start()
    wait_until((box.folder / "run/status-forward.json").exists, box.log, LONG_S)
    box.stop()  # its last checkpoint covers its end; the next start publishes it
    assert all(json.loads(line)["text"] for line in box.log().splitlines())  # [log] format
    assert box.mdi("audit", "export", "--output", str(box.folder / "export")).returncode == 0
    box.start()
    box.heard(retained=False)  # it has published them
    kept = box.heard(retained=True)
    box.stop()
    anchors = box.folder / "anchors"
    anchors.write_bytes(b"\n".join(kept.values()) + b"\n")

    good = box.mdi("audit", "verify", "--json", "--anchors", str(anchors))
    assert good.returncode == 0, good.stdout
    said = {one["writer"]: one for one in json.loads(good.stdout)["writers"]}
    assert {name: one["anchored"] for name, one in said.items()} == {
        name: json.loads(text)["seq"] for name, text in kept.items()
    }

    make_anew(box.folder / "state/audit/run", said["run"]["last"])
    assert box.mdi("audit", "verify").returncode == 0  # the files alone: nothing to be seen
    wrong = box.mdi("audit", "verify", "--anchors", str(anchors))
    assert wrong.returncode == 3, wrong.stdout
    assert "the log was rewritten" in " ".join(wrong.stdout.split())


def test_a_clock_that_is_set_is_written_down_with_its_step_and_breaks_no_chain(box: Box) -> None:
    folder, clock = box.folder / "state/audit/run", WallClock(box.folder)
    box.start(**clock.environment())
    wait_until((box.folder / "run/status-forward.json").exists, box.log, LONG_S)

    def steps() -> list[float]:
        entries = (line.entry for line in lines_of(folder) if line.entry)  # the last one may be half written
        return [entry["facts"]["step_s"] for entry in entries if entry["event"] == Event.CLOCK_STEP]

    assert steps() == []
    for number, step_s in enumerate((3600, -7200, 3600), start=1):
        clock.set(clock.offset_s + step_s)
        wait_until(lambda: len(steps()) >= number, box.log, LONG_S)  # noqa: B023
    box.stop()
    assert steps() == [pytest.approx(3600, abs=60), pytest.approx(-7200, abs=60), pytest.approx(3600, abs=60)]
    entries = [line.entry for line in lines_of(folder) if line.entry]
    assert [e["t_mono"] for e in entries] == sorted(e["t_mono"] for e in entries)
    assert [e["t_utc"] for e in entries] != sorted(e["t_utc"] for e in entries)  # as the clock showed it
    assert box.mdi("audit", "verify").returncode == 0
