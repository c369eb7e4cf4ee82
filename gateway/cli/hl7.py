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
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One message in ER7, as it goes over the line.")],
    json: JsonOption = False,
    hl7apy: Annotated[bool, typer.Option(help="Ask hl7apy (structure, data types), too.")] = True,
) -> None:
    """Check one message against the rules of IHE PCD-01.

    Two judges: our own checker knows the rules of PCD-01 (codes, units, containment, times), hl7apy the structure and
    data types of HL7 v2.6. Each finding is one line and begins with E (error) or W (warning). The exit code is 1 when
    there is an error, else 0.

    \b
    mdi hl7 check message.er7
    mdi hl7 check --json message.er7 | jq length
    """
    try:
        payload = file.read_bytes()
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", str(file), "name an ER7 file") from fault
    findings = [
        {"severity": f.severity, "where": f"{f.segment} {f.index} {f.field}", "what": f.what}
        for f in check_message(payload, nomenclature())
    ]
    if hl7apy:
        findings += [{"severity": "E", "where": "hl7apy", "what": text} for text in validate(payload)]
    if json:
        print_json(findings)
    else:
        for finding in findings:
            err.print(f"{finding['severity']} {finding['where']}: {finding['what']}", markup=False, highlight=False)
        if not findings:
            out.print(f"{file}: no findings")
    if any(finding["severity"] == "E" for finding in findings):
        raise typer.Exit(1)
