"""The words of the pages, in Danish and English."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("da", "en")

WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Gateway", "Gateway"),
    "purpose": (
        "Kun til dokumentation. Ikke overvågning, ingen alarm: hold øje med patienten på apparatet.",
        "For documentation only. No monitor, no alarm: watch the patient on the device.",
    ),
    "lab": (
        "LAB: reglerne håndhæves ikke, og intet herfra journalføres.",
        "LAB: rules are not enforced, and nothing from here is charted.",
    ),
    "made": ("Vist", "Shown"),
    "roles": ("Processer", "Processes"),
    "role": ("proces", "process"),
    "alive": ("kører", "running"),
    "dead": ("kører IKKE", "NOT running"),
    "state": ("tilstand", "state"),
    "seen": ("sidst set for (s)", "last seen (s ago)"),
    "ports": ("Porte", "Ports"),
    "port": ("port", "port"),
    "good": ("gode rammer", "good frames"),
    "bad": ("fejlrammer", "bad frames"),
    "ring": ("ring fyldt", "ring filled"),
    "devices": ("Apparater og godkendelser", "Devices and approvals"),
    "device": ("apparat", "device"),
    "asset": ("inventarnr.", "asset"),
    "opened": ("må åbnes", "may be opened"),
    "why": ("årsag", "reason"),
    "signed": ("underskrevet af", "signed by"),
    "until": ("gælder til", "until"),
    "spool": ("Buffer på disken", "Buffer on the disk"),
    "waiting": ("venter", "waiting"),
    "filled": ("fyldt", "filled"),
    "sink": ("forbindelse", "connection"),
    "certificates": ("Certifikater", "Certificates"),
    "use": ("til", "for"),
    "days": ("dage tilbage", "days left"),
    "fault": ("mangler", "faults"),
    "none": ("Ingen.", "None."),
    "unknown": ("ukendt", "unknown"),
    "yes": ("ja", "yes"),
    "no": ("nej", "no"),
    "dossier": ("Sikkerhedsmappe", "Security dossier"),
    "other": ("English", "Dansk"),
    "silent": (
        "Der har endnu ikke kørt nogen gateway med denne konfiguration.",
        "No gateway has run with this configuration yet.",
    ),
    "broken": ("Konfigurationen kan ikke læses: mdi check", "The configuration cannot be read: mdi check"),
}


STATES = {  # of a device's life, as gateway.security.onboard.life names them in English
    "draft": "kladde",
    "submitted": "indsendt",
    "approved": "godkendt",
    "active": "aktiv",
    "suspended": "suspenderet",
    "revoked": "tilbagekaldt",
    "retired": "udgået",
    "expired": "udløbet",
    "drifted": "afviger",
}


def state(name: str, language: str) -> str:
    """Return the word for a state of a device."""
    return STATES.get(name, name) if language == "da" else name


def word(key: str, language: str) -> str:
    """Return a word of the page."""
    return WORDS[key][LANGUAGES.index(language)]
