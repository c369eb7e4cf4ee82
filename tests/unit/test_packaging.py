"""What is packaged: locked by hashes, the versions that were tested; and the names that udev gives."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

LOCKED = ("requirements.txt", "build-requirements.txt")
MATCHES = {"ACTION", "SUBSYSTEM", "SUBSYSTEMS", "KERNEL", "ENV"}
SETS = {"OWNER", "GROUP", "MODE", "SYMLINK", "ENV", "IMPORT", "GOTO", "LABEL"}
TOKEN = re.compile(r'([A-Z]+)(?:\{([A-Za-z_]+)\})?(==|!=|\+=|=)"([^"]*)"')


def test_every_dependency_is_locked_by_its_hash() -> None:
    """A line without a hash would be refused by pip; here it is seen without a network."""
    for name in LOCKED:
        text = (ROOT / "packaging" / name).read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert lines
        assert all("==" in line and "--hash=sha256:" in line for line in lines)


def test_the_lock_of_the_package_is_the_lock_of_the_tests() -> None:
    """What is shipped is what was tested: the same versions in both lists."""

    def versions(path: Path) -> dict[str, str]:
        lines = (line.split(" ")[0] for line in path.read_text(encoding="utf-8").splitlines())
        return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))

    tested, shipped = versions(ROOT / "requirements.lock"), versions(ROOT / "packaging/requirements.txt")
    assert {name: tested.get(name) for name in shipped} == shipped


def rules() -> list[list[tuple[str, str, str, str]]]:
    """Return the tokens of each rule; what is no token fails here (udev(7); systemd 252 has no udevadm verify)."""
    found = []
    for line in (ROOT / "systemd/60-mdi.rules").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            assert not TOKEN.sub("", line).replace(",", "").strip(), line
            found.append([match.groups(default="") for match in TOKEN.finditer(line)])
    return found


def test_the_udev_rules_are_well_formed() -> None:
    labels = {value for rule in rules() for key, _, _, value in rule if key == "LABEL"}
    for rule in rules():
        for key, _, operator, value in rule:
            assert key in (MATCHES if operator in ("==", "!=") else SETS)
            assert key != "GOTO" or value in labels


def test_a_port_belongs_to_the_process_with_the_ports_and_to_nobody_else() -> None:
    owners = [{key: value for key, _, op, value in rule if op == "="} for rule in rules()]
    given = [rule for rule in owners if "OWNER" in rule]
    assert len(given) == 2  # ports of the board, and adapters
    for rule in given:
        assert (rule["OWNER"], rule["GROUP"], rule["MODE"]) == ("mdi-acquire", "mdi", "0600")
    links = [value for rule in rules() for key, _, op, value in rule if (key, op) == ("SYMLINK", "+=")]
    assert links == ["mdi/serial/$env{ID_SERIAL_SHORT}-$env{ID_USB_INTERFACE_NUM}", "mdi/hub/$env{ID_PATH}"]
    for rule in rules():
        guards = {name for key, name, op, value in rule if (key, op, value) == ("ENV", "==", "?*")}
        named = {name for _, _, op, value in rule if op == "+=" for name in re.findall(r"\$env\{(\w+)\}", value)}
        assert named == guards  # a name is never half empty
