"""The page: one document, no script, nothing fetched from elsewhere. Pure: a view in, HTML out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import Any

from gateway.security.access.web.view import Row, View
from gateway.security.access.web.words import LANGUAGES, state, word

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --ink: #1d2329; --soft: #5d6670; --line: #d9dce0; --card: #ffffff;
  --good: #1c6b3c; --bad: #a3171d; --warn: #8a5300; --lab: #ffd24a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181c; --ink: #e6e9ec; --soft: #9aa4ae; --line: #323a42;
  --card: #1b2026; --good: #6fd08f; --bad: #ff8a85; --warn: #f0b45c; --lab: #6b5200; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 64rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; justify-content: space-between; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
p { margin: .5rem 0; }
a { color: inherit; }
.soft { color: var(--soft); }
.lab { background: var(--lab); padding: .6rem .9rem; border-radius: .4rem; font-weight: 600; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem;
  margin-top: 1rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem; }
th, td { padding: .35rem 1rem .35rem 0; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
@media (max-width: 40rem) {
  thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  table, tbody { display: block; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); } tr:last-child { border-bottom: 0; }
  td { display: grid; grid-template-columns: 9rem 1fr; border: 0; padding: .15rem 0; }
  td::before { content: attr(data-name); color: var(--soft); font-size: .85rem; }
}
"""
SOON = 30  # days left of a certificate that are too few to wait


class _Mark(tuple[str, str]):
    """A text with a class: good, warn, bad."""


def page(view: View, language: str) -> str:
    """Return the whole document."""

    def say(key: str) -> str:
        return escape(word(key, language))

    other = LANGUAGES[1 - LANGUAGES.index(language)]
    parts = [
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{'LAB ' if view.lab else ''}{escape(view.gateway)}</title>",
        '<link rel="stylesheet" href="/style.css"></head><body>',
        f"<header><h1>{say('title')} {escape(view.gateway)}</h1>",
        f'<a href="/?lang={other}" lang="{other}" hreflang="{other}">{say("other")}</a></header>',
        f'<p class="lab">{say("lab")}</p>' if view.lab else "",
        f'<p>{say("purpose")}</p><p class="soft">{say("made")} {_time(view.now)}</p>',
        *_sections(view, language),
        f'<p><a href="/dossier">{say("dossier")}</a></p>' if view.dossier else "",
        "</body></html>",
    ]
    return "".join(parts)


def _sections(view: View, language: str) -> Iterable[str]:
    def say(key: str) -> str:
        return word(key, language)

    def yes(value: bool) -> _Mark:
        return _Mark((say("yes"), "good")) if value else _Mark((say("no"), "bad"))

    roles = [(r, _Mark((say("alive"), "good")) if a else _Mark((say("dead"), "bad")), age) for r, a, age in view.roles]
    yield _table(say("roles"), ("role", "state", "seen"), roles, language, say("silent"))
    devices = [
        (name, asset, state(life, language), yes(opened), ", ".join(rules), ", ".join(people), _time(until))
        for name, asset, life, opened, rules, people, until in view.devices
    ]
    columns = ("device", "asset", "state", "opened", "why", "signed", "until")
    yield _table(say("devices"), columns, devices, language, say("none"))
    ports = [(name, now, good, bad, f"{fill:.0%}") for name, now, good, bad, fill in view.ports or ()]
    missing = say("unknown") if view.ports is None else say("none")
    yield _table(say("ports"), ("port", "state", "good", "bad", "ring"), ports, language, missing)
    spool = [(view.spool[2], view.spool[0], f"{view.spool[1]:.0%}")] if view.spool else []
    yield _table(say("spool"), ("sink", "waiting", "filled"), spool, language, say("unknown"))
    rows = [(role, _days(days), ", ".join(map(str, faults))) for role, days, faults in view.certificates or ()]
    missing = say("unknown") if view.certificates is None else say("none")
    yield _table(say("certificates"), ("use", "days", "fault"), rows, language, missing)


def _table(title: str, columns: tuple[str, ...], rows: list[Row], language: str, empty: str) -> str:
    if not rows:
        return f'<section><h2>{escape(title)}</h2><p class="soft">{escape(empty)}</p></section>'
    names = [escape(word(column, language)) for column in columns]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, names, row))}</tr>" for row in rows)
    return (
        f"<section><h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section>"
    )


def _cell(name: str, value: Any) -> str:
    if isinstance(value, _Mark):
        return f'<td data-name="{name}"><span class="{value[1]}">{escape(value[0])}</span></td>'
    text = "—" if value is None or value == "" else str(value)
    return f'<td data-name="{name}"><span>{escape(text)}</span></td>'


def _days(days: float | None) -> Any:
    if days is None:
        return None
    kind = "bad" if days < 0 else "warn" if days < SOON else "good"
    return _Mark((f"{days:.0f}", kind))


def _time(when: datetime | None) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else ""
