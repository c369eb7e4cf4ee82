"""mdi profile lint, show, supported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway import registry
from gateway.cli.output import err, out, print_json, print_table
from gateway.cli.run import JsonOption
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile_lint import Finding, lint
from gateway.decode import find_profile
from gateway.supported import supported

app = typer.Typer(help="Device profiles: check them, show what they mean.", no_args_is_help=True)


@app.command("lint")
def lint_command(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROFILE]...", help="VENDOR/MODEL or .toml files. None: all that are installed."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check profiles: codes, units, sources, ranges, overlap, firmware.

    Each finding is one line with file and line number. The exit code is 0 without findings, else 2.

    \b
    mdi profile lint
    mdi profile lint ./profiles/vendor/model.toml
    """
    profiles = registry.Profiles()
    names = files or profiles.ids()
    findings = [finding for name in names for finding in _findings(name, profiles)]
    if json:
        print_json([{"where": f.where, "what": f.what, "hint": f.hint} for f in findings])
    for finding in [] if json else findings:
        err.print(f"{finding.where}: {finding.what} → {finding.hint}", markup=False, highlight=False)
    if not json:
        out.print(f"{len(names)} profiles, {len(findings)} findings")
    if findings:
        raise typer.Exit(ProfileError.exit_code)


def _findings(name: str, profiles: registry.Profiles) -> list[Finding]:
    try:
        profile = find_profile(name, profiles)
        frames = registry.driver(profile.driver).frames
    except (ProfileError, ConfigError) as fault:
        return [Finding(fault.where or name, fault.what, fault.hint)]
    found = lint(profile, nomenclature(), frames)
    if found:
        return found
    try:  # the plan compiler and the driver have the last word
        Plan(profile, "", nomenclature())
    except ProfileError as fault:
        return [Finding(fault.where, fault.what, fault.hint)]
    return []


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PROFILE", help="VENDOR/MODEL or a .toml file.")],
    firmware: Annotated[str, typer.Option(metavar="TEXT", help="Resolve for this firmware.")] = "",
    json: JsonOption = False,
) -> None:
    """Show what a profile resolves to for a firmware.

    Each metric with its place, code, unit and Danish name, and the digest that travels with the data.

    \b
    mdi profile show philips/intellivue_mp --firmware L.01.18 --json
    """
    profile = find_profile(name, registry.Profiles())
    plan = Plan(profile, firmware, nomenclature())
    rows = [
        (m.path, m.ref_id, m.code, m.unit.ucum if m.unit else None, m.kind, nomenclature().term(m.ref_id).da)
        for m in plan.metrics
    ]
    columns = ("path", "ref_id", "code", "unit", "kind", "dansk")
    if json:
        metrics = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json(
            {"profile": profile.id, "digest": plan.digest.hex(), "verified": profile.verified, "metrics": metrics}
        )
        return
    print_table(
        f"{profile.vendor} {profile.model} · {profile.verified} · digest {plan.digest.hex()[:16]}", columns, rows
    )
    out.print(f"Source: {profile.source}", markup=False)
    if Path(profile.where).exists():
        out.print(f"File: {profile.where}", markup=False)


@app.command("supported")
def supported_command() -> None:
    """Write the page of supported devices, made of all installed profiles.

    \b
    mdi profile supported > docs/supported.md
    """
    out.file.write(supported(registry.Profiles()))
