"""The firewall in a network of its own: what is declared connects, and everything else is refused.

Every user asks every address for every port, over IPv4 and IPv6, TCP and UDP; then inward, and through the box.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.security.netrules import declared
from gateway.security.netrules.ways import GATEWAY, PEER, Way, Ways
from tests.parts.lan import BOX, BOX6, FAR, REFUSED, Lan, answers, lan
from tests.parts.wait import wait_until
from tests.unit.netrules_rig import SERVICES, UIDS, asked, written

pytestmark = pytest.mark.e2e

BROKER, BROKER6, CABINET, MONITOR = "10.9.9.9", "fd00:9::9", "10.20.30.40", "10.20.40.11"
TIME, NAMES, LOG, JUMP, STRANGER = "10.1.1.1", "10.1.1.3", "10.1.1.4", "10.5.5.5", "10.6.6.6"
HOSTS = (BROKER, BROKER6, CABINET, MONITOR, TIME, NAMES, LOG, STRANGER, "fd00:6::6")
PORTS = (8883, 502, 24105, 123, 53, 6514, 22, 443)
USERS = {**UIDS, "mdi-web": 61006, "mdi-admin": 61007, "nobody": 65534}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return written(tmp_path_factory.mktemp("config"), extra=SERVICES)


@pytest.fixture(scope="module")
def network() -> Iterator[Lan]:
    with lan([*HOSTS, JUMP]) as made:
        made.echo("near", PORTS)
        made.echo("box", (22, 8883, 24005, 9464))
        made.switch("box", "ipv4/ip_forward", "1")  # somebody has switched it on
        yield made


@pytest.fixture
def shut(network: Lan, config: Config) -> Iterator[Lan]:
    """The box with the rules of the configuration in force; without any before and after."""
    network.nft("-f", "-", given=declared.ruleset(asked(config), uids=UIDS))
    yield network
    network.run("box", "nft", "delete", "table", "inet", "mdi")


def allowed(found: Ways, user: str, protocol: str, address: str, port: int) -> bool:
    return any(
        way.initiator == GATEWAY and (way.protocol, way.port) == (protocol, port)
        and user in way.users and address in way.addresses
        for way in found.ways
    )  # fmt: skip


def test_without_rules_everything_connects(network: Lan) -> None:
    """Else the tests below would prove nothing."""
    targets = list(product(("tcp", "udp"), HOSTS, PORTS))
    assert set(network.say("box", 65534, targets)) == {"ok"}
    assert set(network.say("near", 0, [("tcp", BOX, 22), ("tcp", BOX6, 22), ("udp", BOX, 24005)])) == {"ok"}
    assert network.say("far", 0, [("tcp", BROKER, 8883)]) == ["ok"]


@pytest.mark.parametrize("user", USERS)
def test_a_user_reaches_exactly_what_is_declared(shut: Lan, config: Config, user: str) -> None:
    found = asked(config)
    targets = list(product(("tcp", "udp"), HOSTS, PORTS))
    said = dict(zip(targets, shut.say("box", USERS[user], targets), strict=True))
    wanted = {target for target in targets if allowed(found, user, *target)}
    assert {target for target, answer in said.items() if answer == "ok"} == wanted
    assert {t: a for t, a in said.items() if t not in wanted and a not in REFUSED} == {}
    assert wanted or user in ("mdi-kita", "mdi-web", "mdi-admin", "nobody")


def test_nobody_comes_in_but_what_announces_itself(shut: Lan) -> None:
    """The beacon is heard; nothing is said back on its way, so the echo stays out as well."""
    inward = list(product(("tcp", "udp"), (BOX, BOX6), (22, 8883, 9464)))
    assert set(shut.say("near", 0, inward)) == {"silent"}
    before = counter(shut, "dropped_in")
    shut.say("near", 0, [("udp", BOX, 24005, STRANGER)])
    assert counter(shut, "dropped_in") > before
    after = counter(shut, "dropped_in")
    shut.say("near", 0, [("udp", BOX, 24005, MONITOR)])
    assert counter(shut, "dropped_in") == after


def counter(network: Lan, name: str) -> int:
    words = network.run("box", "nft", "list", "counter", "inet", "mdi", name).stdout.split()
    return int(words[words.index("packets") + 1])


def test_nothing_passes_through_the_box(shut: Lan) -> None:
    assert shut.say("far", 0, [("tcp", BROKER, 8883), ("udp", CABINET, 502)]) == ["silent", "silent"]
    assert shut.say("near", 0, [("tcp", FAR, 22, CABINET)]) == ["silent"]
    assert counter(shut, "dropped_forward") >= 3


def test_what_stays_on_the_box_is_free(shut: Lan) -> None:
    assert shut.say("box", 65534, [("tcp", "127.0.0.1", 9464), ("tcp", "::1", 9464)]) == ["ok", "ok"]


def test_a_way_that_is_taken_away_is_shut_for_what_is_open_on_it(shut: Lan, config: Config) -> None:
    talk = shut.talk("box", UIDS["mdi-acquire"], CABINET, 502)
    assert answers(talk)
    without = asked(config, {"mp70-18": True})
    assert {r.what for r in without.refused} == {"port laboratorium-skabe"}
    shut.nft("-f", "-", given=declared.ruleset(without, uids=UIDS))
    assert not answers(talk)
    assert shut.say("box", UIDS["mdi-acquire"], [("tcp", CABINET, 502)])[0] in REFUSED


def test_the_emergency_door_opens_for_its_host_and_shuts_with_its_sessions(shut: Lan, config: Config) -> None:
    """By the kernel itself, without anybody looking: the rule holds its end."""
    until = datetime.now(UTC) + timedelta(seconds=4)
    found = asked(config)
    door = Way("ssh", (), "tcp", (JUMP,), 22, PEER, until=until.isoformat(" ", "seconds"))
    shut.nft("-f", "-", given=declared.ruleset(replace(found, ways=[*found.ways, door]), uids=UIDS))
    assert shut.say("near", 0, [("tcp", BOX, 22, JUMP), ("tcp", BOX, 22, STRANGER), ("tcp", BOX, 8883, JUMP)]) == [
        "ok",
        "silent",
        "silent",
    ]
    assert shut.say("box", 0, [("tcp", JUMP, 22)])[0] in REFUSED  # in, and not out
    session = shut.talk("near", 0, BOX, 22, JUMP)
    assert answers(session)
    wait_until(lambda: datetime.now(UTC) > until + timedelta(seconds=1), "the end of the door", 10)
    assert not answers(session)
    assert shut.say("near", 0, [("tcp", BOX, 22, JUMP)]) == ["silent"]


def test_nft_lists_what_was_declared(shut: Lan, config: Config) -> None:
    from gateway.security.netrules import drift, table

    listed = shut.run("box", "env", "TZ=UTC", "nft", "-j", "list", "table", "inet", "mdi").stdout
    assert drift.enforced_drift(asked(config), table.parse(listed, UIDS)) == []


def test_the_rules_are_replaced_whole_or_not_at_all(shut: Lan, config: Config, tmp_path: Path) -> None:
    good = declared.ruleset(asked(config), uids=UIDS)
    broken = good.replace("tcp dport 502", "tcp dport fivehundred")
    assert broken != good
    assert shut.run("box", "nft", "-f", "-", given=broken).returncode
    assert shut.say("box", UIDS["mdi-acquire"], [("tcp", CABINET, 502), ("tcp", BROKER, 8883)])[0] == "ok"
    shut.nft("add", "table", "inet", "other")  # the host's own tables are not ours
    shut.nft("-f", "-", given=good)
    assert "table inet other" in shut.run("box", "nft", "list", "tables").stdout
    shut.nft("delete", "table", "inet", "other")
