"""The wrong value on the wrong patient: edits of the configuration while samples wait in the rings.

Real rings, spool and messages; the ports are played, so that a sample lies in the ring exactly when the test wants it.
Each value goes out under the name and the place that held when it was measured.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.places import Places, identities
from tests.parts.wait import wait_until
from tests.unit.reload_rig import Ward


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    if ward.forward:
        ward.stop()
    ward.files.close()


def test_wrong_value_on_wrong_patient_bed_edited_while_the_sender_was_down(ward: Ward) -> None:
    at_1, at_2 = {"p": [("pump", "1")]}, {"p": [("pump", "2")]}
    old = ward.config(at_1)
    ward.start(old)
    ward.wait_told(first := ward.measure(old, "p", "pump"))
    ward.stop()
    waiting = ward.measure(old, "p", "pump")  # the ports went on; then somebody edits the bed
    forward = ward.start(new := ward.config(at_2))
    wait_until(lambda: not forward._places.coming)
    later = ward.measure(new, "p", "pump")
    told = ward.wait_told(first, waiting, later)
    assert told == {first: ("pump", "1"), waiting: ("pump", "1"), later: ("pump", "2")}


def test_wrong_value_on_wrong_patient_bed_edited_by_a_reload(ward: Ward) -> None:
    beds, expected = ["1", "2", "3", "1"], {}
    forward = ward.start(config := ward.config({"p": [("pump", beds[0])], "q": [("monitor", "9")]}))
    for bed in beds:
        expected |= {ward.measure(config, "p", "pump"): ("pump", forward._places.in_force["p", "pump"].bed)}
        ward.reload(config := ward.config({"p": [("pump", bed)], "q": [("monitor", "9")]}))
        wait_until(lambda: not forward._places.coming)
        expected |= {ward.measure(config, "p", "pump"): ("pump", bed)}
        expected |= {ward.measure(config, "q", "monitor"): ("monitor", "9")}
    assert ward.wait_told(*expected) == expected


def test_wrong_value_on_wrong_patient_positions_shifted_by_an_edit(ward: Ward) -> None:
    """The number in a sample is a position in the configuration that its port had read: it decides nothing.

    The ports have read both files, before and after the edit, and all of it waits when the sender starts.
    """
    old = ward.config({"p": [("pump", "1")], "q": [("monitor", "2")]})
    a, b = ward.measure(old, "p", "pump", 0), ward.measure(old, "q", "monitor", 1)
    new = ward.config({"r": [("scale", "3")], "q": [("monitor", "2")], "p": [("pump", "1")]})
    c, d, e = (
        ward.measure(new, "r", "scale", 0),
        ward.measure(new, "q", "monitor", 1),
        ward.measure(new, "p", "pump", 2),
    )
    ward.start(new)
    told = ward.wait_told(a, b, c, d, e)
    assert told == {a: ("pump", "1"), b: ("monitor", "2"), c: ("scale", "3"), d: ("monitor", "2"), e: ("pump", "1")}


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_wrong_value_on_wrong_patient_names_swapped_between_ports(ward: Ward, how: str) -> None:
    """Two devices swap their names, and the sender is told first: a line keeps its name and place until it is told."""
    old = ward.config({"p": [("left", "1")], "q": [("right", "2")]})
    forward = ward.start(old)
    if how == "restart":
        ward.stop()
    a, b = ward.measure(old, "p", "left"), ward.measure(old, "q", "right")
    new = ward.config({"p": [("right", "1")], "q": [("left", "2")]})
    if how == "restart":
        forward = ward.start(new)
    else:
        ward.reload(new)
    wait_until(lambda: not forward._places.coming)
    c, d = ward.measure(old, "p", "left"), ward.measure(old, "q", "right")  # the ports do not know it yet
    e, f = ward.measure(new, "p", "right"), ward.measure(new, "q", "left")
    expected = {a: ("left", "1"), b: ("right", "2"), c: ("left", "1"), d: ("right", "2")}
    expected |= {e: ("right", "1"), f: ("left", "2")}
    assert ward.wait_told(*expected) == expected


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_the_last_samples_of_a_port_that_was_removed_go_out_under_its_last_place(ward: Ward, how: str) -> None:
    old = ward.config({"p": [("pump", "1")], "q": [("monitor", "2")]})
    ward.start(old)
    new = ward.config({"q": [("monitor", "2")]})
    if how == "restart":
        ward.stop()
        a = ward.measure(old, "p", "pump")
        ward.start(new)
    else:
        ward.reload(new)
        a = ward.measure(old, "p", "pump")  # by a port process that has not been told yet
    b = ward.measure(new, "q", "monitor", 0)
    assert ward.wait_told(a, b) == {a: ("pump", "1"), b: ("monitor", "2")}


def test_a_device_that_the_sender_does_not_know_waits_until_it_does(ward: Ward) -> None:
    """The ports were told of a new device first, and the sender is told later."""
    forward = ward.start(ward.config({"p": [("pump", "1")]}))
    new = ward.config({"p": [("monitor", "2")]})
    a = ward.measure(new, "p", "monitor")
    wait_until(lambda: forward.forwarder.rings[0].blocked == "device monitor is not in this configuration")
    assert not ward.told()
    ward.reload(new)
    assert ward.wait_told(a) == {a: ("monitor", "2")}


def test_a_new_place_waits_for_samples_that_cannot_be_read_yet(ward: Ward) -> None:
    """A plan is unknown and holds the ring up; bed and profile are edited: the old bed for the old sample."""
    profile = (ward.folder / "profiles/ledger/counter.toml").read_text(encoding="utf-8")
    old = ward.config({"p": [("pump", "1")]})
    forward = ward.start(old)
    ward.profile(profile.replace("range = [0, 1e15]", "range = [0, 1e14]"))
    edited = ward.config({"p": [("pump", "1")]})
    a = ward.measure(edited, "p", "pump")  # the ports have read the new profile, the sender has not
    wait_until(lambda: forward.forwarder.rings[0].blocked)
    ward.profile(profile)
    ward.reload(ward.config({"p": [("pump", "2")]}))
    assert forward._places.coming
    ward.profile(profile.replace("range = [0, 1e15]", "range = [0, 1e14]"))
    ward.reload(ward.config({"p": [("pump", "2")]}))
    wait_until(lambda: not forward._places.coming)
    b = ward.measure(edited, "p", "pump")
    c = ward.measure(old, "p", "pump")  # and samples of the profile before can still be read
    assert ward.wait_told(a, b, c) == {a: ("pump", "1"), b: ("pump", "2"), c: ("pump", "2")}


def test_a_damaged_file_of_places_is_said_and_ends_nothing(
    ward: Ward, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ward.config({"p": [("pump", "1")]})
    path = tmp_path / "places.json"
    for damage in ("", "[1]", '{"p/pump": {"bed": 1}}', '{"pump": {}}', '{"p/pump'):
        path.write_text(damage)
        with caplog.at_level(logging.ERROR):
            places = Places(path)
        assert not places.in_force
        places.want(identities(config))
        assert json.loads(path.read_text())["p/pump"]["bed"] == "1"
    assert len(caplog.records) == 5
