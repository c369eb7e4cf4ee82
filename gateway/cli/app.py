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

import importlib
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, cast

import typer

from gateway import logs
from gateway.cli.output import print_mistake, speak_utf8
from gateway.core.errors import ConfigError, MdiError
from gateway.security.policy import PolicyError

INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
Usage: Any = typer.BadParameter.__base__  # typer's own name for it is private, and moves between its versions

# name → module in this package, and the function in it; a group of commands is `app`
COMMANDS = {
    "demo": ("demo", "demo"),
    "run": ("run", "run"),
    "acquire": ("run", "acquire"),
    "forward": ("run", "forward"),
    "check": ("run", "check"),
    "reload": ("reload", "reload"),
    "status": ("run", "status"),
    "metrics": ("metrics", "metrics"),
    "netrules": ("netrules", "netrules"),
    "sbom": ("inventory", "make_sbom"),
    "vulnerabilities": ("inventory", "list_vulnerabilities"),
    "verify-install": ("inventory", "verify_install"),
    "decode": ("capture", "decode"),
    "record": ("capture", "record"),
    "replay": ("replay", "replay"),
    "simulate": ("simulate", "simulate"),
    "probe": ("probe", "probe"),
    "prosim": ("prosim", "prosim"),
    "backup": ("keeping", "backup"),
    "restore": ("keeping", "restore"),
    "decommission": ("decommission", "decommission"),
    "certs": ("certs", "app"),
    "broker": ("broker", "app"),
    "audit": ("audit", "app"),
    "profile": ("profile", "app"),
    "hl7": ("hl7", "app"),
    "kita": ("kita", "app"),
    "report": ("report", "app"),
    "security": ("security", "app"),
    "spool": ("spool", "app"),
    "onboard": ("onboard", "app"),
    "trust": ("trust", "app"),
    "admin": ("admin", "app"),
    "web": ("web", "app"),
}


def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="The log as JSON lines, for machines.")] = False,
) -> None:
    """Set up the log: one line per event on standard error, for the journal."""
    logs.set_up(logging.DEBUG if verbose else logging.INFO, log_json)


def build(names: Iterable[str]) -> typer.Typer:
    """Return the command line with these commands. A module is loaded when it is asked for: a start must be quick."""
    made = typer.Typer(
        help=__doc__, no_args_is_help=True, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
    )
    made.callback()(root)
    for name in names:
        module, function = COMMANDS[name]
        command = getattr(importlib.import_module(f"gateway.cli.{module}"), function)
        if function == "app":
            made.add_typer(command, name=name)
        else:
            made.command(name)(command)
    return made


def __getattr__(name: str) -> typer.Typer:
    """`app`: the whole of it, with every command."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = build(COMMANDS)
    return cast("typer.Typer", globals()["app"])


def _asked(arguments: Sequence[str]) -> Iterable[str]:
    """Return the command that is asked for; all of them when it is none, for help and for a hint."""
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    return (word,) if word in COMMANDS else COMMANDS


def main() -> None:
    """Run the command line; a mistake that we know is one line and its exit code, a bug is a trace."""
    speak_utf8()
    logs.set_up(logging.INFO)
    logs.catch_all()
    try:
        code = build(_asked(sys.argv[1:]))(standalone_mode=False)
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
