"""What this is made of: distributions, packages, the bill of materials, vulnerabilities with decisions, the install."""

from __future__ import annotations

import compileall
import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from gateway.core.errors import ConfigError
from gateway.security.inventory import install, sbom, software, vulnerabilities
from gateway.security.inventory.install import Difference
from gateway.security.inventory.software import Component, normal
from tests.conftest import ROOT

TODAY = date(2026, 11, 21)
DPKG = """Package: base-files
Status: install ok installed
Maintainer: Santiago Vila <sanvila@debian.org>
Version: 12.4+deb12u9
Description: Debian base system
 Version: not a field, it continues the description

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: libæ
Status: install ok installed
Maintainer: Å
Version: 1:2~rc1-3
"""
SCAN = {
    "dependencies": [
        {"name": "numpy", "version": "1.0", "vulns": []},
        {
            "name": "Paho_MQTT",
            "version": "2.1.0",
            "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1.1"], "aliases": ["CVE-2026-1"], "description": "x"}],
        },
        {"name": "unreachable", "skip_reason": "not on the index"},
    ]
}
PAHO = Component("python", "paho-mqtt", "2.1.0")
DECISION = """
[[decision]]
id = "CVE-2026-1"
component = "paho-mqtt"
state = "not_affected"
justification = "vulnerable_code_not_in_execute_path"
reason = "websockets are never used"
decided_by = "Åse Ørsted"
decided = "2026-11-01"
expires = "2027-02-01"
"""


# ---- software


def test_every_distribution_of_this_interpreter_is_there_and_ours_is_first() -> None:
    found = software.python_components()
    names = [normal(component.name) for component in found]
    assert names[0] == software.OURS
    assert sorted(set(names)) == sorted({normal(d.metadata["Name"]) for d in metadata.distributions()})
    assert all(component.version for component in found)


def test_what_the_gateway_imports_is_there_with_licence_and_maker() -> None:
    found = {normal(c.name): c for c in software.python_components()}
    for name, extras in software.needed().items():
        if "" in extras:
            assert found[name].licence, name
            assert found[name].maker, name
            assert len(found[name].sha256) == 64, name


def test_packages_of_the_host_are_those_that_are_installed() -> None:
    found = software.debian_components(DPKG)
    assert [(c.name, c.version, c.maker) for c in found] == [
        ("base-files", "12.4+deb12u9", "Santiago Vila"),
        ("libæ", "1:2~rc1-3", "Å"),
    ]


@pytest.mark.skipif(not software.DPKG_STATUS.exists(), reason="a host without dpkg")
def test_packages_of_this_host_are_those_that_dpkg_names() -> None:
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}=${Version}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = sorted(line.split(" ", 1)[1] for line in shown.stdout.splitlines() if line.startswith("installed "))
    assert sorted(f"{c.name}={c.version}" for c in software.host() if c.kind == "debian") == expected


def test_platform_and_its_end_of_support() -> None:
    found = {c.kind: c for c in software.platform_components('ID=debian\nVERSION_ID="12"\n')}
    assert found["operating system"].support_end == "2028-06-30"
    assert found["runtime"].version == ".".join(map(str, sys.version_info[:3]))
    assert software.platform_components("ID=other\nVERSION_ID=1\n")[-1].support_end == software.UNKNOWN


# ---- bill of materials


def document(components: list[Component]) -> str:
    return sbom.cyclonedx(components, {"paho-mqtt": [""]}, "gateway", "2026-11-21T00:00:00Z")


def test_the_bill_of_materials_of_this_host_is_valid_by_the_schema_of_the_standard() -> None:
    text = sbom.cyclonedx(software.host(), software.needed(), "gw-ita-03", "2026-11-21T00:00:00Z")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert len(json.loads(text)["dependencies"][0]["dependsOn"]) > 5
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"purl"', '"prul"')) is not None


def test_the_same_software_is_the_same_document_and_other_software_is_not() -> None:
    one = document([PAHO, Component("debian", "æ", "1")])
    assert one == document([Component("debian", "æ", "1"), PAHO])
    other = json.loads(document([replace(PAHO, version="2.1.1")]))
    assert other["serialNumber"] != json.loads(one)["serialNumber"]
    assert json.loads(one)["dependencies"][0]["dependsOn"] == ["pkg:pypi/paho-mqtt@2.1.0"]


# ---- vulnerabilities


def judged(tmp_path: Path, decisions: str, scan: object = None, version: str = "2.1.0") -> list[str]:
    (tmp_path / "triage.toml").write_text(decisions, encoding="utf-8")
    read = vulnerabilities.read_scan(json.dumps(scan or SCAN), date(2026, 11, 20), "scan.json")
    decided = vulnerabilities.read_triage(tmp_path / "triage.toml")
    return [j.problem for j in vulnerabilities.judge(read, decided, [replace(PAHO, version=version)], TODAY)]


def test_a_vulnerability_without_a_decision_is_open(tmp_path: Path) -> None:
    assert judged(tmp_path, "") == ["nobody has decided on it; mended in 2.1.1"]
    assert judged(tmp_path, "", version="2.1.1") == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", ""),
        ("CVE-2026-1", "PYSEC-2026-1", ""),
        ("CVE-2026-1", "CVE-2026-2", "nobody has decided"),
        ('component = "paho-mqtt"', 'component = "numpy"', "nobody has decided"),
        ("2027-02-01", "2026-11-20", "held until 2026-11-20"),
        ('state = "not_affected"', 'state = "affected"', "affected; mended in 2.1.1"),
        ('state = "not_affected"', 'state = "under_investigation"', "under_investigation"),
        ('state = "not_affected"', 'state = "fixed"', "the version with it is installed"),
    ],
)
def test_a_decision_closes_what_it_is_about_until_it_expires(tmp_path: Path, old: str, new: str, problem: str) -> None:
    found = judged(tmp_path, DECISION.replace(old, new) if old else DECISION)
    assert len(found) == 1
    assert found[0].startswith(problem) if not problem else problem in found[0]
    assert bool(found[0]) == bool(problem)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('justification = "vulnerable_code_not_in_execute_path"\n', "", "needs a justification"),
        ("2027-02-01", "2027-02-31", "is no day"),
        ("2027-02-01", "soon", "must match"),
        ("not_affected", "fine", "must be one of"),
        ("[[decision]]", "[[decision]", "not TOML"),
    ],
)
def test_a_decision_that_cannot_be_read_is_one_line_with_its_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        judged(tmp_path, DECISION.replace(old, new))
    assert "triage.toml" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"dependencies": [{"name": "x", "version": "1", "vulns": [{}]}]}'])
def test_what_is_no_scan_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no scan"):
        vulnerabilities.read_scan(text, TODAY, "scan.json")


def test_what_the_scan_did_not_ask_about_is_told() -> None:
    scan = vulnerabilities.read_scan(json.dumps(SCAN), date(2026, 10, 1), "scan.json")
    installed = [PAHO, Component("python", "unreachable", "1"), Component("debian", "bash", "5")]
    assert vulnerabilities.unasked(scan, installed) == ["unreachable"]
    assert vulnerabilities.age_days(scan, TODAY) == 51


# ---- the install


@pytest.fixture
def program(tmp_path: Path) -> Path:
    for package in install.PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text(f"NAME = '{package}'\n\n\ndef f(x):\n    return x + 1\n")
    compileall.compile_dir(tmp_path / "gateway", quiet=1)
    return tmp_path


def test_an_untouched_install_differs_in_nothing(program: Path) -> None:
    manifest = install.read_manifest(install.write_manifest(install.hashes(program)), "M")
    assert install.compare(manifest, install.hashes(program)) == []
    assert install.compiled(program) == []


def test_one_byte_changed_a_file_gone_and_one_more_are_found(program: Path) -> None:
    manifest = install.hashes(program)
    (program / "gateway/a.py").write_text("NAME = 'gatewaz'\n\n\ndef f(x):\n    return x + 1\n")
    (program / "kita/a.py").unlink()
    (program / "drivers/evil.so").write_bytes(b"\x7fELF")
    assert install.compare(manifest, install.hashes(program)) == [
        Difference("drivers/evil.so", "foreign"),
        Difference("gateway/a.py", "changed"),
        Difference("kita/a.py", "missing"),
    ]


def test_bytecode_that_is_not_of_its_source_is_found(program: Path) -> None:
    cache = next((program / "gateway/__pycache__").iterdir())
    good, source = cache.read_bytes(), program / "gateway/a.py"
    text = source.read_text()
    source.write_text(text.replace("x + 1", "x + 2"))
    compileall.compile_dir(program / "gateway", quiet=1, force=True)
    evil = good[:16] + cache.read_bytes()[16:]  # the head of the true one: the interpreter takes it
    source.write_text(text)
    cache.write_bytes(evil)
    assert install.compiled(program) == [Difference(f"gateway/__pycache__/{cache.name}", "changed")]
    cache.write_bytes(good[:40])
    assert install.compiled(program)[0].what == "changed"
    source.unlink()
    assert install.compiled(program)[0].what == "foreign"


def test_bytecode_of_the_program_itself_is_that_of_its_sources() -> None:
    assert install.compiled(ROOT, ["gateway"]) == []


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 64 + "  ../etc/passwd\n", ("0" * 64 + "  a\n") * 2, "G" * 64 + "  a\n"]
)
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="M"):
        install.read_manifest(text, "M")


def test_sha256sum_reads_the_manifest(program: Path) -> None:
    (program / "MANIFEST").write_text(install.write_manifest(install.hashes(program)))
    subprocess.run(["sha256sum", "--check", "--strict", "MANIFEST"], cwd=program, check=True, capture_output=True)
