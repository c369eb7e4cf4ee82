"""mdi admin: the daemon with the admin socket, its other end, and break-glass."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.auditing import open_audit
from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption, stop_on_signals
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.logs import in_form
from gateway.security.access.client import ask
from gateway.security.access.glass import MOST_MINUTES, grant, path_of
from gateway.security.access.roles import Role
from gateway.security.access.server import AdminServer
from gateway.security.audit import Event

app = typer.Typer(help="Administration on the box, by role: daemon, questions, break-glass.", no_args_is_help=True)
WRITER = "access"  # its audit log; short commands of root write as "admin"


@app.command("serve")
def serve(config: ConfigOption = DEFAULT) -> None:
    """Answer on the admin socket, by the role of whoever asks.

    The role follows from the groups of the account, as the kernel knows them: mdi-viewer, mdi-operator, mdi-approver,
    mdi-admin, or those of [access]. Each request is audited, granted or denied. Nothing clinical waits for it.
    """
    read = read_config(config)
    in_form(read.log.format)
    stop = stop_on_signals()
    with open_audit(read, WRITER) as audit:
        AdminServer(read, lambda: read_config(config), audit).serve(stop)


@app.command("ask")
def ask_command(
    verb: Annotated[str, typer.Argument(metavar="VERB", help="mdi admin ask verbs lists them.")],
    given: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Arguments; NAME=@FILE.")] = None,
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Ask the daemon, as the account that you are.

    The exit code is the daemon's: 0, 2 for what is wrong, 3 for a signature that does not count, 77 when the role does
    not allow it.

    \b
    mdi admin ask verbs
    mdi admin ask suspend asset=A-1 reason="shows another firmware"
    mdi admin ask approve asset=A-1 rev=2 signature=@2.mso.minisig
    """
    args = {}
    for word in given or []:
        name, is_, value = word.partition("=")
        if not is_:
            raise ConfigError(f"{word!r} is no NAME=VALUE", hint="asset=A-1")
        args[name] = Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
    answer = ask(Path(read_config(config).access.socket), verb, args)
    if json or not _table(verb, answer):
        print_json(answer)


def _table(verb: str, answer: Any) -> bool:
    """Print what is a list of alike rows, or a flat row; tell whether it was."""
    rows = answer if isinstance(answer, list) else [answer]
    if not rows or not all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        return False
    if any(isinstance(cell, dict) for row in rows for cell in row.values()):
        return False
    cells = ([", ".join(map(str, c)) if isinstance(c, list) else c for c in row.values()] for row in rows)
    print_table(verb, rows[0], cells)
    return True


@app.command("break-glass")
def break_glass(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account of this box.")],
    role: Annotated[str, typer.Option("--role", help="viewer, operator, approver or administrator.")] = "administrator",
    minutes: Annotated[int, typer.Option("--minutes", help=f"At most {MOST_MINUTES}.")] = 15,
    config: ConfigOption = DEFAULT,
) -> None:
    """Give an account of this box a role for minutes, in an emergency. For root at the console; needs no network.

    It is audited, ends by itself, and does not survive a restart of the box. Approvals still take two signatures:
    no role gets around them.
    """
    names = {r.word: r for r in Role if r}
    if role not in names:
        raise ConfigError(f"there is no role {role!r}", hint=", ".join(names))
    try:
        uid = pwd.getpwnam(account).pw_uid
    except KeyError:
        raise ConfigError(f"this box has no account {account!r}", hint="id ACCOUNT") from None
    read = read_config(config)
    with open_audit(read, "admin") as audit:
        grant(path_of(read.access.socket), uid, names[role], minutes, time.time())
        facts = {"role": role, "uid": uid, "rule": "break-glass", "via": "console", "person": account}
        audit.write(Event.ACCESS_GRANTED, "break-glass", actor=pwd.getpwuid(os.getuid()).pw_name, **facts)
    out.print(f"{account} is {role} for {minutes} minutes; it is in the audit log")
