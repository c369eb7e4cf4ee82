"""A certificate authority of a few files, by the openssl command: issues, revokes, and says who is revoked."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

CONFIG = """
[ca]
default_ca = here
[here]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
crlnumber = {folder}/crlnumber
certificate = {folder}/ca.crt
private_key = {folder}/ca.key
default_md = sha256
default_crl_days = 30
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = dn
[dn]
"""
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
DAY = timedelta(days=1)


class Authority:
    """One authority. `ca` and `crl` are files for both sides of a connection."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.ca, self.crl = folder / "ca.crt", folder / "crl.pem"
        (folder / "openssl.cnf").write_text(CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        for name in ("serial", "crlnumber"):
            (folder / name).write_text("1000\n")
        self._openssl("req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=ca")
        self.publish()

    def issue(self, name: str, subject: str, *, expired: bool = False) -> tuple[Path, Path]:
        """Write certificate and key under `name` in place of older ones, each at once, as a rotation does."""
        end = datetime.now(UTC) + (-DAY if expired else 30 * DAY)
        address = "subjectAltName=IP:127.0.0.1"
        self._openssl("req", *CURVE, "-keyout", "k.new", "-out", "r.new", "-subj", f"/CN={subject}", "-addext", address)
        dates = [part.strftime("%Y%m%d%H%M%SZ") for part in (end - 60 * DAY, end)]
        self._openssl(
            "ca", "-batch", "-notext", "-in", "r.new", "-out", "c.new", "-startdate", dates[0], "-enddate", dates[1]
        )
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        os.replace(self._folder / "c.new", certificate)
        os.replace(self._folder / "k.new", key)
        return certificate, key

    def revoke(self, name: str) -> None:
        """Revoke what stands under `name` now, and say so."""
        self._openssl("ca", "-revoke", f"{name}.crt")
        self.publish()

    def publish(self) -> None:
        """Write the list of those revoked."""
        self._openssl("ca", "-gencrl", "-out", "crl.pem")

    def _openssl(self, command: str, *arguments: str) -> None:
        run = ["openssl", command, "-config", "openssl.cnf", *arguments]
        ended = subprocess.run(run, cwd=self._folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{' '.join(run)}:\n{ended.stderr}"
