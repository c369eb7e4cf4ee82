"""The files of one gateway's keys and certificates, and how they change: whole, or not at all.

    /etc/mdi/certs/
        gateway.pem  -> current/gateway.pem      what the configuration names; links, so that both change in one step
        gateway.key  -> current/gateway.key
        current      -> generations/2            replaced by rename: a crash leaves the old pair or the new one
        previous     -> generations/1            for the way back
        pending/gateway.key, pending/gateway.csr a key whose certificate is still to come

A private key is 0400 and its folder 0700, both of the owner of the whole folder. Nothing is overwritten: a key that is
replaced stays as `previous` until the next one is.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

from gateway.core.errors import ConfigError
from gateway.security.certs.judge import Fault, Finding, judge_client, revocation
from gateway.security.certs.keys import make_key, public_of, request
from gateway.security.certs.state import read_lists
from gateway.security.certs.x509 import read_certificates

KEY_MODE, FILE_MODE, FOLDER_MODE = 0o400, 0o444, 0o700


class Store:
    """cert, key: as the configuration names them, in one folder. Raises: ConfigError when they are not."""

    def __init__(self, cert: str, key: str) -> None:
        if not cert or Path(cert).parent != Path(key).parent or Path(cert).name == Path(key).name:
            raise ConfigError("cert and key of [sink] must be two files of one folder", cert, "see mdi_config.toml")
        self.cert, self.key = Path(cert), Path(key)
        self.folder = self.cert.parent
        self.pending = self.folder / "pending"
        self._generations = self.folder / "generations"

    # ---- a key and its request

    @property
    def request(self) -> Path:
        """Where the request lies."""
        return self.pending / f"{self.key.stem}.csr"

    def make_key(self, name: str, again: bool = False) -> bytes:
        """Make a key pair and its request; return the request. again: in place of one that waits for its certificate.

        Raises: ConfigError when one waits already.
        """
        if self.pending.exists() and not again:
            hint = f"use its request {self.request}, or make another with --again"
            raise ConfigError("a key waits for its certificate already", str(self.pending), hint)
        key = make_key()
        draft = self._fresh(self.folder / ".pending.draft")
        self._write(draft / self.key.name, key, KEY_MODE)
        asked = request(key, name)
        self._write(draft / self.request.name, asked, FILE_MODE)
        shutil.rmtree(self.pending, ignore_errors=True)
        os.rename(draft, self.pending)
        _sync(self.folder)
        return asked

    # ---- a certificate

    def judge(self, data: bytes, gateway: str, ca: str, crl: str, now: datetime) -> list[Finding]:
        """Return all that is wrong of a certificate file for the key that waits. Raises: ConfigError: there is none."""
        certs, anchors = read_certificates(data), read_certificates(Path(ca).read_bytes(), ca)
        wrong = judge_client(certs, anchors, gateway, now)
        wrong += revocation(certs[0], read_lists(crl) if crl else [], anchors, now)
        if certs[0].public != public_of(self._waiting_key().read_bytes()):
            text = "the certificate does not fit the key that waits on this box"
            wrong.insert(0, Finding(Fault.MISMATCH, text, f"have {self.request} signed"))
        return wrong

    def prepare(self, data: bytes) -> Path:
        """Lay the waiting key and its certificate down as a new generation, not yet in use. Return its folder."""
        self._generations.mkdir(mode=FOLDER_MODE, exist_ok=True)
        self._own(self._generations)
        taken = [int(p.name) for p in self._generations.iterdir() if p.name.isdecimal()]
        made = self._generations / str(max(taken, default=0) + 1)
        draft = self._fresh(self._generations / ".draft")
        self._write(draft / self.key.name, self._waiting_key().read_bytes(), KEY_MODE)
        self._write(draft / self.cert.name, data, FILE_MODE)
        os.rename(draft, made)
        _sync(self._generations)
        return made

    def drop(self, generation: Path) -> None:
        """Forget a generation that was never in use; its key waits on."""
        shutil.rmtree(generation)

    def switch(self, generation: Path) -> None:
        """Take a generation into use, in one step; the one before stays as `previous`."""
        if self.cert.exists() and not (self.folder / "current").exists():
            self._adopt()
        before = self._target("current")
        if before:
            self._link("previous", before)
        self._link("current", generation.name)
        for file in (self.cert, self.key):
            self._point(file)
        shutil.rmtree(self.pending, ignore_errors=True)
        self._prune()

    def back(self) -> None:
        """Take the previous generation into use again; the two change places. Raises: ConfigError: there is none."""
        current, previous = self._target("current"), self._target("previous")
        if not current or not previous:
            raise ConfigError("there is no previous certificate", str(self.folder), "install one: mdi certs install")
        self._link("current", previous)
        self._link("previous", current)

    # ---- files

    def _waiting_key(self) -> Path:
        key = self.pending / self.key.name
        if not key.is_file():
            raise ConfigError("no key waits for a certificate", str(self.pending), "make it first: mdi certs csr")
        return key

    def _adopt(self) -> None:
        """Take files that somebody put there by hand over as a generation."""
        made = self._fresh(self._generations / "0")
        self._write(made / self.cert.name, self.cert.read_bytes(), FILE_MODE)
        self._write(made / self.key.name, self.key.read_bytes(), KEY_MODE)
        self._link("current", made.name)
        for file in (self.cert, self.key):
            self._point(file)

    def _point(self, file: Path) -> None:
        wanted = f"current/{file.name}"
        if not file.is_symlink() or os.readlink(file) != wanted:
            self._replace_link(file, wanted)

    def _target(self, name: str) -> str:
        link = self.folder / name
        return Path(os.readlink(link)).name if link.is_symlink() else ""

    def _link(self, name: str, generation: str) -> None:
        self._replace_link(self.folder / name, f"generations/{generation}")

    def _replace_link(self, link: Path, target: str) -> None:
        draft = link.with_name(f".{link.name}.draft")
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        os.replace(draft, link)
        _sync(self.folder)

    def _prune(self) -> None:
        """Erase generations that are neither in use nor the way back."""
        kept = {self._target("current"), self._target("previous")}
        for path in self._generations.iterdir():
            if path.name not in kept:
                shutil.rmtree(path)

    def _fresh(self, folder: Path) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=FOLDER_MODE, parents=True)
        self._own(folder)
        return folder

    def _write(self, path: Path, data: bytes, mode: int) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)  # whatever the umask
            file.write(data)
            file.flush()
            os.fsync(handle)
        self._own(path)

    def _own(self, path: Path) -> None:
        """What root makes here belongs to whom the folder belongs: the sender, who has to read it."""
        if os.geteuid() == 0:
            owner = self.folder.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
