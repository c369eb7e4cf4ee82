"""mdi onboard: devices from draft to retired, and who may say so."""

from __future__ import annotations

import getpass
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.auditing import open_audit
from gateway.cli.onboard_new import new
from gateway.cli.onboard_report import report
from gateway.cli.onboard_sign import sign, submit
from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError, MdiError
from gateway.security.onboard import actions, approval
from gateway.security.onboard.content import content, differences
from gateway.security.onboard.life import Step
from gateway.security.onboard.standing import Standing, read_trust, standing
from gateway.security.onboard.words import LANGUAGES, STATES, word
from gateway.status import read_live_status

app = typer.Typer(
    help="Devices from draft to retired: who has approved which one, and whether it may be opened.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
AssetArgument = Annotated[str, typer.Argument(metavar="ASSET", help="Asset number: the record devices.d/ASSET.toml.")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it; else the user of this terminal.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why. Nothing about a patient.")]
LangOption = Annotated[str, typer.Option("--lang", metavar="en|da", help="Language of what a reviewer reads.")]
FINDINGS, TAMPER = 2, 3  # exit codes, docs/operation.md
TAMPERED = frozenset(
    {"journal", "evidence-changed", "changed", "signature-changed", "comment-changed", "rolled-back", "older-hash"}
    | {"request-malformed", "request-changed", "request-wrong-file"}
)
EFFECT_S = 5.0  # within which a running gateway carries a suspension out


def language(lang: str) -> str:
    """Return a language we have. Raises: ConfigError."""
    if lang not in LANGUAGES:
        raise ConfigError(f"--lang {lang!r}", hint="en or da")
    return lang


def check(asset: AssetArgument, config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Check the record of a device: its keys, the configuration, risks, dates, evidence, signatures.

    The exit code is 0 when nothing is wrong, 2 with findings, 3 when somebody has changed what was signed or recorded.

    \b
    mdi onboard check MT-01234
    """
    read, now = read_config(config), datetime.now(UTC)
    found = actions.check(read, asset, now)
    record, _ = actions.papers_of(read, asset)
    one = standing(read, read_trust(read, now)[0], now).get(record.use.device)
    said = dict(zip(one.rules, one.reasons, strict=True)) if one else {}
    said = {finding.rule: str(finding) for finding in found} | said
    tamper = any(finding.tamper for finding in found) or bool(TAMPERED & set(said))
    if json:
        findings = [{"rule": rule, "what": what} for rule, what in said.items()]
        print_json({"asset": asset, "ok": not said, "tamper": tamper, "findings": findings})
    elif said:
        print_table(f"{asset}: {len(said)} findings", ("rule", "what"), said.items())
    else:
        out.print(f"{asset}: nothing is wrong", markup=False)
    _leave(bool(said), tamper)


def status(
    asset: Annotated[str, typer.Argument(metavar="[ASSET]", help="Only this one.")] = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
    lang: LangOption = "en",
) -> None:
    """Show where each device is: its state, whether it is opened, who has signed, and why not.

    The exit code is 0 when all may be opened as they were approved, 2 when not, 3 when somebody has changed something.

    \b
    mdi onboard status
    mdi onboard status MT-01234 --lang da
    """
    read, now, lang = read_config(config), datetime.now(UTC), language(lang)
    trust, fault = read_trust(read, now)
    found = [one for one in standing(read, trust, now).values() if asset in ("", one.asset)]
    if asset and not found:
        raise ConfigError(f"no configured device has the asset number {asset}", hint="mdi onboard status")
    if json:
        print_json({"mode": read.security.mode, "trust": fault, "devices": [as_json(one) for one in found]})
    else:
        columns = ("device", "asset", "state", "port", "signed by", "until", "why")
        title = f"{read.gateway.name} ({read.security.mode})"
        print_table(title, (word(c, lang) for c in columns), (_row(one, lang) for one in found))
        if fault:
            out.print(fault, markup=False, style="bold yellow")
    rules = {rule for one in found for rule in one.rules}
    _leave(any(one.flagged or not one.may_open for one in found), bool(TAMPERED & rules))


def diff(
    asset: AssetArgument,
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
    lang: LangOption = "en",
    rev: Annotated[int, typer.Option(metavar="REV", min=0, help="Against this revision; else the newest.")] = 0,
) -> None:
    """Show what has changed since a device was approved or submitted, field by field.

    The exit code is 0 when nothing has changed, else 2; 3 when the request itself was changed.

    \b
    mdi onboard diff MT-01234
    """
    read, lang = read_config(config), language(lang)
    etc_dir = Path(read.security.etc_dir)
    revisions = approval.revisions(etc_dir, asset)
    if not revisions:
        raise ConfigError(f"{asset} was never submitted", hint="mdi onboard submit")
    request, _ = approval.read_request(etc_dir, asset, rev or revisions[0])
    now = content(read, *actions.papers_of(read, asset))
    found = list(differences(request.content, now))
    if json:
        changes = [{"field": path, "was": was, "now": is_now} for path, was, is_now in found]
        print_json({"asset": asset, "rev": request.rev, "changes": changes})
    elif found:
        title = f"{asset} {request.rev}: {word('changed', lang)}"
        print_table(title, (word("field", lang), word("was", lang), word("now", lang)), found)
    else:
        out.print(f"{asset} {request.rev}: {word('nothing changed', lang)}", markup=False)
    _leave(bool(found), False)


def suspend(
    asset: AssetArgument,
    reason: ReasonOption,
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Stop a device, at once: nothing more of it is taken, and its port is closed. One person may.

    What the gateway has accepted before is still delivered: it was measured while the device was approved. A running
    gateway does it within five seconds, and this command waits for that.

    \b
    mdi onboard suspend MT-01234 --reason "wrong bed"
    """
    _by_hand(config, asset, Step.SUSPEND, by, reason, json)


def resume(
    asset: AssetArgument,
    reason: ReasonOption,
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """End a suspension, or have a device looked at again that has shown itself as another one.

    One person may, as long as nothing has changed that two have approved. Otherwise two approve it anew first.

    \b
    mdi onboard resume MT-01234 --reason "back at its bed"
    """
    _by_hand(config, asset, Step.RESUME, by, reason, json)


def revoke(
    asset: AssetArgument,
    reason: ReasonOption,
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Take the approval back for good: the port is closed, its rules fall away. There is no way back.

    A device that comes back is a new one: a new record with a new asset number.
    """
    _by_hand(config, asset, Step.REVOKE, by, reason, json)


def retire(
    asset: AssetArgument,
    reason: ReasonOption,
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Close the papers of a device that was revoked. They are kept."""
    _by_hand(config, asset, Step.RETIRE, by, reason, json)


app.command("new")(new)
app.command("check")(check)
app.command("submit")(submit)
app.command("sign")(sign)
app.command("status")(status)
app.command("diff")(diff)
app.command("suspend")(suspend)
app.command("resume")(resume)
app.command("revoke")(revoke)
app.command("retire")(retire)
app.command("report")(report)


def as_json(one: Standing) -> dict[str, Any]:
    """Return a standing for programs."""
    seen = one.observed
    return {
        "device": one.device,
        "asset": one.asset,
        "state": str(one.state),
        "may_open": one.may_open,
        "flagged": one.flagged,
        "rules": list(one.rules),
        "reasons": list(one.reasons),
        "rev": one.rev,
        "sha256": one.sha256,
        "until": one.until.isoformat() if one.until else None,
        "signed_by": [{"name": person.name, "role": person.role} for person in one.people],
        "observed": seen and {"model": seen.model, "firmware": seen.firmware, "serial": seen.serial, "since": seen.t},
    }


def _row(one: Standing, lang: str) -> tuple[Any, ...]:
    opened = "not opened" if not one.may_open else "flagged" if one.flagged else "opened"
    people = ", ".join(f"{person.name} ({person.role})" for person in one.people)
    until = one.until.date().isoformat() if one.until else None
    state = STATES[one.state][lang]
    return (
        one.device,
        one.asset or None,
        state,
        word(opened, lang),
        people or word("none", lang),
        until,
        "\n".join(one.reasons),
    )


def _by_hand(path: Path, asset: str, step: Step, by: str, reason: str, json: bool) -> None:
    read, now = read_config(path), datetime.now(UTC)
    person = by or getpass.getuser()
    with open_audit(read, "admin") as audit:
        one = actions.by_hand(read, read_trust(read, now)[0], asset, step, person, reason, now, audit)
    done = _carried_out(read, one)
    if json:
        print_json({**as_json(one), "carried_out": done})
        return
    effect = {True: "the gateway has done so", False: "THE GATEWAY HAS NOT DONE SO YET", None: "no gateway runs"}[done]
    out.print(f"{one.device}: {STATES[one.state]['en']}; {effect}", markup=False)


def _carried_out(config: Config, one: Standing) -> bool | None:
    """Wait until a running gateway shows that it has done what was said; None: there is none."""
    pause, end = threading.Event(), time.monotonic() + EFFECT_S
    while time.monotonic() < end:
        with suppress(MdiError):
            found = read_live_status(config).get("acquire", {})
            if not found.get("alive"):
                return None
            shown = {d["device"]: d["may_open"] for d in found.get("onboard", {}).get("devices", [])}
            if shown.get(one.device) is one.may_open:
                return True
        pause.wait(0.1)
    return False


def _leave(findings: bool, tamper: bool) -> None:
    if findings or tamper:
        raise typer.Exit(TAMPER if tamper else FINDINGS)
