"""Points 18 to 26: profiles and the integrity of the software."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.security.dossier.checklist import Check, Finding, duty, failed, passed, unknown
from gateway.security.dossier.facts import ABSENT, PRESENT, UNKNOWN, Facts

SEEN = {PRESENT: "til stede", ABSENT: "fraværende", UNKNOWN: "ukendt"}
SCAN_DAYS = 31  # a scan that is older than a month says little about today


def profiles(facts: Facts) -> Finding:
    """Point 18."""
    unsigned = [device.name for device in facts.devices if device.signature == ""]
    if unsigned:
        return failed(f"unsigned profile: {', '.join(unsigned)}", f"usigneret profil: {', '.join(unsigned)}")
    if any(device.signature is None for device in facts.devices):
        return unknown("signatures could not be looked at", "signaturerne kunne ikke undersøges")
    return passed("each profile in use is signed", "alle profiler i brug er signeret")


def data_only(facts: Facts) -> Finding:
    """Point 19."""
    if not all(device.digest for device in facts.devices):
        return failed("a profile has no digest", "en profil har intet digest")
    digests = ", ".join(sorted({device.digest[:12] for device in facts.devices}))
    return passed(
        f"all profiles were read as data; digests {digests}", f"alle profiler er læst som data; digest {digests}"
    )


def installed(facts: Facts) -> Finding:
    """Point 20."""
    if facts.inventory is None or facts.inventory.verified is None:
        return unknown("no manifest on this box: mdi verify-install", "intet manifest på boksen: mdi verify-install")
    if not facts.inventory.verified:
        return failed(f"files differ: {facts.inventory.verified_why}", f"filer afviger: {facts.inventory.verified_why}")
    return passed("installed files are those of the manifest", "de installerede filer svarer til manifestet")


def by_tests(facts: Facts) -> Finding:
    """A point that only tests can show; what the box adds is its version."""
    return passed(f"version {facts.version}", f"version {facts.version}")


def bill(facts: Facts) -> Finding:
    """Point 23."""
    made = facts.inventory
    if made is None:
        return unknown("no SBOM was made", "ingen SBOM er dannet")
    if not made.components or made.valid is False:
        return failed("the SBOM is empty or not valid", "SBOM er tom eller ugyldig")
    if made.valid is None:
        return unknown("the SBOM was not checked against its schema", "SBOM er ikke kontrolleret mod skemaet")
    return passed(
        f"CycloneDX {made.spec}, {len(made.components)} components, SHA-256 {made.sbom_sha256[:16]}…",
        f"CycloneDX {made.spec}, {len(made.components)} komponenter, SHA-256 {made.sbom_sha256[:16]}…",
    )


def triage(facts: Facts) -> Finding:
    """Point 24."""
    made = facts.inventory
    if made is None or made.vulnerabilities is None or not made.scanned:
        return unknown("no scan for vulnerabilities is on this box", "ingen sårbarhedsscanning på boksen")
    waiting = [found.id for found in made.vulnerabilities if not found.judged]
    if waiting:
        return failed(
            f"without a decision in force: {', '.join(waiting)}", f"uden gyldig afgørelse: {', '.join(waiting)}"
        )
    age = days_between(made.scanned, facts.day)
    if age > SCAN_DAYS:
        return failed(f"the scan is {age} days old", f"scanningen er {age} dage gammel")
    return passed(
        f"{len(made.vulnerabilities)} known, all judged; scanned {made.scanned[:10]}",
        f"{len(made.vulnerabilities)} kendte, alle vurderet; scannet {made.scanned[:10]}",
    )


def days_between(first: str, last: str) -> int:
    """Return the days from one ISO date to another."""
    from datetime import date

    return (date.fromisoformat(last[:10]) - date.fromisoformat(first[:10])).days


def host(facts: Facts) -> Finding:
    """Point 26."""
    h = facts.host
    en = f"secure boot {h.secure_boot}, disk encryption {h.disk_encryption}, TPM {h.tpm}"
    da = f"secure boot {SEEN[h.secure_boot]}, diskkryptering {SEEN[h.disk_encryption]}, TPM {SEEN[h.tpm]}"
    if facts.production and h.disk_encryption == h.secure_boot == ABSENT:
        return failed(en, da)
    return duty(f"the site holds it; seen: {en}", f"stedet står for det; set: {da}")


CHECKS: Mapping[int, Check] = {
    18: profiles,
    19: data_only,
    20: installed,
    21: by_tests,
    22: by_tests,
    23: bill,
    24: triage,
    25: by_tests,
    26: host,
}
