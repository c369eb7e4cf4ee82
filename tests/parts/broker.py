"""A real mosquitto for tests, on a free loopback port in a temporary folder: to stop, to kill, to start again."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.wait import wait_until

HOST = "127.0.0.1"


class Mosquitto:
    """One broker. config: further lines of its configuration file."""

    def __init__(self, folder: Path, *config: str) -> None:
        found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if found is None:
            raise RuntimeError("mosquitto is not installed; these tests need it: apt-get install mosquitto")
        self.port = _free_port()
        self.pid = 0
        self._program = found
        self._folder = folder
        self._config = [*config]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, or start again on the same port; return when it takes connections."""
        lines = [f"listener {self.port} {HOST}", "allow_anonymous true", f"user {getpass.getuser()}", "log_type all"]
        lines += self._config or ["persistence false"]
        file = self._folder / "mosquitto.conf"
        file.write_text("\n".join(lines) + "\n")
        with (self._folder / "mosquitto.log").open("ab") as output:
            self._process = subprocess.Popen(
                [self._program, "-c", str(file)], cwd=self._folder, stdout=output, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid
        wait_until(self._open, lambda: f"mosquitto did not start:\n{self.log()[-2000:]}")

    def stop(self) -> None:
        """End in order: it saves its state when persistence is configured."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def log(self) -> str:
        """Return what mosquitto has said so far."""
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(5)
            self._process = None

    def _open(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"mosquitto ended:\n{self.log()[-2000:]}")
        try:
            socket.create_connection((HOST, self.port), 1.0).close()
        except OSError:
            return False
        return True


@contextmanager
def mosquitto(folder: Path, *config: str) -> Iterator[Mosquitto]:
    """Yield a broker in a folder of its own."""
    folder.mkdir(exist_ok=True)
    broker = Mosquitto(folder, *config)
    try:
        yield broker
    finally:
        broker.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
