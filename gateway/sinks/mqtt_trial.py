"""A new certificate tried on a second connection, beside the one at work: does the broker take it, and may it publish?

The client id has a suffix, so the session at work is not touched. The test message goes to the gateway's own heartbeat
topic, and nobody needs to listen there. A broker says no with a TLS alert, in CONNACK or in PUBACK (MQTT 5).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.core.errors import ConfigError
from gateway.security.certs.broker import HEARTBEAT
from gateway.security.certs.tls import TlsFiles, TlsRules, client_context, explain
from gateway.sinks.mqtt_settings import MqttSettings

TRIAL_S = 15.0  # from the connection to the PUBACK; as mqtt_connection.HANDSHAKE_S, and TCP
TICK_S = 0.1
FAILED = 0x80  # MQTT 5.0, 2.4: reason codes from here on are refusals
SUFFIX = "-trial"


@dataclass(slots=True)
class _Trial:
    """How far it has come."""

    why: str = ""
    done: bool = False


def try_certificate(settings: MqttSettings, base: str, rules: TlsRules, cert: str, key: str) -> str:
    """Connect with this certificate and publish once; return "" when the broker takes both, else why not.

    base: mdi/v1/{site}/{unit}/{gateway}; takes at most TRIAL_S and the time of a name server.
    """
    trial = _Trial()
    client_id = (settings.client_id or base.rsplit("/", 1)[1]) + SUFFIX
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_timeout = TRIAL_S / 3

    def connected(client: Client, _: Any, _flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            trial.why = f"the broker refuses the connection: {reason}"
        else:
            client.publish(f"{base}/{HEARTBEAT}", b"trial", qos=1)

    def answered(_client: Client, _: Any, _mid: int, reason: Any, _props: Any) -> None:
        trial.done = True
        if reason.value >= FAILED:
            trial.why = f"the broker refuses {base}/{HEARTBEAT}: {reason}; does the certificate name this gateway?"

    client.on_connect, client.on_publish = connected, answered
    try:
        context = client_context(TlsFiles(settings.ca, cert, key, settings.crl), rules)
        client.tls_set_context(context)
        client.connect(settings.host, settings.port, keepalive=settings.keepalive_s)
    except ConfigError as fault:
        return str(fault)
    except OSError as fault:
        return explain(fault)
    end = time.monotonic() + TRIAL_S
    while client.loop(TICK_S) == MQTT_ERR_SUCCESS and not (trial.done or trial.why):
        if time.monotonic() > end:
            trial.why = f"the broker at {settings.host}:{settings.port} does not answer"
    client.disconnect()
    client.loop(TICK_S)  # writes it
    if not trial.done and not trial.why:
        return context.heard or "the broker ended the connection without a word: does it refuse this certificate?"
    return trial.why
