"""What the audit log can say: a closed catalogue of events, each with its meaning and the facts that it may carry.

A fact is a name, a number, a hash or one of a few words: never free text, never what a device or a receiver has said.
What does not fit its shape is not written; the entry says which fact was withheld. A new event is one row here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.core.personal import looks_personal

Fact = str | int | float | bool
WITHHELD = "withheld"  # the fact with this name lists the facts that did not fit


@dataclass(frozen=True, slots=True)
class Shape:
    """What a fact may look like. of: its type; pattern: of a text, the whole of it."""

    what: str
    of: type = str
    pattern: str = ""
    blind: bool = False  # a hash or signature: digits in it mean nothing

    def fits(self, value: object) -> bool:
        """Tell whether a value may be written."""
        if self.of is float:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        if type(value) is not self.of:
            return False
        if not isinstance(value, str):
            return True
        return re.fullmatch(self.pattern, value) is not None and (self.blind or not looks_personal(value))


def word(*words: str) -> Shape:
    """Return the shape of one of a few words."""
    return Shape("one of " + ", ".join(words), pattern="|".join(re.escape(w) for w in words))


NAME = Shape("name: ASCII letters, digits, ._:/@+-", pattern=r"[A-Za-z0-9._:/@+-]{1,96}")
PERSON = Shape("name of a person who signs or administers", pattern=r"[^\W\d_][\w .'@-]{0,63}")
COUNT = Shape("count", int)
YES = Shape("yes or no", bool)
SECONDS = Shape("seconds", float)
DIGEST = Shape("SHA-256, or a part of it from the front, in hex", pattern=r"[0-9a-f]{8,64}", blind=True)
BYTES = Shape("key or signature in hex", pattern=r"[0-9a-f]{32,256}", blind=True)
VERSION = Shape("version", pattern=r"[A-Za-z0-9][A-Za-z0-9.+~-]{0,31}")
DAY = Shape("time in UTC", pattern=r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?Z)?", blind=True)
RULE = Shape("name of a rule or of a key of the configuration", pattern=r"[A-Za-z0-9_.\[\]-]{1,96}")
PLACE = Shape("file and line", pattern=r"[A-Za-z0-9._/+-]{1,160}(:\d{1,6})?")
SUBJECT = Shape("what it is about: empty or a name", pattern=r"[A-Za-z0-9._:/@+-]{0,96}")
MODE = word("production", "lab")
KIND = Shape("type of an error, as the program names it", pattern=r"[A-Za-z]{1,48}")


class Event(StrEnum):
    """All that can be said."""

    START = "start"
    STOP = "stop"
    CONFIG_ACCEPTED = "config_accepted"
    CONFIG_REFUSED = "config_refused"
    RELOAD = "reload"
    POLICY_VIOLATION = "policy_violation"
    DEVICE_OPENED = "device_opened"
    DEVICE_REFUSED = "device_refused"
    DEVICE_SUSPENDED = "device_suspended"
    DEVICE_RESUMED = "device_resumed"
    DEVICE_REVOKED = "device_revoked"
    DEVICE_DRIFTED = "device_drifted"
    DEVICE_STATE = "device_state"
    APPROVAL_VERIFIED = "approval_verified"
    APPROVAL_REJECTED = "approval_rejected"
    SIGNATURE_REFUSED = "signature_refused"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    CERTIFICATE_INSTALLED = "certificate_installed"
    CERTIFICATE_REFUSED = "certificate_refused"
    KEY_CREATED = "key_created"
    BROKER_REFUSED = "broker_refused"
    SPOOL_TAMPERED = "spool_tampered"
    SPOOL_LOSS = "spool_loss"
    ERASE = "erase"
    BACKUP = "backup"
    RESTORE = "restore"
    CLOCK_STEP = "clock_step"
    CLOCK_QUALITY = "clock_quality"
    ACCESS_GRANTED = "access_granted"
    ACCESS_DENIED = "access_denied"
    TRANSMIT_REFUSED = "transmit_refused"
    MESSAGE_REJECTED = "message_rejected"
    UPDATE = "update"
    DRIFT_NETWORK = "drift_network"
    SELFTEST = "selftest"
    AUDIT_CHECKPOINT = "audit_checkpoint"
    AUDIT_TORN = "audit_torn"
    AUDIT_FILLING = "audit_filling"
    AUDIT_FULL = "audit_full"
    AUDIT_LOST = "audit_lost"
    AUDIT_REPEATED = "audit_repeated"
    AUDIT_READ = "audit_read"


@dataclass(frozen=True, slots=True)
class Kind:
    """What an event means. english, danish: its title for people; facts: what it may carry, by name."""

    meaning: str
    english: str
    danish: str
    facts: Mapping[str, Shape] = field(default_factory=dict)


_SHA = {"sha256": DIGEST}
_SIGNED = {"file": NAME, "signer": PERSON, "rev": COUNT, **_SHA}
_ONBOARD = {
    "state": NAME,
    "was": NAME,
    "port": NAME,
    "person": PERSON,
    "role": NAME,
    "rule": RULE,
    "rev": COUNT,
    **_SHA,
}
_CERTIFICATE = {"fingerprint": DIGEST, "serial": BYTES, "not_after": DAY, "days_left": COUNT, "rule": RULE, "use": NAME}
_ACCESS = {"role": NAME, "verb": NAME, "uid": COUNT, "rule": RULE, "person": PERSON, "via": NAME}
_LOSS = {"messages": COUNT, "records": COUNT, "samples": COUNT, "first": COUNT, "last": COUNT}
_LOSS |= {"segment": NAME, "reason": NAME}

CATALOGUE: Mapping[Event, Kind] = {
    Event.START: Kind(
        "A process of the gateway has begun its work.",
        "Started",
        "Startet",
        {"version": VERSION, "pid": COUNT, "ports": COUNT, "mode": MODE, "grade": word("A", "B", "C"), **_SHA},
    ),
    Event.STOP: Kind(
        "A process of the gateway has ended; not orderly: an error ended it.",
        "Stopped",
        "Stoppet",
        {"orderly": YES, "error": KIND},
    ),
    Event.CONFIG_ACCEPTED: Kind(
        "A configuration was read, found correct, and is in force. sha256: of the file.",
        "Configuration accepted",
        "Konfiguration godtaget",
        {"devices": COUNT, "ports": COUNT, "mode": MODE, "violations": COUNT, "signer": PERSON, "rev": COUNT, **_SHA},
    ),
    Event.CONFIG_REFUSED: Kind(
        "A configuration was refused; what was in force stays so, or nothing starts.",
        "Configuration refused",
        "Konfiguration afvist",
        {"error": KIND, "where": PLACE, "violations": COUNT, **_SHA},
    ),
    Event.RELOAD: Kind(
        "A running process was asked to take its configuration over.",
        "Reload",
        "Genindlæsning",
        {"ok": YES, **_SHA},
    ),
    Event.POLICY_VIOLATION: Kind(
        "The configuration breaks a rule; in production nothing starts.",
        "Rule broken",
        "Regel brudt",
        {"rule": RULE, "key": RULE, "where": PLACE, "mode": MODE, "count": COUNT},
    ),
    Event.DEVICE_OPENED: Kind(
        "The line to a device was opened. subject: the port or the device.",
        "Device opened",
        "Apparat åbnet",
        {"port": NAME, "state": NAME, "profile": NAME, **_SHA},
    ),
    Event.DEVICE_REFUSED: Kind(
        "A device was not opened, or its data was not taken.",
        "Device refused",
        "Apparat afvist",
        {"port": NAME, "state": NAME, "profile": NAME, "rule": RULE, "error": KIND, **_SHA},
    ),
    Event.DEVICE_SUSPENDED: Kind("A device was suspended.", "Device suspended", "Apparat suspenderet", _ONBOARD),
    Event.DEVICE_RESUMED: Kind("A suspension ended.", "Device resumed", "Apparat genoptaget", _ONBOARD),
    Event.DEVICE_REVOKED: Kind(
        "A device lost its approval for good.", "Device revoked", "Apparat tilbagekaldt", _ONBOARD
    ),
    Event.DEVICE_DRIFTED: Kind(
        "A device is no longer what was approved. what: the part; hashes of the texts, never the texts.",
        "Device drifted",
        "Apparat afviger",
        {"what": NAME, "approved": DIGEST, "observed": DIGEST, "action": word("flag", "hold"), "port": NAME},
    ),
    Event.DEVICE_STATE: Kind(
        "A device went from one state of its life to another.", "Device state", "Apparatets tilstand", _ONBOARD
    ),
    Event.APPROVAL_VERIFIED: Kind(
        "The signatures of an approval are good.", "Approval verified", "Godkendelse verificeret", _ONBOARD
    ),
    Event.APPROVAL_REJECTED: Kind(
        "An approval is not good. rule: which demand it does not meet.",
        "Approval rejected",
        "Godkendelse forkastet",
        _ONBOARD,
    ),
    Event.SIGNATURE_REFUSED: Kind(
        "A signed file was refused. rule: unsigned, changed, rolled back, expired.",
        "Signature refused",
        "Signatur afvist",
        {"rule": RULE, "seen_rev": COUNT, **_SIGNED},
    ),
    Event.CERTIFICATE_EXPIRING: Kind(
        "A certificate ends soon.", "Certificate expires soon", "Certifikat udløber snart", _CERTIFICATE
    ),
    Event.CERTIFICATE_INSTALLED: Kind(
        "A certificate came into use.", "Certificate installed", "Certifikat installeret", _CERTIFICATE
    ),
    Event.CERTIFICATE_REFUSED: Kind(
        "A certificate was refused, ours or the broker's.", "Certificate refused", "Certifikat afvist", _CERTIFICATE
    ),
    Event.KEY_CREATED: Kind(
        "A key was made on this box. key: its public part.",
        "Key created",
        "Nøgle oprettet",
        {"use": NAME, "key": BYTES, "fingerprint": DIGEST},
    ),
    Event.BROKER_REFUSED: Kind(
        "The broker, or the way to it, was refused, or the broker refuses us. code: MQTT reason code.",
        "Broker refused",
        "Broker afvist",
        {"rule": RULE, "code": COUNT, "count": COUNT, "fingerprint": DIGEST},
    ),
    Event.SPOOL_TAMPERED: Kind(
        "What lies in the spool is not what was written.", "Spool tampered with", "Spool er ændret", _LOSS
    ),
    Event.SPOOL_LOSS: Kind("Messages were lost, and declared lost.", "Messages lost", "Meddelelser mistet", _LOSS),
    Event.ERASE: Kind(
        "Keys were destroyed, and what they protected with them.",
        "Erased",
        "Slettet",
        {"what": NAME, "keys": COUNT, "files": COUNT, "certificate": DIGEST, "person": PERSON},
    ),
    Event.BACKUP: Kind("A backup was written.", "Backup", "Sikkerhedskopi", {"files": COUNT, "person": PERSON, **_SHA}),
    Event.RESTORE: Kind(
        "A backup was restored.", "Restored", "Genskabt", {"files": COUNT, "person": PERSON, "ok": YES, **_SHA}
    ),
    Event.CLOCK_STEP: Kind("The clock of this box was set.", "Clock stepped", "Uret blev stillet", {"step_s": SECONDS}),
    Event.CLOCK_QUALITY: Kind(
        "How well the clock is kept has changed.", "Clock quality", "Urets kvalitet", {"now": NAME, "was": NAME}
    ),
    Event.ACCESS_GRANTED: Kind("Somebody did what the role allows.", "Access granted", "Adgang givet", _ACCESS),
    Event.ACCESS_DENIED: Kind("Somebody was refused.", "Access denied", "Adgang nægtet", _ACCESS),
    Event.TRANSMIT_REFUSED: Kind(
        "A driver wanted to write what the grammar of the profile does not allow; it was not written.",
        "Writing to a device refused",
        "Skrivning til apparat afvist",
        {"count": COUNT, "bytes": COUNT, "device": NAME},
    ),
    Event.MESSAGE_REJECTED: Kind(
        "The receiver will never take these messages; they are in the side file, with what it said.",
        "Messages rejected",
        "Meddelelser forkastet",
        {"count": COUNT},
    ),
    Event.UPDATE: Kind(
        "Another version of the program runs than before.",
        "Updated",
        "Opdateret",
        {"version": VERSION, "was": VERSION, **_SHA},
    ),
    Event.DRIFT_NETWORK: Kind(
        "Firewall or sockets are not as declared.",
        "Network drifted",
        "Netværk afviger",
        {"what": NAME, "rule": RULE, "count": COUNT, "declared": DIGEST, "enforced": DIGEST},
    ),
    Event.SELFTEST: Kind(
        "The security self-test has run. failed: how many tests; rule: the first of them.",
        "Self-test",
        "Selvtest",
        {"ok": YES, "tests": COUNT, "failed": COUNT, "rule": RULE, "took_s": SECONDS},
    ),
    Event.AUDIT_CHECKPOINT: Kind(
        "The head of the chain, signed. The same is published.",
        "Checkpoint",
        "Kontrolpunkt",
        {"of": COUNT, "head": DIGEST, "t_utc": DAY, "key": BYTES, "sig": BYTES},
    ),
    Event.AUDIT_TORN: Kind(
        "A crash left a write half done; it was cut. sha256: of what was cut.",
        "Torn write of this log cut",
        "Afbrudt skrivning i denne log fjernet",
        {"bytes": COUNT, **_SHA},
    ),
    Event.AUDIT_FILLING: Kind(
        "This log has reached 80 % of its room.",
        "Audit log fills",
        "Revisionslog fyldes",
        {"bytes": COUNT, "limit": COUNT},
    ),
    Event.AUDIT_FULL: Kind(
        "This log is full; its oldest file, already anchored, was removed. head: the hash at which the rest goes on.",
        "Oldest part of the audit log removed",
        "Ældste del af revisionsloggen fjernet",
        {"first": COUNT, "last": COUNT, "head": DIGEST, **_SHA},
    ),
    Event.AUDIT_LOST: Kind(
        "Events could not be written: disk or queue were full. The gateway went on.",
        "Audit events lost",
        "Hændelser mistet i revisionsloggen",
        {"count": COUNT},
    ),
    Event.AUDIT_REPEATED: Kind(
        "The same event came more often than is written.", "Repeated", "Gentaget", {"of": NAME, "times": COUNT}
    ),
    Event.AUDIT_READ: Kind(
        "The audit log was exported.",
        "Audit log exported",
        "Revisionslog eksporteret",
        {"person": PERSON, "entries": COUNT},
    ),
}


def fitting(event: Event, subject: str, facts: Mapping[str, object]) -> tuple[str, dict[str, Fact]]:
    """Return subject and facts as they may be written. What does not fit is left out and named under "withheld"."""
    shapes = CATALOGUE[event].facts
    said: dict[str, Fact] = {}
    held = [] if SUBJECT.fits(subject) else ["subject"]
    for name, value in facts.items():
        plain = value.value if isinstance(value, StrEnum) else value
        if name in shapes and shapes[name].fits(plain):
            said[name] = plain  # type: ignore[assignment]
        else:
            held.append(name)
    if held:
        said[WITHHELD] = " ".join(sorted(held))
    return ("" if "subject" in held else subject), said
