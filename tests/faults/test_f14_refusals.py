"""F14: a receiver that refuses, and messages that it cannot digest. The line goes on; the side file has all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.delivery import ForwardLimits
from tests.faults.chain import Chain, chain
from tests.faults.evidence import evidence, scaled
from tests.faults.fake_broker import HONEST, FakeBroker, Published, hl7_ack

LIMITS = ForwardLimits(ack_timeout_s=5, keep_s=0.2, resend_max_s=5, give_up_after=3)
REFUSALS = ("AE", "AR", "CR")


def number(message: Published) -> int:
    return int(message.control_id.rsplit("-", 1)[1])


def held(rig: Chain) -> set[int]:
    """Return the numbers in the side file."""
    return {int(line["control_id"].rsplit("-", 1)[1]) for line in rig.rejected()}


def refuse_every_second(message: Published) -> list[tuple[float, bytes]]:
    n = number(message)
    return [(0.0, hl7_ack(REFUSALS[n // 2 % 3] if n % 2 else "AA", message.control_id))]


def digest_not_every_50th(message: Published) -> list[tuple[float, bytes]]:
    return [] if number(message) % 50 == 0 else [(0.0, hl7_ack("AA", message.control_id))]


def test_refusals_go_to_the_side_file_and_the_line_goes_on(tmp_path: Path) -> None:
    refusals = scaled(1000, 10_000)
    with (
        evidence("F14", "refusals", how="every second message gets AE, AR or CR", target="side file whole") as row,
        FakeBroker(replace(HONEST, answers=refuse_every_second)) as broker,
        chain(tmp_path, broker.port) as rig,
    ):
        for _ in range(0, 2 * refusals, 100):
            rig.give(100)
            rig.until(lambda: not rig.forwarder.waiting)
        row.count = refusals
        held = [line["control_id"] for line in rig.rejected()]
        refused = {m.control_id for m in broker.published if number(m) % 2}
        row.figures |= {"side_file": len(held), "accepted": rig.forwarder.counters.accepted}
        if len(held) != refusals or set(held) != refused:
            row.violations.append(f"{len(held)} in the side file of {refusals} refused")
        if rig.forwarder.counters.accepted != refusals:
            row.violations.append(f"{rig.forwarder.counters.accepted} of {refusals} accepted")


def test_what_is_never_answered_does_not_hold_the_line(tmp_path: Path) -> None:
    """Time of the forwarder runs faster than the network's: a try of 30 s is a second here."""
    messages = scaled(500, 5000)
    with (
        evidence("F14", "poison", how="every 50th message is never answered", target="the others go on") as row,
        FakeBroker(replace(HONEST, answers=digest_not_every_50th)) as broker,
        chain(
            tmp_path, broker.port, ForwardLimits(ack_timeout_s=5, keep_s=0.2, resend_max_s=5, give_up_after=3)
        ) as rig,
    ):
        rig.give(messages)
        poison = {n for n in range(1, messages + 1) if n % 50 == 0}
        rig.until(lambda: rig.publish(0.0) and held(rig) >= poison, "all of them", seconds=0.1, timeout=60)
        row.count = messages // 50
        row.figures |= {"side_file": len(held(rig)), "accepted": rig.forwarder.counters.accepted}
        if any(n % 50 for n in held(rig)):
            row.violations.append(f"in the side file: {sorted(held(rig))}")
        if rig.forwarder.counters.given_up != len(held(rig)):
            row.violations.append("not all of them for want of an answer")
    assert all(line["reason"].startswith("no answer") for line in rig.rejected())
