"""The real port with a driver that has been taken over: it wants to write whatever a test gives it, to a real line."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.acquire import make_link, make_port
from gateway.config import read_config
from gateway.core.frame import NEED_DATA, Event
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import buffer_size, format_buffer
from gateway.port import Port

CONFIG = """
[security]
mode = "lab"
[gateway]
name = "gw"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{folder}"
run_dir = "{folder}"
profiles = ["{folder}/profiles"]
[sink]
kind = "file"
directory = "{folder}/out"
[[route]]
interval_s = 0.0
[[port]]
name = "line"
driver = "{driver}"
options = {{ {options} }}
link = {{ {link} }}
[[port.device]]
name = "device"
profile = "{profile}"
eui64 = "0009FBFFFE012345"
experimental = true
"""


class Hostile:
    """Implements DeviceProtocol: each data_to_send is one more of the writes; at the end it stops the port."""

    frames_ok = 0

    def __init__(self, writes: list[bytes], stop: threading.Event) -> None:
        self.writes, self._stop = deque(writes), stop

    def start(self, now: float) -> None: ...

    def stop(self, now: float) -> None: ...

    def receive_data(self, data: bytes, t_ns: int) -> None: ...

    def next_event(self) -> Event:
        return NEED_DATA

    def data_to_send(self, now: float) -> bytes:
        if self.writes:
            return self.writes.popleft()
        self._stop.set()
        return b""

    def next_wake(self) -> float | None:
        return 0.0 if not self._stop.is_set() else None


class Unhurt(threading.Event):
    """A stop that waits for nothing: a line that refuses is opened again at once."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def port_of(folder: Path, driver: str, profile: str, link: str, options: str = "") -> Port:
    """The port that a configuration makes: its link, its gate, its bounds; all but the protocol."""
    path = folder / "mdi_config.toml"
    filled = CONFIG.format(folder=folder, driver=driver, profile=profile, link=link, options=options)
    path.write_text(filled, encoding="utf-8")
    config = read_config(path)
    (port,) = config.ports
    ring = memoryview(bytearray(buffer_size(1024)))
    format_buffer(ring, 1024)
    return make_port(config, port, make_link(config, port), RingWriter(ring))


def attack(port: Port, writes: list[bytes]) -> None:
    """Let the port run until its protocol has tried all writes."""
    stop = Unhurt()
    port.protocol = Hostile(writes, stop)
    port.run(stop)


@contextmanager
def recording_server() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A TCP server that keeps every byte; yields its port, and what returns all of it once the other side has ended."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            line, _ = server.accept()
            with line:
                while data := line.recv(65536):
                    heard.extend(data)

        thread = threading.Thread(target=listen)
        thread.start()

        def all_of_it() -> bytes:
            thread.join(20)
            assert not thread.is_alive()
            return bytes(heard)

        yield server.getsockname()[1], all_of_it
