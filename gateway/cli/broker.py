"""mdi broker config: the configuration of mosquitto, for whoever runs the broker."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import out, print_json
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.security.certs.broker import BrokerFiles, Member, access_list, configuration, member

app = typer.Typer(help="What the broker of a region or a ward needs to know.", no_args_is_help=True)
CONF, ACL = "mosquitto.conf", "mdi.acl"


@app.callback()
def group() -> None:
    """Keep `config` a command of its own."""


@app.command("config")
def config_command(
    config: ConfigOption = DEFAULT,
    gateway: Annotated[
        list[str] | None,
        typer.Option("--gateway", metavar="SITE/UNIT/NAME", help="A gateway that may connect; as often as there are."),
    ] = None,
    from_list: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="A file with one SITE/UNIT/NAME a line, # notes."),
    ] = None,
    kita: Annotated[
        list[str] | None, typer.Option("--kita", metavar="NAME", help="CN of KITA's certificate; default: kita.")
    ] = None,
    watcher: Annotated[
        list[str] | None,
        typer.Option("--watcher", metavar="NAME", help="CN of who may read status and audit checkpoints, a SIEM."),
    ] = None,
    listen: Annotated[str, typer.Option(metavar="[ADDRESS:]PORT", help="Where the broker listens.")] = "8883",
    certs: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder at the broker with ca.pem, broker.pem, broker.key, crl.pem.")
    ] = "/etc/mosquitto/certs",
    acl: Annotated[str, typer.Option(metavar="FILE", help="Where the access list lies at the broker.")] = "",
    data: Annotated[str, typer.Option(metavar="FOLDER", help="Where the broker keeps its state.")] = "",
    user: Annotated[str, typer.Option(metavar="NAME", help="The broker's own user.")] = "mosquitto",
    acl_only: Annotated[bool, typer.Option("--acl-only", help="The access list only.")] = False,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help=f"Write {CONF} and {ACL} here; default: print them.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the configuration of mosquitto 2.0: TLS with client certificates, and who may do what by their names.

    Without --gateway and --list it is for the gateway of this configuration. A gateway may write its own topics and
    read its own answers, KITA the other way round in the wards of these gateways, and nobody anything else. There is no
    password. To take a gateway's rights away, leave it out and write the access list again.

    \b
    mdi broker config --list gateways.txt --out /etc/mosquitto
    mdi broker config --gateway auh/ita/gw-ita-03 --gateway auh/ita/gw-ita-04 --acl-only
    """
    named = [*(gateway or []), *(_listed(from_list) if from_list else [])]
    tls_min = "1.3"
    if named:
        members = [member(text) for text in named]
    else:
        read = read_config(config)
        members, tls_min = [Member(read.gateway.site, read.gateway.unit, read.gateway.name)], read.security.tls_min
    standard = BrokerFiles()
    files = BrokerFiles(
        **{name: f"{certs}/{Path(getattr(standard, name)).name}" for name in ("ca", "cert", "key", "crl")},
        acl=acl or standard.acl,
        data=data or standard.data,
    )
    address, _, port = listen.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{listen!r} is no [ADDRESS:]PORT", hint="write 8883 or 10.1.2.3:8883")
    texts = {} if acl_only else {CONF: configuration(files, len(members), address, int(port), tls_min, user)}
    texts[ACL] = access_list(members, kita or ["kita"], watcher or [])
    if to:
        for name, text in texts.items():
            _replace(to / name, text)
    if json:
        print_json({"ok": True, "gateways": [asdict(m) for m in members], "files": texts})
    elif to:
        out.print(f"{', '.join(texts)} in {to}: {len(members)} gateways", highlight=False)
    else:
        typer.echo("\n".join(texts.values()), nl=False)


def _listed(path: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _replace(path: Path, text: str) -> None:
    """Write a file whole: the broker may read it at any time."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
