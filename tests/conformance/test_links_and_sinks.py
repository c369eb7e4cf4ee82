"""What every link and every sink passes by being registered."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from gateway import registry
from gateway.core.errors import ConfigError, LinkError
from gateway.core.message import Message
from gateway.core.settings import Settings

LINKS, SINKS = registry.names("link"), registry.names("sink")
BASE = "mdi/v1/auh/ita/gw-test"

each_link = pytest.mark.parametrize("name", LINKS)
each_sink = pytest.mark.parametrize("name", SINKS)
each_kind = pytest.mark.parametrize(("group", "name"), [*(("link", n) for n in LINKS), *(("sink", n) for n in SINKS)])


def nowhere(group: str, name: str, folder: Path) -> Any:
    """Settings that lead to nothing that is there."""
    given: dict[str, dict[str, Any]] = {
        "serial": {"device": str(folder / "no-such-port")},
        "tcp": {"host": "127.0.0.1", "port": 1},
        "udp": {"host": "127.0.0.1", "port": 1, "local_host": "192.0.2.1"},  # not an address of this machine, RFC 5737
        "can": {"interface": "socketcand", "port": 1},
        "can_active": {"channel": "nosuchcan0"},
        "replay": {"path": str(folder / "no-such-file")},
        "loopback": {"name": "nobody-is-there"},
        "mqtt": {"host": "127.0.0.1", "port": 1},
        "file": {"directory": str(folder / "messages")},
    }
    return registry.find(group, name).settings(**given[name])


@each_kind
def test_settings_document_themselves(group: str, name: str) -> None:
    kind = registry.find(group, name)
    assert kind.name == name
    assert issubclass(kind.settings, Settings)
    for field in dataclasses.fields(kind.settings):
        assert field.metadata["doc"].endswith("."), f"{name}.{field.name} has no sentence"


@each_kind
def test_wrong_settings_are_one_line(group: str, name: str) -> None:
    kind = registry.find(group, name)
    wrong = {field.name: object() for field in dataclasses.fields(kind.settings)}
    with pytest.raises(ConfigError) as caught:
        kind.settings(**wrong)
    assert "\n" not in str(caught.value)


@each_link
def test_a_line_that_is_not_there_is_a_link_error_with_its_name(name: str, tmp_path: Path) -> None:
    kind = registry.find("link", name)
    settings = nowhere("link", name, tmp_path)
    link = kind.create(settings, time.time_ns)
    for _ in range(2):  # and the second try says the same: nothing is left half-open
        with pytest.raises(LinkError) as caught:
            link.open()
        assert "\n" not in str(caught.value)
        assert caught.value.where
    assert kind.describe(settings)
    assert isinstance(kind.resource(settings), str)


@each_link
def test_a_closed_link_says_so(name: str, tmp_path: Path) -> None:
    link = registry.find("link", name).create(nowhere("link", name, tmp_path), time.time_ns)
    link.close()
    link.close()
    with pytest.raises(LinkError):
        link.read(0.0)


@each_sink
def test_a_sink_takes_nothing_before_it_is_connected_and_stops_in_order(name: str, tmp_path: Path) -> None:
    sink = registry.find("sink", name).create(nowhere("sink", name, tmp_path), BASE)
    sink.start()
    try:
        assert sink.outcomes() == []
        assert sink.state()
        assert dataclasses.is_dataclass(sink.counters)
        message = Message(1, "gw-test-1-1", f"{BASE}/up/oru-r01", b"MSH|^~\\&|\r")
        room = sink.room()
        sink.send(message)
        said = sink.outcomes()
        assert [o.control_id for o in said] == (["gw-test-1-1"] if room else [])
    finally:
        sink.stop()
