"""Who may reach what: a way needs a wish, a conduit and a standing; everything else is refused with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.security.netrules.ways import GATEWAY, PEER, SSH_LONGEST, Way, Ways, networks, ways
from tests.unit.netrules_rig import NOW, SERVICES, all_open, asked, resolve, written

UNTIL = (NOW + timedelta(days=1)).isoformat()


def ends(found: Ways) -> set[tuple[tuple[str, ...], str, tuple[str, ...], int, str]]:
    return {(w.users, w.protocol, w.addresses, w.port, w.initiator) for w in found.ways}


def test_the_sample_opens_its_conduits_and_nothing_else(tmp_path: Path) -> None:
    found = asked(written(tmp_path))
    assert ends(found) == {
        (("mdi-forward",), "tcp", ("10.9.9.9", "fd00:9::9"), 8883, GATEWAY),
        (("mdi-acquire",), "tcp", ("10.20.30.40",), 502, GATEWAY),
        (("mdi-acquire",), "udp", ("10.20.40.11",), 24105, GATEWAY),
        (("mdi-acquire",), "udp", ("10.20.40.11",), 24005, PEER),
    }
    assert found.groups == {"224.0.23.63"}
    assert not found.refused


def test_services_are_open_to_their_own_user_only_where_a_conduit_names_them(tmp_path: Path) -> None:
    found = {
        w.conduit: w for w in asked(written(tmp_path, extra=SERVICES)).ways if w.protocol != "udp" or w.why == "ntp"
    }
    assert found["tid"] == Way("tid", ("systemd-timesync",), "udp", ("10.1.1.1", "10.1.1.2"), 123, why="ntp")
    assert found["log"] == Way("log", ("root",), "tcp", ("10.1.1.4",), 6514, why="syslog")
    assert found["navne"].users == ("mdi-acquire", "mdi-forward", "mdi-netrules")
    narrow = written(tmp_path, ('# resolver_user = ""', 'resolver_user = "systemd-resolve"'), extra=SERVICES)
    assert {w.users for w in asked(narrow).ways if w.conduit == "navne"} == {("systemd-resolve",)}


def test_kita_on_this_box_is_said_so(tmp_path: Path) -> None:
    here = asked(written(tmp_path, ("# kita_here = false", "kita_here = true")))
    assert ("mdi-forward", "mdi-kita") in {w.users for w in here.ways}


@pytest.mark.parametrize(
    ("name", "port"), [("mp70-18", "port stue4-seng1"), ("varmeskab-1", ""), ("mp70-17", "")], ids=str
)
def test_a_device_that_may_not_be_opened_has_no_way(tmp_path: Path, name: str, port: str) -> None:
    """The other cabinet on the same line keeps it open; a serial line has no way in the first place."""
    config = written(tmp_path)
    found = asked(config, {**all_open(config), name: False})
    assert [r.what for r in found.refused] == ([port] if port else [])
    assert len(found.ways) == len(asked(config).ways) - (2 if port else 0)


def test_a_device_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    found = asked(written(tmp_path), {})
    assert {r.what for r in found.refused} == {"port stue4-seng1", "port laboratorium-skabe"}
    assert {w.users for w in found.ways} == {("mdi-forward",)}


@dataclass
class Stands:
    may_open: bool


def test_a_standing_of_the_onboarding_is_understood(tmp_path: Path) -> None:
    config = written(tmp_path)
    standings = {d.settings.name: Stands(d.settings.name == "varmeskab-2") for d in config.devices}
    assert {w.conduit for w in ways(config, standings, resolve, NOW).ways} == {"broker", "laboratorie-skabe"}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('host = "10.20.40.0/24"', 'host = "10.20.41.0/24"', "port stue4-seng1"),
        ('host = "10.20.40.0/24"\nport = 24105', 'host = "10.20.40.0/24"\nport = 24106', "port stue4-seng1"),
        ('kind = "modbus"\nhost', 'kind = "udp"\nhost', "port laboratorium-skabe"),
        ('"mqtt.kita.example"\nport = 8883\nsan', '"10.0.0.1"\nport = 8883\nsan', "the sink"),
        ('host = "mqtt.kita.example"\n# TCP', 'host = "x.example"\n# TCP', "the sink"),
    ],
)
def test_what_no_conduit_allows_gets_no_rule(tmp_path: Path, old: str, new: str, what: str) -> None:
    found = asked(written(tmp_path, (old, new)))
    assert {r.what for r in found.refused} == {what}
    assert all("no conduit allows" in r.why for r in found.refused)


def test_a_name_that_has_no_address_now_is_refused_for_now(tmp_path: Path) -> None:
    found = asked(written(tmp_path, ("mqtt.kita.example", "x.example")))
    assert [(r.what, r.temporary) for r in found.refused] == [("the sink", True)]


def test_who_announces_itself_needs_a_conduit_of_its_own_and_a_host(tmp_path: Path) -> None:
    found = asked(written(tmp_path, ("\nport = 24005\n", "\nport = 24006\n")))
    assert [(r.what, "24005" in r.why) for r in found.refused] == [("port stue4-seng1", True)]
    assert PEER not in {w.initiator for w in found.ways}
    anybody = asked(written(tmp_path, ('host = "10.20.40.11"\n', "")))
    assert {w.protocol for w in anybody.ways} == {"tcp"}
    assert {r.what for r in anybody.refused} == {"port stue4-seng1"}


def test_the_emergency_door_has_an_end(tmp_path: Path) -> None:
    def door(until: str) -> Ways:
        opened = ("# ssh_from = []", 'ssh_from = ["10.5.5.5"]'), ('# ssh_until = ""', f'ssh_until = "{until}"')
        return asked(written(tmp_path, *opened))

    opened = [w for w in door(UNTIL).ways if w.conduit == "ssh"]
    assert opened == [Way("ssh", (), "tcp", ("10.5.5.5",), 22, PEER, "emergency access", "2026-12-02 12:00:00+00:00")]
    for end in (NOW, NOW - timedelta(seconds=1), NOW + SSH_LONGEST + timedelta(seconds=1)):
        shut = door(end.isoformat())
        assert [r.what for r in shut.refused] == ["ssh"]
        assert "ssh" not in {w.conduit for w in shut.ways}
    with pytest.raises(ConfigError, match="needs its end"):
        written(tmp_path, ("# ssh_from = []", 'ssh_from = ["10.5.5.5"]'))
    with pytest.raises(ConfigError, match="no such time"):
        door("2026-13-01T00:00:00Z")


def test_networks_are_few_and_normal() -> None:
    assert networks(["10.0.0.1", "10.0.0.0", "FD00::1"], resolve) == ("10.0.0.0/31", "fd00::1")
    assert networks(["10.0.0.7/24", "nobody.example"], resolve) == ("10.0.0.0/24",)
