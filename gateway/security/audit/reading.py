"""The audit log as people read it: entries since a time, anchors out of whatever kept them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError
from gateway.security.audit.chain import CHECKPOINT
from gateway.security.audit.entry import Checkpoint, checkpoint_of
from gateway.security.audit.events import CATALOGUE, Event
from gateway.security.audit.publish import WRITER
from gateway.security.audit.verify import files_of, lines_of

_AGO = re.compile(r"(\d{1,5})(min|h|d)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


def writers_of(folder: Path) -> list[str]:
    """Return who has written in state_dir/audit. Raises: ConfigError when it cannot be read."""
    try:
        names = [path.name for path in folder.iterdir() if path.is_dir() and re.fullmatch(WRITER, path.name)]
    except OSError as fault:
        raise ConfigError(
            f"no audit log can be read: {fault.strerror}", str(folder), "the group of the gateway may read it"
        ) from fault
    return sorted(name for name in names if files_of(folder / name) or (folder / name / CHECKPOINT).exists())


def gateway_of(folder: Path) -> str:
    """Return the name of the gateway whose logs lie in a folder, as its own checkpoints say it; "" when none does."""
    for writer in writers_of(folder):
        with suppress(OSError, ValueError):
            return Checkpoint.parse((folder / writer / CHECKPOINT).read_bytes()).gateway
    return ""


def since_text(since: str, now: datetime) -> str:
    """Return the begin of a span as entries write it. since: 24h, 7d, 90min, or a time; "" is from the begin on.

    Raises: ConfigError.
    """
    if not since:
        return ""
    if ago := _AGO.fullmatch(since):
        begin = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        try:
            begin = datetime.fromisoformat(since)
        except ValueError:
            raise ConfigError("--since is no time", hint="write 24h, 7d, or 2026-11-21T08:00+01:00") from None
        begin = begin.astimezone(UTC)  # without a zone: of this box
    return begin.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entries_of(folder: Path, since: str = "", event: str = "") -> Iterator[dict[str, Any]]:
    """Yield the entries of one writer, as written, from a time on; what is damaged is left out: see `verify`."""
    for line in lines_of(folder):
        if line.entry and line.entry["t_utc"] >= since and event in ("", line.entry["event"]):
            yield line.entry


def title(entry: dict[str, Any], danish: bool = False) -> str:
    """Return the title of an entry's event, for a person."""
    try:
        kind = CATALOGUE[Event(entry["event"])]
    except ValueError:  # written by a newer program
        return str(entry["event"])
    return kind.danish if danish else kind.english


def anchors_in(text: str, gateway: str) -> list[Checkpoint]:
    """Return the checkpoints in a text: retained messages, lines of a syslog collector, entries. Others are passed by.

    gateway: whose log it is; an entry does not name it.
    """
    found = []
    for line in text.splitlines():
        begin, end = line.find("{"), line.rfind("}")
        if begin < 0 or end < begin:
            continue
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            value = json.loads(line[begin : end + 1])
            if isinstance(value, dict) and value.get("event") == Event.AUDIT_CHECKPOINT:
                said = checkpoint_of(value, gateway)
                found += [said] if said else []
            else:
                found.append(Checkpoint.parse(line[begin : end + 1]))
    return found


def read_anchors(paths: list[Path], gateway: str) -> list[Checkpoint]:
    """Return the anchors in files. Raises: ConfigError when one cannot be read, or holds none."""
    found = []
    for path in paths:
        try:
            here = anchors_in(path.read_text(encoding="utf-8", errors="replace"), gateway)
        except OSError as fault:
            raise ConfigError(f"cannot be read: {fault.strerror}", str(path)) from fault
        if not here:
            raise ConfigError("there is no checkpoint in it", str(path), "save the retained message …/status/audit/+")
        found += here
    return found
