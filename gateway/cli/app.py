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
import os
import sys
from typing import Annotated, Any

import typer

from gateway import logs
from gateway.cli import (
    admin,
    audit,
    broker,
    capture,
    certs,
    decommission,
    demo,
    hl7,
    inventory,
    keeping,
    kita,
    metrics,
    netrules,
    onboard,
    probe,
    profile,
    prosim,
    reload,
    replay,
    report,
    run,
    security,
    simulate,
    spool,
    trust,
    web,
)
from gateway.cli.output import print_mistake, speak_utf8
from gateway.core.errors import ConfigError, MdiError
from gateway.security.policy import PolicyError

INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
Usage: Any = typer.BadParameter.__base__  # typer's own name for it is private, and moves between its versions

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("acquire")(run.acquire)
app.command("forward")(run.forward)
app.command("check")(run.check)
app.command("reload")(reload.reload)
app.command("status")(run.status)
app.command("metrics")(metrics.metrics)
app.command("netrules")(netrules.netrules)
app.command("sbom")(inventory.make_sbom)
app.command("vulnerabilities")(inventory.list_vulnerabilities)
app.command("verify-install")(inventory.verify_install)
app.command("decode")(capture.decode)
app.command("record")(capture.record)
app.command("replay")(replay.replay)
app.command("simulate")(simulate.simulate)
app.command("probe")(probe.probe)
app.command("prosim")(prosim.prosim)
app.command("backup")(keeping.backup)
app.command("restore")(keeping.restore)
app.command("decommission")(decommission.decommission)
app.add_typer(certs.app, name="certs")
app.add_typer(broker.app, name="broker")
app.add_typer(audit.app, name="audit")
app.add_typer(profile.app, name="profile")
app.add_typer(hl7.app, name="hl7")
app.add_typer(kita.app, name="kita")
app.add_typer(report.app, name="report")
app.add_typer(security.app, name="security")
app.add_typer(spool.app, name="spool")
app.add_typer(onboard.app, name="onboard")
app.add_typer(trust.app, name="trust")
app.add_typer(admin.app, name="admin")
app.add_typer(web.app, name="web")


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="The log as JSON lines, for machines.")] = False,
) -> None:
    """Set up the log: one line per event on standard error, for the journal."""
    logs.set_up(logging.DEBUG if verbose else logging.INFO, log_json)


def main() -> None:
    """Run the command line; a mistake that we know is one line and its exit code, a bug is a trace."""
    speak_utf8()
    logs.set_up(logging.INFO)
    logs.catch_all()
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except PolicyError as fault:
        for line in str(fault).splitlines():  # all that is broken, at once
            print_mistake(line)
        code = fault.exit_code
    except MdiError as fault:
        print_mistake(fault)
        code = fault.exit_code
    except Usage as fault:
        message = fault.format_message()
        if message.startswith("Usage:"):  # a group without a command: its manual
            sys.stdout.write(message + "\n")
        else:
            command = fault.ctx.command_path if fault.ctx else "mdi"
            print_mistake(f"{message.rstrip('.')} → {command} --help")
        code = ConfigError.exit_code
    except typer.Abort:  # Ctrl-C in a command that does not wait for it
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough: mdi decode … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say at exit either
        code = 1
    except OSError as fault:
        if fault.filename is None:
            logs.crash(fault)
        else:
            print_mistake(f"{fault.filename}: {fault.strerror} → check the path, its rights and the space on the disk")
        code = 1
    except Exception as fault:  # Python's own trace would show the text of it, and typer's hook is Python's own
        logs.crash(fault)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
