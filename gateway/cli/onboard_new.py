"""mdi onboard new: the record of a device, from what is known, what a probe has found, and what a person says."""

from __future__ import annotations

import dataclasses
import json as json_text
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import err, out, print_json
from gateway.cli.probe import as_json, serial_settings
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError, MdiError
from gateway.probe import Probe
from gateway.probe_line import MarkedSerial, ProbeLine
from gateway.probe_trial import candidates
from gateway.security.onboard import draft
from gateway.security.onboard.observed import read_observed
from gateway.security.onboard.record import read_record, record_path

PROBE_S = 5.0  # as mdi probe listens at each setting


def new(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="Asset number of the hospital.")],
    device: Annotated[str, typer.Option(metavar="NAME", help="Name of the device in the configuration.")] = "",
    from_probe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `mdi probe PORT --json` has written.")
    ] = None,
    probe: Annotated[str, typer.Option(metavar="PORT", help="Listen on this port first; writes no byte.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of the record. Repeatable.")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Ask for what is missing.")] = True,
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Write the record of a new device: devices.d/ASSET.toml.

    What the configuration, the running gateway and a probe know is filled in; what is missing is asked for, each with
    its meaning. Without a terminal, or with --no-ask, what is missing stays to be filled in, and the exit code is 2.

    \b
    mdi onboard new MT-01234 --device mp70-17
    mdi probe /dev/ttyUSB0 --json > found.json; mdi onboard new MT-01234 --device mp70-17 --from-probe found.json
    mdi onboard new MT-01234 --device mp70-17 --no-ask --set serial=DE123 --set mdr_class=IIb
    """
    read = read_config(config)
    path = record_path(Path(read.security.etc_dir), asset)
    if path.exists():
        raise ConfigError(f"{asset} has a record", str(path), "edit it, then mdi onboard check")
    device = device or _only(read)
    values = draft.known(read, asset, device, read_observed(Path(read.gateway.state_dir)).get(device))
    if probe:
        values |= draft.probed(_listen(read, device, probe))
    if from_probe:
        values |= draft.probed(_found(from_probe))
    values |= draft.parsed(settings or [])
    if ask and not json and sys.stdin.isatty():
        _ask(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, draft.written(values))
    missing = [key for key, field in draft.entries() if draft.required(field) and not values.get(key)]
    wrong = _wrong(path)
    if json:
        print_json({"file": str(path), "missing": missing, "wrong": wrong or None})
    else:
        out.print(f"{path}", markup=False)
        then = wrong or f"next: mdi onboard check {asset}"
        out.print(f"to fill in: {', '.join(missing)}" if missing else then, markup=False)
    if wrong:
        raise typer.Exit(ConfigError.exit_code)


def _wrong(path: Path) -> str:
    """Return what is wrong with a record as it was written; "" when it is whole."""
    try:
        read_record(path)
    except MdiError as fault:
        return str(fault)
    return ""


def _only(config: Config) -> str:
    """Return the device when there is one only. Raises: ConfigError with all of them."""
    names = [device.settings.name for device in config.devices]
    if len(names) != 1:
        raise ConfigError("which device?", hint="--device " + " or ".join(names))
    return names[0]


def _ask(values: draft.Values) -> None:
    """Ask a person for each key that must be there; what is known is the answer to a plain Enter."""
    for key, field in draft.entries():
        if key in ("device.asset", "use.device", "use.port", "use.conduits") and values.get(key):
            continue
        if not draft.required(field):
            continue
        known = values.get(key, "")
        choices = field.metadata.get("choices") or ()
        err.print(str(field.metadata["doc"]) + (f" ({', '.join(choices)})" if choices else ""), markup=False)
        default = ", ".join(known) if isinstance(known, tuple) else known
        values[key] = _answer(key, field, default)


def _answer(key: str, field: dataclasses.Field[Any], default: str) -> str | tuple[str, ...]:
    while True:
        text = typer.prompt(key, default=default or None, err=True)
        choices = field.metadata.get("choices")
        if not choices or text in choices:
            return draft.as_value(field, text)
        err.print("one of " + ", ".join(choices), markup=False)


def _found(path: Path) -> Mapping[str, Any]:
    try:
        found = json_text.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ConfigError("is not what mdi probe writes", str(path), "mdi probe PORT --json > FILE.json") from None
    return found if isinstance(found, dict) else {}


def _listen(config: Config, device: str, port: str) -> Mapping[str, Any]:
    """Listen on a port with the profile of the device, and return what was found. Nothing is written to the line."""
    profile = next(one.spec.profile for one in config.devices if one.settings.name == device)

    def open_line(settings: Mapping[str, Any]) -> ProbeLine:
        return MarkedSerial(serial_settings(port, settings), time.time_ns)

    session = Probe(candidates([profile], "", True), open_line, time.monotonic, PROBE_S)
    session.listen()
    return as_json(port, session.findings())


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
