"""The inventory as facts: bill of materials, its check by the schema, installed files, known vulnerabilities."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

from gateway.config import Config
from gateway.core.errors import MdiError
from gateway.security.dossier.facts import ComponentFact, InventoryFact, VulnerabilityFact
from gateway.security.inventory import install, sbom, software, vulnerabilities

SPEC = "1.6"


def inventory_fact(config: Config, now: datetime, manifest: Path | None) -> InventoryFact:
    """Return what is installed here and what is known of it. Files that are not there make their answers unknown."""
    found = software.host()
    text = sbom.cyclonedx(
        found, software.needed(), config.gateway.name, now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    differs = differences(manifest)
    scanned, known = vulnerability_facts(Path(config.security.etc_dir) / "vex", now.date())
    return InventoryFact(
        sbom_sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        spec=SPEC,
        components=tuple(ComponentFact(c.name, c.version, c.kind, c.licence, c.maker, c.support_end) for c in found),
        valid=valid(text),
        verified=None if differs is None else not differs,
        verified_why=", ".join(differs or ()),
        scanned=scanned,
        vulnerabilities=known,
    )


def valid(text: str) -> bool | None:
    """Tell whether the document fits its schema; None where the library (extra sbom) is not installed."""
    try:
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    except ImportError:
        return None


def differences(manifest: Path | None) -> list[str] | None:
    """Return what differs from the manifest, the first few; None without one."""
    if manifest is None:
        return None
    try:
        listed = install.read_manifest(manifest.read_text(encoding="utf-8"), str(manifest))
    except (MdiError, OSError):
        return ["the manifest cannot be read"]
    root, folders = install.installed_root(), install.folders_of(listed)
    found = [*install.compare(listed, install.hashes(root, folders)), *install.compiled(root, folders)]
    return [f"{d.path} {d.what}" for d in found[:5]]


def vulnerability_facts(folder: Path, today: date) -> tuple[str, tuple[VulnerabilityFact, ...] | None]:
    """Return the day of the scan and each known vulnerability with its decision; ("", None) without a scan."""
    path = folder / "scan.json"
    try:
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
        scan = vulnerabilities.read_scan(path.read_text(encoding="utf-8"), day, str(path))
        decisions = vulnerabilities.read_triage(folder / "triage.toml")
    except (MdiError, OSError):
        return "", None
    judged = vulnerabilities.judge(scan, decisions, software.python_components(), today)
    facts = tuple(
        VulnerabilityFact(
            j.known.id,
            f"{j.known.component} {j.known.version}",
            "–",
            j.decision.state if j.decision else "–",
            j.decision.reason if j.decision else j.problem,
            j.decision.decided if j.decision else "–",
            j.decision.expires if j.decision else "–",
            not j.problem,
        )
        for j in judged
    )
    return day.isoformat(), facts
