"""mdi web: read-only pages."""

from __future__ import annotations

import typer

from gateway.cli.auditing import open_audit
from gateway.cli.output import out
from gateway.cli.run import DEFAULT, ConfigOption, stop_on_signals
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.logs import in_form

app = typer.Typer(help="Read-only pages about this gateway.", no_args_is_help=True)
WRITER = "web"


@app.command("serve")
def serve(config: ConfigOption = DEFAULT) -> None:
    """Show the gateway's state as pages: processes, ports, devices and approvals, buffer, certificates. No values.

    On the unix socket of [web], or on the loopback of this machine; any other address is refused. Others look through a
    reverse proxy with mTLS or OIDC on that socket (proxy = true). Read-only: anything but GET and HEAD is 405.
    Danish and English. Needs the extra web.
    """
    try:
        from gateway.security.access.web.app import application
        from gateway.security.access.web.serve import listen
        from gateway.security.access.web.serve import serve as answer
    except ImportError:
        hint = "pip install 'mdi-edge-gateway[web]'"
        raise ConfigError("the packages starlette and uvicorn are not installed", hint=hint) from None
    read = read_config(config)
    in_form(read.log.format)
    stop = stop_on_signals()
    with open_audit(read, WRITER) as audit, listen(read.web) as listening:
        out.print(f"pages at {read.web.listen or read.web.socket}", markup=False, highlight=False)
        answer(application(read.web, lambda: read_config(config), audit), listening, stop)
