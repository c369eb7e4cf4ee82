"""mdi probe: what is connected to a serial port, and what is wrong when nothing is heard."""

from __future__ import annotations

import json as json_text
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import registry
from gateway.cli.output import err, out, print_json, print_table, progress
from gateway.cli.run import JsonOption, stop_on_signals
from gateway.core.errors import ConfigError
from gateway.core.profile import Profile
from gateway.core.settings import build
from gateway.decode import find_profile
from gateway.doctor import Trouble
from gateway.links.serial import LINK, SerialSettings
from gateway.probe import Findings, Probe, grammar, worst_case_s
from gateway.probe_line import MarkedSerial, ProbeLine
from gateway.probe_trial import Candidate, Trial, candidates

BY_ID = Path("/dev/serial/by-id")
TO_FILL_IN = "0000000000000000"


def probe(
    port: Annotated[str, typer.Argument(metavar="PORT", help="The serial port, as in /dev/ttyUSB0.")],
    driver: Annotated[str, typer.Option(metavar="NAME", help="Try the profiles of this driver only.")] = "",
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", "-p", metavar="VENDOR/MODEL", help="Try this profile, or .toml file. Repeatable."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Time for each setting, and each question.")
    ] = 5.0,
    experimental: Annotated[bool, typer.Option("--experimental", help="Try experimental profiles, too.")] = False,
    listen_only: Annotated[bool, typer.Option("--listen-only", help="Never write a byte.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write the listed bytes without asking first.")] = False,
    json: JsonOption = False,
) -> None:
    """Find out what is connected to a serial port: settings, protocol, model, firmware.

    First it only listens, at the line settings of all known profiles. When nothing is recognised, it shows every byte
    pattern that it would send to ask a device, and sends them when you agree. They are those of the profiles'
    [transmit]: requests for data, nothing that changes a device. Ctrl-C ends it in order.

    It prints what was found, the [[port]] for mdi_config.toml, and what is wrong with the line when something is. The
    exit code is 0 when a protocol was recognised, 1 when not. The gateway must not run on that port meanwhile.

    \b
    mdi probe /dev/ttyUSB0
    mdi probe /dev/ttyUSB0 --driver nonin --listen-only
    mdi probe /dev/ttyUSB0 -p and_weighing/standard_format --seconds 60
    """
    tried = candidates(profiles_named(profile or []), driver, experimental)
    asking = bool(grammar(tried)) and not listen_only
    if asking and not yes and not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask before bytes are sent", hint="add --listen-only or --yes")

    def open_line(settings: Mapping[str, Any]) -> ProbeLine:
        return MarkedSerial(serial_settings(port, settings), time.time_ns)

    stop = stop_on_signals()
    total = worst_case_s(tried, seconds, asking)
    with progress("listening", worst_case_s(tried, seconds, False)) as show:
        session = Probe(tried, open_line, time.monotonic, seconds, stop, show)
        recognised = session.listen()
    if asking and not recognised and not stop.is_set() and _consent(tried, yes):
        with progress("asking", total) as show:
            session.report = show
            session.ask()
    found = session.findings()
    if json:
        print_json(as_json(port, found))
    else:
        _show(port, found)
    if not found.matches:
        raise typer.Exit(1)


def serial_settings(port: str, line: Mapping[str, Any]) -> SerialSettings:
    return build(SerialSettings, {"device": port, **line}, lambda *_: "")


def profiles_named(names: Sequence[str]) -> list[Profile]:
    known = registry.Profiles()
    return [find_profile(name, known) for name in names] if names else list(known)


def _consent(tried: Sequence[Candidate], yes: bool) -> bool:
    """Show all that may be sent, and ask."""
    err.print("Nothing was recognised by listening. Asking sends these bytes, and no others:")
    said = grammar(tried)
    for patterns in dict.fromkeys(said.values()):
        names = ", ".join(name for name, theirs in said.items() if theirs == patterns)
        err.print(f"{names}:", markup=False, highlight=False)
        for pattern in patterns:
            err.print(f"  {_on_one_line(pattern)}", markup=False, highlight=False)
    if yes:
        return True
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # here Ctrl-C is an answer: nothing is sent
    try:
        return typer.confirm("Send them?", err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _on_one_line(pattern: str) -> str:
    """Blanks mean nothing in a verbose pattern, but for those that are escaped, in a class, or end a comment."""
    plain = pattern.startswith("(?x") and not re.search(r"#|\\\s|\[[^\]]*\s", pattern)
    return "".join(pattern.split()) if plain else pattern


# ---- what was found


def stanza(port: str, trial: Trial, equals: Sequence[Trial] = ()) -> str:
    """Return the [[port]] of mdi_config.toml for what was found."""
    candidate = trial.candidate
    name = re.sub(r"[^a-z0-9]+", "-", candidate.profile.id.rpartition("/")[2].lower()).strip("-")[:40]
    link = {"kind": LINK.name, "device": _lasting(port), **candidate.line}
    lines = ["[[port]]", f'name = "port-{name}"', f'driver = "{candidate.driver.name}"', "", "[port.link]"]
    lines += [f"{key} = {json_text.dumps(value, ensure_ascii=False)}" for key, value in link.items()]
    lines += ["", "[[port.device]]", f'name = "{name}"']
    lines += [f"# fits as well: {other.candidate.profile.id}" for other in equals]
    if candidate.profile.id not in registry.Profiles().ids():
        lines += ["# an own profile: name its folder in [gateway] profiles"]
    lines += [f'profile = "{candidate.profile.id}"']
    if candidate.profile.experimental:
        lines += [f"# {candidate.profile.experimental}", "experimental = true"]
    lines += ["# Fill in: the EUI-64 of the device, and where it stands.", f'eui64 = "{TO_FILL_IN}"']
    lines += ['location = { unit = "", room = "", bed = "", facility = "" }']
    return "\n".join(lines) + "\n"


def _lasting(port: str) -> str:
    """Return the name of the port that stays when the cable is plugged in again, if there is one."""
    real = os.path.realpath(port)
    links = sorted(BY_ID.iterdir()) if BY_ID.is_dir() else []
    return next((str(link) for link in links if os.path.realpath(link) == real), port)


def _show(port: str, found: Findings) -> None:
    if found.matches:
        columns = ("profile", "protocol", "line", "by", "model", "firmware", "frames", "values", "unmapped", "score")
        print_table(f"{port}: what speaks here", columns, map(_row, found.matches))
        if found.equals:
            others = ", ".join(trial.candidate.profile.id for trial in found.equals)
            out.print(f"Fits as well, and nothing heard tells them apart: {others}", markup=False, highlight=False)
    for diagnosis in found.diagnoses:
        name = "" if diagnosis.trouble is Trouble.NONE else f"{diagnosis.trouble} ({diagnosis.certainty}): "
        out.print(f"{name}{diagnosis.what}. {diagnosis.remedy}", markup=False, highlight=False)
    if found.sent:
        count = sum(map(len, found.sent.values()))
        out.print(f"{count} different messages were sent, as --json lists.", markup=False, highlight=False)
    else:
        out.print("Nothing was sent.")
    if found.matches:
        text = stanza(port, found.matches[0], found.equals)
        out.print("\n" + text, markup=False, highlight=False)


def _row(trial: Trial) -> tuple[Any, ...]:
    who = trial.identity
    return (
        trial.candidate.profile.id,
        f"{trial.confidence}{', experimental' if trial.candidate.profile.experimental else ''}",
        LINK.describe(serial_settings("-", trial.candidate.line)).removeprefix("- "),
        "asking" if trial.asked else "listening",
        (who and who.model) or "not said",
        trial.refusal or (who and who.firmware) or "not said",
        f"{trial.good} good, {trial.bad} bad",
        f"{trial.rows} rows, {trial.usable} usable",
        trial.unmapped,
        f"{trial.score:.2f}",
    )


def as_json(port: str, found: Findings) -> dict[str, Any]:
    """Return what was found as one object, for programs."""
    return {
        "port": port,
        "found": [_match(trial) for trial in found.matches],
        "equals": [trial.candidate.profile.id for trial in found.equals],
        "diagnoses": [
            {"trouble": d.trouble, "certainty": d.certainty, "what": d.what, "remedy": d.remedy}
            for d in found.diagnoses
        ],
        "heard": [
            {
                **h.format._asdict(),
                "bytes": h.count,
                "damaged": sum(h.bad),
                "writes": h.writes,
                "echoes": h.echoes,
                "inputs": h.inputs._asdict() if h.inputs else None,
            }
            for h in found.heard
        ],
        "sent": {name: [data.hex() for data in messages] for name, messages in found.sent.items()},
        "stanza": stanza(port, found.matches[0], found.equals) if found.matches else None,
    }


def _match(trial: Trial) -> dict[str, Any]:
    candidate, who = trial.candidate, trial.identity
    return {
        "profile": candidate.profile.id,
        "driver": candidate.driver.name,
        "line": dict(candidate.line),
        "protocol": trial.confidence,
        "experimental": bool(candidate.profile.experimental),
        "asked": trial.asked,
        "vendor": (who and who.vendor) or None,
        "model": (who and who.model) or None,
        "firmware": (who and who.firmware) or None,
        "refusal": trial.refusal or None,
        "frames_ok": trial.good,
        "frames_bad": trial.bad,
        "rows": trial.rows,
        "usable": trial.usable,
        "unmapped": trial.unmapped,
        "refused_writes": trial.refused_writes,
        "score": round(trial.score, 3),
    }
