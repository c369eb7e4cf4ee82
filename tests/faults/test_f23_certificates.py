"""F23: certificates of broker and gateway expire, are rotated and revoked, under load."""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults.evidence import evidence, percentile, scaled
from tests.faults.rig import HOST, SETTLE_S, Counter, Rig, free_port
from tests.parts.authority import Authority
from tests.parts.wait import wait_until

SEED = 23
RATE = 100
BACK_S = 10.0


def test_certificates_that_end_and_are_replaced_lose_nothing(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "pki"), free_port()
    server, client = authority.issue("broker", "broker"), authority.issue("gateway", "gw-0")
    tls = (
        f"listener {port} {HOST}",
        f"cafile {authority.ca}",
        f"certfile {server[0]}",
        f"keyfile {server[1]}",
        f"crlfile {authority.crl}",
        "require_certificate true",
        "use_identity_as_username true",
    )
    sink = f'ca = "{authority.ca}"\ncert = "{client[0]}"\nkey = "{client[1]}"'
    folder = tmp_path / "rig"
    folder.mkdir()
    with (
        evidence(
            "F23",
            "certificates",
            how=f"by turns: rotated, expired and revoked, of broker and gateway, broker restarted, {RATE} samples/s",
            target=f"0 lost, flowing again within {BACK_S:g} s of a good certificate, the state line names it",
            seed=SEED,
        ) as row,
        Rig(folder, (Counter("d1", RATE),), broker=("persistence true", *tls), port=port, sink=sink) as rig,
    ):
        rig.wait_flowing()
        back: list[float] = []
        for number in range(1, 1 + scaled(1, 17)):  # three turns each: the 50 of the table
            authority.issue("gateway", f"gw-{number}")
            restart(rig)
            back.append(flowing_s(rig))
            wait_until(
                lambda number=number: f"u'gw-{number}'" in rig.parts["broker"].said(),
                lambda: f"the rotated certificate was not taken up:\n{rig.parts['broker'].said()[-1000:]}",
                SETTLE_S,
            )
            authority.issue("broker", "broker", expired=True)
            restart(rig)
            row.misses += refused(rig, "certificate has expired", "certificate has expired")
            authority.issue("broker", "broker")
            restart(rig)
            back.append(flowing_s(rig))
            authority.revoke("gateway")
            restart(rig)
            row.misses += refused(rig, "certificate verify failed", "certificate")
            authority.issue("gateway", f"gw-{number}-new")
            back.append(flowing_s(rig))
            row.count += 3
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.at_most("back_p99_s", percentile(back, 0.99), BACK_S)
        row.violations += verdict.violations(in_order=False)  # what was under way is sent again after later ones
        unread = verdict.total("unread")
        row.violations += [f"{unread} unread: the devices were not touched"] if unread else []


def restart(rig: Rig) -> None:
    """Restart the broker: it and the gateway read their certificates."""
    rig.term("broker")
    rig.start("broker")


def flowing_s(rig: Rig) -> float:
    """Return how long it takes until something new is in KITA."""
    begun = time.monotonic()
    rig.wait_flowing()
    return time.monotonic() - begun


def refused(rig: Rig, why: str, clear: str) -> list[str]:
    """Return when gateway or broker has said why there is no connection; what is unclear in the gateway's state line.

    A client's certificate is refused by the broker only, and with TLS 1.3 after the client has taken the handshake for
    done (RFC 8446, 4.4.2.4): the gateway sees an alert or the end of the connection.
    """

    after_ns = time.time_ns() + 1_000_000_000  # the status is written each second

    def state() -> str:
        status = rig.status().get("forward", {})
        return str(status["sink"]) if status.get("t_ns", 0) > after_ns else ""

    def seen() -> bool:
        told = state()
        return told.startswith("waiting") and why in told + rig.parts["broker"].said()

    wait_until(seen, lambda: f"{why!r} is not said: {state()}\n{rig.logs()}", SETTLE_S)
    told = rig.status()["forward"]["sink"]
    return [] if clear in told else [f"the state line does not say {clear!r}: {told}"]
