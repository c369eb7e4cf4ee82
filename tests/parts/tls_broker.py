"""A real mosquitto with the configuration that `mdi broker config` writes: certificates, access and revocation list."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.security.certs.broker import BrokerFiles, access_list, configuration, member
from tests.parts.broker import HOST, _free_port
from tests.parts.pki import Pki, bundle
from tests.parts.wait import wait_until


class TlsBroker:
    """gateways: SITE/UNIT/NAME each. Its own certificate names `names`."""

    def __init__(
        self, folder: Path, pki: Pki, gateways: Sequence[str], *, tls_min: str = "1.3", names: Sequence[str] = (HOST,)
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir()
        self.folder, self.port, self.gateways = folder, _free_port(), list(gateways)
        own = pki.issue("broker", "broker", names, "server")
        self.files = BrokerFiles(
            ca=str(folder / "ca.pem"),
            cert=str(own.cert),
            key=str(own.key),
            crl=str(folder / "crl.pem"),
            acl=str(folder / "mdi.acl"),
            data=str(folder / "data") + "/",
        )
        self.trust(pki)
        self.allow(*gateways)
        text = configuration(self.files, len(gateways), HOST, self.port, tls_min, getpass.getuser())
        (folder / "mosquitto.conf").write_text(text)
        found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        assert found, "mosquitto is not installed; these tests need it: apt-get install mosquitto"
        self._program = found
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def trust(self, *authorities: Pki) -> None:
        """Write the CA bundle and the bundle of their lists."""
        bundle(Path(self.files.ca), *(a.ca for a in authorities))
        bundle(Path(self.files.crl), *(a.crl for a in authorities))

    def allow(self, *gateways: str) -> None:
        """Write the access list."""
        Path(self.files.acl).write_text(access_list([member(g) for g in gateways], ["kita"], ["siem"]))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as output:
            run = [self._program, "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(run, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT)
        wait_until(self._open, lambda: f"mosquitto did not start:\n{self.log()}", 20)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def hup(self) -> None:
        """SIGHUP; return when it has read its files again."""
        assert self._process is not None
        before = self.log().count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log().count("Reloading config") > before, self.log)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _open(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            socket.create_connection((HOST, self.port), 1.0).close()
        except OSError:
            return False
        return True


@contextmanager
def tls_broker(folder: Path, pki: Pki, *gateways: str, tls_min: str = "1.3") -> Iterator[TlsBroker]:
    """Yield a broker that ends with the test."""
    made = TlsBroker(folder, pki, gateways or ("auh/ita/gw-1",), tls_min=tls_min)
    try:
        yield made
    finally:
        made.stop()
