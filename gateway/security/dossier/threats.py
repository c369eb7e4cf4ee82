"""The threats a reviewer asks about, each with its control, what that stops, what it does not, and the attack on it.

The list is that of the design (threats the report should name, STRIDE in short). `points` are
the points of the checklist that hold it. The attack on each stands in tests/attacks/registry.py, by its key.
STRIDE: S spoofing, T tampering, R repudiation, I information disclosure, D denial of service, E elevation of privilege.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.security.dossier.words import Words


@dataclass(frozen=True, slots=True)
class Threat:
    """One threat. key: its name for programs."""

    key: str
    stride: str
    name: Words
    control: Words
    residual: Words
    points: tuple[int, ...]


THREATS = (
    Threat(
        "rogue-device",
        "S",
        Words("Rogue device on a port", "Fremmed enhed på en port"),
        Words(
            "Only configured and approved devices are opened; paths are bound to the USB serial number; another model "
            "or "
            "firmware than approved is flagged or held back",
            "Kun konfigurerede og godkendte enheder åbnes; stier er bundet til USB-serienummeret; anden model eller "
            "firmware end den godkendte markeres eller holdes tilbage",
        ),
        Words(
            "A device that copies path, protocol and identity of an approved one is believed: bedside protocols have "
            "no "
            "authentication",
            "En enhed, der efterligner en godkendt enheds sti, protokol og identitet, bliver troet: protokollerne ved "
            "sengen har ingen autentificering",
        ),
        (14, 15),
    ),
    Threat(
        "cable-tap",
        "I T",
        Words("Tap on the cable", "Aflytning af kablet"),
        Words(
            "Towards the broker: TLS 1.3 with certificates on both sides. Only device, place and values are on the way",
            "Mod brokeren: TLS 1.3 med certifikat i begge ender. Kun enhed, placering og værdier er undervejs",
        ),
        Words(
            "Serial lines, CAN and Modbus are in clear: whoever reaches the cable reads and changes values. Short "
            "cables, "
            "closed rooms",
            "Serielle linjer, CAN og Modbus er ukrypterede: den, der når kablet, kan læse og ændre værdier. Korte "
            "kabler, "
            "aflåste rum",
        ),
        (2, 32, 40),
    ),
    Threat(
        "malicious-profile",
        "T E",
        Words("Malicious device profile", "Ondsindet enhedsprofil"),
        Words(
            "Profiles are data, capped in size, signed with a revision that never goes back; what may be written to a "
            "device is in the signed text",
            "Profiler er data med loft over størrelsen, signeret med en revision, der aldrig går baglæns; det, der må "
            "skrives til en enhed, står i den signerede tekst",
        ),
        Words(
            "A signed profile that is wrong is a wrong number. Recordings of the device are the check",
            "En signeret profil, der er forkert, giver forkerte tal. Optagelser fra enheden er kontrollen",
        ),
        (13, 18, 19),
    ),
    Threat(
        "hostile-bytes",
        "D E",
        Words("Hostile bytes into a parser", "Fjendtlige bytes til en parser"),
        Words(
            "Parsers are bounded in length and time and are fuzzed; the process that parses has its own user, no "
            "broker "
            "and a sandbox",
            "Parsere er begrænset i længde og tid og bliver fuzzet; processen, der parser, har egen bruger, ingen "
            "adgang "
            "til brokeren og en sandkasse",
        ),
        Words(
            "Bytes that form a valid frame with false values are taken as values",
            "Bytes, der danner en gyldig ramme med falske værdier, bliver taget som værdier",
        ),
        (16, 50, 51),
    ),
    Threat(
        "stolen-box",
        "I",
        Words("Stolen box (spool and key)", "Stjålet boks (spool og nøgle)"),
        Words(
            "The spool is sealed with AES-256-GCM; the key comes from a systemd credential bound to the machine; no "
            "patient identity is on the box",
            "Spoolen er forseglet med AES-256-GCM; nøglen kommer fra et systemd-credential bundet til maskinen; der er "
            "ingen patientidentitet på boksen",
        ),
        Words(
            "Without TPM and disk encryption, whoever has the whole box has the key too. Revoke its certificate",
            "Uden TPM og diskkryptering har den, der har hele boksen, også nøglen. Spær certifikatet",
        ),
        (38, 39, 42, 26),
    ),
    Threat(
        "cloned-gateway",
        "S",
        Words("Cloned gateway identity", "Klonet gateway-identitet"),
        Words(
            "The private key is made on the box and never leaves it; the broker binds topics to the name in the "
            "certificate; revocation ends live sessions",
            "Den private nøgle dannes på boksen og forlader den aldrig; brokeren binder topics til navnet i "
            "certifikatet; "
            "spærring afslutter levende sessioner",
        ),
        Words(
            "Until revoked, a copied key is as good as the box. A key in a TPM cannot be copied",
            "Indtil spærring er en kopieret nøgle lige så god som boksen. En nøgle i TPM kan ikke kopieres",
        ),
        (1, 2, 4, 37),
    ),
    Threat(
        "broker-compromise",
        "T E",
        Words("Compromised broker (sends to the gateway)", "Kompromitteret broker (sender til gatewayen)"),
        Words(
            "The gateway listens to one topic; only a well-formed acknowledgement of a message under way has an "
            "effect; "
            "everything else is counted and dropped",
            "Gatewayen lytter på ét topic; kun en velformet kvittering for en besked undervejs har virkning; alt andet "
            "tælles og smides væk",
        ),
        Words(
            "A broker that acknowledges and throws away loses data unseen by the gateway. KITA's list of gaps shows it",
            "En broker, der kvitterer og smider væk, mister data, uden at gatewayen ser det. KITAs liste over huller "
            "viser "
            "det",
        ),
        (2, 4, 16, 52),
    ),
    Threat(
        "flooding",
        "D",
        Words("Flooding", "Oversvømmelse med data"),
        Words(
            "Bounded rings, queues and spool; each process has limits of memory, tasks and CPU; what is dropped is "
            "declared",
            "Ringe, køer og spool har lofter; hver proces har grænser for hukommelse, opgaver og CPU; det, der smides "
            "væk, "
            "bliver oplyst",
        ),
        Words(
            "A flooded line loses its own data. Others go on",
            "En oversvømmet linje mister sine egne data. De andre kører videre",
        ),
        (16, 46, 51),
    ),
    Threat(
        "insider-widens",
        "E R",
        Words("Insider widens what is allowed", "Intern bruger udvider det tilladte"),
        Words(
            "What widens needs two signatures of different people in different roles over one hash; keys are not on "
            "the "
            "box; any change voids the approval",
            "Udvidelser kræver to signaturer fra forskellige personer i forskellige roller over én hash; nøglerne er "
            "ikke "
            "på boksen; enhver ændring ophæver godkendelsen",
        ),
        Words(
            "Two people who agree can approve anything; root on the box can replace the program. Both leave traces "
            "outside",
            "To personer, der er enige, kan godkende alt; root på boksen kan udskifte programmet. Begge dele "
            "efterlader "
            "spor uden for boksen",
        ),
        (6, 9, 29),
    ),
    Threat(
        "log-tampering",
        "R T",
        Words("Tampering with the log", "Manipulation af loggen"),
        Words(
            "Chain of hashes with signed checkpoints that are published off the box; edit, removal, reorder and "
            "truncation are found",
            "Hashkæde med signerede checkpoints, der publiceres uden for boksen; ændring, fjernelse, ombytning og "
            "afkortning bliver fundet",
        ),
        Words(
            "What came after the last published checkpoint can be cut off by root",
            "Det, der kom efter sidste publicerede checkpoint, kan root skære af",
        ),
        (44, 45, 47),
    ),
    Threat(
        "supply-chain",
        "T E",
        Words("Update and supply chain", "Opdatering og forsyningskæde"),
        Words(
            "Signed manifest of the release, dependencies pinned with hashes, SBOM of package and host, triage of "
            "known "
            "vulnerabilities with an expiry",
            "Signeret manifest for udgivelsen, afhængigheder låst med hash, SBOM for pakke og vært, vurdering af "
            "kendte "
            "sårbarheder med udløbsdato",
        ),
        Words(
            "What was malicious before it was pinned is pinned too",
            "Det, der var ondsindet, før det blev låst, er også låst",
        ),
        (20, 21, 22, 23, 24, 25),
    ),
    Threat(
        "clock-manipulation",
        "T R",
        Words("Manipulation of the clock", "Manipulation af uret"),
        Words(
            "The clock's source and quality go with each message; steps are noted and audited; durations use the "
            "monotonic clock; NTP from named servers only",
            "Urets kilde og kvalitet følger hver besked; spring noteres og auditlogges; varigheder måles med det "
            "monotone "
            "ur; NTP kun fra navngivne servere",
        ),
        Words(
            "A time server that lies slowly is believed",
            "En tidsserver, der lyver langsomt, bliver troet",
        ),
        (33, 48),
    ),
    Threat(
        "backup-leak",
        "I",
        Words("Leaked backup", "Lækket backup"),
        Words(
            "A backup holds configuration, trust and approvals, and no secret in clear",
            "En backup indeholder konfiguration, tillid og godkendelser og ingen hemmelighed i klartekst",
        ),
        Words(
            "It shows addresses, names of devices and of approvers",
            "Den viser adresser samt navne på enheder og godkendere",
        ),
        (1, 53),
    ),
    Threat(
        "patient-mix-up",
        "S T",
        Words(
            "Patient mix-up (wrong association of device and bed)",
            "Patientforveksling (forkert kobling af enhed og seng)",
        ),
        Words(
            "The box never knows a patient; device and place are part of the approved hash and go with each message; a "
            "device that changes shows as drifted",
            "Boksen kender aldrig en patient; enhed og placering indgår i den godkendte hash og følger hver besked; en "
            "enhed, der skifter, vises som afveget",
        ),
        Words(
            "A device rolled to another bed still says the old place. The receiving side must associate and a person "
            "confirm: this is the highest clinical risk",
            "En enhed, der rulles til en anden seng, oplyser stadig den gamle plads. Modtagersiden skal koble, og en "
            "person "
            "bekræfte: det er den højeste kliniske risiko",
        ),
        (9, 14, 40),
    ),
)


def as_markdown() -> str:
    """Return the table of docs/security.md."""
    lines = ["| threat | STRIDE | what the control stops | what it does not |", "|---|---|---|---|"]
    lines += (f"| {t.name.en} | {t.stride} | {t.control.en} | {t.residual.en} |" for t in THREATS)
    return "\n".join(lines) + "\n"
