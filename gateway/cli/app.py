"""mdi: the medical device integration gateway.

Reads vitals from bedside devices over serial, Modbus and CAN, buffers them on disk and forwards them as HL7
observations (IHE PCD-01) over MQTT. It only ever reads from devices. It is for documentation: it is no monitor and no
alarm system.

\b
A first look without any hardware:  mdi demo --for 20
Before a change goes live:          mdi check
What a running gateway does:        mdi status
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from gateway.cli import capture, demo, hl7, kita, profile, run
from gateway.cli.output import err
from gateway.core.errors import MdiError

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("acquire")(run.acquire)
app.command("forward")(run.forward)
app.command("check")(run.check)
app.command("status")(run.status)
app.command("decode")(capture.decode)
app.command("record")(capture.record)
app.command("replay")(capture.replay)
app.command("simulate")(capture.simulate)
app.add_typer(profile.app, name="profile")
app.add_typer(hl7.app, name="hl7")
app.add_typer(kita.app, name="kita")


@app.callback()
def root(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")] = False) -> None:
    """Set up the log: one line per event on standard error, for the journal."""
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    for noisy in ("pymodbus", "can", "cantools", "amqtt", "transitions", "asyncio", "hl7apy"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def main() -> None:
    """Run the command line; a mistake that we know is one line and its exit code, a bug is a trace."""
    try:
        app()
    except MdiError as fault:
        err.print(f"mdi: {fault}", style="red", markup=False, highlight=False)
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()
