"""The whole chain as processes, certificates on every connection, and the broker as `mdi broker config` sets it up."""

from __future__ import annotations

import getpass
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gateway.security.certs.broker import BrokerFiles, access_list, configuration, member
from gateway.security.certs.store import Store
from tests.faults import oracle
from tests.faults.rig import HOST, Counter, Rig
from tests.parts.pki import Pki, bundle
from tests.parts.wait import wait_until

NAME = "gw-fault"  # of tests/faults/parts_config.py


class TlsRig(Rig):
    """See tests/faults/rig.py. `certs` is the gateway's folder, its first certificate installed as by the commands."""

    def __init__(self, folder: Path, pki: Pki, **given: Any) -> None:
        self.pki, self.certs = pki, folder / "certs"
        self.ca = folder / "certs" / "broker-ca.pem"
        self.store = Store(str(self.certs / "gateway.pem"), str(self.certs / "gateway.key"))
        tls = f'ca = "{self.ca}"\ncert = "{self.store.cert}"\nkey = "{self.store.key}"'
        super().__init__(folder, (Counter("d1", 100),), sink=tls, **given)

    def _write_files(self) -> None:
        self.certs.mkdir(mode=0o700)
        bundle(self.ca, self.pki.ca)
        self.store.switch(self._first())
        super()._write_files()
        broker = self.folder / "broker"
        own, kita = self.pki.issue("broker", "broker", (HOST,), "server"), self.pki.issue("kita", "kita")
        self.files = BrokerFiles(
            str(broker / "ca.pem"),
            str(broker / "broker.pem"),
            str(broker / "broker.key"),
            str(broker / "crl.pem"),
            str(broker / "acl"),
            f"{broker}/",
        )
        self.trust(self.pki)
        self.serve_with(own.cert, own.key)
        Path(self.files.acl).write_text(access_list([member(f"auh/ita/{NAME}")], ["kita"]))
        conf = configuration(self.files, 100, HOST, self.broker_port, user=getpass.getuser())
        (self.folder / "mosquitto.conf").write_text(conf)
        self._kita = ["--ca", str(broker / "kita-ca.pem"), "--cert", str(kita.cert), "--key", str(kita.key)]
        bundle(broker / "kita-ca.pem", self.pki.ca)

    def _first(self) -> Path:
        asked = self.store.make_key(NAME)
        return self.store.prepare(self.pki.answer(asked))

    def _make_parts(self) -> None:
        super()._make_parts()
        command = [*self.parts["kita"].command, *self._kita]
        self._part("kita", command, "connected to")

    def trust(self, *authorities: Pki) -> None:
        """Whom the broker trusts, and their revocation lists."""
        bundle(Path(self.files.ca), *(a.ca for a in authorities))
        bundle(Path(self.files.crl), *(a.crl for a in authorities))

    def serve_with(self, cert: Path, key: Path) -> None:
        """The broker's own certificate."""
        bundle(Path(self.files.cert), cert)
        bundle(Path(self.files.key), key)

    def hup(self) -> None:
        broker = self.parts["broker"]
        before = broker.said().count("Reloading config")
        broker.send(signal.SIGHUP)
        wait_until(lambda: broker.said().count("Reloading config") > before, broker.said)

    def mdi(self, *words: str, code: int = 0) -> Any:
        """Run a command of mdi certs with --json; return what it prints."""
        run = [sys.executable, "-m", "gateway.cli.app", "certs", *words, "--config", str(self.config_path), "--json"]
        ended = subprocess.run(run, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == code, f"{words}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return json.loads(ended.stdout) if ended.stdout else {"said": ended.stderr}

    def rotate(self, by: Pki, code: int = 0, **given: Any) -> Any:
        """A new key and certificate by the commands."""
        asked = self.mdi("csr", "--again")["pem"].encode()
        file = self.folder / "answer.pem"
        file.write_bytes(by.answer(asked, **given))
        return self.mdi("rotate", str(file), code=code)


class Flow:
    """Looks at what arrives in KITA, and keeps the longest pause."""

    def __init__(self, rig: TlsRig) -> None:
        self.longest_s = 0.0
        self._rig, self._stop = rig, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        last, at = 0, time.monotonic()
        while not self._stop.wait(0.05):
            now, found = time.monotonic(), oracle.newest(self._rig.database, self._rig.devices[0].name)
            self.longest_s = max(self.longest_s, now - at)
            if found > last:
                last, at = found, now
