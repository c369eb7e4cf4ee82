"""MDS2-style answers: the groups of ANSI/NEMA HN 1-2019, asked in own words, answered from the facts.

Each answer says its source: derived from the configuration, declared by a person, or not answerable by software.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.security.dossier.facts import Facts
from gateway.security.dossier.words import Words

DERIVED, DECLARED, OPEN = "derived", "declared", "open"
SOURCES = {
    DERIVED: Words("derived from configuration", "afledt af konfigurationen"),
    DECLARED: Words("declared by a person", "oplyst af en person"),
    OPEN: Words("not answerable by software", "kan ikke besvares af software"),
}
Answered = tuple[str, Words]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a group."""

    group: str
    question: Words
    answer: Callable[[Facts], Answered]


def fixed(source: str, en: str, da: str) -> Callable[[Facts], Answered]:
    """Return an answer that is the same for each box, because the program is."""
    return lambda _: (source, Words(en, da))


def derived(en: Callable[[Facts], str], da: Callable[[Facts], str] | None = None) -> Callable[[Facts], Answered]:
    """Return an answer that is read from the facts."""
    return lambda facts: (DERIVED, Words(en(facts), (da or en)(facts)))


def _yes(value: bool | None) -> tuple[str, str]:
    return {True: ("Yes", "Ja"), False: ("No", "Nej"), None: ("Unknown", "Ukendt")}[value]


def said(look: Callable[[Facts], bool | None]) -> Callable[[Facts], Answered]:
    """Return yes, no or unknown, as the facts say."""
    return lambda facts: (DERIVED, Words(*_yes(look(facts))))


def _sealed(facts: Facts) -> tuple[str, str]:
    return _yes(facts.seal.on if facts.seal else None)


def _record(key: str) -> Callable[[Facts], Answered]:
    """Return what people have written into the device records."""

    def answer(facts: Facts) -> Answered:
        found = [f"{d.name}: {d.record[key]}" for d in facts.devices if d.record.get(key)]
        return (
            (DECLARED, Words("; ".join(found), "; ".join(found)))
            if found
            else (OPEN, Words("Not declared", "Ikke oplyst"))
        )

    return answer


ANSWERS = (
    Question(
        "DOC",
        Words("What is it for?", "Hvad er formålet?"),
        fixed(
            DECLARED,
            "Documentation of vitals; no alarm, no decision support, no control",
            "Dokumentation af vitale værdier; ingen alarm, ingen beslutningsstøtte, ingen styring",
        ),
    ),
    Question("DOC", Words("Who owns the devices?", "Hvem ejer udstyret?"), _record("owner_clinical")),
    Question(
        "MPII",
        Words(
            "Is identifiable patient information kept or sent?", "Opbevares eller sendes personhenførbare patientdata?"
        ),
        derived(
            lambda f: f"No identity; identifiers that leave: {_identifiers(f)}",
            lambda f: f"Ingen identitet; identifikatorer, der forlader boksen: {_identifiers(f)}",
        ),
    ),
    Question(
        "ALOF",
        Words("Does a session log off by itself?", "Logges sessioner automatisk af?"),
        derived(
            lambda f: f"Yes, after {f.access.idle_s:g} s without a request" if f.access else "Unknown",
            lambda f: f"Ja, efter {f.access.idle_s:g} s uden forespørgsel" if f.access else "Ukendt",
        ),
    ),
    Question(
        "AUDT",
        Words("Is there an audit log, and is it protected?", "Er der en auditlog, og er den beskyttet?"),
        derived(
            lambda f: f"Yes: hash chain, {len(f.audit.events)} kinds of event" if f.audit else "Unknown",
            lambda f: f"Ja: hashkæde, {len(f.audit.events)} hændelsestyper" if f.audit else "Ukendt",
        ),
    ),
    Question(
        "AUTH",
        Words("Are there roles?", "Er der roller?"),
        derived(
            lambda f: ", ".join(f.access.roles) if f.access else "Unknown",
            lambda f: ", ".join(f.access.roles) if f.access else "Ukendt",
        ),
    ),
    Question(
        "CSUP",
        Words("Are security updates tracked?", "Følges sikkerhedsopdateringer?"),
        derived(
            lambda f: (
                f"Scan of {f.inventory.scanned[:10]}" if f.inventory and f.inventory.scanned else "No scan on this box"
            ),
            lambda f: (
                f"Scanning {f.inventory.scanned[:10]}"
                if f.inventory and f.inventory.scanned
                else "Ingen scanning på boksen"
            ),
        ),
    ),
    Question(
        "DIDT",
        Words("Can data be made unreadable at the end?", "Kan data gøres ulæselige til sidst?"),
        derived(
            lambda f: (
                "Yes, by erasing the key"
                if f.seal and f.seal.on
                else "Not by key: the spool is not encrypted, or unknown"
            ),
            lambda f: (
                "Ja, ved sletning af nøglen"
                if f.seal and f.seal.on
                else "Ikke via nøgle: spoolen er ikke krypteret, eller ukendt"
            ),
        ),
    ),
    Question(
        "DTBK",
        Words("Can it be backed up and restored?", "Kan der tages backup og gendannes?"),
        fixed(
            DECLARED,
            "Configuration, trust and approvals; no secret in clear. The site keeps the backup",
            "Konfiguration, tillid og godkendelser; ingen hemmelighed i klartekst. Stedet opbevarer backuppen",
        ),
    ),
    Question(
        "EMRG",
        Words("Is there emergency access?", "Er der nødadgang?"),
        fixed(OPEN, "Console with the site's sealed envelope", "Konsol med stedets forseglede kuvert"),
    ),
    Question(
        "IGAU",
        Words("Is integrity of data checked?", "Kontrolleres dataintegritet?"),
        derived(
            lambda f: f"Checksums from ring to spool; authenticated encryption on disk: {_sealed(f)[0].lower()}",
            lambda f: f"Kontrolsummer fra ring til spool; autentificeret kryptering på disk: {_sealed(f)[1].lower()}",
        ),
    ),
    Question(
        "MLDP",
        Words("Is malware kept out?", "Holdes malware ude?"),
        fixed(
            DECLARED,
            "Signed release, no write access of the processes to programs; a scanner is the site's choice",
            "Signeret udgivelse, processerne kan ikke skrive i programmer; scanner er stedets valg",
        ),
    ),
    Question(
        "NAUT",
        Words("Does it authenticate what it talks to?", "Autentificeres modparter?"),
        derived(
            lambda f: (
                "Broker: mutual TLS. Devices: bedside protocols have no authentication"
                if f.config.mutual
                else "Broker: not mutual. Devices: no authentication"
            ),
            lambda f: (
                "Broker: gensidig TLS. Udstyr: protokollerne har ingen autentificering"
                if f.config.mutual
                else "Broker: ikke gensidig. Udstyr: ingen autentificering"
            ),
        ),
    ),
    Question(
        "CONN",
        Words("Which connections are there?", "Hvilke forbindelser findes?"),
        derived(lambda f: ", ".join(f"{c.name} ({c.kind})" for c in f.conduits) or "None"),
    ),
    Question(
        "PAUT",
        Words("How are people authenticated?", "Hvordan autentificeres personer?"),
        fixed(
            DERIVED,
            "By the operating system; over the socket by peer credentials",
            "Af styresystemet; over socket ved afsenderens brugerid",
        ),
    ),
    Question(
        "PLOK",
        Words("Is it physically protected?", "Er den fysisk beskyttet?"),
        fixed(OPEN, "The site: locked room, closed ports", "Stedet: aflåst rum, lukkede porte"),
    ),
    Question(
        "RDMP",
        Words("Is there a roadmap of third-party parts?", "Er der en plan for tredjepartsdele?"),
        derived(
            lambda f: f"Supported until {f.support.until}" if f.support else "Unknown",
            lambda f: f"Support til {f.support.until}" if f.support else "Ukendt",
        ),
    ),
    Question(
        "SBOM",
        Words("Is there a software bill of materials?", "Er der en softwarestykliste?"),
        derived(
            lambda f: (
                f"CycloneDX {f.inventory.spec}, {len(f.inventory.components)} components" if f.inventory else "Not made"
            ),
            lambda f: (
                f"CycloneDX {f.inventory.spec}, {len(f.inventory.components)} komponenter"
                if f.inventory
                else "Ikke dannet"
            ),
        ),
    ),
    Question(
        "SAHD",
        Words("Is it hardened?", "Er den hærdet?"),
        derived(
            lambda f: ", ".join(f"{u.name} {u.exposure}" for u in f.units or ()) or "Unknown",
            lambda f: ", ".join(f"{u.name} {u.exposure}" for u in f.units or ()) or "Ukendt",
        ),
    ),
    Question(
        "SGUD",
        Words("Is there security guidance?", "Er der sikkerhedsvejledning?"),
        fixed(
            DECLARED,
            "docs/security.md: threats, requirements, duties of the site",
            "docs/security.md: trusler, krav, stedets pligter",
        ),
    ),
    Question(
        "STCF",
        Words("Is data encrypted at rest?", "Er data krypteret på disken?"),
        said(lambda f: f.seal.on if f.seal else None),
    ),
    Question(
        "TXCF",
        Words("Is data encrypted on its way?", "Er data krypteret undervejs?"),
        derived(
            lambda f: f"To the broker: {'TLS ' + f.config.tls_min if f.config.tls else 'no'}. From devices: no",
            lambda f: f"Til broker: {'TLS ' + f.config.tls_min if f.config.tls else 'nej'}. Fra udstyr: nej",
        ),
    ),
    Question(
        "TXIG",
        Words("Is integrity protected on its way?", "Er integriteten beskyttet undervejs?"),
        derived(
            lambda f: "To the broker: yes, by TLS. From devices: checksums only" if f.config.tls else "Checksums only",
            lambda f: "Til broker: ja, af TLS. Fra udstyr: kun kontrolsummer" if f.config.tls else "Kun kontrolsummer",
        ),
    ),
    Question(
        "RMOT",
        Words("Is there remote service?", "Er der fjernservice?"),
        derived(
            lambda f: (
                "None listens"
                if f.host.listening == ()
                else f"Listens: {', '.join(f.host.listening)}"
                if f.host.listening
                else "Unknown"
            ),
            lambda f: (
                "Intet lytter"
                if f.host.listening == ()
                else f"Lytter: {', '.join(f.host.listening)}"
                if f.host.listening
                else "Ukendt"
            ),
        ),
    ),
)


def _identifiers(facts: Facts) -> str:
    return ", ".join(sorted({word for conduit in facts.conduits for word in conduit.identifiers})) or "–"
