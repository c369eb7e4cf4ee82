"""A gateway in production, whole: mosquitto with mutual TLS, a sealed spool, signed people, configuration and profile,
a simulated monitor on a pty, and two people who sign with the real minisign. All are processes.

with Production(tmp_path) as box:
    box.new(), box.submit(), box.minisign("mso"), box.minisign("jkr")
    box.start()
    box.device()["state"]
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from gateway.config import Config, read_config
from gateway.security.trust.minisign import PublicKey, SecretKey
from gateway.status import read_status
from tests.conftest import ROOT
from tests.parts.broker import HOST
from tests.parts.pki import Pki
from tests.parts.tls_broker import TlsBroker
from tests.parts.trust import Hospital
from tests.parts.wait import wait_until

CONFIG = """
[security]
mode = "production"
etc_dir = "{folder}/etc"
on_firmware_drift = "{drift}"
[gateway]
name = "gw-prod"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
profiles = ["{folder}/profiles"]
[spool]
segment_mib = 1
limit_mib = 16
[sink]
kind = "mqtt"
host = "{host}"
port = {port}
ca = "{ca}"
cert = "{cert}"
key = "{key}"
[[route]]
interval_s = 0.0
[[port]]
name = "bed"
driver = "philips_intellivue"
link = {{ kind = "serial", device = "{folder}/monitor", baud = 115200 }}
[[port.device]]
name = "monitor"
profile = "philips/intellivue_mp"
eui64 = "0009FBFFFE012345"
location = {{ unit = "ITA", room = "Stue 3", bed = "Seng 2", facility = "AUH" }}
[[zone]]
name = "beds"
title = "Devices at the bedside"
trust = 1
[[zone]]
name = "kita"
title = "Clinical IT workplace"
trust = 3
[[conduit]]
name = "line"
zone = "beds"
kind = "serial"
device = "{folder}/monitor"
why = "The monitor has a serial line only"
[[conduit]]
name = "broker"
zone = "kita"
kind = "mqtt"
host = "{host}"
port = {port}
san = "{host}"
why = "Vitals into the EPJ"
"""
ASSET = "MT-01234"
LONG_S = 180  # on a machine that does ten other things; waited for, never slept
RECORD = {
    "serial": "DE1",
    "mdr_class": "IIb",
    "purpose": "Intensive care, for documentation",
    "data": "vital signs",
    "clinical": "ITA",
    "medico": "Medicoteknik",
    "it": "Regional IT",
    "next": "2099-01-01",
}
FIRMWARE = "L.01.18"  # what the simulator says by itself


class Production:
    """See the module text. drift: flag or hold."""

    def __init__(self, folder: Path, drift: str = "flag") -> None:
        self.folder, self.drift = folder, drift
        self.path = folder / "mdi_config.toml"
        self.people = Hospital(folder / "etc")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # The key of the spool lies in memory, as systemd puts it there.
        self._credentials = Path(tempfile.mkdtemp(dir="/dev/shm"))
        (self._credentials / "mdi-seal").write_bytes(os.urandom(32))
        (self._credentials / "mdi-seal").chmod(0o400)
        self.environment: Mapping[str, str] = {**os.environ, "CREDENTIALS_DIRECTORY": str(self._credentials)}

    def __enter__(self) -> Self:
        self._real_keys("mso", "jkr", "its")
        pki = Pki(self.folder / "pki")
        self.broker = TlsBroker(self.folder / "broker", pki, ["auh/ita/gw-prod"])
        pair = pki.issue("gateway", "gw-prod", ["gw-prod"])
        given = {"folder": self.folder, "host": HOST, "port": self.broker.port, "drift": self.drift}
        self.path.write_text(CONFIG.format(ca=pki.ca, **pair.keys, **given), encoding="utf-8")
        profile = self.folder / "profiles/philips/intellivue_mp.toml"
        profile.parent.mkdir(parents=True)
        shutil.copy(ROOT / "firmware_profiles/philips/intellivue_mp.toml", profile)
        self.people.sign_file(profile, "profile", "mso", file="philips/intellivue_mp.toml")
        self.sign_config()
        self.simulate()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._processes):
            self.end(name, signal.SIGKILL)
        self.broker.stop()
        shutil.rmtree(self._credentials)

    # ---- people

    def _real_keys(self, *names: str) -> None:
        """Keys of people by the real minisign; the list of people names them."""
        for name in names:
            secret, public = self.folder / f"{name}.key", self.folder / f"{name}.pub"
            subprocess.run(["minisign", "-G", "-W", "-s", secret, "-p", public], check=True, capture_output=True)
            self.people.keys[name] = SecretKey.parse(secret.read_text())
            assert self.people.keys[name].public == PublicKey.parse(public.read_text())
        self.people.write()

    def sign_config(self, rev: int = 1) -> None:
        self.people.sign_file(self.path, "configuration", "mso", "jkr", rev=rev)

    def new(self, **changed: str) -> None:
        """The record, as a biomedical engineer makes it."""
        values = {"firmware": FIRMWARE, **RECORD, **changed}
        pairs = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        self.mdi("onboard", "new", ASSET, "--device", "monitor", "--no-ask", *pairs)

    def submit(self, by: str = "lev") -> int:
        return int(self.mdi("onboard", "submit", ASSET, "--by", by, "--json")["rev"])

    def minisign(self, name: str, rev: int = 1, code: int = 0) -> dict[str, Any]:
        """A person signs the request with minisign on an own computer; the signature comes to the gateway."""
        request = self.folder / f"of-{name}" / f"{rev}.json"
        request.parent.mkdir(exist_ok=True)
        shutil.copy(self.folder / f"etc/approvals/{ASSET}/{rev}.json", request)
        run = ["minisign", "-S", "-s", self.folder / f"{name}.key", "-m", request]
        subprocess.run(run, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        taken = ["onboard", "sign", ASSET, "--rev", str(rev), "--signature", f"{request}.minisig", "--json"]
        return self.mdi(*taken, code=code)

    def approve(self) -> None:
        rev = self.submit()
        self.minisign("mso", rev, code=2)
        self.minisign("jkr", rev)

    # ---- processes

    def mdi(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command to its end; return its JSON, or {"said": text}."""
        run = [sys.executable, "-m", "gateway.cli.app", *arguments, "--config", str(self.path)]
        ended = subprocess.run(run, env=self.environment, capture_output=True, text=True, timeout=LONG_S, check=False)
        assert ended.returncode == code, f"{ended.returncode} {run[3:]}:\n{ended.stdout}\n{ended.stderr}"
        if "--json" in arguments and ended.stdout.startswith("{"):
            return dict(json.loads(ended.stdout))
        return {"said": ended.stdout + ended.stderr}

    def simulate(self, firmware: str = FIRMWARE) -> None:
        """The monitor on its line, in place of the one before."""
        if "monitor" in self._processes:
            self.end("monitor", signal.SIGTERM)
        line, profile = str(self.folder / "monitor"), "philips/intellivue_mp"
        scene = ["-p", profile, "--pty", line, "-o", f"firmware={firmware}"]
        self._start("monitor", "simulate", "philips_intellivue", *scene)
        wait_until((self.folder / "monitor").exists, self.log, LONG_S)

    def start(self, *roles: str) -> None:
        for role in roles or ("run",):
            self._start(role, role, "--config", str(self.path))
            pid, of = self._processes[role].pid, "forward" if role == "forward" else "acquire"
            wait_until(lambda of=of, pid=pid: self.status().get(of, {}).get("pid") == pid, self.log, LONG_S)  # type: ignore[misc]

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        process = self._processes.pop(name)
        process.send_signal(how)
        return process.wait(30)

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            run = [sys.executable, "-m", "gateway.cli.app", *arguments]
            self._processes[name] = subprocess.Popen(run, env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    # ---- what became of it

    @property
    def config(self) -> Config:
        return read_config(self.path)

    def status(self) -> dict[str, Any]:
        return read_status(self.config)

    def device(self, role: str = "acquire") -> dict[str, Any]:
        """The standing, as the running gateway shows it."""
        return dict(self.status()[role]["onboard"]["devices"][0])

    def ports(self) -> list[str]:
        return [port["name"] for port in self.status()["acquire"]["ports"]]

    def messages(self) -> int:
        """How many messages the spool has taken."""
        return int(self.status()["forward"]["counters"]["messages"])

    def log(self) -> str:
        texts = [path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log")]
        return "\n".join(texts)
