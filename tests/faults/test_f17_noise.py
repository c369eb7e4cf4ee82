"""F17: a noisy line: bits flip, bytes are lost and doubled, what is sent at once arrives in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.checksum_strength import beyond, passes
from tests.faults.evidence import evidence, scaled
from tests.faults.noise import Noise
from tests.faults.noisy_streams import LEVELS, checked_profiles, in_parallel, lost_after_noise, strength_of
from tests.faults.rig import Counter, Rig

SEED = 17
RATE = 200
RESYNC_FRAMES = 2  # target: so many good frames may go by after the noise
LINE = ("ledger/counter", "crc16")


def test_a_noisy_line_costs_the_lines_that_it_harms_and_no_other(tmp_path: Path) -> None:
    with (
        evidence(
            "F17",
            "noisy line, real processes",
            how=f"pseudo-terminal with flips of 1e-5 to 1e-2, dropped and doubled bytes, splits, {RATE} lines/s",
            target="0 wrong values beyond CRC-16, no unharmed line lost, read again after at most 2 lines",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE), Counter("d2", 20)), line_proxies=True, seed=SEED) as rig,
    ):
        rig.wait_flowing("d1")
        line = rig.lines["d1"]
        for noise in LEVELS:
            line.make_noise(noise)
            rig.pass_time(scaled(1.0, 120.0))
            row.count += 1
        line.make_noise(Noise())
        rig.wait_flowing("d1")
        bad = sum(sum(p["frames_bad"].values()) for p in rig.status()["acquire"]["ports"])
        rig.finish()
        verdict = rig.verdict()
        expected = len(line.damaged) * passes(LINE[1], 4, False)
        wrong = verdict.devices["d1"].wrong
        row.figures |= verdict.figures() | {
            "bits_flipped": line.channel.hurt.bits_flipped,
            "lines_harmed": len(line.damaged),
            "frames_bad": bad,
            "expected_wrong_at_most": round(expected, 4),
        }
        verdict.devices["d1"].wrong = 0 if not beyond(wrong, expected) else wrong
        row.violations += verdict.violations()
        row.violations += [] if bad else ["no damaged line was counted"]
        unread = verdict.total("unread")
        row.violations += [f"{unread} unread: the line was there all the time"] if unread else []


def test_no_driver_accepts_more_than_its_checksum_lets_pass() -> None:
    frames = scaled(20_000, 10_000_000)
    with evidence(
        "F17",
        "noisy line, every driver with a checksum",
        how=f"frames of {len(checked_profiles())} profiles, flips of 1e-5 to 1e-2, lost and doubled bytes, splits",
        target="no more wrong values than the checksum's strength lets expect",
        seed=SEED,
    ) as row:
        found = in_parallel(frames, SEED)
        row.count = sum(tally.frames for tally in found.values())
        row.figures["frames_hit"] = sum(tally.hit for tally in found.values())
        kinds = {profile.id: strength_of(profile) for profile in checked_profiles()}
        for kind in sorted(set(kinds.values())):
            of_kind = [tally for profile_id, tally in found.items() if kinds[profile_id] == kind]
            expected, wrong = sum(t.expected for t in of_kind), sum(t.wrong for t in of_kind)
            hit = sum(t.hit for t in of_kind)
            row.figures[kind] = f"{wrong} wrong of {hit} hit, expected {expected:.3g} ({expected / max(1, hit):.2g})"
        row.figures["given_as_questionable"] = sum(tally.doubted for tally in found.values())
        row.violations += [
            f"{profile_id}: {tally.wrong} wrong, {tally.expected:.3g} expected: {'; '.join(tally.examples)}"
            for profile_id, tally in found.items()
            if beyond(tally.wrong, tally.expected)
        ]


def test_every_driver_reads_again_when_the_noise_ends() -> None:
    with evidence(
        "F17",
        "end of the noise",
        how="flips of 1e-2, lost and doubled bytes, until a random piece of the talk; then a good line",
        target=f"read again after at most {RESYNC_FRAMES} good frames",
        seed=SEED,
    ) as row:
        worst: dict[str, int] = {}
        for profile in checked_profiles():
            tries = [lost_after_noise(profile.id, SEED + n) for n in range(scaled(1, 200))]
            row.count += len(tries)
            worst[profile.id] = max(tries)
        row.figures |= {name: lost for name, lost in worst.items() if lost}
        row.at_most("pieces_lost_after_noise", max(worst.values()), RESYNC_FRAMES)


@pytest.mark.parametrize("kind", ["sum8", "xor8", "sum16"])
def test_the_strength_is_what_is_seen(kind: str) -> None:
    """The computed share of two flips that cancel out is that of all pairs of bits of random bytes."""
    exact = {"sum8": 9 / 128, "xor8": 1 / 8, "sum16": 17 / 512}[kind]  # same place, other sign; or both the top bit
    assert passes(kind, 2, False) == pytest.approx(exact)
    assert passes(kind, 1, False) == 0.0
