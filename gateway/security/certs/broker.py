"""The configuration of mosquitto 2.0 for a region or a ward: listener, who may what, and what survives a restart. Pure.

A certificate's CN is the user name; what a name may do stands in the access list, gateway by gateway. There is no
password anywhere. Not chosen: the dynamic security plugin: its rights are a file that the broker itself writes, which
nobody can review or sign, and an administrator over the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.core.errors import ConfigError
from gateway.security.certs.tls import CIPHERS_12, LEVEL, VERSIONS

_LEVEL = r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?"  # as gateway.config_sections.NAME
_WHO = re.compile(rf"({_LEVEL})/({_LEVEL})/({_LEVEL})")
UP = ("oru-r01", "wave", "oru-r40")  # as gateway.service makes topics
HEARTBEAT = "hb"  # a new certificate is tried with a message there
CIPHERS_13 = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"  # RFC 8446, B.4
MESSAGE_BYTES = (1 << 20) + 4096  # as KITA takes: 1 MiB, and topic and properties (kita/receive.py)
QUEUED = 1000  # messages for each gateway while KITA is away: 20 under way (window), sent again 50 times
QUEUED_BYTES = 256 << 20  # for one client; what comes after it is dropped, and comes again from the spool
AUTOSAVE_S = 10  # a broker that is killed forgets at most so much; what it forgets comes again from the spools
IN_FLIGHT = 100  # as many as KITA stores in one transaction (kita/settings.py, batch)

CONFIGURATION = """# mosquitto 2.0 for gateways and KITA. Made by: mdi broker config
# After a change: systemctl restart mosquitto. A SIGHUP takes access list and revocation list, and CAs only because
# crlfile is set; it ends no session. See docs/security.md, Certificates.
user {user}
per_listener_settings false
allow_anonymous false
allow_zero_length_clientid false
acl_file {files.acl}

listener {port}{address}
protocol mqtt
# All CAs that may vouch for a client, old and new while they are rolled over.
cafile {files.ca}
certfile {files.cert}
keyfile {files.key}
# One list for each CA of cafile, or nobody of that CA gets in.
crlfile {files.crl}
require_certificate true
use_identity_as_username true
# The lowest version, mosquitto.conf(5).
tls_version tlsv{tls_min}
ciphers {ciphers}
ciphers_tls1.3 {ciphers_13}
set_tcp_nodelay true
message_size_limit {message_bytes}
max_inflight_messages {in_flight}

# What is kept: sessions, messages for a KITA that is away, the retained status. The promise does not rest on it
# (docs/guarantees.md): what the broker loses, the gateways send again. It makes an outage cheap.
persistence true
persistence_location {files.data}
autosave_interval {autosave_s}
autosave_on_changes false
max_queued_messages {queued}
max_queued_bytes {queued_bytes}
persistent_client_expiration 14d

log_dest stderr
log_timestamp true
log_timestamp_format %Y-%m-%dT%H:%M:%S
log_type error
log_type warning
log_type notice
log_type information
"""


@dataclass(frozen=True, slots=True)
class Member:
    """One gateway. Its certificate has the CN `name`."""

    site: str
    unit: str
    name: str

    @property
    def base(self) -> str:
        """Start of its topics."""
        return f"mdi/v1/{self.site}/{self.unit}/{self.name}"


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Where things are on the broker's machine."""

    ca: str = "/etc/mosquitto/certs/ca.pem"
    cert: str = "/etc/mosquitto/certs/broker.pem"
    key: str = "/etc/mosquitto/certs/broker.key"
    crl: str = "/etc/mosquitto/certs/crl.pem"
    acl: str = "/etc/mosquitto/mdi.acl"
    data: str = "/var/lib/mosquitto/"


def member(text: str) -> Member:
    """Read SITE/UNIT/NAME. Raises: ConfigError."""
    found = _WHO.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"{text!r} is no gateway", hint="write SITE/UNIT/NAME as in [gateway]: auh/ita/gw-ita-03")
    return Member(*found.groups())


def access_list(members: Sequence[Member], kita: Iterable[str], watchers: Iterable[str] = ()) -> str:
    """Return the access list: each gateway its own topics, KITA messages and answers, watchers the status only.

    What is not named is refused: a message with reason 0x87 in MQTT 5. Raises: ConfigError: a name stands twice.
    """
    names = [m.name for m in members] + [*kita, *watchers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        hint = "a certificate's name is one client's: give each gateway its own"
        raise ConfigError(f"named twice: {', '.join(twice)}", hint=hint)
    lines = ["# Who may do what, by the CN of the certificate. Made by: mdi broker config", ""]
    for m in sorted(members, key=lambda m: m.base):
        lines += [f"user {m.name}", *(f"topic write {m.base}/up/{kind}" for kind in UP)]
        lines += [f"topic write {m.base}/status", f"topic write {m.base}/status/audit/#"]
        lines += [f"topic write {m.base}/{HEARTBEAT}", f"topic read {m.base}/down/ack", ""]
    wards = sorted({f"mdi/v1/{m.site}/{m.unit}" for m in members})
    for name in kita:
        lines += [f"user {name}"]
        lines += [line for w in wards for line in (f"topic read {w}/+/up/+", f"topic write {w}/+/down/ack")] + [""]
    for name in watchers:
        lines += [f"user {name}"]
        lines += [line for w in wards for line in (f"topic read {w}/+/status", f"topic read {w}/+/status/audit/#")] + [
            ""
        ]
    return "\n".join(lines)


def configuration(
    files: BrokerFiles,
    gateways: int,
    address: str = "",
    port: int = 8883,
    tls_min: str = "1.3",
    user: str = "mosquitto",
) -> str:
    """Return mosquitto.conf. gateways: how many, for the queue of KITA; address: to listen on, "": all of them.

    Raises: ConfigError for another version of TLS.
    """
    if tls_min not in VERSIONS:
        raise ConfigError(f"TLS {tls_min} is not allowed", hint="1.3, or 1.2 where a client can do no better")
    return CONFIGURATION.format(
        files=files,
        address=f" {address}" if address else "",
        port=port,
        user=user,
        tls_min=tls_min,
        ciphers=f"{CIPHERS_12}:{LEVEL}",
        ciphers_13=CIPHERS_13,
        message_bytes=MESSAGE_BYTES,
        in_flight=IN_FLIGHT,
        autosave_s=AUTOSAVE_S,
        queued=QUEUED * max(1, gateways),
        queued_bytes=QUEUED_BYTES,
    )
