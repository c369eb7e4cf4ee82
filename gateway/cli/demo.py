"""mdi demo: a live table of what happens between simulated devices and KITA."""

from __future__ import annotations

import re
import threading
import time
from enum import StrEnum
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.cli.kita import age_text, value_text
from gateway.cli.output import out
from gateway.cli.run import stop_on_signals
from gateway.config import Port
from gateway.core.errors import ConfigError
from gateway.demo import Demo
from kita.query import Latest, count, latest

OTHER_LINES = 15  # of the picture: frame and head of the table, the box below, the note, the cursor
WIDE = 100  # columns from which on the Danish name of a metric has room
SVG_SIZE = (110, 40)


class Bed(StrEnum):
    """What --bed takes."""

    small = "small"
    icu = "icu"


class Broker(StrEnum):
    """What --broker takes."""

    mosquitto = "mosquitto"
    amqtt = "amqtt"


def demo(
    for_s: Annotated[
        float, typer.Option("--for", metavar="SECONDS", min=0, help="End after so many seconds; 0: at Ctrl-C.")
    ] = 0,
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where everything is put; made anew each time.")
    ] = Path("demo-data"),
    broker: Annotated[Broker, typer.Option(help="mosquitto (when it is installed), or amqtt.")] = Broker.mosquitto,
    bed: Annotated[
        Bed, typer.Option(help="small: monitor, incubator, ECMO. icu: a full bed of seven devices, in step.")
    ] = Bed.small,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the last picture of the table as an SVG image.")
    ] = None,
) -> None:
    """Run simulated devices, gateway, broker and KITA, and show live what happens.

    A patient monitor on a serial line, a laboratory incubator on Modbus TCP and an ECMO network on CAN are read,
    forwarded as HL7 over MQTT, stored by KITA and acknowledged: each part a process of its own, all on this machine
    only. With --bed icu it is a whole bed: monitor, ventilator, two pumps, oximeter, room pressure and ECMO, with
    values, waves and alerts, all of one simulated patient. At the end one line says whether everything arrived; the
    exit code is 0 then, else 1. The folder stays for a look: configuration, logs, and the database of KITA.

    \b
    mdi demo --for 20
    mdi demo --bed icu
    mdi demo --broker amqtt --folder /tmp/demo
    """
    if svg and not svg.resolve().parent.is_dir():
        raise ConfigError("there is no such folder", str(svg.parent), "make it, or name another file")
    stop = stop_on_signals()
    say = partial(out.print, markup=False, highlight=False)
    say(f"starting devices, broker, KITA and gateway in {folder} …", style="dim")
    with Demo(folder, broker.value, bed.value) as running:
        running.wait_until_started()
        _watch(running, for_s, stop)
        if svg:
            _save(svg, _picture(running, *SVG_SIZE))
        running.stop_gateway()
        last, (ok, line) = _picture(running, *_size()), summary(running)
    if out.is_terminal:
        out.print(last)
    say(line)
    say(f"look into it: mdi kita latest --apart --database {folder / 'kita.db'}")
    raise typer.Exit(0 if ok else 1)


def _watch(running: Demo, for_s: float, stop: threading.Event) -> None:
    """Show the picture until the time is over, Ctrl-C, or a part has ended by itself (LinkError)."""
    end = time.monotonic() + for_s if for_s else float("inf")
    with Live(console=out, refresh_per_second=4, screen=out.is_terminal, transient=True) as live:
        while (left := end - time.monotonic()) > 0 and not stop.wait(min(left, 0.5)):
            running.check()
            if out.is_terminal:
                live.update(_picture(running, *_size()))


def _size() -> tuple[int, int]:
    return out.size.width, out.size.height


def _picture(running: Demo, width: int, height: int) -> Group:
    """Return the picture for a terminal of this size: newest values above, the way to KITA below."""
    status = running.status()
    rows = latest(running.database, None, apart=True) if running.database.exists() else []
    shown = max(1, (height - OTHER_LINES - len(running.bed)) // len(running.bed))
    note = Text("LAB: simulated devices. For documentation; not a monitor, not an alarm system.", style="dim")
    return Group(_values(running, rows, shown, width), _way(running, status, rows), note)


def _values(running: Demo, rows: list[Latest], shown: int, width: int) -> Table:
    """Return the table of the newest values: of each device those that people look at."""
    table = Table(expand=True, header_style="bold")
    table.add_column("port", no_wrap=True, style="bold")
    table.add_column("metric", no_wrap=True, overflow="ellipsis", ratio=3)
    if width >= WIDE:
        table.add_column("måling", no_wrap=True, overflow="ellipsis", ratio=2)
    for column, justify in (("value", "right"), ("unit", "left"), ("age", "right")):
        table.add_column(column, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    now = time.time_ns()
    for port in running.config.ports:
        mine = _of(rows, port)
        for n, row in enumerate(sorted(mine, key=_interest)[:shown]):
            danish = [Text(row.da)] if width >= WIDE else []
            value, age = value_text(row), age_text(now - row.order_ns)
            table.add_row("" if n else port.settings.name, Text(row.ref_id), *danish, value, Text(row.unit), age)
        if not mine:
            table.add_row(port.settings.name, "nothing yet")
        table.add_section()
    return table


def _interest(row: Latest) -> tuple[bool, bool, bool]:
    """Numbers under a standard code first, then other numbers, then states, then what has no value now."""
    return row.value is None, isinstance(row.value, str), not row.ref_id.startswith("MDC_")


def _of(rows: list[Latest], port: Port) -> list[Latest]:
    devices = {device.settings.eui64 for device in port.devices}
    return [row for row in rows if row.device in devices]


def _way(running: Demo, status: dict[str, Any], rows: list[Latest]) -> Panel:
    """Return what the ports do, and what has arrived."""
    ports = {port["name"]: port for port in status.get("acquire", {}).get("ports", [])}
    lines = []
    for port in running.config.ports:
        state, metrics = ports.get(port.settings.name), len(_of(rows, port))
        said = f"{state['state']} · {state['frames_ok']} frames · {state['samples']} samples" if state else "starting"
        lines.append(f"{port.settings.name}: {said} · {metrics} metrics in KITA")
    if forward := status.get("forward"):
        counters, spool = forward["counters"], forward["spool"]
        lines.append(
            f"HL7 sent {counters['sent']} · ACK received {counters['accepted']} · waiting {spool['waiting']} · "
            f"rejected {counters['rejected']} · lost {counters['rows_lost']}"
        )
        lines.append(f"{running.broker.name}, {running.broker.protocol}: {forward['sink']}")
    else:
        lines.append("gateway starting")
    text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    return Panel(text, title="devices → gateway → broker → KITA", title_align="left")


def summary(running: Demo) -> tuple[bool, str]:
    """Return whether all went well, and one line that says so."""
    status, counts = running.status(), count(running.database)
    counters, spool = status["forward"]["counters"], status["forward"]["spool"]
    rows = latest(running.database, None, apart=True)
    devices, wanted = len({row.device for row in rows}), len(running.bed)
    ok = devices == wanted and not (counters["rows_lost"] or counters["rejected"] or spool["waiting"])
    return ok, (
        f"{'ok' if ok else 'NOT ok'}: {devices} of {wanted} devices in KITA, "
        f"{counters['messages']} HL7 messages, {counters['accepted']} acknowledged, {spool['waiting']} waiting, "
        f"{counters['rows_lost']} samples lost, {counts['apart']} observations, "
        f"{counts['waves']} runs of waves and {counts['alerts']} changes of alerts stored "
        f"(apart from charting: simulated), {counts['repeated']} repeats folded"
    )


def _save(path: Path, what: Group) -> None:
    """Save a picture. The fonts are those of the reader: an image of ours loads nothing from elsewhere."""
    width, height = SVG_SIZE
    console = Console(record=True, width=width, height=height, file=StringIO())
    console.print(what)
    drawn = console.export_svg(title="mdi demo")
    path.write_text(re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8")
