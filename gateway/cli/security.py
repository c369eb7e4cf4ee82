"""mdi security selfcheck, selftest."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.cli.selftest import selftest
from gateway.config import read_config
from gateway.security.dossier.checklist import Answer, State, counts, judge
from gateway.security.dossier.collect import Places, collect
from gateway.security.dossier.page import NAMES
from gateway.security.dossier.words import LANGUAGES

app = typer.Typer(help="The rules of security, looked at.", no_args_is_help=True)
FOUND = 2  # exit code: a point fails
CHECKOUT = Path(__file__).resolve().parents[2]
# In a checkout beside the program; of the package beside its virtual environment, in /opt/mdi.
HERE = CHECKOUT if (CHECKOUT / "SECURITY.md").is_file() else Path(sys.prefix).parent
SYSTEM_UNITS = Path("/lib/systemd/system")
RESULTS = "evidence/tests.json"  # below etc_dir; travels with the release

LangOption = Annotated[str, typer.Option("--lang", metavar="da|en", help="Language.")]
EvidenceOption = Annotated[
    Path | None, typer.Option("--evidence", metavar="FILE", help="Results of the release's tests; else of etc_dir.")
]


app.command("selftest")(selftest)


def places(etc_dir: str, evidence: Path | None) -> Places:
    """Return where things are: of the installation, else of the checkout this runs from."""
    installed = any(SYSTEM_UNITS.glob("mdi-*.service"))
    results = evidence or Path(etc_dir) / RESULTS
    manifest = HERE / "MANIFEST"
    return Places(
        units=SYSTEM_UNITS if installed else HERE / "systemd",
        security_md=HERE / "SECURITY.md",
        results=results,
        manifest=manifest if manifest.is_file() else None,
    )


def moment(at: str) -> datetime:
    """Return the time a dossier is made at: now, or what is named, so that the same input gives the same bytes."""
    if not at:
        return datetime.now(UTC)
    try:
        made = datetime.fromisoformat(at)
    except ValueError:
        raise typer.BadParameter("not a time; write 2026-11-21T12:00:00+00:00", param_hint="--at") from None
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def check_lang(lang: str) -> str:
    """Return a language that is there. Raises: typer.BadParameter."""
    if lang not in LANGUAGES:
        raise typer.BadParameter(f"{lang!r} is not one of {', '.join(LANGUAGES)}", param_hint="--lang")
    return lang


@app.command()
def selfcheck(
    config: ConfigOption = DEFAULT,
    lang: LangOption = "en",
    evidence: EvidenceOption = None,
    json: JsonOption = False,
) -> None:
    """Look at the 56 points of the security checklist on this box, now.

    Each point is pass, fail, not applicable, unknown (nobody could look) or duty (only the site can hold it), with
    what was seen. Nothing is changed, no device and no broker is asked. Best run as root, which may read everything.
    The exit code is 0 when no point fails, else 2.

    \b
    mdi security selfcheck --config /etc/mdi/mdi_config.toml
    mdi security selfcheck --lang da --json > selfcheck.json
    """
    check_lang(lang)
    read = read_config(config)
    facts = collect(read, datetime.now(UTC), places(read.security.etc_dir, evidence))
    answers = judge(facts)
    if json:
        print_json(
            {"made": facts.made, "config_sha256": facts.config.sha256, "points": [_row(a, lang) for a in answers]}
        )
    else:
        _show(answers, lang)
    if any(answer.state is State.FAIL for answer in answers):
        raise typer.Exit(FOUND)


def _row(answer: Answer, lang: str) -> dict[str, object]:
    point = answer.point
    return {
        "number": point.number,
        "title": point.title.say(lang),
        "state": answer.state.value,
        "evidence": answer.finding.evidence.say(lang),
        "references": list(point.refs),
        "how": point.how.say(lang),
    }


def _show(answers: tuple[Answer, ...], lang: str) -> None:
    rows = (
        (a.point.number, a.point.title.say(lang), NAMES[a.state].say(lang), a.finding.evidence.say(lang))
        for a in answers
    )
    title = {"da": "De 56 punkter", "en": "The 56 points"}[lang]
    columns = {"da": ("nr.", "punkt", "resultat", "evidens"), "en": ("no.", "point", "result", "evidence")}[lang]
    print_table(title, columns, rows)
    number = counts(answers)
    out.print(", ".join(f"{number[state]} {NAMES[state].say(lang)}" for state in State), markup=False)
