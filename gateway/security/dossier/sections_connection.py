"""Sections about what is connected, and how: inventory, data flow, ports, read-only proof, certificates."""

from __future__ import annotations

from collections.abc import Callable

from gateway.security.dossier.checklist import Answer
from gateway.security.dossier.diagram import diagram
from gateway.security.dossier.facts import DeviceFact, Facts
from gateway.security.dossier.html import Child, pairs, table, tag
from gateway.security.dossier.words import Words

Answers = tuple[Answer, ...]
Entry = tuple[str, Words, Callable[[Facts, Answers, str], list[Child]]]
UNKNOWN = Words("unknown", "ukendt")
NONE = Words("none", "ingen")
STATES = {
    "draft": Words("draft", "kladde"),
    "submitted": Words("submitted", "indsendt"),
    "approved": Words("approved", "godkendt"),
    "active": Words("active", "i drift"),
    "suspended": Words("suspended", "suspenderet"),
    "revoked": Words("revoked", "tilbagekaldt"),
    "retired": Words("retired", "udfaset"),
    "expired": Words("expired", "udløbet"),
    "drifted": Words("drifted", "afveget"),
}
RECORD = {
    "asset": Words("Asset id", "Udstyrsnummer"),
    "maker": Words("Maker", "Fabrikant"),
    "model": Words("Model", "Model"),
    "serial": Words("Serial number", "Serienummer"),
    "udi_di": Words("UDI-DI", "UDI-DI"),
    "purpose": Words("Purpose", "Formål"),
    "mdr_class": Words("MDR class", "MDR-klasse"),
    "firmware": Words("Firmware", "Firmware"),
    "location": Words("Place", "Placering"),
    "data": Words("Data it sends", "Data, den sender"),
    "says_model": Words("Says its model is", "Oplyser selv model"),
    "says_serial": Words("Says its serial number is", "Oplyser selv serienummer"),
    "mac": Words("MAC address", "MAC-adresse"),
    "vlan": Words("VLAN", "VLAN"),
    "residual": Words("Residual risk", "Restrisiko"),
    "evidence_mds2": Words("Maker's MDS2", "Fabrikantens MDS2"),
    "owner_clinical": Words("Clinical owner", "Klinisk ejer"),
    "owner_medico": Words("Medico", "Medico"),
    "owner_it": Words("IT owner", "It-ejer"),
    "os": Words("Operating system", "Styresystem"),
    "end_of_support": Words("End of support", "Supportophør"),
    "maintenance": Words("Maintenance", "Vedligeholdelse"),
    "incident_contact": Words("Contact in an incident", "Kontakt ved hændelser"),
    "next_review": Words("Next review", "Næste gennemgang"),
}


def heads(lang: str, *pairs_: tuple[str, str]) -> list[str]:
    """Return the heads of a table in one language."""
    return [Words(en, da).say(lang) for en, da in pairs_]


def yes_no(value: bool | None, lang: str) -> str:
    """Return yes, no or unknown."""
    if value is None:
        return UNKNOWN.say(lang)
    return (Words("yes", "ja") if value else Words("no", "nej")).say(lang)


def inventory(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Devices, declared and observed."""
    del answers
    columns = heads(
        lang,
        ("device", "enhed"),
        ("profile", "profil"),
        ("connection", "tilslutning"),
        ("place", "placering"),
        ("firmware declared", "firmware oplyst"),
        ("firmware observed", "firmware observeret"),
        ("state", "status"),
    )
    nobody = UNKNOWN.say(lang)
    rows = [
        (
            d.name,
            d.profile,
            d.endpoint,
            d.place,
            d.firmware or d.record.get("firmware", "") or "–",
            d.observed_firmware or nobody,
            STATES[d.state].say(lang) if d.state in STATES else d.state or nobody,
        )
        for d in facts.devices
    ]
    found: list[Child] = [table(columns, rows)]
    for device in facts.devices:
        found += _record(device, lang)
    return found


def _record(device: DeviceFact, lang: str) -> list[Child]:
    rows = [(RECORD[key].say(lang) if key in RECORD else key, value) for key, value in device.record.items() if value]
    reasons = (
        [(Words("Held because", "Tilbageholdt fordi").say(lang), "; ".join(device.reasons))] if device.reasons else []
    )
    if not rows and not reasons:
        return [
            tag(
                "p",
                Words("{name}: no device record.", "{name}: ingen enhedsjournal.").say(lang, name=device.name),
                cls="quiet",
            )
        ]
    return [tag("h3", device.name), pairs([*rows, ("EUI-64", device.eui64), *reasons])]


DIRECTION = Words(
    "Data goes from left to right. What comes back is an acknowledgement, and what a driver must ask to be answered.",
    "Data går fra venstre mod højre. Tilbage kommer kun en kvittering, og det, en driver må spørge for at få svar.",
)


def flow(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """The picture, and zones and conduits as tables."""
    del answers
    conduits = table(
        heads(
            lang,
            ("conduit", "forbindelse"),
            ("zone", "zone"),
            ("kind", "type"),
            ("target", "mål"),
            ("port", "port"),
            ("opened by", "åbnes af"),
            ("protection", "beskyttelse"),
            ("why", "begrundelse"),
        ),
        [
            (
                c.name,
                c.zone,
                c.kind,
                c.target,
                c.port or "–",
                ", ".join(c.users) or Words("nobody", "ingen").say(lang),
                "TLS" if c.protection == "tls" else Words("none: in clear", "ingen: ukrypteret").say(lang),
                c.why,
            )
            for c in facts.conduits
        ],
    )
    zones = table(
        heads(lang, ("zone", "zone"), ("what it is", "hvad den er"), ("trust 0–4", "tillid 0–4")),
        [(z.name, z.title, z.trust) for z in facts.zones],
    )
    return [tag("p", DIRECTION.say(lang)), tag("figure", diagram(facts, lang)), zones, conduits]


def ports(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """The port matrix: declared, enforced, observed."""
    del answers
    if facts.ruleset is None:
        return [tag("p", Words("No ruleset was made: unknown.", "Intet regelsæt er dannet: ukendt.").say(lang))]
    columns = heads(
        lang,
        ("conduit", "forbindelse"),
        ("flow", "strøm"),
        ("user", "bruger"),
        ("declared", "oplyst"),
        ("enforced", "håndhævet"),
        ("observed", "observeret"),
    )
    rows = [
        (r.conduit, r.flow, r.user, yes_no(r.declared, lang), yes_no(r.enforced, lang), yes_no(r.observed, lang))
        for r in facts.ruleset.rows
    ]
    drift = facts.ruleset.drift
    if drift is None:
        said = Words("The three were not compared: unknown.", "De tre er ikke sammenlignet: ukendt.").say(lang)
    elif drift:
        said = Words("Differences: ", "Afvigelser: ").say(lang) + "; ".join(drift)
    else:
        said = Words("No difference between the three.", "Ingen afvigelse mellem de tre.").say(lang)
    listening = facts.host.listening
    heard = UNKNOWN.say(lang) if listening is None else ", ".join(listening) or NONE.say(lang)
    return [
        table(columns, rows),
        tag("p", said),
        tag("p", Words("Listens beyond loopback: {x}.", "Lytter ud over loopback: {x}.").say(lang, x=heard)),
    ]


GATE = Words(
    "Between driver and line stands a gate. It lets through only the messages that the device's signed profile "
    "lists; "
    "no list, nothing is written. For this dossier it was tried with byte strings nobody meant and, for Modbus, "
    "with all "
    "256 function codes in the driver's own requests. CAN is read by a link that has no call that sends.",
    "Mellem driver og linje står en sluse. Den lukker kun de beskeder igennem, som enhedens signerede profil "
    "nævner; uden "
    "liste skrives intet. Til dette dossier er den prøvet med tilfældige bytestrenge og for Modbus med alle 256 "
    "funktionskoder i driverens egne forespørgsler. CAN læses af et link uden noget kald, der sender.",
)


def read_only(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Protocols, direction, and the proof that nothing is set."""
    del answers
    columns = heads(
        lang,
        ("device", "enhed"),
        ("protocol", "protokol"),
        ("link", "link"),
        ("messages allowed", "tilladte beskeder"),
        ("tried", "prøvet"),
        ("passed wrongly", "fejlagtigt igennem"),
        ("profile signed", "profil signeret"),
    )
    rows = [
        (
            d.name,
            d.driver,
            d.link,
            _allowed(d, lang),
            d.exam.tried,
            ", ".join(d.exam.wrong) or "0",
            yes_no(None if d.signature is None else bool(d.signature), lang),
        )
        for d in facts.devices
    ]
    tests = facts.tests.results if facts.tests else {}
    names = [name for number in (11, 12, 13) for name, _ in tests.get(number, ())]
    proof = ", ".join(names) or UNKNOWN.say(lang)
    return [
        tag("p", GATE.say(lang)),
        table(columns, rows),
        tag("p", Words("Tests of the release: ", "Tests af udgivelsen: ").say(lang), proof, cls="quiet"),
    ]


def _allowed(device: DeviceFact, lang: str) -> str:
    if not device.patterns:
        return Words("none: it only listens", "ingen: den lytter kun").say(lang)
    codes = [code for code in device.exam.allowed if code.startswith("FC")]
    if codes:
        return Words("reads: {codes}", "læser: {codes}").say(lang, codes=", ".join(codes))
    return Words("{n} patterns", "{n} mønstre").say(lang, n=device.patterns)


def certificates(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Certificates and the policy of TLS."""
    del answers
    policy = facts.tls_policy or f"TLS {facts.config.tls_min}+"
    said = Words("Policy: {policy}.", "Politik: {policy}.").say(
        lang, policy=policy if facts.config.tls else Words("no TLS", "ingen TLS").say(lang)
    )
    if facts.certificates is None:
        return [
            tag("p", said),
            tag(
                "p",
                Words("Certificates could not be read: unknown.", "Certifikater kunne ikke læses: ukendt.").say(lang),
            ),
        ]
    columns = heads(
        lang,
        ("role", "rolle"),
        ("subject", "indehaver"),
        ("issuer", "udsteder"),
        ("key", "nøgle"),
        ("valid until", "gyldig til"),
        ("days left", "dage tilbage"),
        ("faults", "fejl"),
    )
    rows = [
        (c.role, c.subject, c.issuer, c.key, c.not_after[:10], c.days_left, "; ".join(c.faults) or "–")
        for c in facts.certificates
    ]
    return [tag("p", said), table(columns, rows)]


CONNECTION: list[Entry] = [
    ("inventory", Words("Inventory, declared and observed", "Udstyr, oplyst og observeret"), inventory),
    ("flow", Words("Zones, conduits and data flow", "Zoner, forbindelser og datastrøm"), flow),
    ("ports", Words("Port matrix: declared, enforced, observed", "Portmatrix: oplyst, håndhævet, observeret"), ports),
    (
        "readonly",
        Words("Protocols and direction: the read-only proof", "Protokoller og retning: beviset for kun læsning"),
        read_only,
    ),
    ("certificates", Words("Certificates", "Certifikater"), certificates),
]
