"""What is wrong with a record beside the configuration, risks and evidence. Pure but for the hashes of evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.config import Config
from gateway.security.onboard.content import located, used_conduits
from gateway.security.onboard.record import EVIDENCE, DeviceRecord, Risk

SOON_DAYS = 30  # what ends within a month is said


@dataclass(frozen=True)
class Finding:
    """One thing about a record. rule: stable, for programs; holds: it is not opened; tamper: somebody changed it."""

    rule: str
    what: str
    hint: str = ""
    holds: bool = True
    tamper: bool = False

    def __str__(self) -> str:
        return f"{self.what} → {self.hint}" if self.hint else self.what


def of_use(config: Config, record: DeviceRecord) -> Iterator[Finding]:
    """Yield where the record does not fit the configuration: what it would use is not what it says."""
    found = located(config, record)
    if found is None:
        yield Finding("no-device", f"no device {record.use.device!r} is configured", "correct [use] device")
        return
    port, _ = found
    if port.settings.name != record.use.port:
        what = f"the device is on port {port.settings.name}, the record says {record.use.port}"
        yield Finding("other-port", what, "correct [use] port")
    for name in used_conduits(config, port):
        if name not in record.use.conduits:
            yield Finding("other-conduit", f"it uses conduit {name}, the record does not name it", "name it in [use]")
    known = {conduit.name for conduit in config.conduits}
    for name in record.use.conduits:
        if name not in known:
            yield Finding("no-conduit", f"there is no conduit {name!r}", "correct [use] conduits")


def of_time(record: DeviceRecord, risks: Mapping[str, Risk], today: date) -> Iterator[Finding]:
    """Yield what is over or missing: the review, accepted risks. The support of the manufacturer is only said."""
    review = date.fromisoformat(record.review.next)
    if today >= review:
        yield Finding("review-due", f"the review was due on {review}", "review it, set [review] next, submit it anew")
    elif (review - today).days <= SOON_DAYS:
        yield Finding("review-soon", f"the review is due on {review}", "review it in time", holds=False)
    for name in record.review.risks:
        if name not in risks:
            yield Finding("no-risk", f"there is no risk {name!r}", f"write risks/{name}.toml")
        elif today >= date.fromisoformat(risks[name].expires):
            what = f"risk {name} was accepted until {risks[name].expires}"
            yield Finding("risk-expired", what, "accept it anew or end it, submit it anew")
    end = record.device.end_of_support
    if end and today >= date.fromisoformat(end):
        yield Finding("support-ended", f"the manufacturer's support ended on {end}", "accept the risk", holds=False)


def of_evidence(etc_dir: Path, record: DeviceRecord) -> Iterator[Finding]:
    """Yield what is wrong with the documents: one that lies here must have the hash that the record gives."""
    for one in record.evidence:
        path = etc_dir / EVIDENCE / record.asset / one.name
        try:
            found = file_sha256(path)
        except FileNotFoundError:
            continue  # kept elsewhere; the hash is what counts
        except OSError as fault:
            yield Finding(
                "evidence-unread", f"{path} cannot be read: {fault.strerror}", "check its rights", holds=False
            )
            continue
        if found != one.sha256:
            what = f"{path} is not the document that the record names"
            yield Finding("evidence-changed", what, "put it back, or review it anew", holds=False, tamper=True)
    if not any(one.kind == "mds2" for one in record.evidence):
        hint = "ask the manufacturer for it, then add [[evidence]]"
        yield Finding("no-mds2", "there is no MDS2 of the manufacturer", hint, holds=False)


def file_sha256(path: Path) -> str:
    """Return SHA-256 of a file, in hex. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
