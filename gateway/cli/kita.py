"""mdi kita run, latest, count: the receiving side, and what it has stored."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import JsonOption, stop_on_signals
from gateway.core.sample import Flag
from kita.query import Latest, count, latest
from kita.service import run as run_kita
from kita.settings import KitaSettings

app = typer.Typer(help="KITA: receive, check, store, acknowledge; and ask what is stored.", no_args_is_help=True)
Database = Annotated[Path, typer.Option("--database", "-d", metavar="FILE", help="The database of KITA.")]
DEFAULT = Path("kita.db")


@app.command()
def run(
    database: Database = DEFAULT,
    host: Annotated[str, typer.Option(metavar="NAME", help="The MQTT broker.")] = "localhost",
    port: Annotated[int, typer.Option(metavar="PORT", help="Its TCP port.")] = 1883,
    protocol: Annotated[str, typer.Option(metavar="NAME", help="mqtt5 or mqtt311.")] = "mqtt5",
    client_id: Annotated[str, typer.Option(metavar="TEXT", help="Client id, unique at the broker.")] = "kita",
    site: Annotated[str, typer.Option(metavar="NAME", help="Only this hospital; + for all.")] = "+",
    unit: Annotated[str, typer.Option(metavar="NAME", help="Only this ward; + for all.")] = "+",
    ca: Annotated[str, typer.Option(metavar="FILE", help="CA certificates to check the broker against: TLS.")] = "",
    cert: Annotated[str, typer.Option(metavar="FILE", help="Certificate of KITA; needs --ca and --key.")] = "",
    key: Annotated[str, typer.Option(metavar="FILE", help="Private key of KITA.")] = "",
) -> None:
    """Receive observations, check them, store them, and only then acknowledge them.

    Simulated, test and training data is kept apart from charting. SIGTERM and Ctrl-C end it in order.

    \b
    mdi kita run --database kita.db --host broker.example --port 1883
    """
    settings = KitaSettings(
        database=str(database),
        host=host,
        port=port,
        protocol=protocol,
        client_id=client_id,
        site=site,
        unit=unit,
        ca=ca,
        cert=cert,
        key=key,
    )
    run_kita(settings, stop_on_signals())


@app.command("count")
def count_command(database: Database = DEFAULT, json: JsonOption = False) -> None:
    """Count what is stored.

    Messages, observations, what is kept apart from charting, refused messages (dead letters), and repeats that were
    recognised and not stored again.
    """
    counts = count(database)
    if json:
        print_json(counts)
        return
    print_table(str(database), ("what", "count"), counts.items())


@app.command("latest")
def latest_command(
    database: Database = DEFAULT,
    device: Annotated[str | None, typer.Option(metavar="EUI-64", help="Only this device.")] = None,
    apart: Annotated[
        bool, typer.Option("--apart", help="Show what is kept apart: demo, test and training data.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show the newest value of each metric with unit, validity and age.

    \b
    mdi kita latest --database demo-data/kita.db --apart
    mdi kita latest --device 0009FBFFFE012345 --json
    """
    rows = latest(database, device, apart)
    now = time.time_ns()
    if json:
        print_json([{**asdict(row), "age_s": round((now - row.t_utc_ns) / 1e9, 1)} for row in rows])
        return
    cells = [
        (r.device, r.da or r.ref_id, value_text(r), r.unit, r.validity, age_text(now - r.t_utc_ns), marks(r))
        for r in rows
    ]
    print_table(str(database), ("apparat", "måling", "værdi", "enhed", "gyldighed", "alder", "mærker"), cells)
    out.print("Til dokumentation. Ikke overvågning og ikke alarm.", style="dim")


def value_text(row: Latest) -> str:
    """Return the value as a Danish ward reads it: a comma, and a dash where there is none."""
    if row.value is None:
        return "—"
    return row.value if isinstance(row.value, str) else f"{row.value:.6g}".replace(".", ",")


def age_text(ns: int) -> str:
    """Return how long ago, in the largest whole unit that says it."""
    seconds = max(0, ns // 1_000_000_000)
    for size, unit in ((86400, "d"), (3600, "t"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def marks(row: Latest) -> str:
    """Return what else is known of the value."""
    return " ".join(flag.name.lower() for flag in Flag if row.flags & flag and flag.name)
