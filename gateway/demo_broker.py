"""A throw-away MQTT broker for the demo, on the loopback interface only.

mosquitto when it is installed (MQTT 5), else amqtt in a child process (MQTT 3.1.1 only). Nothing is kept on disk: the
spool of the gateway is the memory. No passwords and no TLS: never for patient data.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gateway.core.errors import LinkError

HOST = "127.0.0.1"
START_S = 10.0  # amqtt takes about one second to import on a small box
STOP_S = 3.0


class DemoBroker:
    """A running broker. protocol: what it speaks, as the settings of sink and receiver name it."""

    def __init__(self, name: str, protocol: str, port: int) -> None:
        self.name = name
        self.protocol = protocol
        self.port = port
        self._folder = tempfile.TemporaryDirectory(prefix="mdi-broker-")
        self._said = Path(self._folder.name) / "output"
        with self._said.open("wb") as output:
            self._process = subprocess.Popen(self._command(), stdout=output, stderr=subprocess.STDOUT)
        try:
            self._wait_until_open()
        except LinkError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the broker and remove what it left."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _command(self) -> list[str]:
        if self.name == "amqtt":
            return [sys.executable, "-m", "gateway.demo_broker", str(self.port)]
        file = Path(self._folder.name) / "mosquitto.conf"
        lines = [f"listener {self.port} {HOST}", "allow_anonymous true", "persistence false"]
        if os.geteuid() == 0:
            lines.append(f"user {getpass.getuser()}")  # otherwise it changes to a user that may not exist
        file.write_text("\n".join(lines) + "\n")
        return [_mosquitto(), "-c", str(file)]

    def _wait_until_open(self) -> None:
        pause = threading.Event()
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), 1.0).close()
            except OSError:
                pause.wait(0.02)
            else:
                return
        said = self._said.read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "it said nothing"
        raise LinkError(f"{self.name} did not start: {last}", f"{HOST}:{self.port}", "is the port free?")


def start_broker(port: int = 0, prefer: str = "mosquitto") -> DemoBroker:
    """Start a broker on the loopback interface; port 0: any free one.

    prefer: "mosquitto" takes it when it is installed, else amqtt; "amqtt" takes amqtt.
    Raises: LinkError when neither is installed or it does not start.
    """
    port = port or free_port()
    if prefer == "mosquitto" and _mosquitto():
        return DemoBroker("mosquitto", "mqtt5", port)
    try:
        import amqtt  # noqa: F401  # type: ignore[import-untyped]
    except ImportError:
        hint = 'install mosquitto, or the package with its extra: "mdi-edge-gateway[demo]"'
        raise LinkError("there is no MQTT broker for the demo", hint=hint) from None
    return DemoBroker("amqtt", "mqtt311", port)


def _mosquitto() -> str:
    """Return the path of mosquitto, "" when it is not installed. Debian keeps it in /usr/sbin."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or ""


def free_port() -> int:
    """Return a TCP port of loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _serve_amqtt(port: int) -> None:
    """The child process: run amqtt until it is ended."""
    from amqtt.broker import Broker

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    await Broker(config).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_amqtt(int(sys.argv[1])))
