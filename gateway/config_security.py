"""The rules in mdi_config.toml: [security], [firewall], [[zone]], [[conduit]]: each key with its sentence.

A conduit is what the reviewer allows between two zones (IEC 62443-3-2). The ports and the sink are what the engineer
wants. Both are written down, each by whom it concerns, and gateway.security.policy compares them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime

from gateway.config_sections import NAME
from gateway.core.errors import ConfigError
from gateway.core.settings import Settings, setting

PRODUCTION, LAB = "production", "lab"
CARRIES, IDENTIFIERS = ("values", "waves", "alerts"), ("device", "place")  # never anything of a patient
GATEWAY = "gateway"  # the zone that this box is; always there


@dataclass(frozen=True)
class SecuritySettings(Settings):
    """[security]: how strict this gateway is, and where what people have signed is kept."""

    mode: str = field(
        metadata=setting(
            'What is wrong stops the start in "production"; in "lab" it is said, and so is LAB in every message.',
            choices=(PRODUCTION, LAB),
        )
    )
    etc_dir: str = field(
        default="/etc/mdi",
        metadata=setting("Folder with trust, device records, approvals, risks and evidence; written by people."),
    )
    tls_min: str = field(
        default="1.3", metadata=setting("Lowest version of TLS that is spoken.", choices=("1.3", "1.2"))
    )
    on_firmware_drift: str = field(
        default="flag",
        metadata=setting(
            "A device that shows another firmware than was approved is flagged, or held back.", choices=("flag", "hold")
        ),
    )


@dataclass(frozen=True)
class AuditSettings(Settings):
    """[audit]: what happened on this box, and who hears of it."""

    limit_mib: int = field(
        default=64,
        metadata=setting(
            "Most disk space of each process's audit log; then its oldest file goes.", "MiB", low=2, high=4096
        ),
    )
    syslog: str = field(
        default="",
        metadata=setting(
            "Where entries are sent as well (RFC 5424): local, udp://host:port, tls://host:port; empty: nowhere.",
            pattern=r"|local|(udp|tls)://[A-Za-z0-9.:\[\]-]+:\d{1,5}",
            empty=True,
        ),
    )
    syslog_ca: str = field(
        default="", metadata=setting("tls: file with the CA certificates of the collector.", empty=True)
    )


@dataclass(frozen=True)
class LogSettings(Settings):
    """[log]: what the program says on standard error."""

    format: str = field(
        default="text",
        metadata=setting("A line for people, or one JSON object on each line for machines.", choices=("text", "json")),
    )


@dataclass(frozen=True)
class ZoneSettings(Settings):
    """[[zone]]: devices or systems that are trusted alike."""

    name: str = field(metadata=setting("Name of the zone.", pattern=NAME))
    title: str = field(metadata=setting("What it is, for a person."))
    trust: int = field(
        default=0, metadata=setting("How far it is trusted: 0 not at all … 4 as this box itself.", low=0, high=4)
    )


@dataclass(frozen=True)
class ConduitSettings(Settings):
    """[[conduit]]: one way between two zones that is allowed. What no conduit allows is forbidden."""

    name: str = field(metadata=setting("Name of the conduit.", pattern=NAME))
    zone: str = field(metadata=setting("The zone at its other end; this end is the gateway.", pattern=NAME))
    kind: str = field(
        metadata=setting(
            "What goes through it.",
            choices=("serial", "can", "modbus", "tcp", "udp", "mqtt", "dns", "ntp", "syslog", "file"),
        )
    )
    why: str = field(metadata=setting("Why it is needed, for the reviewer."))
    device: str = field(
        default="",
        metadata=setting("serial, can: path of the line or name of the bus, with * and ?.", empty=True),
    )
    host: str = field(default="", metadata=setting("Address, or network as 10.20.40.0/24, or name.", empty=True))
    port: int = field(default=0, metadata=setting("TCP or UDP port; 0: none.", low=0, high=65535))
    san: str = field(default="", metadata=setting("mqtt: name in the certificate of the broker.", empty=True))
    carries: tuple[str, ...] = field(
        default=("values", "alerts"), metadata=setting('mqtt: what may leave: "values", "waves", "alerts".')
    )
    metrics: tuple[str, ...] = field(
        default=("*",), metadata=setting("mqtt: which metrics may leave, 11073 reference ids with * and ?.")
    )
    min_interval_s: float = field(
        default=0.0, metadata=setting("mqtt: values leave no more often than this.", "s", low=0, high=86400)
    )
    identifiers: tuple[str, ...] = field(
        default=("device", "place"), metadata=setting('mqtt: which identifiers may leave: "device", "place".')
    )

    def __post_init__(self) -> None:
        """Raise ConfigError for a wrong value, and for a word in a list that means nothing."""
        super().__post_init__()
        for key, words in (("carries", CARRIES), ("identifiers", IDENTIFIERS)):
            if not set(getattr(self, key)) <= set(words):
                known = ", ".join(map(repr, words))
                raise ConfigError(f"{key} = {list(getattr(self, key))}: must be of {known}", hint="correct the word")


@dataclass(frozen=True)
class FirewallSettings(Settings):
    """[firewall]: what `mdi netrules` cannot know from ports, sink and conduits."""

    time_user: str = field(
        default="systemd-timesync",
        metadata=setting("User of the program that keeps the clock; chrony of Debian runs as _chrony."),
    )
    resolver_user: str = field(
        default="",
        metadata=setting("User of the local name server; empty: each process asks for itself.", empty=True),
    )
    syslog_user: str = field(default="root", metadata=setting("User of the program that sends the log away."))
    kita_here: bool = field(default=False, metadata=setting("KITA runs on this box too, and may reach the broker."))
    ssh_from: tuple[str, ...] = field(
        default=(),
        metadata=setting("Emergency only: jump hosts that may reach SSH, until ssh_until. Empty: nobody."),
    )
    ssh_port: int = field(default=22, metadata=setting("TCP port of SSH.", low=1, high=65535))
    ssh_until: str = field(
        default="",
        metadata=setting(
            "When that ends, at most 7 days ahead, as 2026-12-01T18:00:00+01:00; open sessions end then, too.",
            pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
            empty=True,
        ),
    )

    def __post_init__(self) -> None:
        """Raise ConfigError for a wrong value, and for a door without an end."""
        super().__post_init__()
        if bool(self.ssh_from) != bool(self.ssh_until):
            raise ConfigError("ssh_until = '': an open door needs its end", hint="give both ssh_from and ssh_until")
        if self.ssh_until:
            try:
                datetime.fromisoformat(self.ssh_until)
            except ValueError:
                raise ConfigError(f"ssh_until = {self.ssh_until!r}: no such time") from None


@dataclass(frozen=True)
class AccessSettings(Settings):
    """[access]: who may do what over the admin socket, by groups of the operating system."""

    socket: str = field(
        default="/run/mdi-admin/admin.sock", metadata=setting("The unix socket that mdi admin serve makes.")
    )
    viewers: tuple[str, ...] = field(
        default=("mdi-viewer",), metadata=setting("Groups that may look: status, devices, certificates, signatures.")
    )
    operators: tuple[str, ...] = field(
        default=("mdi-operator",), metadata=setting("Groups that may also reload, and suspend a device.")
    )
    approvers: tuple[str, ...] = field(
        default=("mdi-approver",),
        metadata=setting("Groups that may also hand in approvals, resume, revoke, export the audit log."),
    )
    administrators: tuple[str, ...] = field(
        default=("mdi-admin",), metadata=setting("Groups that may also retire devices.")
    )
    idle_s: float = field(
        default=300.0, metadata=setting("A session that asks nothing for so long ends.", "s", low=1, high=3600)
    )
    session_s: float = field(
        default=3600.0, metadata=setting("A session ends after so long in any case.", "s", low=1, high=43200)
    )
    failures: int = field(
        default=5, metadata=setting("So many refused requests within lockout_s lock an account out.", low=1, high=100)
    )
    lockout_s: float = field(default=300.0, metadata=setting("For so long.", "s", low=1, high=86400))
    per_minute: int = field(default=60, metadata=setting("Most requests of one account in a minute.", low=1, high=6000))


@dataclass(frozen=True)
class WebSettings(Settings):
    """[web]: the read-only pages of mdi web serve."""

    listen: str = field(
        default="",
        metadata=setting("Address on this machine, as 127.0.0.1:8080; empty: the unix socket below.", empty=True),
    )
    socket: str = field(default="/run/mdi-web/web.sock", metadata=setting("The unix socket for a reverse proxy."))
    proxy: bool = field(
        default=False,
        metadata=setting("A reverse proxy with mTLS or OIDC stands in front, on the socket, and says who asks."),
    )
    user_header: str = field(
        default="X-Remote-User",
        metadata=setting("Where the proxy says who asks; it must set it anew.", pattern=r"[A-Za-z0-9-]{1,64}"),
    )
    users: tuple[str, ...] = field(
        default=("*",), metadata=setting("Who may look, as the proxy names them, with * and ?.")
    )
    language: str = field(
        default="da", metadata=setting("Language of the pages, where nobody asks for another.", choices=("da", "en"))
    )

    def __post_init__(self) -> None:
        """Raise ConfigError for a wrong value, and for an address that others than this machine can reach."""
        super().__post_init__()
        if self.listen and self.proxy:
            hint = "take listen out: anybody on this machine could say to be anybody"
            raise ConfigError(f"listen = {self.listen!r}: a proxy comes over the unix socket only", hint=hint)
        host, _, port = self.listen.rpartition(":")
        try:
            good = not self.listen or (ipaddress.ip_address(host.strip("[]")).is_loopback and 0 < int(port) < 65536)
        except ValueError:
            good = False
        if not good:
            hint = 'write "127.0.0.1:8080"; for others: the socket, and a reverse proxy with mTLS or OIDC'
            raise ConfigError(f"listen = {self.listen!r}: not an address of this machine alone", hint=hint)
