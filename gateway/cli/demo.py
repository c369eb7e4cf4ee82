"""mdi demo: a live table of what happens between three simulated devices and KITA."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.cli.kita import age_text, value_text
from gateway.cli.output import out
from gateway.cli.run import stop_on_signals
from gateway.core.errors import ConfigError
from gateway.demo import DEVICES, Demo
from kita.query import Latest, count, latest

SHOWN = 14  # metrics of one device in the table: the rest is in the database


def demo(
    for_s: Annotated[float, typer.Option("--for", help="End after so many seconds; 0 = until Ctrl-C.")] = 0,
    folder: Annotated[Path, typer.Option(help="Where everything is put; made anew.")] = Path("demo-data"),
    broker: Annotated[str, typer.Option(help="mosquitto (when installed) or amqtt.")] = "mosquitto",
    svg: Annotated[Path | None, typer.Option(help="Save the last picture of the table.")] = None,
) -> None:
    """Run three simulated devices, gateway, broker and KITA, and show live what happens."""
    if folder.exists() and not (folder / "mdi_config.toml").exists() and any(folder.iterdir()):
        raise ConfigError("folder is not empty and not of a demo", str(folder), "name another with --folder")
    stop = stop_on_signals()
    out.print(f"starting devices, broker, KITA and gateway in {folder} …", style="dim", markup=False)
    with Demo(folder, broker) as running:
        running.wait_until_started()
        end = time.monotonic() + for_s if for_s else float("inf")
        with Live(console=out, refresh_per_second=4, screen=out.is_terminal, transient=True) as live:
            while time.monotonic() < end and not stop.wait(0.5):
                running.check()
                live.update(picture(running))
        running.stop_gateway()
        last, ok = picture(running), summary(running)
    if svg:
        _save(svg, last)
    out.print(last if out.is_terminal else "", end="")
    out.print(ok[1], markup=False, highlight=False)
    out.print(f"look into it: mdi kita latest --apart --database {folder / 'kita.db'}", markup=False, highlight=False)
    raise typer.Exit(0 if ok[0] else 1)


def picture(running: Demo) -> Group:
    """Return the whole picture: devices and their values on the left, the way to KITA below."""
    status = running.status()
    rows = latest(running.database, None, apart=True) if running.database.exists() else []
    tables = [_device(running, number, status, rows) for number in range(len(DEVICES))]
    note = Text("Simulated devices. For documentation; not a monitor, not an alarm system.", style="dim")
    return Group(*tables, _way(running, status), note)


def _device(running: Demo, number: int, status: dict[str, Any], rows: list[Latest]) -> Table:
    device = running.config.devices[number]
    port = next(
        (p for p in status.get("acquire", {}).get("ports", []) if p["devices"][0]["name"] == device.settings.name), None
    )
    mine = [row for row in rows if row.device == device.settings.eui64]
    state = f"{port['state']} · {port['frames_ok']} frames · {port['samples']} samples" if port else "starting"
    name = port["name"] if port else device.settings.name
    table = Table(
        title=f"{name} · {device.settings.name} · {state}", title_justify="left", title_style="bold", expand=True
    )
    for column, justify in (
        ("metric", "left"),
        ("måling", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("age", "right"),
    ):
        table.add_column(column, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    now = time.time_ns()
    for row in mine[:SHOWN]:
        table.add_row(row.ref_id, row.da, value_text(row), row.unit, age_text(now - row.t_utc_ns))
    if len(mine) > SHOWN:
        table.caption = f"and {len(mine) - SHOWN} more in the database"
    return table


def _way(running: Demo, status: dict[str, Any]) -> Panel:
    forward = status.get("forward")
    if not forward:
        return Panel("gateway starting", title="to KITA")
    counters, spool = forward["counters"], forward["spool"]
    return Panel(
        f"HL7 sent {counters['sent']} · ACK received {counters['accepted']} · waiting in spool {spool['waiting']} · "
        f"rejected {counters['rejected']} · samples lost {counters['rows_lost']}\n"
        f"{running.broker.name}, {running.broker.protocol}: {forward['sink']}",
        title="gateway → broker → KITA",
        title_align="left",
    )


def summary(running: Demo) -> tuple[bool, str]:
    """Return whether all went well, and one line that says so."""
    status, counts = running.status(), count(running.database)
    counters, spool = status["forward"]["counters"], status["forward"]["spool"]
    rows = latest(running.database, None, apart=True)
    devices = len({row.device for row in rows})
    ok = devices == len(DEVICES) and not (counters["rows_lost"] or counters["rejected"] or spool["waiting"])
    return ok, (
        f"{'ok' if ok else 'NOT ok'}: {devices} of {len(DEVICES)} devices in KITA, "
        f"{counters['messages']} HL7 messages, {counters['accepted']} acknowledged, {spool['waiting']} waiting, "
        f"{counters['rows_lost']} samples lost, "
        f"{counts['apart']} observations stored (apart from charting: simulated), {counts['repeated']} repeats folded"
    )


def _save(path: Path, what: Group) -> None:
    from rich.console import Console

    console = Console(record=True, width=110, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(what)
    console.save_svg(str(path), title="mdi demo")
