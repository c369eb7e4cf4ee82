"""New keys, certificates and CAs while measurements flow: nothing is lost, and the pause is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import HOST
from tests.parts.pki import DAY, Pki, bundle
from tests.parts.tls_rig import NAME, Flow, TlsRig
from tests.parts.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
GAP_S = 10.0  # the target; a machine that does much else is given three times of it
BOUND_S = 3 * GAP_S


def in_use(rig: TlsRig) -> str:
    return str(rig.status().get("forward", {}).get("tls", {}).get("own_sha256", ""))


def nothing_is_lost(rig: TlsRig) -> None:
    rig.finish()
    verdict = rig.verdict()
    assert verdict.violations(in_order=False) == []  # what was under way is sent again after later ones
    assert verdict.total("unread") == 0


def test_key_and_certificate_are_rotated_under_load(tmp_path: Path, record_property: Any) -> None:
    pki = Pki(tmp_path / "pki")
    folder = tmp_path / "rig"
    folder.mkdir()
    with TlsRig(folder, pki) as rig:
        rig.wait_flowing()
        first = in_use(rig)
        pid = rig.parts["gateway"].pid
        with Flow(rig) as flow:
            for _ in range(3):
                said = rig.rotate(pki)
                assert said["ok"]
                assert in_use(rig) == said["sha256"] != first
                rig.wait_flowing()
            # refused: nothing changes, the connection does not even notice
            kept, connects = in_use(rig), rig.status()["forward"]["sink_counters"]["connects"]
            assert rig.rotate(pki, code=2, ends=-DAY / 2, begins=-DAY)["refused"][0]["fault"] == "expired"
            assert rig.rotate(pki, code=2, cn="gw-other")["refused"][0]["fault"] == "wrong-name"
            # good in itself, and the broker does not want it: found by the trial, before anything changes
            stranger = Pki(tmp_path / "stranger", "Stranger")
            bundle(rig.ca, pki.ca, stranger.ca)
            wait_until(lambda: rig.status()["forward"]["sink_counters"]["connects"] > connects, rig.logs, 20)
            connects = rig.status()["forward"]["sink_counters"]["connects"]
            assert "does not know the CA" in rig.rotate(stranger, code=2)["said"]
            rig.wait_flowing()
            assert in_use(rig) == kept
            assert rig.status()["forward"]["sink_counters"]["connects"] == connects
            # and back to the one before
            assert rig.mdi("rotate", "--back")["ok"]
            wait_until(lambda: in_use(rig) not in ("", kept), rig.logs, 20)
            rig.wait_flowing()
        assert rig.parts["gateway"].pid == pid  # no restart
        record_property("longest_pause_s", round(flow.longest_s, 2))
        assert flow.longest_s < BOUND_S
        states = {state["role"]: state for state in rig.mdi("status")["certificates"]}
        assert set(states) == {"gateway", "previous", "next", "ca", "broker"}
        assert states["gateway"]["names"] == [f"DNS:{NAME}"]
        nothing_is_lost(rig)


def test_the_ca_is_rolled_over_under_load(tmp_path: Path, record_property: Any) -> None:
    """The runbook of docs/security.md, step by step: overlap, clients, broker, end of the overlap."""
    old, new = Pki(tmp_path / "old", "Region CA 1"), Pki(tmp_path / "new", "Region CA 2")
    folder = tmp_path / "rig"
    folder.mkdir()
    with TlsRig(folder, old) as rig:
        rig.wait_flowing()
        with Flow(rig) as flow:
            rig.trust(old, new)  # 1. the broker trusts both, with a list of each
            rig.hup()
            bundle(rig.ca, old.ca, new.ca)  # 2. so do gateways and KITA
            bundle(folder / "broker" / "kita-ca.pem", old.ca, new.ca)
            rig.wait_flowing()
            assert rig.rotate(new)["ok"]  # 3. gateways get certificates of the new one
            rig.term("kita")
            mine = new.issue("kita", "kita")
            bundle(Path(rig.parts["kita"].command[-3]), mine.cert)
            bundle(Path(rig.parts["kita"].command[-1]), mine.key)
            rig.start("kita")
            rig.wait_flowing()
            own = new.issue("broker", "broker", (HOST,), "server")  # 4. and the broker
            rig.serve_with(own.cert, own.key)
            rig.term("broker")
            rig.start("broker")
            rig.wait_flowing()
            rig.trust(new)  # 5. the old one goes
            bundle(rig.ca, new.ca)
            rig.term("broker")
            rig.start("broker")
            rig.wait_flowing()
        record_property("longest_pause_s", round(flow.longest_s, 2))
        assert flow.longest_s < BOUND_S
        states = rig.mdi("status")["certificates"]
        assert {state["issuer"] for state in states if state["role"] in ("gateway", "broker")} == {"CN=Region CA 2"}
        nothing_is_lost(rig)
