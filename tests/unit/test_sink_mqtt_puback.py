"""release = "puback": the broker's success lets go of a message, and nothing else does."""

from __future__ import annotations

import pytest

from gateway.core.errors import ConfigError
from gateway.core.message import Verdict
from gateway.sinks.mqtt_connection import Puback
from gateway.sinks.mqtt_settings import MqttSettings
from tests.parts.messages import BASE
from tests.parts.sink_rig import Rig, message


def test_with_puback_the_broker_s_success_accepts_and_nothing_else_does() -> None:
    rig = Rig(release="puback")
    rig.connect()
    for n in (1, 2, 3):
        rig.sink.send(message(n))
    rig.ack("AA", "gw-1.1.1", b"gw-1.1.1")  # the receiver's word alone does not release
    rig.put(Puback(2, 0x10, "No matching subscribers"))
    rig.put(Puback(3, 0x97, "Quota exceeded"))
    assert {(o.control_id, o.verdict) for o in rig.sink.outcomes()} == {
        ("gw-1.1.2", Verdict.KEEP),
        ("gw-1.1.3", Verdict.KEEP),
    }
    assert rig.sink.room() == 0  # all three hold their places
    rig.put(Puback(1, 0, "Success"))
    assert [(o.control_id, o.verdict) for o in rig.sink.outcomes()] == [("gw-1.1.1", Verdict.ACCEPT)]
    assert rig.sink.room() == 1


def test_with_puback_answers_are_counted_and_a_refusal_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(release="puback")
    rig.connect()
    rig.sink.send(message())
    rig.put(Puback(1, 0, "Success"))
    assert len(rig.sink.outcomes()) == 1
    for code in ("AA", "AE", "CE"):
        rig.ack(code, "gw-1.1.1")
    rig.ack("AA", "gw-1.1.1", b"gw-1.1.2")
    assert rig.sink.outcomes() == []
    counters = rig.sink.counters
    assert (counters.acks_accept, counters.acks_reject, counters.acks_keep, counters.acks_mismatch) == (1, 1, 1, 1)
    assert any("not kept" in record.message for record in caplog.records)


def test_with_puback_a_confirmation_of_what_was_given_up_is_none() -> None:
    rig = Rig(release="puback")
    rig.connect()
    rig.sink.send(message())
    rig.sink.forget("gw-1.1.1")
    rig.put(Puback(1, 0, "Success"))
    assert rig.sink.outcomes() == []


def test_puback_of_mqtt_311_cannot_release() -> None:
    with pytest.raises(ConfigError, match="release"):
        MqttSettings(host="broker", release="puback", protocol="mqtt311")


@pytest.mark.parametrize(("release", "qos"), [("ack", 0), ("puback", 1)])
def test_waves_need_a_puback_only_where_it_releases(release: str, qos: int) -> None:
    rig = Rig(release=release)
    assert rig.sink._qos(f"{BASE}/up/wave") == qos
