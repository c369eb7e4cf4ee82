"""Settings of the receiving side."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.errors import ConfigError
from gateway.core.settings import Settings, setting

_LEVEL = r"\+|[a-z0-9-]{1,64}"  # one level of a topic filter: a name, or + for any


@dataclass(frozen=True)
class KitaSettings(Settings):
    """Where the messages come from and where they are stored."""

    database: str = field(metadata=setting("File of the database; a disk that keeps data."))
    host: str = field(default="localhost", metadata=setting("Name or address of the broker."))
    port: int = field(default=1883, metadata=setting("TCP port of the broker.", low=1, high=65535))
    protocol: str = field(
        default="mqtt5", metadata=setting("MQTT version that the broker speaks.", choices=("mqtt5", "mqtt311"))
    )
    client_id: str = field(
        default="kita", metadata=setting("Client id, unique at the broker.", pattern=r"[A-Za-z0-9._-]{1,64}")
    )
    site: str = field(default="+", metadata=setting("Hospital whose messages are taken; + for all.", pattern=_LEVEL))
    unit: str = field(default="+", metadata=setting("Ward whose messages are taken; + for all.", pattern=_LEVEL))
    batch: int = field(
        default=100, metadata=setting("Most messages stored in one transaction.", "messages", low=1, high=1000)
    )
    busy_ms: int = field(
        default=1000,
        metadata=setting(
            "How long to wait for a locked database before the gateway has to try later.", "ms", low=0, high=60000
        ),
    )
    keepalive_s: int = field(
        default=30,
        metadata=setting("A silent connection is given up after about 1.5 times this.", "s", low=1, high=600),
    )
    session_expiry_s: int = field(
        default=86400,
        metadata=setting(
            "How long the broker keeps messages while KITA is away (MQTT 5).", "s", low=60, high=2**32 - 1
        ),
    )
    ca: str = field(
        default="",
        metadata=setting("File with the CA certificates to check the broker against; empty: no TLS.", empty=True),
    )
    cert: str = field(default="", metadata=setting("File with the certificate of KITA; needs ca and key.", empty=True))
    key: str = field(default="", metadata=setting("File with the private key of KITA.", empty=True))

    crl: str = field(
        default="",
        metadata=setting("File with the revocation lists of the broker's CAs; empty: not asked.", empty=True),
    )
    san: str = field(default="", metadata=setting("Name in the broker's certificate; empty: host.", empty=True))
    tls_min: str = field(
        default="1.3", metadata=setting("Lowest version of TLS that is spoken.", choices=("1.3", "1.2"))
    )

    def __post_init__(self) -> None:
        """Raise ConfigError for a wrong value or an incomplete set of certificates."""
        super().__post_init__()
        if bool(self.cert) != bool(self.key) or (self.cert and not self.ca):
            raise ConfigError(f"cert = {self.cert!r}: ca, cert and key belong together", hint="all three, or ca alone")
