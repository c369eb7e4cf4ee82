"""What a reviewer or a clinician reads, in Danish and English: states and the parts of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.security.onboard.life import State

LANGUAGES = ("en", "da")
STATES: Mapping[State, Mapping[str, str]] = {
    State.DRAFT: {"en": "draft: nobody has asked for approval", "da": "kladde: ingen har bedt om godkendelse"},
    State.SUBMITTED: {"en": "submitted: waits for signatures", "da": "indsendt: venter på underskrifter"},
    State.APPROVED: {"en": "approved: may be opened", "da": "godkendt: må åbnes"},
    State.ACTIVE: {"en": "active: approved and in use", "da": "aktiv: godkendt og i brug"},
    State.SUSPENDED: {"en": "suspended: stopped by a person", "da": "suspenderet: stoppet af en person"},
    State.REVOKED: {"en": "revoked: approval taken back for good", "da": "tilbagekaldt: godkendelsen er endeligt væk"},
    State.RETIRED: {"en": "retired: gone, papers kept", "da": "udgået: væk, papirerne er gemt"},
    State.EXPIRED: {"en": "expired: its time is over", "da": "udløbet: fristen er overskredet"},
    State.DRIFTED: {"en": "drifted: not what was approved", "da": "afviger: ikke det, der blev godkendt"},
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "opened": {"en": "opened", "da": "åbnes"},
    "not opened": {"en": "not opened", "da": "åbnes ikke"},
    "flagged": {"en": "opened, flagged", "da": "åbnes, markeret"},
    "device": {"en": "device", "da": "apparat"},
    "asset": {"en": "asset", "da": "aktiv-nr."},
    "state": {"en": "state", "da": "tilstand"},
    "port": {"en": "port", "da": "port"},
    "signed by": {"en": "signed by", "da": "underskrevet af"},
    "why": {"en": "why", "da": "hvorfor"},
    "until": {"en": "holds until", "da": "gælder til"},
    "field": {"en": "field", "da": "felt"},
    "was": {"en": "approved", "da": "godkendt"},
    "now": {"en": "now", "da": "nu"},
    "nothing changed": {"en": "nothing has changed", "da": "intet er ændret"},
    "changed": {"en": "Changed since then; the approval does not hold", "da": "Ændret siden; godkendelsen gælder ikke"},
    "request": {"en": "Request for approval", "da": "Anmodning om godkendelse"},
    "submitter": {"en": "submitted by", "da": "indsendt af"},
    "sign?": {
        "en": "You approve exactly this device, on this port, through these conduits. Sign?",
        "da": "Du godkender netop dette apparat, på denne port, gennem disse forbindelser. Underskriv?",
    },
    "none": {"en": "nobody", "da": "ingen"},
}
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "record.device": {"en": "Device", "da": "Apparat"},
    "record.owners": {"en": "Owners", "da": "Ejere"},
    "record.use": {"en": "Use", "da": "Brug"},
    "record.review": {"en": "Review", "da": "Vurdering"},
    "record.risks": {"en": "Accepted risks", "da": "Accepterede risici"},
    "record.evidence": {"en": "Evidence", "da": "Dokumentation"},
    "record.configured": {"en": "Configured", "da": "Konfigureret"},
    "conduits": {"en": "Conduits", "da": "Forbindelser"},
    "policy": {"en": "Policy", "da": "Politik"},
    "profile": {"en": "Profile, SHA-256", "da": "Profil, SHA-256"},
    "gateway": {"en": "Gateway", "da": "Gateway"},
}


def word(name: str, language: str) -> str:
    """Return a word in a language."""
    return WORDS[name][language]


def rows(content: Mapping[str, Any], language: str) -> Iterator[tuple[str, str, str]]:
    """Yield a request as a person reads it: (section, field, value); what is empty is left out."""
    for path, titles in SECTIONS.items():
        value: Any = content
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        for field, shown in flat(value):
            yield titles[language], field, shown


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a JSON value that hold something: (dotted path, text)."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value, 1):
            yield from flat(item, f"{path}.{number}" if path else str(number))
    elif value not in (None, "", [], {}):
        yield path, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
