"""mdi netrules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import err, out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError, MdiError
from gateway.security.audit import AuditLog, Event
from gateway.security.netrules import declared, system, units
from gateway.security.netrules import table as nft
from gateway.security.netrules.ways import Ways
from gateway.security.onboard.standing import Standing, read_trust, standing

FINDINGS = 2  # docs/operation.md, Exit codes
WRITER = "netrules"  # of the audit log


def netrules(
    config: ConfigOption = DEFAULT,
    check: Annotated[bool, typer.Option("--check", help="Have nft check the rules; nothing is loaded.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Compare declared, enforced and observed.")] = False,
    load: Annotated[bool, typer.Option("--load", help="Load the rules, in one transaction.")] = False,
    restore: Annotated[bool, typer.Option("--restore", help="With --diff: load the rules when they differ.")] = False,
    write_units: Annotated[
        Path | None, typer.Option("--units", metavar="DIR", help="Write drop-ins for the units below DIR.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the firewall of this box from its configuration: default deny, for exactly the approved conduits.

    Without an option the rules are printed, for nft. They are bound to the users of the gateway's processes, names are
    resolved now, and what is not approved gets no rule and is named. Only the table inet mdi is ever touched.
    --diff tells whether declared (configuration), enforced (nft) and observed (sockets) are the same; each difference
    goes into the audit log. The exit code is 0 when all is well, 2 when something differs or a name has no address.
    --check, --diff and --load want root, or CAP_NET_ADMIN.

    \b
    mdi netrules --config /etc/mdi/mdi_config.toml
    mdi netrules --check && mdi netrules --load
    mdi netrules --diff --json
    mdi netrules --units /etc/systemd/system && systemctl daemon-reload
    """
    read = read_config(config)
    standings = _standings(read)
    if diff:
        _diff(read, standings, restore, json)
        return
    found = system.declare(read, standings)
    if write_units is not None:
        changed = units.write_dropins(units.dropins(read, found), write_units)
        _done(found, json, written=[str(path) for path in changed])
    elif check or load:
        rules = system.loadable(read, found)
        (system.load if load else system.check)(rules)
        _done(found, json, loaded=load, sha256=declared.digest(declared.table(found)))
    elif json:
        _done(found, json, rules=declared.ruleset(found, system.config_sha256(read)))
    else:
        typer.echo(declared.ruleset(found, system.config_sha256(read)), nl=False)
    if any(refused.temporary for refused in found.refused) and not load:
        raise typer.Exit(FINDINGS)


def _standings(config: Config) -> Mapping[str, Standing]:
    now = datetime.now(UTC)
    trust, fault = read_trust(config, now)
    if fault:
        err.print(f"mdi: {fault}", style="yellow", markup=False, highlight=False)
    return standing(config, trust, now)


def _done(found: Ways, json: bool, **said: Any) -> None:
    """Say what came of it: the ways, and what has none."""
    if json:
        print_json({"ways": [asdict(w) for w in found.ways], "refused": [asdict(r) for r in found.refused], **said})
        return
    _show_ways(found)
    for name, value in said.items():
        out.print(f"{name}: {value}", markup=False, highlight=False)


def _show_ways(found: Ways) -> None:
    rows = [
        (
            way.conduit,
            ", ".join(way.users) or "anybody here",
            f"{'to' if way.initiator == 'gateway' else 'from'} {', '.join(way.addresses)}",
            f"{way.protocol} {way.port}",
            way.why + (f", until {way.until}" if way.until else ""),
        )
        for way in found.ways
    ]
    print_table("Open", ("conduit", "user", "addresses", "port", "for"), rows)
    if found.refused:
        print_table("Not open", ("what", "why"), [(refused.what, refused.why) for refused in found.refused])


def _diff(config: Config, standings: Mapping[str, Standing], restore: bool, json: bool) -> None:
    views = system.look(config, standings)
    if views.drift:
        _write_down(config, views)
    if restore and any(one.between == "enforced" for one in views.drift):
        system.load(system.loadable(config, views.declared))
    if json:
        print_json(as_json(views))
    else:
        _show_ways(views.declared)
        rows = [(one.between, one.kind, one.what) for one in views.drift]
        title = "Drift: differs from what is declared" if rows else "No drift: declared = enforced = observed"
        print_table(title, ("view", "kind", "what"), rows)
    if views.drift:
        raise typer.Exit(FINDINGS)


def as_json(views: system.Views) -> dict[str, Any]:
    """Return the three views as JSON has them."""
    wanted = declared.table(views.declared)
    return {
        "ok": not views.drift,
        "declared": {
            "sha256": declared.digest(wanted),
            "ways": [asdict(way) for way in views.declared.ways],
            "refused": [asdict(refused) for refused in views.declared.refused],
            "rules": _rules(wanted),
        },
        "enforced": views.enforced and {"sha256": declared.digest(views.enforced), "rules": _rules(views.enforced)},
        "observed": asdict(views.observed),
        "drift": [asdict(one) for one in views.drift],
    }


def _rules(of: nft.Table) -> list[str]:
    return [str(rule) for rule in of.rules]


def _write_down(config: Config, views: system.Views) -> None:
    """Tell the audit log, one entry per kind of difference. A log that cannot be written hides no drift."""
    facts = {"declared": declared.digest(declared.table(views.declared))}
    if views.enforced and declared.digest(views.enforced):
        facts["enforced"] = declared.digest(views.enforced)
    counts: dict[tuple[str, str], int] = {}
    for one in views.drift:
        counts[one.between, one.kind] = counts.get((one.between, one.kind), 0) + 1
    try:
        with AuditLog.open(Path(config.gateway.state_dir) / "audit", WRITER, config.gateway.name) as audit:
            for (between, kind), count in counts.items():
                audit.write(Event.DRIFT_NETWORK, nft.NAME, what=between, rule=kind, count=count, **facts)
    except (ConfigError, MdiError, OSError) as fault:
        err.print(f"mdi: the audit log was not written: {fault}", style="yellow", markup=False, highlight=False)
