"""Onboarding in production, whole: record, two people with the real minisign, a device on a line, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.security.audit import Event
from tests.parts.production import ASSET, FIRMWARE, LONG_S, Production
from tests.parts.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Production]:
    with Production(tmp_path) as made:
        yield made


def _flows(box: Production) -> bool:
    """Wait until more messages of the device are in the spool than now."""
    before = box.messages()
    wait_until(lambda: box.messages() > before, box.log, LONG_S)
    return True


def test_no_approval_no_port_and_from_approval_to_its_end(box: Production) -> None:
    box.start()
    assert box.ports() == []
    assert (box.device()["state"], box.device()["may_open"]) == ("draft", False)
    box.new()
    box.mdi("onboard", "check", ASSET, "--json", code=2)  # not submitted, no MDS2
    rev = box.submit()
    box.minisign("mso", rev, code=2)
    wait_until(lambda: box.device()["state"] == "submitted", box.log, LONG_S)
    assert box.ports() == []
    refused = box.minisign("its", rev, code=3)  # the same role again
    assert "have the same role, it-security" in refused["said"]
    box.minisign("jkr", rev)
    wait_until(lambda: box.device()["state"] == "active", box.log, LONG_S)
    wait_until(lambda: box.ports() == ["bed"], box.log, LONG_S)
    assert _flows(box)
    said = box.mdi("onboard", "status", "--json")
    assert [p["name"] for p in said["devices"][0]["signed_by"]] == ["jkr", "mso"]
    assert said["devices"][0]["observed"]["firmware"] == FIRMWARE

    done = box.mdi("onboard", "suspend", ASSET, "--by", "tni", "--reason", "forkert plads", "--json")
    assert (done["state"], done["carried_out"]) == ("suspended", True)  # the command waits five seconds, no longer
    wait_until(lambda: box.ports() == [], box.log, LONG_S)
    wait_until(lambda: _quiet(box), box.log, LONG_S)
    kept = box.messages()
    box.mdi("onboard", "resume", ASSET, "--by", "tni", "--reason", "rigtig plads", "--json")
    wait_until(lambda: box.ports() == ["bed"], box.log, LONG_S)
    assert _flows(box)
    assert box.messages() > kept

    box.simulate("L.01.19")  # another firmware than approved
    wait_until(lambda: box.device()["state"] == "drifted", box.log, LONG_S)
    assert (box.device()["may_open"], box.device()["flagged"]) == (True, True)
    assert "it says firmware L.01.19, approved is L.01.18" in box.device()["reasons"][0]
    assert _flows(box)
    assert box.mdi("onboard", "status", "--json", code=2)["devices"][0]["rules"] == ["other-firmware"]

    box.mdi("onboard", "revoke", ASSET, "--by", "mso", "--reason", "uden support", "--json")
    wait_until(lambda: box.ports() == [], box.log, LONG_S)
    box.mdi("onboard", "resume", ASSET, "--by", "mso", "--reason", "alligevel", code=2)
    box.mdi("onboard", "submit", ASSET, "--by", "lev", code=2)
    box.mdi("onboard", "retire", ASSET, "--by", "mso", "--reason", "skrottet", "--json")
    assert box.end("run") == 0
    written = "".join(p.read_text(errors="replace") for p in (box.folder / "state/audit").rglob("*") if p.is_file())
    for event in (Event.APPROVAL_VERIFIED, Event.APPROVAL_REJECTED, Event.DEVICE_SUSPENDED, Event.DEVICE_RESUMED):
        assert f'"{event}"' in written
    for event in (Event.DEVICE_DRIFTED, Event.DEVICE_REVOKED, Event.DEVICE_STATE, Event.DEVICE_REFUSED):
        assert f'"{event}"' in written


def _quiet(box: Production) -> bool:
    """Tell whether no message came between two looks of the status."""
    first = box.status()["forward"]
    wait_until(lambda: box.status()["forward"]["t_ns"] > first["t_ns"] + 2_000_000_000, box.log, LONG_S)
    return bool(box.messages() == first["counters"]["messages"])


def test_the_sender_judges_for_itself(box: Production) -> None:
    """Two processes: both see a suspension, each from the files."""
    box.new()
    box.approve()
    box.start("forward", "acquire")
    wait_until(lambda: box.ports() == ["bed"] and box.device("forward")["state"] == "active", box.log, LONG_S)
    assert _flows(box)
    box.mdi("onboard", "suspend", ASSET, "--by", "tni", "--reason", "test", "--json")
    wait_until(lambda: not box.device("forward")["may_open"] and not box.device("acquire")["may_open"], box.log, LONG_S)
    assert (box.end("acquire"), box.end("forward")) == (0, 0)


def test_firmware_that_is_held_back_comes_through_no_more(tmp_path: Path) -> None:
    with Production(tmp_path, drift="hold") as box:
        box.new()
        box.approve()
        box.start()
        wait_until(lambda: box.ports() == ["bed"], box.log, LONG_S)
        assert _flows(box)
        box.simulate("L.01.19")
        wait_until(lambda: box.device()["state"] == "drifted" and box.ports() == [], box.log, LONG_S)
        assert not box.device()["may_open"]
        box.simulate()  # the right one again; a person has it looked at
        box.mdi("onboard", "resume", ASSET, "--by", "tni", "--reason", "den rigtige igen", "--json")
        wait_until(lambda: box.ports() == ["bed"], box.log, LONG_S)
        assert _flows(box)
