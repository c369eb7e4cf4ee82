"""Sections about what runs: software, vulnerabilities, accounts, logging, hardening, data, remote access."""

from __future__ import annotations

from gateway.security.dossier.facts import Facts
from gateway.security.dossier.html import Child, items, pairs, table, tag
from gateway.security.dossier.sections_connection import NONE, UNKNOWN, Answers, Entry, heads, yes_no
from gateway.security.dossier.words import Words


def software(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """What it is made of."""
    del answers
    made = facts.inventory
    if made is None:
        return [tag("p", Words("No SBOM was made: unknown.", "Ingen SBOM er dannet: ukendt.").say(lang))]
    rows: list[tuple[str, Child]] = [
        ("SBOM", f"CycloneDX {made.spec}"),
        ("SHA-256", tag("span", made.sbom_sha256, cls="hash")),
        (Words("Components", "Komponenter").say(lang), len(made.components)),
        (Words("Valid by its schema", "Gyldig efter skema").say(lang), yes_no(made.valid, lang)),
        (Words("Installed as released", "Installeret som udgivet").say(lang), yes_no(made.verified, lang)),
    ]
    columns = heads(
        lang,
        ("component", "komponent"),
        ("version", "version"),
        ("kind", "type"),
        ("licence", "licens"),
        ("maker", "ophav"),
    )
    own = [c for c in made.components if c.kind != "debian"]
    shown = table(columns, [(c.name, c.version, c.kind, c.licence or "–", c.maker or "–") for c in own])
    packages = [f"{c.name} {c.version}" for c in made.components if c.kind == "debian"]
    found: list[Child] = [pairs(rows), shown]
    if packages:
        said = Words("Packages of the host: {n}", "Værtens pakker: {n}").say(lang, n=len(packages))
        found += [tag("h3", said), tag("p", ", ".join(packages), cls="quiet")]
    return found


def vulnerabilities(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """What is known of it, and what was decided."""
    del answers
    made = facts.inventory
    if made is None or made.vulnerabilities is None:
        return [tag("p", Words("No scan is on this box: unknown.", "Ingen scanning på boksen: ukendt.").say(lang))]
    said = Words("Scanned on {day}. {n} known.", "Scannet {day}. {n} kendte.").say(
        lang, day=made.scanned[:10] or UNKNOWN.say(lang), n=len(made.vulnerabilities)
    )
    columns = heads(
        lang,
        ("id", "id"),
        ("component", "komponent"),
        ("severity", "alvor"),
        ("state", "status"),
        ("why", "begrundelse"),
        ("decided", "besluttet"),
        ("expires", "udløber"),
    )
    rows = [(v.id, v.component, v.severity, v.state, v.why, v.decided, v.expires) for v in made.vulnerabilities]
    return [tag("p", said), table(columns, rows)] if rows else [tag("p", said)]


def accounts(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Who may do what, and as whom the processes run."""
    del answers
    said = Words(
        "Administration is over a unix socket; who asks is told by the kernel. There is no password of the gateway's "
        "own.",
        "Administration sker over en unix-socket; kernen oplyser, hvem der spørger. Gatewayen har ingen egne "
        "adgangskoder.",
    )
    found: list[Child] = [tag("p", said.say(lang))]
    if facts.access is None:
        found.append(tag("p", Words("Roles: unknown.", "Roller: ukendt.").say(lang)))
    else:
        rows = [(role, who) for role, who in facts.access.roles.items()]
        found.append(table(heads(lang, ("role", "rolle"), ("who", "hvem")), rows))
        web = facts.access.web or NONE.say(lang)
        found.append(tag("p", Words("Web page: {web}.", "Webside: {web}.").say(lang, web=web)))
    users = [(u.name, u.settings.get("User", "root")) for u in facts.units or ()]
    if users:
        found.append(table(heads(lang, ("process", "proces"), ("user", "bruger")), users))
    if facts.people is not None:
        columns = heads(lang, ("approver", "godkender"), ("role", "rolle"), ("until", "til"), ("in force", "gyldig"))
        found.append(table(columns, [(p.name, p.role, p.until, yes_no(p.valid, lang)) for p in facts.people]))
    return found


def logging(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """The audit log, where it goes, and the clock."""
    del answers
    targets = [c.target for c in facts.conduits if c.kind == "syslog"]
    audit = facts.audit
    nobody = UNKNOWN.say(lang)
    synced = f"{Words('synchronised', 'synkroniseret').say(lang)}: {yes_no(facts.host.clock_synced, lang)}"
    rows: list[tuple[str, Child]] = [
        (Words("Head", "Hoved").say(lang), tag("span", audit.head if audit else nobody, cls="hash")),
        (
            Words("Public key", "Offentlig nøgle").say(lang),
            tag("span", audit.public_key if audit else nobody, cls="hash"),
        ),
        (Words("Entries", "Poster").say(lang), audit.entries if audit else nobody),
        (Words("Verified", "Verificeret").say(lang), yes_no(audit.verified if audit else None, lang)),
        (Words("Kinds of event", "Hændelsestyper").say(lang), len(audit.events) if audit else nobody),
        (Words("Syslog", "Syslog").say(lang), ", ".join(targets) or NONE.say(lang)),
        (
            Words("Clock", "Ur").say(lang),
            f"{facts.config.time_sync}; {synced}",
        ),
    ]
    said = Words(
        "Entries are a chain of hashes with signed checkpoints. Logs hold names, numbers and hashes, no values and no "
        "free text.",
        "Poster danner en hashkæde med signerede checkpoints. Logge indeholder navne, tal og hashværdier, ingen "
        "måleværdier og "
        "ingen fritekst.",
    )
    return [tag("p", said.say(lang)), pairs(rows)]


def hardening(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Units and host."""
    del answers
    found: list[Child] = []
    if not facts.units:
        found.append(tag("p", Words("Units: unknown.", "Units: ukendt.").say(lang)))
    else:
        keys = ("MemoryMax", "TasksMax", "LimitNOFILE", "CPUQuota", "LimitCORE")
        columns = [*heads(lang, ("unit", "unit"), ("exposure 0–10", "eksponering 0–10")), *keys]
        rows = [
            (u.name, UNKNOWN.say(lang) if u.exposure is None else u.exposure, *(u.settings.get(k, "–") for k in keys))
            for u in facts.units
        ]
        said = Words(
            "Scores of systemd-analyze security, offline; lower is better, 1.0 is the limit. A score measures "
            "settings.",
            "Tal fra systemd-analyze security, offline; lavere er bedre, grænsen er 1,0. Tallet måler indstillinger.",
        )
        found += [tag("p", said.say(lang)), table(columns, rows)]
    host = facts.host
    words = {"present": Words("present", "til stede"), "absent": Words("absent", "fraværende"), "unknown": UNKNOWN}
    found.append(
        pairs(
            [
                (Words("System", "System").say(lang), f"{host.system}, Linux {host.kernel}"),
                (Words("Secure boot", "Secure boot").say(lang), words[host.secure_boot].say(lang)),
                (Words("Disk encryption", "Diskkryptering").say(lang), words[host.disk_encryption].say(lang)),
                ("TPM", words[host.tpm].say(lang)),
                (Words("Swap", "Swap").say(lang), words[host.swap].say(lang)),
                (Words("Forwards packets", "Videresender pakker").say(lang), yes_no(host.forwarding, lang)),
            ]
        )
    )
    return found


NO_IDENTITY = Words(
    "No patient identity is on this box: no name, no civil registration number, no admission. Messages carry "
    "device, "
    "place and time; the receiving side associates them. PID says unknown.",
    "Der er ingen patientidentitet på boksen: intet navn, intet CPR-nummer, ingen indlæggelse. Beskeder bærer "
    "enhed, "
    "placering og tid; modtagersiden kobler dem. PID siger ukendt.",
)


def data(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """What leaves, what stays and for how long; what is never there."""
    del answers
    sealed = facts.seal.on if facts.seal else None
    columns = heads(
        lang,
        ("category", "kategori"),
        ("where", "hvor"),
        ("how long", "hvor længe"),
        ("protection", "beskyttelse"),
    )
    seal = {True: "AES-256-GCM", False: Words("none", "ingen").say(lang), None: UNKNOWN.say(lang)}[sealed]
    rows = _categories(facts, seal, lang)
    leaving = [
        f"{c.name}: {', '.join(c.carries)}; {', '.join(c.identifiers)}" for c in facts.conduits if c.kind == "mqtt"
    ]
    return [
        tag("p", NO_IDENTITY.say(lang)),
        table(columns, rows),
        tag("h3", Words("What may leave", "Hvad der må forlade boksen").say(lang)),
        items([*leaving, *facts.config.drops] or [NONE.say(lang)]),
    ]


def _categories(facts: Facts, seal: str, lang: str) -> list[tuple[str, ...]]:
    return [
        (
            Words("Measured values, waveforms, alerts of devices", "Måleværdier, kurver, alarmer fra udstyr").say(lang),
            Words("ring, in memory", "ring, i hukommelsen").say(lang),
            Words("seconds; gone with the power", "sekunder; væk uden strøm").say(lang),
            Words("own user", "egen bruger").say(lang),
        ),
        (
            Words("Messages not yet acknowledged", "Beskeder uden kvittering").say(lang),
            Words("spool, on disk", "spool, på disk").say(lang),
            Words("until acknowledged, at most {n} MiB", "til kvittering, højst {n} MiB").say(
                lang, n=facts.config.spool_mib
            ),
            seal,
        ),
        (
            Words("Events of security", "Sikkerhedshændelser").say(lang),
            Words("audit log, on disk", "auditlog, på disk").say(lang),
            Words("bounded; oldest go first", "med loft; ældste slettes først").say(lang),
            Words("hash chain, signatures", "hashkæde, signaturer").say(lang),
        ),
        (
            Words("Names of approvers and owners", "Navne på godkendere og ejere").say(lang),
            Words("configuration", "konfiguration").say(lang),
            Words("as long as the site keeps it", "så længe stedet beholder det").say(lang),
            Words("signed", "signeret").say(lang),
        ),
    ]


def remote(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Ways in."""
    del answers
    heard = facts.host.listening
    now = UNKNOWN.say(lang) if heard is None else ", ".join(heard) or NONE.say(lang)
    said = Words(
        "There is no remote service of the gateway's own, and no connection to a supplier. A way in (ssh) is opened "
        "by the "
        "site for a time, and closes by itself.",
        "Gatewayen har ingen egen fjernservice og ingen forbindelse til en leverandør. En vej ind (ssh) åbnes af "
        "stedet for et "
        "tidsrum og lukker af sig selv.",
    )
    return [tag("p", said.say(lang)), pairs([(Words("Listens now", "Lytter nu").say(lang), now)])]


SOFTWARE: list[Entry] = [
    ("software", Words("Software and SBOM", "Software og SBOM"), software),
    ("vulnerabilities", Words("Known vulnerabilities and triage", "Kendte sårbarheder og vurdering"), vulnerabilities),
    ("accounts", Words("Accounts and roles", "Konti og roller"), accounts),
    ("logging", Words("Logging", "Logning"), logging),
    ("hardening", Words("Hardening", "Hærdning"), hardening),
    ("data", Words("Data categories and retention", "Datakategorier og opbevaring"), data),
    ("remote", Words("Remote access", "Fjernadgang"), remote),
]
