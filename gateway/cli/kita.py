"""mdi kita run, latest, count, gaps …: the receiving side, and what it has stored."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import groupby
from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import out, print_json, print_table, print_wave
from gateway.cli.run import JsonOption, stop_on_signals
from gateway.core.sample import Flag
from gateway.notify import Notify
from kita.numbers import gaps
from kita.query import Latest, count, latest
from kita.query_measured import alerts, waves
from kita.service import TICK_S
from kita.service import run as run_kita
from kita.settings import KitaSettings

app = typer.Typer(help="KITA: receive, check, store, acknowledge; and ask what is stored.", no_args_is_help=True)
Database = Annotated[Path, typer.Option("--database", "-d", metavar="FILE", help="The database of KITA.")]
DeviceOption = Annotated[str | None, typer.Option("--device", metavar="EUI-64", help="Only this device.")]
ApartOption = Annotated[bool, typer.Option("--apart", help="Show what is kept apart: demo, test and training data.")]
DEFAULT = Path("kita.db")
LAB = "LAB: demo-, test- og træningsdata. Ingen patients tal."
NOT_A_MONITOR = "Til dokumentation. Ikke overvågning og ikke alarm."
CLOCK = {  # where the times of the sender are in doubt
    "unsynchronised": "ur uden synkronisering",
    "stepped": "ur netop stillet",
    "unset": "ur aldrig stillet",
}
PRIORITY = {"PH": "høj", "PM": "mellem", "PL": "lav", "PN": "ingen"}


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
    crl: Annotated[
        str, typer.Option(metavar="FILE", help="Revocation lists of the broker's CAs; empty: not asked.")
    ] = "",
    san: Annotated[str, typer.Option(metavar="NAME", help="Name in the broker's certificate; empty: the host.")] = "",
    tls_min: Annotated[str, typer.Option(metavar="VERSION", help="Lowest version of TLS: 1.3 or 1.2.")] = "1.3",
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
        crl=crl,
        san=san,
        tls_min=tls_min,
    )
    notify = Notify(os.environ, os.getpid())
    run_kita(settings, stop_on_signals(), on_turn=Pulse(notify, time.monotonic))


class Pulse:
    """Tells systemd at each turn of the receiving loop: ready at the first, alive each half interval of the watchdog.

    A database that hangs, or a lock that is never given back, turns nothing, and the watchdog ends it.
    """

    def __init__(self, notify: Notify, monotonic: Callable[[], float]) -> None:
        self._notify, self._monotonic = notify, monotonic
        self._next: float | None = None

    def __call__(self) -> None:
        """The loop has turned."""
        now = self._monotonic()
        if self._next is None:
            self._notify.ready()
            self._next = now
        if self._notify.watchdog_s and now >= self._next:
            self._notify.alive()
            self._next = now + self._notify.watchdog_s / 2 - TICK_S


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


@app.command("gaps")
def gaps_command(database: Database = DEFAULT, json: JsonOption = False) -> None:
    """Show which messages of each gateway have not come.

    A gateway numbers its messages without a hole. What is missing was lost on the way (by a broker, when a PUBACK
    releases), was declared lost by the gateway, or is still under way. The exit code is 1 when something is missing.

    \b
    mdi kita gaps --database kita.db
    """
    found = gaps(database)
    missing = sum(one.missing for one in found)
    if json:
        print_json([{**asdict(one), "missing": one.missing} for one in found])
    else:
        rows = [(one.gateway, one.first, one.last, one.received, one.missing) for one in found]
        print_table(str(database), ("gateway", "første", "nyeste", "modtaget", "mangler"), rows)
        now = time.time_ns()
        for gap in (gap for one in found for gap in one.gaps):
            numbers = f"{gap.first}" if gap.missing == 1 else f"{gap.first}–{gap.last}"
            out.print(f"{gap.gateway}: {numbers} mangler, kendt i {age_text(now - gap.since_ns)}", style="bold red")
    if missing:
        raise typer.Exit(1)


@app.command("latest")
def latest_command(
    database: Database = DEFAULT,
    device: DeviceOption = None,
    apart: ApartOption = False,
    json: JsonOption = False,
) -> None:
    """Show the newest value of each metric with unit, validity and age.

    Where the clock of the sender is in doubt, that is said beside the value; where it was set just then or never, the
    age is counted from when the message came.

    \b
    mdi kita latest --database demo-data/kita.db --apart
    mdi kita latest --device 0009FBFFFE012345 --json
    """
    rows = latest(database, device, apart)
    now = time.time_ns()
    if json:
        print_json([{**asdict(row), "age_s": round((now - row.order_ns) / 1e9, 1)} for row in rows])
        return
    cells = [
        (r.device, r.da or r.ref_id, value_text(r), r.unit, r.limits, r.validity, age_text(now - r.order_ns), marks(r))
        for r in rows
    ]
    print_table(
        str(database), ("apparat", "måling", "værdi", "enhed", "grænser", "gyldighed", "alder", "mærker"), cells
    )
    _print_foot(apart)


@app.command("alerts")
def alerts_command(
    database: Database = DEFAULT, device: DeviceOption = None, apart: ApartOption = False, json: JsonOption = False
) -> None:
    """Show the alerts that are active, and of which devices that is known at all.

    For documentation: nobody is called by this. A device whose sign of life has lapsed is shown as unknown, never as
    silent.

    \b
    mdi kita alerts --database demo-data/kita.db --apart
    """
    now = time.time_ns()
    active, known = alerts(database, device, apart, now)
    if json:
        print_json({"alerts": [asdict(a) for a in active], "alerting": [asdict(k) for k in known]})
        return
    rows = [
        (
            a.device,
            a.text or a.da or a.ref_id,
            a.source,
            PRIORITY.get(a.priority, a.priority),
            a.silenced,
            age_text(now - a.t_utc_ns),
            CLOCK.get(a.clock, ""),
        )
        for a in active
    ]
    print_table(str(database), ("apparat", "alarm", "om", "prioritet", "tilstand", "siden", "mærker"), rows)
    for k in known:
        said = f"{k.active} aktive" if k.known else f"alarmtilstand ukendt i {age_text(now - k.t_utc_ns)}"
        if k.known and k.doubtful:
            said += f", {k.doubtful} flere er meldt: nogle kan være ovre"
        out.print(f"{k.device}: {said}", style="" if k.known and not k.doubtful else "bold red")
    _print_foot(apart)


@app.command("waves")
def waves_command(
    database: Database = DEFAULT,
    device: DeviceOption = None,
    apart: ApartOption = False,
    seconds: Annotated[float, typer.Option(metavar="S", help="How far back to look.")] = 10.0,
    json: JsonOption = False,
) -> None:
    """Show the waveforms of the last seconds as a picture; --json has the samples.

    \b
    mdi kita waves --database demo-data/kita.db --apart --seconds 5
    """
    runs = waves(database, device, apart, time.time_ns() - round(seconds * 1e9))
    if json:
        print_json([{**asdict(run), "samples": [None if isnan(v) else v for v in run.samples]} for run in runs])
        return
    for (name, title, unit), mine in groupby(runs, lambda run: (run.device, run.da or run.ref_id, run.unit)):
        pieces = list(mine)
        out.print(f"{name}  {title}  {unit}  {pieces[0].rate_hz:g}/s")
        print_wave([(run.after_gap, run.samples) for run in pieces])
    _print_foot(apart)


def _print_foot(apart: bool) -> None:
    """Say what this is not; and of what is kept apart, that it is nobody's."""
    if apart:
        out.print(LAB, style="bold yellow")
    out.print(NOT_A_MONITOR, style="dim")


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
    flags = [flag.name.lower() for flag in Flag if row.flags & flag and flag.name]
    return " ".join([*flags, CLOCK.get(row.clock, "")]).strip()
