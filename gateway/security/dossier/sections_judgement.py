"""Sections of judgement: MDS2-style answers, threats, risks, approvals, the 56 points."""

from __future__ import annotations

from gateway.security.dossier.answers import ANSWERS, SOURCES
from gateway.security.dossier.facts import Facts
from gateway.security.dossier.html import Child, join, table, tag
from gateway.security.dossier.sections_connection import Answers, Entry, heads, yes_no
from gateway.security.dossier.threats import THREATS
from gateway.security.dossier.words import Words


def mds2(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Answers in the groups of the 2019 form, in own words."""
    del answers
    said = Words(
        "Answers in the groups of ANSI/NEMA HN 1-2019 (MDS2), in own words. This is not the form. The makers' own "
        "MDS2 of the "
        "devices is kept with their records.",
        "Svar i grupperne fra ANSI/NEMA HN 1-2019 (MDS2), i egne ord. Dette er ikke formularen. Fabrikanternes egne "
        "MDS2 for "
        "udstyret ligger ved enhedsjournalerne.",
    )
    columns = heads(lang, ("group", "gruppe"), ("question", "spørgsmål"), ("answer", "svar"), ("source", "kilde"))
    rows = []
    for entry in ANSWERS:
        source, text = entry.answer(facts)
        rows.append((entry.group, entry.question.say(lang), text.say(lang), SOURCES[source].say(lang)))
    return [tag("p", said.say(lang)), table(columns, rows)]


def threats(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """The threats, what stops them, and what is left."""
    del facts
    states = {answer.point.number: answer for answer in answers}
    columns = heads(
        lang,
        ("threat", "trussel"),
        ("STRIDE", "STRIDE"),
        ("control", "kontrol"),
        ("what it does not stop", "hvad der er tilbage"),
        ("points", "punkter"),
    )
    rows = []
    for threat in THREATS:
        numbers = join(
            (tag("span", f"{n}", cls=f"state {CLASS[states[n].state]}") for n in threat.points if n in states), " "
        )
        rows.append(
            (threat.name.say(lang), threat.stride, threat.control.say(lang), threat.residual.say(lang), numbers)
        )
    return [table(columns, rows)]


def risks(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Accepted risks."""
    del answers
    if facts.risks is None:
        return [
            tag(
                "p",
                Words("No folder of risks could be read: unknown.", "Mappen med risici kunne ikke læses: ukendt.").say(
                    lang
                ),
            )
        ]
    if not facts.risks:
        return [tag("p", Words("No risk has been accepted.", "Ingen risiko er accepteret.").say(lang))]
    columns = heads(
        lang,
        ("risk", "risiko"),
        ("what", "hvad"),
        ("owner", "ejer"),
        ("why accepted", "hvorfor accepteret"),
        ("control instead", "kompenserende kontrol"),
        ("expires", "udløber"),
        ("in force", "gyldig"),
    )
    rows = [(r.id, r.title, r.owner, r.reason, r.control, r.expires, yes_no(r.open, lang)) for r in facts.risks]
    return [table(columns, rows)]


def approvals(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """Who signed what."""
    del answers
    said = Words(
        "An approval is two signatures of different people in different roles over one hash of the device record, the "
        "digest "
        "of its profile, its conduits, the policy and the version of the gateway. Any change voids it.",
        "En godkendelse er to signaturer fra forskellige personer i forskellige roller over én hash af enhedsjournal, "
        "profilens digest, forbindelser, politik og gatewayens version. Enhver ændring ophæver den.",
    )
    if facts.approvals is None:
        return [
            tag("p", said.say(lang)),
            tag(
                "p", Words("Approvals could not be read: unknown.", "Godkendelser kunne ikke læses: ukendt.").say(lang)
            ),
        ]
    columns = heads(
        lang,
        ("device", "enhed"),
        ("person", "person"),
        ("role", "rolle"),
        ("when", "hvornår"),
        ("hash", "hash"),
        ("counts", "tæller"),
    )
    rows = [
        (a.device, a.person, a.role, a.at, tag("span", a.sha256, cls="hash"), yes_no(a.counts, lang))
        for a in facts.approvals
    ]
    none = tag("p", Words("Nobody has signed.", "Ingen har signeret.").say(lang))
    return [tag("p", said.say(lang)), table(columns, rows) if rows else none]


def checklist(facts: Facts, answers: Answers, lang: str) -> list[Child]:
    """The 56 points with evidence."""
    del facts
    said = Words(
        "Designed towards IEC 62443-4-2, SL-C 2; self-assessed. Clause numbers are unchecked and not to be quoted as "
        "certified. What nobody looked at is unknown, never a pass.",
        "Designet mod IEC 62443-4-2, SL-C 2; selvvurderet. Klausulnumre er ukontrollerede og må ikke citeres som "
        "certificeret. "
        "Det, ingen har set på, er ukendt, aldrig opfyldt.",
    )
    found: list[Child] = [tag("p", said.say(lang))]
    columns = heads(lang, ("no.", "nr."), ("point", "punkt"), ("result", "resultat"), ("evidence", "evidens"))
    for group in dict.fromkeys(answer.point.group for answer in answers):
        rows = [
            (
                tag("span", f"{a.point.number}", id=f"point-{a.point.number}"),
                join(
                    (
                        a.point.title.say(lang),
                        tag("br"),
                        tag("span", " · ".join(a.point.refs), cls="quiet"),
                    )
                ),
                tag("span", STATE[a.state].say(lang), cls=f"state {CLASS[a.state]}"),
                join((a.finding.evidence.say(lang), tag("br"), tag("span", a.point.how.say(lang), cls="quiet"))),
            )
            for a in answers
            if a.point.group == group
        ]
        found += [tag("h3", group.say(lang)), table(columns, rows, cls="points")]
    return found


CLASS = {"pass": "pass", "fail": "fail", "unknown": "unknown", "duty": "duty", "not applicable": "na"}
STATE = {
    "pass": Words("pass", "opfyldt"),
    "fail": Words("fail", "ikke opfyldt"),
    "unknown": Words("unknown", "ukendt"),
    "duty": Words("site's duty", "stedets pligt"),
    "not applicable": Words("not applicable", "ikke relevant"),
}

JUDGEMENT: list[Entry] = [
    ("mds2", Words("MDS2-style answers", "Svar i MDS2-stil"), mds2),
    ("threats", Words("Threats and residual risk", "Trusler og restrisiko"), threats),
    ("risks", Words("Accepted risks", "Accepterede risici"), risks),
    ("approvals", Words("Approvals", "Godkendelser"), approvals),
    ("checklist", Words("The 56 points", "De 56 punkter"), checklist),
]
