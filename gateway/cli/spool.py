"""mdi spool ls, verify, export, rejected: what waits to be sent, looked at from outside."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gateway.cli.output import out, print_json, print_table, progress
from gateway.cli.run import DEFAULT, JsonOption
from gateway.config import read_config
from gateway.core.ack import shortened
from gateway.core.errors import ConfigError
from gateway.security.seal import Seal
from gateway.spool.layout import RecordFlag, Stored
from gateway.spool.look import SegmentLook, SpoolLook, look, rejected_lines, size_of
from gateway.spool.rejected import REQUESTS, Rejected, Request, ask, latest, parse
from gateway.spool.times import iso

app = typer.Typer(help="The spool: what waits, what is damaged, what was rejected.", no_args_is_help=True)
rejected_app = typer.Typer(help="Messages that the receiver will never take.", no_args_is_help=True)
app.add_typer(rejected_app, name="rejected")

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
Directory = Annotated[
    Path | None,
    typer.Option("--directory", metavar="DIR", help="This spool, a copy for example, and not the configuration's."),
]


def _root(config: Path, directory: Path | None) -> tuple[Path, str]:
    """Return the spool's directory and the id of its gateway, "" when only its headers know."""
    if directory is not None:
        return directory, ""
    gateway = read_config(config).gateway
    return Path(gateway.state_dir) / "spool", gateway.name


def _look(config: Path, directory: Path | None, title: str) -> SpoolLook:
    root, gateway = _root(config, directory)
    with progress(title, size_of(root)) as told:
        return look(root, told, gateway, Seal.read())


@app.command()
def ls(config: ConfigFile = DEFAULT, directory: Directory = None, json: JsonOption = False) -> None:
    """List the segments: what stands in them, and how much of it waits.

    Reads only, and works beside a running gateway. No values are shown.

    \b
    mdi spool ls
    mdi spool ls --directory /mnt/copy/spool --json | jq '.[].waiting'
    """
    found = _look(config, directory, "reading")
    rows = [_segment_row(found, segment) for segment in found.segments]
    if json:
        print_json(rows)
        return
    columns = ("segment", "epoch", "seq", "samples from", "to", "messages", "waiting", "bytes", "devices", "compressed")
    shown = (
        (r["segment"], r["epoch"], f"{r['first_seq']}–{r['last_seq']}", r["from"], r["to"], *_rest(r)) for r in rows
    )
    print_table(f"{found.root}: gateway {found.gateway or '?'}", columns, shown)


def _rest(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["messages"], row["waiting"], row["bytes"], " ".join(row["devices"]), row["compressed"]


def _segment_row(found: SpoolLook, segment: SegmentLook) -> dict[str, Any]:
    messages = waiting = compressed = 0
    devices: set[str] = set()
    times: list[int] = []
    for stored, waits in found.messages(segment):
        messages += 1
        waiting += waits
        compressed += bool(stored.flags & RecordFlag.ZSTD)
        devices.add(stored.extent.device)
        times = [min([stored.extent.first_t_ns, *times[:1]]), max([stored.extent.last_t_ns, *times[1:]])]
    return {
        "segment": segment.identity.number,
        "epoch": segment.identity.epoch,
        "first_seq": segment.identity.first_seq,
        "last_seq": segment.last_seq,
        "from": iso(times[0]) if times else None,
        "to": iso(times[1]) if times else None,
        "messages": messages,
        "carried": len(segment.carried),
        "waiting": waiting,
        "bytes": segment.size,
        "devices": sorted(devices),
        "compressed": compressed,
    }


@app.command()
def verify(config: ConfigFile = DEFAULT, directory: Directory = None, json: JsonOption = False) -> None:
    """Read every record and check it, the cursor and the epochs, and count anew what waits.

    Reads only. The exit code is 1 when something is damaged, else 0. Damage does not stop a gateway: it declares what
    is lost at its next start.

    \b
    mdi spool verify
    mdi spool verify --json | jq .damaged
    """
    found = _look(config, directory, "checking")
    messages, samples = found.waiting()
    damaged = [
        {"segment": s.identity.number, "from": begin, "to": end} for s in found.segments for begin, end in s.damaged
    ]
    devices = {device: {"messages": messages[device], "samples": samples[device]} for device in sorted(messages)}
    result = {
        "ok": found.ok,
        "segments": len(found.segments),
        "damaged": damaged,
        "missing": found.missing,
        "cursor_slots_bad": found.slots_bad,
        "epochs_in_order": found.epochs,
        "torn_bytes": found.segments[-1].found.tail if found.segments else 0,
        "waiting": devices,
    }
    if json:
        print_json(result)
    else:
        for place in damaged:
            out.print(f"damaged: segment {place['segment']}, bytes {place['from']} to {place['to']}", style="red")
        for first, last in found.missing:
            out.print(f"missing: messages {first} to {last}, to be declared lost at the next start", style="red")
        if found.slots_bad:
            out.print(f"damaged: {found.slots_bad} of the cursor's 2 slots", style="red")
        if not found.epochs:
            out.print("damaged: an older epoch stands behind a newer one", style="red")
        shown = ((device, counts["messages"], counts["samples"]) for device, counts in devices.items())
        print_table(f"{found.root}: waiting", ("device", "messages", "samples"), shown)
        out.print(f"{len(found.segments)} segments, " + ("all in order" if found.ok else "damaged"))
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new folder, or a new file .jsonl or .er7.")],
    config: ConfigFile = DEFAULT,
    directory: Directory = None,
    what: Annotated[str, typer.Option(metavar="WHICH", help="waiting, or all that still stands there.")] = "waiting",
    first: Annotated[int, typer.Option(metavar="SEQ", help="From this number on.")] = 1,
    last: Annotated[int, typer.Option(metavar="SEQ", help="To this number; 0 = to the end.")] = 0,
    device: Annotated[str, typer.Option(metavar="NAME", help="Only messages of this device.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="Only samples of this time (ISO 8601) or later.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Only samples of before this time.")] = "",
    json: JsonOption = False,
) -> None:
    """Copy messages out of the spool: a folder of ER7 files, one ER7 file, or JSON lines.

    They stay in the spool and are sent as before. What is written holds clinical values: it is readable by you only.
    File names hold no device and no place. The order is that of the segments: what was carried over when the spool was
    full stands later.

    \b
    mdi spool export out.jsonl --device stue3-seng2 --since 2026-10-25T02:00+02:00
    mdi spool export messages --what all --first 1000 --last 2000
    """
    if what not in ("waiting", "all"):
        raise ConfigError(f"--what {what} is not known", hint="waiting or all")
    span = _time_ns(since, 0), _time_ns(until, 1 << 63)
    found = _look(config, directory, "reading")

    def wanted(stored: Stored, waits: bool) -> bool:
        extent, seq = stored.extent, stored.message.seq
        in_time = extent.last_t_ns >= span[0] and extent.first_t_ns < span[1]
        here = first <= seq and (not last or seq <= last) and device in ("", extent.device)
        return in_time and here and (waits or what == "all")

    written = 0
    with _writer(target) as write, progress("writing", len(found.segments)) as told:
        for done, segment in enumerate(found.segments):
            for stored, waits in found.messages(segment):
                if wanted(stored, waits):
                    write(stored)
                    written += 1
            told(done + 1)
    if json:
        print_json({"target": str(target), "messages": written})
    else:
        out.print(f"{target}: {written} messages", markup=False, highlight=False)


def _time_ns(text: str, default: int) -> int:
    if not text:
        return default
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except ValueError:
        raise ConfigError(f"{text!r} is no time", hint="2026-10-25T02:30+02:00") from None


@contextmanager
def _writer(target: Path) -> Iterator[Callable[[Stored], None]]:
    """Yield what writes one message to the target. Nothing is overwritten."""
    if target.exists():
        raise ConfigError("it is there already", str(target), "name a new folder or file")
    if target.suffix not in (".jsonl", ".er7"):
        target.mkdir(mode=0o700, parents=True)

        def to_file(stored: Stored) -> None:
            path = target / f"message-{stored.message.seq:012d}.er7"
            with open(path, "xb", opener=_private) as file:
                file.write(stored.message.payload)

        yield to_file
        return
    with open(target, "xb", opener=_private) as file:

        def to_line(stored: Stored) -> None:
            file.write(_line(stored) if target.suffix == ".jsonl" else stored.message.payload)

        yield to_line


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _line(stored: Stored) -> bytes:
    message = stored.message
    value = {
        "seq": message.seq,
        "control_id": message.control_id,
        "appended": iso(stored.t_utc_ns),
        "clock_quality": stored.clock_quality,
        "flags": [flag.name for flag in RecordFlag if flag & stored.flags],
        "extent": stored.extent,
        "message": message.payload.decode("utf-8", errors="backslashreplace"),
    }
    return msgspec.json.encode(value) + b"\n"


# ---- rejected


def _lines(root: Path, gateway: str) -> Iterator[bytes]:
    """Yield the lines of the rejected messages, oldest first."""
    return rejected_lines(root, gateway, Seal.read())


@rejected_app.command("list")
def list_command(
    config: ConfigFile = DEFAULT,
    directory: Directory = None,
    text: Annotated[bool, typer.Option("--text", help="Also the receiver's words: they may quote a message.")] = False,
    json: JsonOption = False,
) -> None:
    """List the rejected messages with the receiver's code, and which of them were resent.

    What the receiver says in words may repeat what stands in the message: it is shown with --text only.

    \b
    mdi spool rejected list
    mdi spool rejected list --json | jq -r '.[].control_id'
    """
    root, gateway = _root(config, directory)
    told = latest(_lines(root, gateway))
    entries = {e.control_id: e for e in parse(_lines(root, gateway)) if isinstance(e, Rejected)}
    rows = [
        {
            "control_id": control_id,
            "rejected": entries[control_id].rejected,
            "device": entries[control_id].extent.device,
            "samples": entries[control_id].extent.count,
            "reason": reason if text else shortened(reason),
            "resent": at or None,
        }
        for control_id, (reason, at) in told.items()
    ]
    if json:
        print_json(rows)
        return
    columns = ("control id", "rejected", "device", "samples", "reason", "resent")
    print_table(f"{root}: rejected", columns, (row.values() for row in rows))
    counts = Counter(row["resent"] is not None for row in rows)
    out.print(f"{len(rows)} rejected, {counts[True]} of them resent")


@rejected_app.command()
def show(
    control_id: Annotated[str, typer.Argument(metavar="ID", help="The control id, MSH-10.")],
    config: ConfigFile = DEFAULT,
    directory: Directory = None,
    json: JsonOption = False,
) -> None:
    """Show one rejected message, segment by segment. It holds clinical values.

    \b
    mdi spool rejected show gw-1-1800000000-17
    """
    root, gateway = _root(config, directory)
    found = [e for e in parse(_lines(root, gateway)) if isinstance(e, Rejected) and e.control_id == control_id]
    if not found:
        raise ConfigError(f"no rejected message has the control id {control_id}", str(root), "mdi spool rejected list")
    if json:
        print_json(msgspec.to_builtins(found[-1]))
        return
    out.print(f"{found[-1].rejected}  {found[-1].reason}", markup=False, highlight=False)
    out.print(found[-1].message.replace("\r", "\n"), markup=False, highlight=False)


@rejected_app.command()
def resend(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Control ids, MSH-10.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were not resent since they were rejected.")] = False,
    config: ConfigFile = DEFAULT,
    directory: Directory = None,
    json: JsonOption = False,
) -> None:
    """Ask the sender to send rejected messages again: the very same bytes under the same control id.

    A running sender takes it up within two seconds, 200 messages a second, a stopped one at its next start. What the
    receiver has refused for its content it will refuse again: mend the receiver first.

    \b
    mdi spool rejected resend gw-1-1800000000-17
    mdi spool rejected resend --all
    """
    root, gateway = _root(config, directory)
    known = latest(_lines(root, gateway))
    unknown = [control_id for control_id in ids or [] if control_id not in known]
    if unknown:
        what = f"no rejected message has the control id {unknown[0]}"
        raise ConfigError(what, str(root), "mdi spool rejected list")
    if bool(ids) == every:
        raise ConfigError("what is to be resent?", hint="control ids, or --all, and not both")
    chosen = ids or [control_id for control_id, (_, at) in known.items() if not at]
    name = f"resend-{time.time_ns()}-{os.getpid()}"
    try:
        path = ask(root, Request(list(ids or []), every), name)
    except OSError as fault:
        where, hint = str(root / REQUESTS), "ask as the user that the sender runs as, with space on the disk"
        raise ConfigError(f"the request cannot be written: {fault.strerror}", where, hint) from fault
    if json:
        print_json({"request": path.name, "messages": len(chosen)})
    else:
        out.print(f"{len(chosen)} messages: a running sender takes them up within two seconds", highlight=False)
