"""The whole way as it runs for real: a pseudo-terminal, `mdi run`, mosquitto and `mdi kita run`, each a process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from gateway.config import read_config
from gateway.simulate import Pty
from gateway.status import read_status
from tests.parts.broker import HOST, Mosquitto
from tests.parts.equation import unbalanced
from tests.parts.wait import wait_until

TABLE = "apart"  # what a lab sends is never charted: KITA keeps it apart from observations, and these stay empty
CONFIG = """
[security]
mode = "lab"
[gateway]
name = "gw-test"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
[forward]
commit_ms = {commit_ms}
ack_timeout_s = 5.0
keep_s = 0.5
[spool]
segment_mib = 1
limit_mib = {limit_mib}
[sink]
kind = "mqtt"
host = "{host}"
port = {port}
reconnect_s = 0.1
reconnect_max_s = 1.0
{sink}
[[route]]
interval_s = 0.0
{routes}
[[port]]
name = "bed"
driver = "philips_intellivue"
ring_rows = {ring_rows}
options = {options}
link = {{ kind = "serial", device = "{folder}/monitor", baud = 115200 }}
[[port.device]]
name = "monitor"
profile = "philips/intellivue_mp"
eui64 = "0009FBFFFE012345"
location = {{ unit = "ITA", room = "Stue 3", bed = "Sæng å", facility = "AUH" }}
"""


class System:
    """Starts everything on entering; any part can be stopped, killed and started again.

    given: ring_rows, commit_ms; routes: further [[route]] of the configuration; options: of the port, an inline table;
    sink: further keys of [sink]
    """

    def __init__(self, folder: Path, **given: int | str) -> None:
        self.folder = folder
        usual: dict[str, int | str] = {
            "ring_rows": 262144,
            "commit_ms": 50,
            "limit_mib": 64,
            "routes": "",
            "options": "{}",
            "sink": "",
        }
        self._given = usual | given
        self._plugged = False
        self.database = folder / "kita.db"
        self.config_path = folder / "mdi_config.toml"
        self.pty = Pty(folder / "monitor")
        self.broker: Mosquitto
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        (self.folder / "broker").mkdir()
        self.broker = Mosquitto(self.folder / "broker", "max_queued_messages 10000")
        self.config_path.write_text(
            CONFIG.format(folder=self.folder, host=HOST, port=self.broker.port, **self._given), encoding="utf-8"
        )
        self.config = read_config(self.config_path)
        self.pty.__enter__()
        self._plugged = True
        self.start_kita()
        self.start_gateway()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._processes):
            self.end(name, signal.SIGKILL)
        self.broker.stop()
        self.unplug()

    # ---- parts

    def start_gateway(self) -> None:
        self._start("gateway", "run", "--config", str(self.config_path))
        pid = self._processes["gateway"].pid
        wait_until(lambda: self.status().get("acquire", {}).get("pid") == pid, self.log, 120)

    def start_kita(self) -> None:
        self._start(
            "kita", "kita", "run", "--database", str(self.database), "--host", HOST, "--port", str(self.broker.port)
        )
        wait_until(self.database.exists, self.log, 20)

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        process = self._processes.pop(name)
        process.send_signal(how)
        return process.wait(30)

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli.app", *arguments], stdout=output, stderr=subprocess.STDOUT
            )

    # ---- the line

    def unplug(self) -> None:
        """Pull the cable."""
        if self._plugged:
            self.pty.__exit__()
            self._plugged = False

    def feed(self, data: bytes, stop: threading.Event | None = None) -> None:
        """Write bytes to the line as fast as the gateway takes them; throw away what it asks."""
        at = 0
        while at < len(data) and not (stop and stop.is_set()):
            self.pty.read(0)
            if not self.pty.writable(0.5):
                continue
            at += self.pty.write_some(data[at : at + 4096])

    def drained(self) -> bool:
        """All bytes of the line have been read by the gateway."""
        return not self.pty.unread()

    # ---- what became of it

    def status(self) -> dict[str, Any]:
        status = read_status(self.config)
        assert not unbalanced(status)
        return status

    def forward(self) -> dict[str, Any]:
        return dict(self.status().get("forward", {}))

    def frames(self) -> int:
        return sum(port["frames_ok"] for port in self.status().get("acquire", {}).get("ports", []))

    def settled(self) -> bool:
        """Nothing is on its way: ring and spool are empty."""
        forward = self.forward()
        return bool(forward) and forward["spool"]["waiting"] == 0 and all(r["fill"] == 0 for r in forward["rings"])

    def rows(self, table: str = TABLE) -> list[tuple[Any, ...]]:
        """All that was measured: (ref_id, code, value, unit, validity, t_utc_ns)."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return db.execute(
                f"SELECT ref_id, code, value, unit, validity, t_utc_ns FROM {table} ORDER BY id"
            ).fetchall()

    def texts(self) -> list[tuple[str, str]]:
        """All that was measured whose value is a text: (ref_id, text)."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return db.execute(f"SELECT ref_id, text FROM {TABLE} WHERE text IS NOT NULL ORDER BY id").fetchall()

    def counts(self) -> dict[str, int]:
        from kita.query import count

        return count(self.database)

    def log(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in self.folder.glob("*.log"))


def fresh_environment() -> dict[str, str]:
    """The environment of a user who has set nothing."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MDI_", "PYTEST_"))} | {"LC_ALL": "C.UTF-8"}


def as_json(text: str) -> Any:
    """Parse the output of a command with --json."""
    return json.loads(text)
