"""What is known about one box at one moment. Frozen, plain, without I/O: the page and the points are functions of it.

None means that nobody looked or that it could not be looked at: unknown. An empty tuple: looked, and there is none.
Texts are as the source has them and are escaped where they are shown. Times are ISO 8601, days are whole days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PRESENT, ABSENT, UNKNOWN = "present", "absent", "unknown"


@dataclass(frozen=True)
class Exam:
    """The transmit grammar of a device, tried. allowed: what of it was let through, by name; wrong: what must not "
    "be."""

    tried: int
    allowed: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeviceFact:
    """One configured device: as declared, as observed, as judged by people."""

    name: str
    port: str
    profile: str
    driver: str
    link: str
    endpoint: str
    stable: bool | None  # the path is bound to a serial number or a place; None: not a path
    eui64: str
    place: str
    firmware: str
    digest: str
    patterns: int
    experimental: bool
    exam: Exam
    metrics: int
    signature: str | None = None  # who signed the profile; "": unsigned; None: unknown
    listen_only: bool | None = None  # the mode of a CAN controller
    observed_model: str = ""
    observed_firmware: str = ""
    open: bool | None = None
    state: str | None = None  # of its life cycle
    may_open: bool | None = None
    reasons: tuple[str, ...] = ()
    rev: int = 0
    sha256: str = ""
    until: str = ""
    record: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ZoneFact:
    """One zone, its trust from 0 to 4."""

    name: str
    title: str
    trust: int


@dataclass(frozen=True)
class ConduitFact:
    """One way between this box and a zone, with who uses it."""

    name: str
    zone: str
    kind: str
    target: str
    port: int
    why: str
    protection: str  # "tls", "none"
    users: tuple[str, ...] = ()  # ports, or the sink
    carries: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConfigFact:
    """The configuration, as far as a reviewer asks."""

    path: str
    sha256: str
    name: str
    site: str
    unit: str
    mode: str
    processing_id: str
    time_sync: str
    tls_min: str
    on_firmware_drift: str
    sink: str  # "mqtt mqtt.kita.example:8883"
    sink_kind: str
    sink_host: str
    protocol: str
    tls: bool
    mutual: bool
    spool_mib: int
    grade: str
    drops: tuple[str, ...] = ()  # routes: what leaves, in words


@dataclass(frozen=True)
class ViolationFact:
    """One broken rule of the policy."""

    rule: str
    key: str
    where: str
    why: str
    hint: str


@dataclass(frozen=True)
class PersonFact:
    """One approver."""

    name: str
    role: str
    until: str
    valid: bool


@dataclass(frozen=True)
class ApprovalFact:
    """One signature on a device's hash."""

    device: str
    person: str
    role: str
    at: str
    sha256: str
    counts: bool
    submitter: bool = False


@dataclass(frozen=True)
class CertificateFact:
    """One certificate. days_left is negative when it has expired."""

    role: str
    subject: str
    names: tuple[str, ...]
    issuer: str
    key: str
    not_before: str
    not_after: str
    days_left: int
    sha256: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortRow:
    """One row of the port matrix. None in a column: nobody could look."""

    conduit: str
    flow: str
    user: str
    declared: bool
    enforced: bool | None = None
    observed: bool | None = None


@dataclass(frozen=True)
class RulesetFact:
    """The firewall: what is declared, and how it compares with the kernel and the sockets."""

    declared: str
    rows: tuple[PortRow, ...] = ()
    enforced: bool | None = None  # the kernel's rules are the declared ones
    drift: tuple[str, ...] | None = None  # what differs; None: not looked at


@dataclass(frozen=True)
class UnitFact:
    """One systemd unit: its exposure (0 to 10), and the settings that a point asks for."""

    name: str
    exposure: float | None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ComponentFact:
    """One component of the software."""

    name: str
    version: str
    kind: str
    licence: str = ""
    maker: str = ""
    support_until: str = ""


@dataclass(frozen=True)
class VulnerabilityFact:
    """One known vulnerability with its triage. judged: there is a decision in force."""

    id: str
    component: str
    severity: str
    state: str
    why: str
    decided: str
    expires: str
    judged: bool


@dataclass(frozen=True)
class InventoryFact:
    """Software: its SBOM, the check of the installed files, what is known about it."""

    sbom_sha256: str
    spec: str
    components: tuple[ComponentFact, ...]
    valid: bool | None = None  # by the schema
    verified: bool | None = None  # installed files against the manifest
    verified_why: str = ""
    scanned: str = ""  # date of the scan
    vulnerabilities: tuple[VulnerabilityFact, ...] | None = None


@dataclass(frozen=True)
class AuditFact:
    """The audit log. head: hash of the newest entry; share: of its room that is used, 0 to 1."""

    head: str
    entries: int
    public_key: str
    verified: bool | None
    fault: str = ""
    share: float | None = None
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class SealFact:
    """Protection of the spool on the disk."""

    on: bool
    source: str  # of the key: "tpm2", "host", "credential", "plain", ""
    why: str = ""


@dataclass(frozen=True)
class AccessFact:
    """Accounts and roles. roles: role -> its groups on this host; web: where the page is, "": not at all.

    idle_s, session_s: a session ends after so long, silent or in any case; failures, lockout_s: refused requests that
    lock an account out, and for how long.
    """

    roles: Mapping[str, str]
    idle_s: float
    session_s: float
    failures: int
    lockout_s: float
    web: str = ""
    web_remote: bool = False


@dataclass(frozen=True)
class HostFact:
    """The host: each of three words, or None."""

    secure_boot: str = UNKNOWN
    disk_encryption: str = UNKNOWN
    tpm: str = UNKNOWN
    swap: str = UNKNOWN
    system: str = ""
    kernel: str = ""
    listening: tuple[str, ...] | None = None
    forwarding: bool | None = None
    clock_synced: bool | None = None


@dataclass(frozen=True)
class RiskFact:
    """One accepted risk."""

    id: str
    title: str
    owner: str
    reason: str
    control: str
    expires: str
    open: bool  # not expired


@dataclass(frozen=True)
class TestsFact:
    """Results of the release's tests: point -> (test, passed; None: not run). For the program that ran them.

    software: digest of that program (gateway.security.dossier.results).
    """

    __test__ = False  # not a test of pytest

    version: str
    made: str
    results: Mapping[int, tuple[tuple[str, bool | None], ...]]
    commit: str = ""
    software: str = ""


@dataclass(frozen=True)
class SupportFact:
    """What SECURITY.md says."""

    contact: str
    until: str


@dataclass(frozen=True)
class Facts:
    """All of it. made: ISO time, given by the caller; asset: the one device it is about, "": all."""

    made: str
    version: str
    config: ConfigFact
    devices: tuple[DeviceFact, ...]
    zones: tuple[ZoneFact, ...]
    conduits: tuple[ConduitFact, ...]
    asset: str = ""
    violations: tuple[ViolationFact, ...] | None = None
    people: tuple[PersonFact, ...] | None = None
    approvals: tuple[ApprovalFact, ...] | None = None
    certificates: tuple[CertificateFact, ...] | None = None
    tls_policy: str = ""
    key_mode: int | None = None  # rights of the private key's file
    ruleset: RulesetFact | None = None
    units: tuple[UnitFact, ...] | None = None
    inventory: InventoryFact | None = None
    audit: AuditFact | None = None
    seal: SealFact | None = None
    access: AccessFact | None = None
    passwords: tuple[str, ...] | None = None  # places that hold something like a password
    host: HostFact = field(default_factory=HostFact)
    risks: tuple[RiskFact, ...] | None = None
    tests: TestsFact | None = None
    software: str = ""  # digest of the program on this box
    support: SupportFact | None = None
    known_answers: tuple[tuple[str, bool], ...] | None = None
    can_send: bool | None = None  # the listening CAN link has a way to send

    @property
    def production(self) -> bool:
        """Tell whether this box is for patients."""
        return self.config.mode == "production"

    @property
    def day(self) -> str:
        """The day it was made, as 2026-11-21."""
        return self.made[:10]
