"""A device that is held: nothing more of it is sent, and all is counted; what was accepted before is delivered."""

from __future__ import annotations

from pathlib import Path

from tests.parts.wait import wait_until
from tests.unit.reload_rig import Ward

BEDS = {"p": [("monitor", "1")], "q": [("scale", "2")]}


def test_what_comes_while_held_is_left_out_and_counted(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    config = ward.config(BEDS)
    forward = ward.start(config)
    first = ward.measure(config, "p", "monitor")
    wait_until(lambda: first in ward.told())
    forward.hold(frozenset({"monitor"}))
    wait_until(lambda: forward._held == {"monitor"})
    held = ward.measure(config, "p", "monitor")
    other = ward.measure(config, "q", "scale", 1)
    wait_until(lambda: other in ward.told())  # the other device goes on
    wait_until(lambda: forward.forwarder.accounts["monitor"].left_out == 1)
    assert not any(account.difference for account in forward.forwarder.accounts.values())
    forward.hold(frozenset())
    wait_until(lambda: not forward._held)
    again = ward.measure(config, "p", "monitor")
    wait_until(lambda: again in ward.told())
    ward.stop()
    assert {first, other, again} <= set(ward.told())
    assert held not in ward.told()


def test_a_device_that_is_held_from_the_start_is_never_sent(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    config = ward.config(BEDS)
    value = ward.measure(config, "p", "monitor")  # waits in its ring before the sender starts
    from threading import Event

    from gateway.service import Forward

    ward.forward = Forward(config, Event())
    ward.forward.hold(frozenset({"monitor"}))
    ward.forward.start()
    other = ward.measure(config, "q", "scale", 1)
    wait_until(lambda: other in ward.told())
    ward.stop()
    assert value not in ward.told()
