"""mdi decommission: the end of a box."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway.cli.keeping import Person, audit_of, now, write_new
from gateway.cli.output import err, out, print_json
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError
from gateway.security.audit import Event
from gateway.security.seal import CREDENTIAL, OLD_CREDENTIAL, Seal, key_file, protection
from gateway.security.seal import erase as end
from gateway.security.seal.protection import STORES, SYSTEMD
from gateway.spool.look import look

CertificateFile = Annotated[
    Path, typer.Option("--certificate", metavar="FILE", help="Where the certificate of erasure goes; a new file.")
]
Recordings = Annotated[
    list[Path] | None, typer.Option("--recordings", metavar="DIR", help="A folder with recordings. Repeatable.")
]
Credentials = Annotated[
    list[Path] | None, typer.Option("--credential", metavar="FILE", help="A further file with a key. Repeatable.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why. It stands in the certificate.")]
WithWaiting = Annotated[bool, typer.Option("--with-waiting", help="Also what nobody has acknowledged yet.")]
Yes = Annotated[str, typer.Option("--yes", metavar="GATEWAY", help="The name of this gateway: does not ask.")]


def decommission(
    config: ConfigOption = DEFAULT,
    certificate: CertificateFile = Path("erasure.json"),
    recordings: Recordings = None,
    credential: Credentials = None,
    reason: Reason = "",
    person: Person = "",
    with_waiting: WithWaiting = False,
    yes: Yes = "",
    json: JsonOption = False,
) -> None:
    """Take this box out of service: destroy its keys, its spool and its recordings, and certify that.

    The keys go first: mdi-seal and mdi-seal-old in the credential stores, and the private key of the certificate. From
    then on nothing that was sealed can be read, by anybody. Then every file of the spool and every recording is
    overwritten and removed. The certificate says what, when, who, and of each file its SHA-256; it goes to FILE, its
    own SHA-256 into the audit log, which stays. The gateway must be stopped, and what it must still send is refused to
    be erased without --with-waiting. Only you can say whether another copy of a key exists: see the printed duties.

    \b
    mdi decommission --recordings /srv/recordings --reason "box to be scrapped" --certificate gw-ita-03.json
    """
    read = read_config(config)
    if certificate.exists():
        raise ConfigError("it is there already", str(certificate), "name a new file")
    user = getpass.getuser()
    order = _Order(read, recordings or [], credential or [], (user, person or user, reason))
    with end.alone(order.spool):
        waiting = order.waiting(with_waiting)
        _ask(read.gateway.name, yes, order.find())
        made = order.carry_out(waiting)
    write_new(certificate, made.text())
    keys = sum(one.what == end.KEY for one in made.files)
    how = {"what": "decommission", "certificate": made.sha256, "person": made.person}
    with audit_of(read) as audit:
        audit.write(Event.ERASE, read.gateway.name, actor="", keys=keys, files=len(made.files), **how)
    if json:
        print_json(msgspec.to_builtins(made) | {"certificate": str(certificate), "sha256": made.sha256})
        return
    plain = sum(not one.sealed and one.what != end.KEY and one.bytes > 0 for one in made.files)
    said = f"{keys} keys and {len(made.files) - keys} files are erased; {plain} of these were not sealed"
    out.print(said, highlight=False)
    out.print("still to do by you: other copies of the keys, backups of the disk, the host key or TPM of this box")
    out.print(f"{certificate}: SHA-256 {made.sha256}", markup=False, highlight=False)


@dataclass(frozen=True)
class _Order:
    """What is to be erased, and by whom: user of the system, name given, reason given."""

    config: Config
    recordings: list[Path]
    credentials: list[Path]
    who: tuple[str, str, str]

    @property
    def spool(self) -> Path:
        return Path(self.config.gateway.state_dir) / "spool"

    def find(self) -> end.Doomed:
        return end.find(_keys(self.config, self.credentials), self.spool, self.recordings)

    def waiting(self, also: bool) -> int:
        """Return how many messages wait, -1 when nobody can know. Raises: ConfigError unless they go `also`."""
        count = _waiting(self.spool, self.config.gateway.name)
        if count and not also:
            said = f"{count} messages wait" if count > 0 else "nobody can say how many messages wait (no key)"
            hint = "send them, or write --with-waiting"
            raise ConfigError(f"{said} that were never acknowledged", str(self.spool), hint)
        return count

    def carry_out(self, waiting: int) -> end.Certificate:
        """Destroy it, look whether it is gone, and say so. Raises: ConfigError."""
        seal, kept_by, began = Seal.read(), protection(), now()
        files = tuple(end.erase(self.find()))
        left = [path for _, path in self.find().files]
        how = (seal.key_ids if seal else (), kept_by.sentence)
        return end.certificate(self.config.gateway.name, files, (began, now()), self.who, how, waiting, left)


def _keys(config: Config, more: list[Path]) -> list[Path]:
    """Return the files that may hold a key of this box."""
    found = [store / name for store in STORES for name in (CREDENTIAL, OLD_CREDENTIAL)]
    for name in (CREDENTIAL, OLD_CREDENTIAL):
        path = key_file(name)
        if path is not None and not path.resolve().is_relative_to(SYSTEMD):
            found.append(path)
    key = getattr(config.sink, "key", "")
    return [*found, *more, *([Path(key)] if key else [])]


def _waiting(spool: Path, gateway: str) -> int:
    """Return how many messages wait, -1 when that cannot be known, 0 without a spool."""
    if not spool.is_dir():
        return 0
    try:
        messages, _ = look(spool, gateway=gateway, seal=Seal.read()).waiting()
    except ConfigError:
        return -1
    return messages.total()


def _ask(name: str, yes: str, doomed: end.Doomed) -> None:
    """Have the name of the gateway typed. Raises: ConfigError."""
    if not yes:
        for what, path in doomed.files:
            err.print(f"{what}: {path}", markup=False, highlight=False)
        yes = str(typer.prompt(f"All of this will be destroyed. Type the name of the gateway ({name})", err=True))
    if yes != name:
        raise ConfigError(f"{yes!r} is not the name of this gateway: nothing was erased", hint=f"it is {name}")
