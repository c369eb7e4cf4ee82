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
Option = typer.Option
Gateways = Annotated[
    list[str], Option("--gateway", metavar="SITE/UNIT/NAME", help="A gateway that may connect; as often as there are.")
]
Listed = Annotated[
    Path | None, Option("--list", metavar="FILE", help="A file with one SITE/UNIT/NAME a line, # notes.")
]
Kita = Annotated[list[str], Option("--kita", metavar="NAME", help="CN of KITA's certificate.")]
Watchers = Annotated[
    list[str], Option("--watcher", metavar="NAME", help="CN of who may read status and audit checkpoints: a SIEM.")
]
Listen = Annotated[str, Option(metavar="[ADDRESS:]PORT", help="Where the broker listens.")]
Certs = Annotated[str, Option(metavar="FOLDER", help="Its folder with ca.pem, broker.pem, broker.key, crl.pem.")]
Acl = Annotated[str, Option(metavar="FILE", help="Where the access list lies at the broker.")]
Data = Annotated[str, Option(metavar="FOLDER", help="Where the broker keeps its state.")]
User = Annotated[str, Option(metavar="NAME", help="The broker's own user.")]
TlsMin = Annotated[str, Option(metavar="VERSION", help="Lowest version of TLS: 1.3, or 1.2.")]
AclOnly = Annotated[bool, Option("--acl-only", help="The access list only.")]
Out = Annotated[Path | None, Option("--out", metavar="FOLDER", help=f"Write {CONF} and {ACL} here; default: print.")]
STANDARD = BrokerFiles()


@app.callback()
def group() -> None:
    """What the broker of a region or a ward needs to know."""


@app.command("config")
def config_command(
    config: ConfigOption = DEFAULT,
    gateway: Gateways = [],  # noqa: B006  # typer reads it, nobody changes it
    listed: Listed = None,
    kita: Kita = ["kita"],  # noqa: B006
    watcher: Watchers = [],  # noqa: B006
    listen: Listen = "8883",
    certs: Certs = "/etc/mosquitto/certs",
    acl: Acl = STANDARD.acl,
    data: Data = STANDARD.data,
    user: User = "mosquitto",
    tls_min: TlsMin = "1.3",
    acl_only: AclOnly = False,
    to: Out = None,
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
    members = _members([*gateway, *(_lines(listed) if listed else [])], config)
    places = {name: f"{certs}/{Path(getattr(STANDARD, name)).name}" for name in ("ca", "cert", "key", "crl")}
    address, port = _address(listen)
    files = BrokerFiles(**places, acl=acl, data=data)
    texts = {} if acl_only else {CONF: configuration(files, len(members), address, port, tls_min, user)}
    texts[ACL] = access_list(members, kita, watcher)
    for name, text in texts.items() if to else ():
        _replace(to / name, text)  # type: ignore[operator]  # it is there
    if json:
        print_json({"ok": True, "gateways": [asdict(m) for m in members], "files": texts})
    elif to:
        out.print(f"{', '.join(texts)} in {to}, for {len(members)} gateways", highlight=False)
    else:
        typer.echo("\n".join(texts.values()), nl=False)


def _members(named: list[str], path: Path) -> list[Member]:
    if named:
        return [member(text) for text in named]
    gateway = read_config(path).gateway
    return [Member(gateway.site, gateway.unit, gateway.name)]


def _address(listen: str) -> tuple[str, int]:
    address, _, port = listen.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{listen!r} is no [ADDRESS:]PORT", hint="write 8883 or 10.1.2.3:8883")
    return address, int(port)


def _lines(path: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _replace(path: Path, text: str) -> None:
    """Write a file whole: the broker may read it at any time."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
