"""mdi audit verify, show, export: what happened on this box, and whether the log of it is what it was."""

from __future__ import annotations

import json as json_module
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.auditing import audit_folder, open_audit
from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, JsonOption
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.security.audit import CATALOGUE, Event
from gateway.security.audit.reading import entries_of, gateway_of, read_anchors, since_text, title, writers_of
from gateway.security.audit.verify import Report, verify

app = typer.Typer(help="The audit log: what happened, and whether it is still what it was.", no_args_is_help=True)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
Directory = Annotated[
    Path | None,
    typer.Option("--directory", metavar="DIR", help="These logs, a copy for example, and not the configuration's."),
]
Since = Annotated[str, typer.Option("--since", metavar="TIME", help="From here on: 24h, 7d, 90min, or a time.")]
Writer = Annotated[str, typer.Option("--writer", metavar="NAME", help="Of one process only: run, forward, admin …")]


def _logs(config: Path, directory: Path | None, writer: str) -> tuple[Path, str, list[str]]:
    """Return the folder, the gateway's name and the writers in question. Raises: ConfigError."""
    if directory is not None:
        folder, gateway = directory, gateway_of(directory)
    else:
        read = read_config(config)
        folder, gateway = audit_folder(read), read.gateway.name
    writers = writers_of(folder)
    if writer and writer not in writers:
        raise ConfigError("nobody of this name has written", str(folder), "one of " + ", ".join(writers))
    return folder, gateway, [writer] if writer else writers


@app.command("verify")
def verify_(
    config: ConfigFile = DEFAULT,
    directory: Directory = None,
    writer: Writer = "",
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchors", metavar="FILE", help="Checkpoints kept elsewhere: KITA's, syslog's, a saved message."
        ),
    ] = None,
    key: Annotated[str, typer.Option("--key", metavar="HEX", help="Public key as the dossier has it.")] = "",
    json: JsonOption = False,
) -> None:
    """Check that the audit log is what it was: each byte, each hash, each signature, each file.

    Alone, the files show any edit by somebody who does not make all that follows anew. With --anchors they also show
    an end that was cut off, an older copy, and a log that was made anew: a checkpoint that has left the box is the
    truth that nobody on the box can change. Exit code: 0 as it was written; 2 something to look at (a crash, lost
    events, a new key); 3 it was changed.

    \b
    mdi audit verify
    mdi audit verify --anchors kita-anchors.jsonl
    mosquitto_sub -t 'mdi/v1/+/+/gw-ita-03/status/audit/+' -W 2 > a.txt; mdi audit verify --anchors a.txt
    """
    folder, gateway, writers = _logs(config, directory, writer)
    kept = read_anchors(anchors or [], gateway)
    gone = sorted({a.writer for a in kept if a.gateway == gateway and not writer} - set(writers))
    reports = [verify(folder / name, gateway, kept, key) for name in (*writers, *gone)]
    if json:
        print_json({"ok": not any(r.exit_code for r in reports), "writers": [asdict(r) for r in reports]})
    else:
        _show_reports(reports)
    if code := max((report.exit_code for report in reports), default=0):
        raise typer.Exit(code)


def _show_reports(reports: list[Report]) -> None:
    words = {0: "as it was written", 2: "to be looked at", 3: "CHANGED"}
    rows = [
        (r.writer, f"{r.first}–{r.last}", r.checkpoints, r.anchored, r.head[:16], words[r.exit_code]) for r in reports
    ]
    print_table("Audit log", ("writer", "entries", "checkpoints", "anchored to", "head", "is"), rows)
    for report in reports:
        for found in report.findings:
            where = f" ({found.where})" if found.where else ""
            out.print(f"{report.writer}: {found.weight.value}: {found.what}{where}", markup=False, highlight=False)


@app.command()
def show(
    config: ConfigFile = DEFAULT,
    directory: Directory = None,
    writer: Writer = "",
    since: Since = "24h",
    event: Annotated[str, typer.Option("--event", metavar="NAME", help="One kind of event only.")] = "",
    danish: Annotated[bool, typer.Option("--danish", help="Titles in Danish.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what happened: the entries of all processes, in order of time.

    \b
    mdi audit show
    mdi audit show --since 7d --event device_refused
    """
    if event and event not in set(Event):
        raise ConfigError("there is no such event", hint="one of " + ", ".join(CATALOGUE))
    found = _entries(*_logs(config, directory, writer), since, event)
    if json:
        print_json(found)
        return
    rows = [(e["t_utc"][:19] + "Z", e["writer"], e["actor"], title(e, danish), e["subject"], _facts(e)) for e in found]
    print_table(f"{len(rows)} entries", ("when (UTC)", "writer", "actor", "what", "subject", "facts"), rows)


@app.command()
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File; else standard output.")
    ] = None,
    config: ConfigFile = DEFAULT,
    directory: Directory = None,
    writer: Writer = "",
    since: Since = "",
    anchors: Annotated[
        list[Path] | None, typer.Option("--anchors", metavar="FILE", help="Checkpoints kept elsewhere.")
    ] = None,
) -> None:
    """Copy the log out, with the judgement of it: evidence for an incident report (NIS2: within 24 h).

    One JSON object on each line: first what `mdi audit verify` says of each process, then the entries as they were
    written, so that whoever has the export can check the chain again. There is nothing of a patient in it. The export
    is itself an entry of the log.

    \b
    mdi audit export --since 72h -o haendelse.jsonl
    """
    folder, gateway, writers = _logs(config, directory, writer)
    kept = read_anchors(anchors or [], gateway)
    lines: list[dict[str, Any]] = [
        {"export": "mdi audit 1", "gateway": gateway, "made_at": datetime.now(UTC).isoformat(), "since": since}
    ]
    lines += [{"verify": asdict(verify(folder / name, gateway, kept))} for name in writers]
    found = _entries(folder, gateway, writers, since, "")
    _write(output, lines + found)
    if directory is None:
        _say_export(config, len(found))


def _entries(folder: Path, _gateway: str, writers: list[str], since: str, event: str) -> list[dict[str, Any]]:
    begin = since_text(since, datetime.now(UTC))
    found = [entry for name in writers for entry in entries_of(folder / name, begin, event)]
    return sorted(found, key=lambda e: (e["t_utc"], e["writer"], e["seq"]))


def _write(output: Path | None, lines: list[dict[str, Any]]) -> None:
    text = "".join(json_module.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    if output is None:
        sys.stdout.write(text)
    else:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)


def _say_export(config: Path, entries: int) -> None:
    """Somebody who may read and not write exports all the same; then nobody can write it down."""
    with suppress(ConfigError), open_audit(read_config(config), "admin") as audit:
        audit.write(Event.AUDIT_READ, "export", entries=entries)


def _facts(entry: dict[str, Any]) -> str:
    return ", ".join(f"{name}={str(value)[:40]}" for name, value in entry["facts"].items())
