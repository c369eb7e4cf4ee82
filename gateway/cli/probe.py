"""mdi probe: what is connected to a serial port, and what is wrong when nothing is heard."""

from __future__ import annotations

import json as json_text
import os
import re
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
from gateway.links.serial import LINK, SerialSettings
from gateway.probe import Candidate, Findings, Probe, Trial, candidates, grammar, worst_case_s
from gateway.probe_line import MarkedSerial, ProbeLine

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
    tried = candidates(_profiles(profile or []), driver, experimental or bool(profile))
    asking = bool(grammar(tried)) and not listen_only
    if asking and not yes and not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask before bytes are sent", hint="add --listen-only or --yes")

    def open_line(settings: Mapping[str, Any]) -> ProbeLine:
        table = {"device": port, **settings}
        return MarkedSerial(build(SerialSettings, table, lambda *_: ""), time.time_ns)

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


def _profiles(names: Sequence[str]) -> list[Profile]:
    known = registry.Profiles()
    return [find_profile(name, known) for name in names] if names else list(known)


def _consent(tried: Sequence[Candidate], yes: bool) -> bool:
    """Show all that may be sent, and ask."""
    err.print("Nothing was recognised by listening. Asking sends these bytes, and no others:")
    for name, patterns in grammar(tried).items():
        for pattern in patterns:
            err.print(f"  {name:32} {pattern}", markup=False, highlight=False)
    return yes or typer.confirm("Send them?", err=True)


# ---- what was found


def stanza(port: str, trial: Trial, equals: Sequence[Trial] = ()) -> str:
    """Return the [[port]] of mdi_config.toml for what was found."""
    candidate = trial.candidate
    name = re.sub(r"[^a-z0-9]+", "-", candidate.profile.id.rpartition("/")[2].lower()).strip("-")[:40]
    link = {"kind": LINK.name, "device": _lasting(port), **candidate.line}
    lines = ["[[port]]", f'name = "port-{name}"', f'driver = "{candidate.driver.name}"', "", "[port.link]"]
    lines += [f"{key} = {json_text.dumps(value)}" for key, value in link.items()]
    lines += ["", "[[port.device]]", f'name = "{name}"']
    lines += [f"# fits as well: {other.candidate.profile.id}" for other in equals]
    if not str(candidate.profile.where).startswith(str(registry.Profiles().path_of_packaged())):
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
