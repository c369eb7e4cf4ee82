"""A sender with rings whose ports are played, and a configuration that is edited between and under running senders."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from gateway.config import Config, read_config
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE
from gateway.ring_file import RingFile
from gateway.service import Forward
from tests.conftest import ROOT
from tests.parts.wait import wait_until

HEAD = """
[security]
mode = "lab"
[gateway]
name = "gw"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
processing_id = "T"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
profiles = ["{folder}/profiles"]
[forward]
commit_ms = 10
[sink]
kind = "file"
directory = "{folder}/out"
[[route]]
interval_s = 0.0
"""
PORT = """
[[port]]
name = "{port}"
driver = "ascii_line"
ring_rows = 1024
link = {{ kind = "tcp", host = "127.0.0.1", port = {number} }}
"""
DEVICE = """
[[port.device]]
name = "{name}"
profile = "ledger/counter"
eui64 = "00000000000000{eui}"
location = {{ unit = "ITA", room = "1", bed = "{bed}", facility = "AUH" }}
"""
Device = tuple[str, str]  # name, bed


class Ward:
    """One folder, its rings and its messages; the configuration is edited between and under running senders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = 0
        self.forward: Forward | None = None
        self._writers: dict[str, RingWriter] = {}
        self.files = ExitStack()
        profile = (ROOT / "tests/faults/profiles/ledger/counter.toml").read_text(encoding="utf-8")
        self.profile(profile)

    def profile(self, text: str) -> None:
        (self.folder / "profiles/ledger").mkdir(parents=True, exist_ok=True)
        (self.folder / "profiles/ledger/counter.toml").write_text(text, encoding="utf-8")

    def config(self, ports: dict[str, list[Device]]) -> Config:
        text = HEAD.format(folder=self.folder)
        for number, (port, devices) in enumerate(ports.items()):
            text += PORT.format(port=port, number=7000 + number)
            text += "".join(DEVICE.format(name=n, bed=bed, eui=n.encode().hex()[:2].upper()) for n, bed in devices)
        path = self.folder / "mdi_config.toml"
        path.write_text(text, encoding="utf-8")
        return read_config(path)

    def measure(self, config: Config, port: str, device: str, number: int = 0) -> float:
        """A port process measures one value. number: SAMPLE.source, the position in whatever it had read."""
        if port not in self._writers:
            file = RingFile(self.folder / "run/rings" / f"{port}.ring", 1024, "writer")
            self.files.callback(file.close)
            self._writers[port] = file.writer()
        writer = self._writers[port]
        plan = config.profiles.plan("ledger/counter", "")
        self.values += 1
        rows = np.zeros(1, SAMPLE)
        rows["value"], rows["source"], rows["t_ns"] = self.values, number, 1_700_000_000_000_000_000 + self.values
        assert writer.publish(
            rows, writer.add_plan(PlanName(plan.digest, plan.profile_id, "")), writer.add_device(device)
        )
        return float(self.values)

    def start(self, config: Config) -> Forward:
        self.forward = Forward(config, threading.Event())
        self.forward.start()
        return self.forward

    def stop(self) -> None:
        assert self.forward
        self.forward.stop()
        self.forward = None

    def reload(self, config: Config) -> None:
        assert self.forward
        with ExitStack() as undo:
            self.forward.change(config, self.forward.added(config, undo), undo)

    def told(self) -> dict[float, tuple[str, str]]:
        """Value -> (device, bed), as the messages say."""
        found: dict[float, tuple[str, str]] = {}
        for path in (self.folder / "out").glob("*.hl7"):
            text = path.read_text(encoding="utf-8")
            bed = re.search(r"^PV1\|\|U\|([^|\r]*)", text, re.MULTILINE)
            name = re.search(r"\|X\|+([a-z0-9-]+)\^\^[0-9A-F]{16}\^EUI-64", text)
            assert bed, text
            assert name, text
            for value in re.findall(r"\^MDC_PULS_RATE\^MDC\|[\d.]+\|(\d+)\|", text):
                assert float(value) not in found  # nothing twice
                found[float(value)] = (name[1], bed[1].split("^")[2])
        return found

    def wait_told(self, *values: float) -> dict[float, tuple[str, str]]:
        wait_until(lambda: set(values) <= set(self.told()), lambda: f"{values} of {self.told()}", 20)
        return self.told()
