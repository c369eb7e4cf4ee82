"""mdi report month."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import read_config
from gateway.report import Missing, report
from gateway.security.seal import Seal
from gateway.spool.ledger import thrown_away
from gateway.spool.look import rejected_lines, side_lines
from gateway.spool.rejected import FILE

app = typer.Typer(help="Reports.", no_args_is_help=True)
SHOWN = 40  # ranges; the rest is in --json


@app.callback()
def group() -> None:
    """Keep `month` a command of its own, also as long as it is the only one."""


@app.command()
def month(
    month: Annotated[str, typer.Argument(metavar="YYYY-MM", help="The month, by the day (UTC) of a declaration.")] = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Report what did not arrive in a month: each range lost or rejected, of which device, how many samples, why.

    The grade of the guarantee stands at the top. Nothing lost is said as such. Made from the side files of the spool;
    it can be made beside a running gateway, and again. Without a month: this one.

    \b
    mdi report month
    mdi report month 2026-11 --json > november.json
    """
    read = read_config(config)
    root = Path(read.gateway.state_dir) / "spool"
    losses, rejected = root / "losses.jsonl", root / "rejected" / FILE
    made = report(
        month or datetime.now(UTC).strftime("%Y-%m"),
        read.grade,
        side_lines(losses),
        rejected_lines(root, read.gateway.name, Seal.read()),
        sum(max(map(thrown_away, side_lines(path)), default=0) for path in (losses, rejected)),
    )
    if json:
        print_json(made.as_json())
        return
    lab = "LAB, " if read.lab else ""
    out.print(f"{lab}{read.gateway.name}, {made.month}: {made.grade}", markup=False)
    if not made.lost and not made.rejected:
        out.print("nothing was lost, and nothing rejected")
    else:
        totals = ((device, reason, n) for (device, reason), n in sorted(made.totals().items()))
        print_table("Samples that did not arrive", ("device", "reason", "samples"), totals)
        _show("Lost", made.lost)
        _show("Rejected, in the side file: mdi spool rejected", made.rejected)
    if made.thrown_away:
        out.print(f"the side files were full: {made.thrown_away} older lines were thrown away", markup=False)


def _show(title: str, entries: tuple[Missing, ...]) -> None:
    if not entries:
        return
    columns = ("declared", "device", "samples", "first", "last", "since", "until", "reason")
    rows = ((e.declared, e.device, e.samples, e.first, e.last, e.since, e.until, e.reason) for e in entries[:SHOWN])
    print_table(title, columns, rows)
    if len(entries) > SHOWN:
        out.print(f"and {len(entries) - SHOWN} more: --json")
