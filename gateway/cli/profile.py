"""mdi profile new, lint, test, show, supported: the way of a profile from an empty page to the list of devices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway import registry
from gateway.cli.capture import DeviceOptionList, FirmwareOption, OptionList, driver_options
from gateway.cli.output import WIDE, err, out, print_json, print_table, print_wave
from gateway.cli.run import JsonOption
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile_lint import Finding, lint
from gateway.core.protocol import DeviceSpec
from gateway.core.toml_lines import line_of
from gateway.decode import find_profile, time_text
from gateway.profile_new import skeleton
from gateway.profile_trace import Trace, Traced, recorded_settings
from gateway.supported import supported

app = typer.Typer(help="Device profiles: begin, check and try them, show what they mean.", no_args_is_help=True)
COLOURS = ("green", "yellow", "cyan", "magenta", "bright_blue", "bright_red", "bright_green", "bright_yellow")
UNREAD = "dim underline"
DUMP = 16  # bytes of a frame on one line


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
        registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})
    except (ProfileError, ConfigError) as fault:
        return [Finding(_with_line(fault.where) or name, fault.what, fault.hint)]
    return []


_IN_DRIVER = re.compile(r"(.+):[0-9]+, \[+(driver[\w.]*)\]+(?: ([0-9]+))?(?: (\w+))?")


def _with_line(where: str) -> str:
    """Return "file:line" of a place in a driver's own table, which the driver names by its words: it sees no file."""
    place = _IN_DRIVER.fullmatch(where)
    if place is None or not Path(place[1]).is_file():
        return where
    path = (*place[2].split("."), *([int(place[3]) - 1] if place[3] else []), *([place[4]] if place[4] else []))
    return f"{place[1]}:{line_of(Path(place[1]).read_text(encoding='utf-8'), path)}"


@app.command("new")
def new_command(
    driver: Annotated[str, typer.Argument(metavar="DRIVER", help="Driver that reads the device.")],
    name: Annotated[str, typer.Argument(metavar="VENDOR/MODEL", help="Small letters, digits and _.")],
    folder: Annotated[Path, typer.Option("--dir", metavar="FOLDER", help="Folder of profiles to write into.")] = Path(),
    dbc: Annotated[Path | None, typer.Option(metavar="FILE", help="can_signals: the DBC file; it is copied.")] = None,
) -> None:
    """Write the skeleton of a profile: what the driver knows is filled in, what the manual knows is left open.

    With a DBC file every signal has its row. An existing file is never overwritten. What is left to do is what the
    lint then finds. Without --dir it is written below the present folder, as VENDOR/MODEL.toml.

    \b
    mdi profile new modbus acme/warmer_3 --dir profiles
    mdi profile new can_signals acme/pump --dbc pump.dbc
    """
    registry.driver(driver)  # or a suggestion
    copied = None if dbc is None else (dbc.name, _dbc_text(dbc))
    text = skeleton(driver, name, registry.Profiles(), copied)
    path = folder / f"{name}.toml"
    _write_new({path: text} | ({} if copied is None else {path.parent / copied[0]: copied[1]}))
    out.print(f"{path}: fill in what is open, then: mdi profile lint {path}", markup=False, highlight=False)


def _dbc_text(path: Path) -> str:
    """Return a DBC file as text: UTF-8, or what the usual tools write (Windows-1252)."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _write_new(files: dict[Path, str]) -> None:
    """Write files that are not there yet: all or none. Raises: ConfigError."""
    for path in files:
        if path.exists():
            raise ConfigError("is there already", str(path), "choose another name, or remove it yourself")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)


@app.command("test")
def try_command(
    name: Annotated[str, typer.Argument(metavar="PROFILE", help="VENDOR/MODEL or a .toml file.")],
    on: Annotated[Path, typer.Option("--on", metavar="FILE", help="A recording, a CAN log, or raw line bytes.")],
    frames: Annotated[int, typer.Option(metavar="N", min=0, help="So many frames of each kind are shown; 0: all.")] = 3,
    firmware: FirmwareOption = "",
    option: OptionList = None,
    device_option: DeviceOptionList = None,
    json: JsonOption = False,
) -> None:
    """Try a profile on a recording: from the bytes to the OBX of each value, and what is left unread.

    A frame with a fixed layout is shown byte by byte; each row has its colour, and a byte that no row reads is dim and
    underlined. Of a device that describes itself, what came on the line is shown, and an object without a row as such.
    Then, over the whole recording: bytes that no row reads, objects without a row, rows that never came or never had a
    value, bad frames by reason, unit codes that were not used. The bytes can name a patient: handle what is printed
    as you handle the recording.

    \b
    mdi profile test hettich/hettcube --on cabinet.mdirec
    mdi profile test ./acme/warmer_3.toml --on warmer.bin --frames 1
    """
    profiles = registry.Profiles()
    profile = find_profile(name, profiles)
    driver = registry.driver(profile.driver)
    recorded = recorded_settings(on, profile.id)
    trace = Trace(
        profile,
        profiles,
        recorded.options | driver_options(option, driver.options),
        recorded.device_options | driver_options(device_option, driver.device_options),
        firmware or recorded.firmware,
    )
    shown = []
    for traced in trace.frames(on, frames):
        if json:
            shown.append(_frame_json(traced))
        else:
            _print_frame(traced)
    left = trace.unread()
    if json:
        print_json({"profile": profile.id, "frames": shown, "unread": left})
    else:
        _print_unread(left)


def _frame_json(traced: Traced) -> dict[str, Any]:
    frame = traced.frame
    keys = ("field", "raw", "row", "value", "unit", "validity", "marks", "obx")
    return {
        "frame": traced.number,
        "kind": frame.kind,
        "t": time_text(frame.t_ns),
        "bytes": (frame.payload if isinstance(frame.payload, bytes) else traced.heard).hex(),
        "values": [{key: getattr(item, key) for key in keys} for item in traced.items],
    }


def _print_frame(traced: Traced) -> None:
    frame = traced.frame
    head = f"frame {traced.number}: {frame.kind} · {time_text(frame.t_ns) or 'no time'}"
    out.print(Text(head, style="bold"))
    metrics = [item.metric for item in traced.items if item.metric is not None]
    colours = dict(zip(dict.fromkeys([*metrics, *traced.owners.values()]), cycle(COLOURS), strict=False))
    if isinstance(frame.payload, bytes):
        styles = [colours.get(traced.owners.get(at, -1), UNREAD) for at in range(len(frame.payload))]
        _print_bytes(frame.payload, styles)
    else:
        _print_bytes(traced.heard, [""] * len(traced.heard))
    table = Table(header_style="bold")
    for column in ("field", "raw", "row", "value", "unit", "validity", "OBX"):
        table.add_column(column, overflow="fold")
    for item in traced.items:
        style = UNREAD if item.metric is None else colours[item.metric]
        validity = " ".join((item.validity, *item.marks))
        cells = (item.field, item.raw, item.row, item.value, item.unit, validity, item.obx)
        table.add_row(*(Text(cell, style=style if i == 0 else "") for i, cell in enumerate(cells)))
    (out if out.is_terminal else Console(width=WIDE)).print(table)
    if traced.samples:
        print_wave([(False, traced.samples)])


def _print_bytes(data: bytes, styles: list[str]) -> None:
    """Print bytes with their offset, as numbers and as characters."""
    for start in range(0, len(data), DUMP):
        line = Text(f"{start:5d}  ", style="dim")
        piece = range(start, min(start + DUMP, len(data)))
        for at in piece:
            line.append(f"{data[at]:02X}", style=f"not dim {styles[at]}" if "dim" not in styles[at] else styles[at])
            line.append(" ")
        line.append("   " * (DUMP - len(piece)) + " ")
        for at in piece:
            line.append(chr(data[at]) if 32 <= data[at] < 127 else "·", style=styles[at])
        out.print(line)


def _print_unread(left: dict[str, Any]) -> None:
    """Print what is left, and say so where nothing is."""
    rows = list(_unread_rows(left))
    counted = ", ".join(f"{kind} {n}" for kind, n in left["frames"].items()) or "none"
    out.print(f"frames: {counted}", markup=False, highlight=False)
    print_table("left unread", ("what", "which"), rows or [("nothing", "every row was read")])


def _unread_rows(left: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, places in left["bytes"].items():
        if places:
            yield f"bytes of {kind} that no row reads", "; ".join(places)
    for key, what in (
        ("unmapped", "objects without a row"),
        ("never_seen", "rows that never came"),
        ("never_a_value", "rows that never had a value"),
        ("bad_frames", "bad frames"),
        ("faults", "other faults"),
        ("unused_units", "units never used"),
    ):
        found = left[key]
        if found:
            texts = [f"{name} ({n})" for name, n in found.items()] if isinstance(found, dict) else found
            yield what, "\n".join(texts)


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
    out.file.write(supported(registry.Profiles(), registry.unseen_flips))
