"""Everything that goes wrong on lines, at once: each port has one clear line and a counter, and the others go on."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway import registry, service
from gateway.acquire import Acquire
from gateway.config import read_config
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.port import Port
from gateway.simulate import Pty, serve
from tests.parts.wait import wait_until

pytestmark = pytest.mark.e2e
PROFILE = "philips/intellivue_mp"
HEAD = """
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
[spool]
segment_mib = 1
limit_mib = 8
[sink]
kind = "file"
directory = "{folder}/out"
[[route]]
interval_s = 0.0
"""
PORT = """
[[port]]
name = "{name}"
driver = "philips_intellivue"
link = {{ kind = "serial", device = "{folder}/{name}-line", baud = 115200 }}
[[port.device]]
name = "{name}-device"
profile = "philips/intellivue_mp"
eui64 = "00000000000000{number:02X}"
"""
PORTS = ("good", "missing", "unplugged", "silent", "wrong-baud", "other-firmware", "refusing", "babbling")


def monitor(**scenario: Any) -> Any:
    profile = registry.Profiles().get(PROFILE)
    return registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], scenario, Scene())


class Ward:
    """Eight monitors, of which one is well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop = threading.Event()
        self._running = ExitStack()
        text = HEAD.format(folder=folder) + "".join(
            PORT.format(folder=folder, name=name, number=i) for i, name in enumerate(PORTS)
        )
        (folder / "mdi_config.toml").write_text(text)
        self.config = read_config(folder / "mdi_config.toml")
        self.device("good")
        self.device("unplugged")
        self.device("other-firmware", firmware="Z.99")
        self.device("refusing", refuse=1_000_000)
        self.noise("wrong-baud", 2_000)
        self.noise("babbling", 500_000)
        self.line("silent")
        self.forward, self.acquire = service.Forward(self.config, threading.Event()), Acquire(self.config)
        self.forward.start()
        self.acquire.start()

    def line(self, name: str) -> Pty:
        return self._running.enter_context(Pty(self.folder / f"{name}-line"))

    def device(self, name: str, **scenario: Any) -> None:
        self.thread(serve, monitor(**scenario), self.line(name), self.stop)

    def noise(self, name: str, bytes_per_s: int) -> None:
        pty, rng = self.line(name), random.Random(5)

        def babble() -> None:
            while not self.stop.wait(0.01):
                pty.read(0)
                pty.write(rng.randbytes(bytes_per_s // 100))

        self.thread(babble)

    def thread(self, body: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=body, args=arguments)
        thread.start()
        self._running.callback(thread.join)
        return thread

    def port(self, name: str) -> Port:
        return next(port for port in self.acquire.ports if port.name == name)

    def close(self) -> None:
        self.acquire.stop()
        self.forward.stop()
        self.stop.set()
        self._running.close()


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    ward.close()


def test_each_trouble_has_its_line_and_its_counter_and_the_others_go_on(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def said(port: str, *words: str) -> None:
        def lines() -> list[str]:
            records = [*caplog.get_records("setup"), *caplog.records]
            return [m for r in records if f"port {port}:" in (m := r.getMessage())]

        wait_until(lambda: any(all(w in line for w in words) for line in lines()), lambda: f"{port}: {lines()}", 30)

    said("missing", "no such port", "ls /dev/serial/by-id/")
    assert ward.port("missing").counters.link_errors >= 1
    said("other-firmware", "Z.99", "outside the range", "other-firmware-device")
    wait_until(lambda: ward.port("other-firmware").counters.refused_frames > 3, timeout_s=20)
    assert ward.port("other-firmware").counters.samples == 0
    said("refusing", "refused")
    assert ward.port("refusing").counters.faults["refused"] >= 1
    said("silent", "no_answer")
    assert ward.port("silent").counters.faults["no_answer"] >= 1
    said("wrong-baud", "no_answer")
    for noisy in ("wrong-baud", "babbling"):
        wait_until(lambda noisy=noisy: sum(ward.port(noisy).counters.frames_bad.values()) > 5, timeout_s=20)
        assert ward.port(noisy).counters.samples == 0

    # unplugged and plugged in again, under another device number, behind the same name
    wait_until(lambda: ward.port("unplugged").counters.samples > 20, lambda: ward.port("unplugged").state, 20)
    link = ward.folder / "unplugged-line"
    before = ward.port("unplugged").counters.link_errors
    os.unlink(link)
    replugged = Pty(link)
    ward.port("unplugged").link.close()  # what the kernel does to a port that is pulled out: the read fails
    said("unplugged", "closed")
    samples = ward.port("unplugged").counters.samples
    with replugged:
        stop = threading.Event()
        thread = ward.thread(serve, monitor(), replugged, stop)
        wait_until(
            lambda: ward.port("unplugged").counters.samples > samples + 20, lambda: ward.port("unplugged").state, 20
        )
        stop.set()
        thread.join()
    assert ward.port("unplugged").counters.link_errors > before

    # and all the while
    good = ward.port("good")
    assert good.state == "receiving"
    assert good.counters.samples > 100
    assert not good.counters.frames_bad
    wait_until(lambda: ward.forward.forwarder.counters.accepted > 3, timeout_s=10)
    assert ward.forward.forwarder.counters.rows_lost == 0
