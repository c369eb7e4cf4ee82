"""`mdi netrules` on a box of its own: load, compare, find what somebody has added by hand, restore."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.parts.lan import Lan, lan
from tests.unit.netrules_rig import UIDS, written

pytestmark = pytest.mark.e2e

LAB = [
    ('mode = "production"', 'mode = "lab"'),
    ('host = "mqtt.kita.example"', 'host = "10.9.9.9"'),
]
OK, DRIFT = 0, 2


@pytest.fixture(scope="module")
def network() -> Iterator[Lan]:
    with lan(["10.9.9.9"]) as made:
        yield made


class Box:
    """A box with the users of the gateway, and `mdi netrules` on it."""

    def __init__(self, network: Lan, folder: Path) -> None:
        state = [('# state_dir = "/var/lib/mdi"', f'state_dir = "{folder}/state"')]
        etc = [('# etc_dir = "/etc/mdi"', f'etc_dir = "{folder}/etc"')]
        self.config = written(folder, *LAB, *state, *etc).path
        self.audit = folder / "state/audit/netrules"
        passwd = Path("/etc/passwd").read_text(encoding="utf-8").splitlines()
        others = [line for line in passwd if line.split(":")[0] not in UIDS]
        ours = [f"{name}:x:{uid}:{uid}::/:/bin/false" for name, uid in UIDS.items()]
        (folder / "passwd").write_text("\n".join([*ours, *others, ""]), encoding="utf-8")
        self.network, self.folder = network, folder

    def mdi(self, *words: str) -> tuple[int, dict[str, Any]]:
        inside = 'mount --bind "$0" /etc/passwd && exec "$@"'
        program = [sys.executable, "-m", "gateway.cli.app", "netrules", "--config", str(self.config), "--json", *words]
        environment = ["env", f"PYTHONPATH={ROOT}"]
        passwd = str(self.folder / "passwd")
        done = self.network.run("box", "unshare", "-m", "sh", "-c", inside, passwd, *environment, *program)
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def kinds(self) -> list[str]:
        code, said = self.mdi("--diff")
        assert code == (DRIFT if said["drift"] else OK)
        return sorted(one["kind"] for one in said["drift"])


@pytest.fixture
def box(network: Lan, tmp_path: Path) -> Iterator[Box]:
    made = Box(network, tmp_path)
    code, said = made.mdi("--load")
    assert (code, said["loaded"]) == (OK, True)
    yield made
    network.run("box", "nft", "flush", "ruleset")


def test_check_loads_nothing(network: Lan, tmp_path: Path) -> None:
    made = Box(network, tmp_path)
    assert made.mdi("--check")[0] == OK
    assert made.kinds() == ["no-table"]


def test_what_is_loaded_is_what_is_declared(box: Box) -> None:
    code, said = box.mdi("--diff")
    assert (code, said["ok"], said["drift"]) == (OK, True, [])
    assert said["enforced"] == {key: said["declared"][key] for key in ("sha256", "rules")}
    assert box.mdi("--load")[1]["sha256"] == said["declared"]["sha256"]
    assert not box.audit.exists()


BY_HAND = {
    "rule added": (["add", "rule", "inet", "mdi", "output", "tcp", "dport", "443", "accept"], ["rule-added"]),
    "first rule": (["insert", "rule", "inet", "mdi", "input", "tcp", "dport", "22", "accept"], ["rule-added"]),
    "unknown kind of rule": (["add", "rule", "inet", "mdi", "output", "meta", "mark", "set", "7"], ["rule-added"]),
    "rules gone": (["flush", "chain", "inet", "mdi", "forward"], ["rule-missing", "rule-missing"]),
    "policy": (["chain", "inet", "mdi", "forward", "{ policy accept; }"], ["chain-added", "chain-missing"]),
    "chain": (["add", "chain", "inet", "mdi", "mine"], ["chain-added"]),
    "set": (["add", "set", "inet", "mdi", "mine", "{ type ipv4_addr; }"], ["object-added"]),
    "table": (["delete", "table", "inet", "mdi"], ["no-table"]),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_is_changed_by_hand_is_found_written_down_and_restored(box: Box, what: str) -> None:
    words, wanted = BY_HAND[what]
    box.network.nft(*words)
    assert box.kinds() == wanted
    code, said = box.mdi("--diff", "--restore")
    assert (code, sorted(one["kind"] for one in said["drift"])) == (DRIFT, wanted)
    assert box.kinds() == []
    files = [path for path in box.audit.iterdir() if path.is_file()]
    written_down = "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    assert "drift_network" in written_down
    assert wanted[0] in written_down


def test_a_listener_and_a_connection_that_nobody_declared_are_found(box: Box) -> None:
    listener = box.network.echo("box", [9464])
    assert set(box.kinds()) == {"listener"}
    assert box.mdi("--diff", "--restore")[0] == DRIFT  # rules cannot end a process: it stays a finding
    listener.kill()
    listener.wait()
    assert box.kinds() == []


def test_a_box_that_passes_packets_on_is_found(box: Box) -> None:
    box.network.switch("box", "ipv4/ip_forward", "1")
    assert box.kinds() == ["forwarding"]
    box.network.switch("box", "ipv4/ip_forward", "0")
    box.network.ip("box", "link", "add", "joined", "type", "bridge")
    try:
        assert box.kinds() == ["bridge"]
    finally:
        box.network.ip("box", "link", "delete", "joined")


def test_other_tables_are_never_touched(box: Box) -> None:
    box.network.nft("add", "table", "inet", "host")
    assert box.kinds() == []
    box.mdi("--load")
    assert "inet host" in box.network.run("box", "nft", "list", "tables").stdout
