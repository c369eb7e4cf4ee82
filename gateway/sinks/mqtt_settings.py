"""Settings and topics of the MQTT sink.

    mdi/v1/{site}/{unit}/{gateway}/up/oru-r01   messages, QoS 1, never retained
    mdi/v1/{site}/{unit}/{gateway}/down/ack     HL7 acknowledgements to this gateway
    mdi/v1/{site}/{unit}/{gateway}/status       online | offline, retained, also the Will

Topics are logged and matched against access lists in clear: a–z, 0–9 and "-" only, at most 128 bytes, nothing about a
patient (design notes "HL7 v2 over MQTT", section 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.core.errors import ConfigError
from gateway.core.settings import Settings, setting

MAX_TOPIC_BYTES = 128
_BASE = re.compile(r"mdi/v1(/[a-z0-9-]+){3}")


@dataclass(frozen=True)
class MqttSettings(Settings):
    """Settings of the MQTT sink."""

    host: str = field(metadata=setting("Name or address of the broker."))
    port: int = field(
        default=1883, metadata=setting("TCP port of the broker; 8883 is usual with TLS.", low=1, high=65535)
    )
    protocol: str = field(
        default="mqtt5",
        metadata=setting(
            "MQTT version. With mqtt311 a broker cannot say that it refuses a message or that nobody listens: "
            "only for brokers that speak nothing else.",
            choices=("mqtt5", "mqtt311"),
        ),
    )
    client_id: str = field(
        default="",
        metadata=setting(
            "Client id, unique at the broker; empty: the name of the gateway.",
            empty=True,
            pattern=r"[A-Za-z0-9._-]{1,64}",
        ),
    )
    window: int = field(
        default=20,
        metadata=setting(
            "Messages under way without an answer; at least 2, or one that is never answered would hold the line.",
            "messages",
            low=2,
            high=1000,
        ),
    )
    release: str = field(
        default="ack",
        metadata=setting(
            "What lets go of a message: ack, the receiver's HL7 acknowledgement; or puback, the broker's word: "
            "then what the broker loses is lost, and nobody here can know it.",
            choices=("ack", "puback"),
        ),
    )
    keepalive_s: int = field(
        default=10,
        metadata=setting("A silent connection is given up after at most twice this.", "s", low=1, high=600),
    )
    session_expiry_s: int = field(
        default=86400,
        metadata=setting(
            "How long the broker keeps acknowledgements for a gateway that is away (MQTT 5).",
            "s",
            low=60,
            high=2**32 - 1,
        ),
    )
    will_delay_s: int = field(
        default=30,
        metadata=setting(
            "How long the broker waits before it says offline, so short drops do not show.", "s", low=0, high=3600
        ),
    )
    reconnect_s: float = field(
        default=1.0, metadata=setting("First pause before reconnecting; it doubles.", "s", low=0.01, high=60)
    )
    reconnect_max_s: float = field(
        default=30.0, metadata=setting("Longest pause before reconnecting.", "s", low=0.01, high=600)
    )
    wave_qos: int = field(
        default=0,
        metadata=setting(
            "MQTT quality of service of waveforms; all else goes with 1, and with release = puback all does.",
            choices=(0, 1),
        ),
    )
    wave_expiry_s: float = field(
        default=30.0,
        metadata=setting(
            "Waveforms not accepted after so long are given up and declared lost; 0 = never.", "s", low=0, high=86400
        ),
    )
    ca: str = field(
        default="",
        metadata=setting("File with the CA certificates to check the broker against; empty: no TLS.", empty=True),
    )
    cert: str = field(
        default="", metadata=setting("File with the certificate of this gateway; needs ca and key.", empty=True)
    )
    key: str = field(default="", metadata=setting("File with the private key of this gateway.", empty=True))

    crl: str = field(
        default="",
        metadata=setting(
            "File with the revocation lists of the broker's CAs, one for each; a broker that is revoked, or whose CA "
            "has no list in date there, is refused. Empty: not asked.",
            empty=True,
        ),
    )

    def __post_init__(self) -> None:
        """Raise ConfigError for a wrong value or an incomplete set of certificates."""
        super().__post_init__()
        if self.crl and not self.ca:
            raise ConfigError(f"crl = {self.crl!r}: a revocation list without ca", hint="name the CA file as ca")
        if bool(self.cert) != bool(self.key) or (self.cert and not self.ca):
            raise ConfigError(f"cert = {self.cert!r}: ca, cert and key belong together", hint="all three, or ca alone")
        if self.release == "puback" and self.protocol != "mqtt5":
            hint = 'a PUBACK of MQTT 3.1.1 cannot say that a message was refused; write protocol = "mqtt5"'
            raise ConfigError(f"release = {self.release!r} with {self.protocol}", hint=hint)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway besides those of its messages."""

    gateway: str
    ack: str
    status: str


def topics_of(base: str) -> Topics:
    """Return the topics under `base`, mdi/v1/{site}/{unit}/{gateway}. Raises: ConfigError."""
    if not _BASE.fullmatch(base):
        hint = "site, unit and gateway are made of a-z, 0-9 and -"
        raise ConfigError(f"{base!r} cannot be the start of a topic", hint=hint)
    if len(base) > MAX_TOPIC_BYTES - len("/up/oru-r01"):
        raise ConfigError(f"topic {base!r} is too long", hint=f"at most {MAX_TOPIC_BYTES} bytes with /up/oru-r01")
    return Topics(gateway=base.rsplit("/", 1)[1], ack=f"{base}/down/ack", status=f"{base}/status")
