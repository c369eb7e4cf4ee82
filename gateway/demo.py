"""The demo: simulated devices, gateway, broker and KITA, each a process of its own, as they would run for real.

    simulators   serial devices on pseudo-terminals, Modbus TCP on loopback, CAN behind socketcand on loopback (a bed)
    broker       mosquitto when it is installed (MQTT 5), else amqtt (MQTT 3.1.1)
    kita         receives into demo-data/kita.db
    gateway      mdi run with a configuration made here: processing id T, so that KITA charts none of it

Everything listens on loopback only. The folder stays behind for a look.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gateway.config import read_config
from gateway.core.errors import ConfigError, LinkError
from gateway.demo_beds import BEDS, MARK, configuration
from gateway.demo_broker import DemoBroker, free_port, start_broker
from gateway.status import read_status

STOP_S = 15.0  # the gateway drains, the driver parts from its device: both are bounded


@dataclass
class Child:
    """One process of the demo, with its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Demo:
    """Starts everything on entering, ends everything on leaving: the gateway first, so that it can drain."""

    def __init__(self, folder: Path, prefer_broker: str = "mosquitto", bed: str = "small") -> None:
        self.folder = folder.resolve()
        self.database = self.folder / "kita.db"
        self.config_path = self.folder / "mdi_config.toml"
        self.bed = BEDS[bed]
        self._prefer = prefer_broker
        self._children: list[Child] = []
        self.broker: DemoBroker

    def __enter__(self) -> Self:
        """Start. Raises: ConfigError for a folder that is not ours to empty, LinkError when a part does not start."""
        self._empty_folder()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _empty_folder(self) -> None:
        try:
            if self.folder.exists() and any(self.folder.iterdir()):
                if not self.config_path.is_file() or not self.config_path.read_bytes().startswith(MARK.encode()):
                    raise ConfigError(
                        "folder is not empty and not of a demo", str(self.folder), "name another: --folder"
                    )
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise ConfigError(
                f"cannot be used: {fault.strerror}", str(self.folder), "name another: --folder"
            ) from fault

    def _start(self) -> None:
        self.broker = start_broker(prefer=self._prefer)
        folder, broker = str(self.folder), self.broker
        ports = {device.name: free_port() for device in self.bed}
        text = configuration(self.bed, folder, broker.port, broker.protocol, ports)
        self.config_path.write_text(text, encoding="utf-8")
        for device in self.bed:
            self._run(device.name, *device.simulate(folder, ports[device.name]))
        where = ("--port", str(broker.port), "--protocol", broker.protocol, "--host", "127.0.0.1")
        self._run("kita", "kita", "run", "--database", str(self.database), *where)
        self._run("gateway", "run", "--config", str(self.config_path))
        self.config = read_config(self.config_path)

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(STOP_S)
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()
        self._children.clear()
        if hasattr(self, "broker"):
            self.broker.stop()

    def _run(self, name: str, *arguments: str) -> None:
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli.app", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo only, which then ends the others in order
            )
        self._children.append(Child(name, process, log))

    def check(self) -> None:
        """Raise LinkError, with the last line it said, when a process has ended by itself."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                said = child.log.read_text(errors="replace").strip().splitlines()
                raise LinkError(f"{child.name} ended with {code}: {said[-1] if said else 'no word'}", str(child.log))

    def stop_gateway(self) -> None:
        """End the gateway in order, so that what it has is delivered before the others end."""
        gateway = self._children.pop()
        gateway.process.send_signal(signal.SIGTERM)
        try:
            gateway.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            gateway.process.kill()

    def status(self) -> dict[str, Any]:
        """Return the gateway's status of both roles; {} before it has one."""
        return read_status(self.config)

    def wait_until_started(self, timeout_s: float = 90.0) -> None:
        """Wait until the gateway says what it does. Raises: LinkError."""
        end = time.monotonic() + timeout_s
        pause = threading.Event()
        while not self.status():
            self.check()
            if time.monotonic() > end:
                raise LinkError("the gateway does not start", str(self.folder / "gateway.log"))
            pause.wait(0.1)
