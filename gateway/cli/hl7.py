"""mdi hl7 check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import err, out, print_json
from gateway.cli.run import JsonOption
from gateway.core.errors import ConfigError
from gateway.core.hl7_check import check as check_message
from gateway.core.nomenclature import nomenclature
from gateway.hl7_validate import validate

app = typer.Typer(help="HL7 messages.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """HL7 messages."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="One message in ER7.")],
    json: JsonOption = False,
    hl7apy: Annotated[bool, typer.Option(help="Ask hl7apy too.")] = True,
) -> None:
    """Check one message against the rules of IHE PCD-01, beyond what hl7apy sees. Exit code 1 on findings."""
    try:
        payload = file.read_bytes()
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", str(file), "name an ER7 file") from fault
    findings = [f"{f.segment} {f.index} {f.field}: {f.what}" for f in check_message(payload, nomenclature())]
    if hl7apy:
        findings += [f"hl7apy: {text}" for text in validate(payload)]
    if json:
        print_json(findings)
    for finding in [] if json else findings:
        err.print(finding, markup=False, highlight=False)
    if not json and not findings:
        out.print(f"{file}: no findings")
    if findings:
        raise typer.Exit(1)
