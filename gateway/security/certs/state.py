"""How the certificates of a configuration stand now: `status(config, now)`. Reads files, judges them, changes nothing.

Thresholds of days left are those of the onboarding review: 60, 30, 14, 7.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from gateway.core.errors import ConfigError
from gateway.security.certs.judge import Fault, Finding, dates, days_left, judge_client, revocation, said
from gateway.security.certs.x509 import Certificate, read_certificates

THRESHOLDS = (60, 30, 14, 7)  # days left at which a warning is due
GATEWAY, CA, CRL, NEXT, PREVIOUS, BROKER = "gateway", "ca", "crl", "next", "previous", "broker"
KEY_RIGHTS = 0o600  # the most that a private key's file may have


class Sink(Protocol):
    """What is asked of the settings of a sink that speaks TLS; another sink has no certificates."""

    ca: str
    cert: str
    key: str
    crl: str


class Named(Protocol):
    """[gateway], as far as it is asked."""

    @property
    def name(self) -> str: ...


class Configured(Protocol):
    """A gateway.config.Config, as far as it is asked."""

    @property
    def gateway(self) -> Named: ...

    @property
    def sink(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class CertificateState:
    """One certificate, or one file that should hold one.

    role: GATEWAY, CA, CRL, NEXT (key made, certificate not yet installed), PREVIOUS, BROKER (as seen in a connection);
    days_left: to its end, below 0 when over, None when unknown; warn: the threshold that it has passed, 0: it is over,
    None: all is well; faults: what is wrong, one text each; kinds: the same as words for programs.
    """

    role: str
    path: str
    subject: str = ""
    names: tuple[str, ...] = ()
    issuer: str = ""
    key: str = ""
    serial: str = ""
    sha256: str = ""
    not_before: str = ""
    not_after: str = ""
    days_left: float | None = None
    warn: int | None = None
    faults: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def status(config: Configured, now: datetime) -> list[CertificateState]:
    """Return how all certificates of the sink stand; [] for a sink without TLS. now: with its time zone."""
    sink = config.sink
    if not getattr(sink, "ca", ""):
        return []
    anchors, found = _authorities(sink.ca, now)
    lists = read_lists(sink.crl) if sink.crl else []
    if sink.cert:
        found.insert(0, _client(GATEWAY, sink, config.gateway.name, anchors, lists, now))
        folder = Path(sink.cert).parent
        name = Path(sink.cert).name
        if (folder / "previous" / name).exists():
            found.append(_plain(PREVIOUS, folder / "previous" / name, now))
        if (folder / "pending" / Path(sink.key).name).exists():
            found.append(CertificateState(NEXT, str(folder / "pending" / Path(sink.key).name), subject="key made"))
    return found + list(_revocation_lists(sink.crl, now))


def warn_of(days: float) -> int | None:
    """Return the lowest threshold that so many days are below, 0 when none are left, None above all."""
    if days <= 0:
        return 0
    return min((t for t in THRESHOLDS if days <= t), default=None)


def state_of(role: str, path: str, cert: Certificate, now: datetime, wrong: Iterable[Finding]) -> CertificateState:
    """Return the state of a certificate that could be read."""
    days = days_left(cert, now)
    findings = list(wrong)
    return CertificateState(
        role=role,
        path=path,
        subject=cert.subject,
        names=cert.names,
        issuer=cert.issuer,
        key=cert.key,
        serial=cert.serial,
        sha256=cert.sha256,
        not_before=said(cert.not_before),
        not_after=said(cert.not_after),
        days_left=round(days, 2),
        warn=warn_of(days),
        faults=tuple(f.text for f in findings),
        kinds=tuple(f.fault.value for f in findings),
    )


def read_lists(path: str) -> list[x509.CertificateRevocationList]:
    """Return the revocation lists of a PEM file; [] when it cannot be read."""
    end = b"-----END X509 CRL-----"
    try:
        parts = Path(path).read_bytes().split(end)[:-1]
        return [x509.load_pem_x509_crl(part[part.index(b"-----BEGIN") :] + end + b"\n") for part in parts]
    except (OSError, ValueError):
        return []


def key_rights(path: str) -> list[Finding]:
    """Return whether others than its owner may read a private key."""
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
    except OSError as fault:
        return [Finding(Fault.MISSING, f"the private key cannot be read: {fault.strerror}: {path}", "mdi certs csr")]
    if mode & ~KEY_RIGHTS:
        return [
            Finding(Fault.RIGHTS, f"others may read the private key: rights {mode:04o}: {path}", f"chmod 0400 {path}")
        ]
    return []


def _read(path: str) -> list[Certificate]:
    """Raises: ConfigError."""
    try:
        return read_certificates(Path(path).read_bytes(), path)
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", path) from fault


def _missing(role: str, path: str, fault: ConfigError) -> CertificateState:
    return CertificateState(role, path, faults=(f"{path}: {fault.what}",), kinds=(Fault.MISSING.value,))


def _authorities(path: str, now: datetime) -> tuple[list[Certificate], list[CertificateState]]:
    try:
        anchors = _read(path)
    except ConfigError as fault:
        return [], [_missing(CA, path, fault)]
    return anchors, [state_of(CA, path, anchor, now, dates(anchor, now)) for anchor in anchors]


def _client(
    role: str,
    sink: Sink,
    gateway: str,
    anchors: list[Certificate],
    lists: list[x509.CertificateRevocationList],
    now: datetime,
) -> CertificateState:
    try:
        certs = _read(sink.cert)
    except ConfigError as fault:
        return _missing(role, sink.cert, fault)
    wrong = judge_client(certs, anchors, gateway, now) + revocation(certs[0], lists, anchors, now)
    return state_of(role, sink.cert, certs[0], now, wrong + key_rights(sink.key))


def _plain(role: str, path: Path, now: datetime) -> CertificateState:
    try:
        return state_of(role, str(path), _read(str(path))[0], now, ())
    except ConfigError as fault:
        return _missing(role, str(path), fault)


def _revocation_lists(path: str, now: datetime) -> Iterator[CertificateState]:
    if not path:
        return
    lists = read_lists(path)
    if not lists:
        yield _missing(CRL, path, ConfigError("there is no revocation list that can be read"))
    for crl in lists:
        end = crl.next_update_utc
        days = (end - now).total_seconds() / 86400 if end else None
        over = days is not None and days <= 0
        text = (f"the revocation list of {crl.issuer.rfc4514_string()} is out of date",) if over else ()
        yield CertificateState(
            CRL,
            path,
            issuer=crl.issuer.rfc4514_string(),
            not_after=said(end) if end else "",
            days_left=None if days is None else round(days, 2),
            faults=text,
            kinds=(Fault.CRL.value,) if over else (),
        )
