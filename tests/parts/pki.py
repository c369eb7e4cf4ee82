"""A public key infrastructure in memory, written to files: good certificates, and each kind of bad ones."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
PURPOSE = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of a certificate and its key."""

    cert: Path
    key: Path
    serial: int

    @property
    def keys(self) -> dict[str, str]:
        """As settings of a sink or KITA."""
        return {"cert": str(self.cert), "key": str(self.key)}


def new_key(kind: str = "ec") -> Any:
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, int(kind[3:]))


def pem_of(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Pki:
    """One CA. `ca` and `crl` are files; times are relative to now."""

    def __init__(self, folder: Path, name: str = "Region CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name, self.revoked = folder, name, list[int]()
        self.ca, self.crl = folder / "ca.pem", folder / "crl.pem"
        self._key = new_key()
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._build(self._subject, self._key.public_key(), -DAY, 3650 * DAY, (), None, True)
        self.ca.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        self.publish()

    def issue(
        self,
        file: str,
        cn: str,
        names: Iterable[str] = (),
        purpose: str | None = "client",
        begins: timedelta = -DAY,
        ends: timedelta = 90 * DAY,
        key: str = "ec",
        self_signed: bool = False,
        sha1: bool = False,
    ) -> Pair:
        """Write a certificate and its key, each at once."""
        mine = new_key(key)
        if sha1:
            data = self._sign_by_sha1(mine, cn, names, purpose)
        else:
            data = self.sign(mine.public_key(), cn, names, purpose, begins, ends, mine if self_signed else None)
        replace(self.folder / f"{file}.key", pem_of(mine), 0o400)
        replace(self.folder / f"{file}.pem", data, 0o444)
        serial = x509.load_pem_x509_certificate(data).serial_number
        return Pair(self.folder / f"{file}.pem", self.folder / f"{file}.key", serial)

    def sign(
        self,
        public: Any,
        cn: str,
        names: Iterable[str] = (),
        purpose: str | None = "client",
        begins: timedelta = -DAY,
        ends: timedelta = 90 * DAY,
        by: Any = None,
    ) -> bytes:
        """Return a certificate in PEM. by: a key that signs in place of the CA: its own."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
        made = self._build(subject, public, begins, ends, names, purpose, False, by)
        return made.public_bytes(Encoding.PEM)

    def answer(self, request: bytes, **given: Any) -> bytes:
        """Return the certificate for a signing request, as a CA does."""
        asked = x509.load_pem_x509_csr(request)
        assert asked.is_signature_valid
        cn = given.pop("cn", asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        return self.sign(asked.public_key(), str(cn), given.pop("names", (str(cn),)), **given)

    def revoke(self, *serials: int) -> None:
        self.revoked += serials
        self.publish()

    def publish(self, ends: timedelta = 30 * DAY) -> None:
        """Write the revocation list."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._subject)
        builder = builder.last_update(now - 2 * DAY).next_update(now + ends)
        for serial in self.revoked:
            gone = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(minutes=1))
            builder = builder.add_revoked_certificate(gone.build())
        replace(self.crl, builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM), 0o444)

    def _sign_by_sha1(self, key: Any, cn: str, names: Iterable[str], purpose: str | None) -> bytes:
        """By the openssl command: the library does not sign with SHA-1 any more."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
        asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
        with tempfile.TemporaryDirectory() as folder:
            there = Path(folder)
            (there / "ca.key").write_bytes(pem_of(self._key))
            (there / "request").write_bytes(asked.public_bytes(Encoding.PEM))
            lines = [f"extendedKeyUsage={purpose}Auth"] if purpose else []
            lines += [f"subjectAltName={','.join(_openssl_name(name) for name in names)}"] if names else []
            (there / "ext").write_text("\n".join(lines))
            run = ["openssl", "x509", "-req", "-sha1", "-days", "30", "-in", "request", "-CA", str(self.ca)]
            run += ["-CAkey", "ca.key", "-extfile", "ext", "-set_serial", "7"]
            ended = subprocess.run(run, cwd=there, capture_output=True, check=True)
        return ended.stdout

    def _build(
        self,
        subject: x509.Name,
        public: Any,
        begins: timedelta,
        ends: timedelta,
        names: Iterable[str],
        purpose: str | None,
        authority: bool,
        by: Any = None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject if by else self._subject)
        builder = builder.public_key(public).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + begins).not_valid_after(now + ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if found := [_name(name) for name in names]:
            builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([PURPOSE[purpose]]), critical=False)
        return builder.sign(by or self._key, SHA256())


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _openssl_name(text: str) -> str:
    return ("IP:" if isinstance(_name(text), x509.IPAddress) else "DNS:") + text


def bundle(path: Path, *parts: Path) -> Path:
    """Write several PEM files as one, at once."""
    replace(path, b"".join(part.read_bytes() for part in parts), 0o444)
    return path


def replace(path: Path, data: bytes, mode: int) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.write_bytes(data)
    draft.chmod(mode)
    os.replace(draft, path)
