"""F10: a broker that refuses, forgets, or gives the gateway's name to another. Nothing is released, and it is said.

50 scripts of a broker (MQTT 5 reason codes of CONNACK, SUBACK, PUBACK, DISCONNECT; silence; lost sessions), each until
the gateway has met it, then an honest broker on the same port. And mosquitto, where another client takes the name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kita.query import count
from tests.faults.chain import Chain, chain
from tests.faults.evidence import evidence
from tests.faults.fake_broker import HONEST, FakeBroker, Script
from tests.parts.broker import mosquitto
from tests.parts.messages import message
from tests.parts.mqtt import Loop, Raw, gateway, kita
from tests.parts.wait import wait_until

# Reason codes by packet: OASIS MQTT 5.0, tables of 3.2.2.2, 3.9.3, 3.4.2.1, 3.14.2.1.
CONNACKS = (0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x9F)
SUBACKS = (0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1)
PUBACKS = (0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
DISCONNECTS = (0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x93, 0x95, 0x97, 0x98)
SCRIPTS = {
    **{f"connack {code:#x}": Script(connack=code) for code in CONNACKS},
    **{f"suback {code:#x}": Script(suback=code) for code in SUBACKS},
    **{f"puback {code:#x}": Script(puback=code) for code in PUBACKS},
    **{f"disconnect {code:#x}": Script(disconnect=code) for code in DISCONNECTS},
    "closes at each message": Script(close=True),
    "closes, and has lost the session": Script(close=True, session_present=False),
    "no puback": Script(puback=None),
    "puback and no answer": Script(answers=lambda _: []),
    "lost session, no answer": Script(session_present=False, answers=lambda _: []),
}
SAMPLES = 5


def is_said(rig: Chain) -> bool:
    """What `mdi status` shows names the trouble."""
    state = rig.sink.state()
    return bool(rig.forwarder.alarm) or "waiting" in state or ";" in state


def met(rig: Chain, broker: FakeBroker, script: Script) -> bool:
    """The gateway has met the script at least twice, and says so. Without a PUBACK the first message stays alone."""
    reached = len(broker.connects) if script.connack or (script.suback or 0) >= 0x80 else len(broker.published)
    return reached >= (2 if script.puback is not None else 1) and is_said(rig)


def one_script(folder: Path, name: str, script: Script) -> list[str]:
    """Play one script; return what was wrong."""
    wrong: list[str] = []
    with FakeBroker(script) as broker, chain(folder, broker.port) as rig:
        rig.give(SAMPLES)
        rig.until(lambda: met(rig, broker, script), name, seconds=0.5)
        if rig.forwarder.waiting != SAMPLES or rig.forwarder.counters.accepted or rig.rejected():
            wrong.append(f"{name}: something was released")
        broker.script = HONEST
        broker.end_all()
        rig.until(lambda: not rig.forwarder.waiting, f"{name}: after it")
        if rig.forwarder.counters.accepted != SAMPLES:
            wrong.append(f"{name}: {rig.forwarder.counters.accepted} of {SAMPLES} accepted")
        rig.step()
        if rig.forwarder.alarm:
            wrong.append(f"{name}: the alarm stays")
    return wrong


def test_whatever_a_broker_refuses_nothing_is_released_and_it_is_said(tmp_path: Path) -> None:
    with evidence(
        "F10",
        "broker refuses",
        how=f"{len(SCRIPTS)} scripts of a broker over real sockets, then an honest one",
        target="nothing released, said in status within 60 s of the forwarder's time",
    ) as row:
        for number, (name, script) in enumerate(SCRIPTS.items()):
            row.violations += one_script(tmp_path / str(number), name, script)
            row.count += 1
    assert row.count >= 50


def test_a_client_that_takes_the_name_is_said_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two clients of one id throw each other out. The gateway comes back after a pause, and says why."""
    caplog.set_level("WARNING")
    with (
        mosquitto(tmp_path / "broker") as broker,
        kita(broker.port, tmp_path / "kita.db"),
        gateway(broker.port) as sink,
    ):
        wait_until(sink.room)
        for n in range(6):
            before = sink.counters.connects
            thief = Raw(broker.port, client_id="gw-1")
            loop = Loop(sink, [message(n)])
            wait_until(lambda before=before: sink.room() and sink.counters.connects > before)  # it is back
            thief.close()
            assert loop.run()
        assert any("does another client use the id gw-1?" in record.message for record in caplog.records)
        assert sink.counters.connects < 60  # it does not storm
    assert count(tmp_path / "kita.db")["messages"] == 6
