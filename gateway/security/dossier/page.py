"""The page: head, summary, sections, in one file. Same facts, same language: same bytes."""

from __future__ import annotations

from collections.abc import Callable

from gateway.security.dossier.checklist import Answer, State, counts, judge
from gateway.security.dossier.facts import Facts
from gateway.security.dossier.html import Child, Markup, escape, items, join, pairs, tag
from gateway.security.dossier.sections_connection import CONNECTION, STATES
from gateway.security.dossier.sections_judgement import JUDGEMENT
from gateway.security.dossier.sections_software import SOFTWARE
from gateway.security.dossier.style import CSP, CSS
from gateway.security.dossier.words import LANGUAGES, Words

TITLE = Words("Security dossier", "Sikkerhedsdossier")
CLASSES = {
    State.PASS: "pass",
    State.FAIL: "fail",
    State.UNKNOWN: "unknown",
    State.DUTY: "duty",
    State.NOT_APPLICABLE: "na",
}
NAMES = {
    State.PASS: Words("pass", "opfyldt"),
    State.FAIL: Words("fail", "ikke opfyldt"),
    State.UNKNOWN: Words("unknown", "ukendt"),
    State.DUTY: Words("site's duty", "stedets pligt"),
    State.NOT_APPLICABLE: Words("not applicable", "ikke relevant"),
}
Section = tuple[str, Words, Callable[[Facts, tuple[Answer, ...], str], list[Child]]]


def page(facts: Facts, lang: str) -> str:
    """Return the dossier as one HTML document in "da" or "en"."""
    if lang not in LANGUAGES:
        raise ValueError(f"no language {lang!r}")
    answers = judge(facts)
    sections = SECTIONS
    title = f"{TITLE.say(lang)}: {facts.asset or facts.config.name}"
    body = [
        tag("p", _foot(facts, lang), cls="foot"),
        *_lab(facts, lang),
        tag("header", tag("h1", title), _identity(facts, lang)),
        _section(0, sections[0], facts, answers, lang),
        _contents(sections, lang),
        *(_section(i, section, facts, answers, lang) for i, section in enumerate(sections[1:], start=1)),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escape(CSP)}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"mdi {facts.version}"),
        tag("title", title),
        Markup(f"<style>{CSS}</style>"),
    )
    document = tag("html", head, tag("body", *body, cls="lab-mode" if not facts.production else ""), lang=lang)
    return f"<!doctype html>\n{document.text}\n"


def state_of(answer_state: State, lang: str) -> Markup:
    """Return the word of a state, in its colour."""
    return tag("span", NAMES[answer_state].say(lang), cls=f"state {CLASSES[answer_state]}")


def _lab(facts: Facts, lang: str) -> list[Child]:
    if facts.production:
        return []
    said = Words(
        "LAB: rules are said, not enforced. Not for patients.",
        "LAB: regler nævnes, men håndhæves ikke. Ikke til patienter.",
    )
    return [tag("div", said.say(lang), cls="lab"), tag("div", "LAB", cls="mark")]


def _identity(facts: Facts, lang: str) -> Markup:
    config, audit = facts.config, facts.audit
    nobody = Words("unknown", "ukendt").say(lang)
    rows: list[tuple[Words, Child]] = [
        (Words("Gateway", "Gateway"), f"{config.name} ({config.site} / {config.unit})"),
        (Words("Made", "Dannet"), facts.made),
        (Words("Configuration", "Konfiguration"), tag("span", f"SHA-256 {config.sha256}", cls="hash")),
        (
            Words("Head of the audit log", "Auditloggens hoved"),
            tag("span", audit.head if audit else nobody, cls="hash"),
        ),
        (Words("Version", "Version"), f"mdi-edge-gateway {facts.version}"),
        (Words("Mode", "Tilstand"), "LAB" if not facts.production else Words("production", "produktion").say(lang)),
    ]
    return pairs((name.say(lang), value) for name, value in rows)


def _foot(facts: Facts, lang: str) -> str:
    short = facts.config.sha256[:12]
    lab = " · LAB" if not facts.production else ""
    return f"{TITLE.say(lang)} · {facts.asset or facts.config.name} · {short} · {facts.made} · mdi {facts.version}{lab}"


def _contents(sections: list[Section], lang: str) -> Markup:
    return tag(
        "nav", *(tag("a", f"{i}  {name.say(lang)}", href=f"#{key}") for i, (key, name, _) in enumerate(sections) if i)
    )


def _section(number: int, section: Section, facts: Facts, answers: tuple[Answer, ...], lang: str) -> Markup:
    key, name, made = section
    heading = f"{number}  {name.say(lang)}" if number else name.say(lang)
    return tag("section", tag("h2", heading), *made(facts, answers, lang), id=key)


# ---- the first screen


def summary(facts: Facts, answers: tuple[Answer, ...], lang: str) -> list[Child]:
    """What a reviewer wants to know first: does it stand, who said so, for exactly what, until when."""
    number = counts(answers)
    order = (State.PASS, State.FAIL, State.UNKNOWN, State.DUTY)
    lights = [
        tag("div", tag("b", f"{number[state]}"), NAMES[state].say(lang), cls=f"light {CLASSES[state]}")
        for state in order
    ]
    bad = [a for a in answers if a.state is State.FAIL]
    found: list[Child] = [
        tag("p", _verdict(facts, answers, lang), cls="lead"),
        tag("div", *lights, cls="lights"),
        pairs(_approval(facts, lang)),
    ]
    if facts.violations:
        said = Words("Rules of the policy that are broken", "Brudte regler i politikken").say(lang)
        found += [tag("h3", said), items(f"{v.where}: {v.why} → {v.hint}" for v in facts.violations)]
    if bad:
        said = Words("Points that fail", "Punkter, der ikke er opfyldt").say(lang)
        lines = (
            join(
                (
                    tag("a", f"{a.point.number} {a.point.title.say(lang)}", href=f"#point-{a.point.number}"),
                    f": {a.finding.evidence.say(lang)}",
                )
            )
            for a in bad
        )
        found += [tag("h3", said), items(lines)]
    return found


def _verdict(facts: Facts, answers: tuple[Answer, ...], lang: str) -> str:
    number = counts(answers)
    held = [d.name for d in facts.devices if d.may_open is False]
    if not facts.production:
        return Words(
            "A lab box. It must not be used on patients.", "En laboratorieboks. Den må ikke bruges til patienter."
        ).say(lang)
    if facts.violations:
        return Words(
            "The start is refused: {n} rules of the policy are broken.",
            "Start afvises: {n} regler i politikken er brudt.",
        ).say(lang, n=len(facts.violations))
    if held:
        return Words("Held back without approval: {names}.", "Holdes tilbage uden godkendelse: {names}.").say(
            lang, names=", ".join(held)
        )
    if number[State.FAIL] or number[State.UNKNOWN]:
        return Words(
            "Not ready for approval: {fail} points fail, {unknown} are unknown.",
            "Ikke klar til godkendelse: {fail} punkter er ikke opfyldt, {unknown} er ukendte.",
        ).say(lang, fail=number[State.FAIL], unknown=number[State.UNKNOWN])
    return Words(
        "No point fails. What only the site can hold is listed as its duty.",
        "Intet punkt er uopfyldt. Det, kun stedet kan stå for, er anført som pligt.",
    ).say(lang)


def _approval(facts: Facts, lang: str) -> list[tuple[str, Child]]:
    nobody = Words("unknown", "ukendt").say(lang)
    rows: list[tuple[str, Child]] = []
    for d in facts.devices:
        signers = [
            f"{a.person} ({a.role}) {a.at[:10]}" for a in facts.approvals or () if a.device == d.name and a.counts
        ]
        until = (
            Words(" · next review {day}", " · næste gennemgang {day}").say(lang, day=d.until[:10]) if d.until else ""
        )
        exactly = f" · {d.sha256[:16]}…" if d.sha256 else ""
        state = STATES[d.state].say(lang) if d.state in STATES else d.state or nobody
        by = f" · {', '.join(signers)}" if signers else ""
        rows.append((d.name, f"{state}{exactly}{by}{until}"))
    return rows


SECTIONS: list[Section] = [
    ("summary", Words("Summary", "Overblik"), summary),
    *CONNECTION,
    *SOFTWARE,
    *JUDGEMENT,
]
