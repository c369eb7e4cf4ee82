"""mdi backup, restore: what makes a box, kept."""

from __future__ import annotations

import getpass
import os
import tomllib
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError
from gateway.security.audit import AuditLog, Event
from gateway.security.seal import backup as kept

STATE = "state/trust"
Person = Annotated[str, typer.Option("--person", metavar="NAME", help="Who does it; by default the user.")]
Sha256 = Annotated[
    str, typer.Option("--sha256", metavar="HEX", help="What `mdi backup` has printed; anything else is refused.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Replace = Annotated[bool, typer.Option("--replace", help="Also where another file stands; that one is kept.")]
Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="The root of the box, a mounted disk for example.")]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; must not exist.")],
    config: ConfigOption = DEFAULT,
    person: Person = "",
    json: JsonOption = False,
) -> None:
    """Write a backup of what makes this box: configuration, trust, records, approvals, profiles, revisions.

    No key, no password and no data of a patient is in it: files that are or look like secrets are left out, and named;
    neither the spool nor recordings are looked at. Its SHA-256 is printed: keep it apart from the file, and give it to
    `mdi restore`. Sign the file with minisign if it leaves the house.

    \b
    mdi backup /mnt/usb/gw-ita-03.mdibackup
    mdi backup gw.mdibackup --json | jq -r .sha256
    """
    read = read_config(config)
    found, left_out = kept.collect(_roots(read, config))
    told = kept.manifest(read.gateway.name, version("mdi-edge-gateway"), now().isoformat(), found, left_out)
    data = kept.archive(found, told)
    write_new(file, data)
    digest = kept.read(file).sha256  # as it stands there, checked
    with audit_of(read) as audit:
        audit.write(
            Event.BACKUP, read.gateway.name, files=len(found), person=person or getpass.getuser(), sha256=digest
        )
    if json:
        print_json({"file": str(file), "sha256": digest, "files": len(found), "left_out": dict(left_out)})
        return
    for name, why in left_out:
        out.print(f"left out: {name} ({why})", markup=False, highlight=False)
    out.print(f"{file}: {len(found)} files, SHA-256 {digest}", markup=False, highlight=False)


def _roots(config: Config, path: Path) -> dict[str, Path]:
    """Return what goes into a backup: folder in it → where that is on this box."""
    beside = [path, *sorted(path.parent.glob(f"{path.name}.*minisig"))]
    roots = {f"config/{one.name}": one for one in beside}
    roots["etc"] = Path(config.security.etc_dir)
    roots |= {f"profiles/{n}": Path(folder) for n, folder in enumerate(config.gateway.profiles)}
    return roots | {STATE: Path(config.gateway.state_dir) / "trust"}


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    config: ConfigOption = DEFAULT,
    sha256: Sha256 = "",
    dry_run: DryRun = False,
    replace: Replace = False,
    root: Root = Path("/"),
    person: Person = "",
    json: JsonOption = False,
) -> None:
    """Put a backup back, on this box or a new one. Nothing is overwritten silently.

    The whole archive is checked first. A file that is there and differs stops it, with exit code 2, and nothing is
    written; with --replace it is kept beside as NAME.before-restore-TIME. Where files go, the configuration in the
    backup says. Keys are not in a backup: make new ones (mdi certs, systemd-creds), then `mdi check`.

    \b
    mdi restore gw-ita-03.mdibackup --dry-run
    mdi restore gw-ita-03.mdibackup --sha256 3f9a…
    """
    found = kept.read(file, sha256)
    targets, state_dir = _targets(found, root / config.absolute().relative_to("/"), root)
    steps = kept.plan(found, targets)
    rows = [{"file": step.name, "target": str(step.target), "change": step.change.value} for step in steps]
    differ = [step for step in steps if step.change is kept.Change.DIFFERENT]
    result: dict[str, Any] = {"sha256": found.sha256, "gateway": found.manifest.gateway, "files": rows, "written": 0}
    if not dry_run and (replace or not differ):
        stamp = f"before-restore-{now():%Y%m%dT%H%M%SZ}"
        moved = kept.restore(found, steps, stamp)
        result |= {"written": sum(s.change is not kept.Change.SAME for s in steps), "kept": [str(p) for p in moved]}
        with AuditLog.open(state_dir / "audit", "admin", found.manifest.gateway) as audit:
            who = person or getpass.getuser()
            audit.write(
                Event.RESTORE, found.manifest.gateway, files=result["written"], person=who, ok=True, sha256=found.sha256
            )
    if json:
        print_json(result)
    else:
        print_table(
            f"{file}: {found.manifest.gateway}, {found.manifest.made}",
            ("file", "target", ""),
            (r.values() for r in rows),
        )
        out.print(f"{result['written']} files written" if not dry_run else "nothing was written: a dry run")
    if differ and not replace and not dry_run:
        hint = "look at them with --dry-run; --replace keeps what is there under another name"
        raise ConfigError(f"{len(differ)} files are there and differ: nothing was written", str(differ[0].target), hint)


def _targets(found: kept.Backup, config: Path, root: Path) -> tuple[dict[str, Path], Path]:
    """Return folder in the backup → folder on the box, and the state directory. Raises: ConfigError."""
    name = next((name for name in found.files if name.startswith("config/") and not name.endswith(".minisig")), "")
    try:
        doc = tomllib.loads(found.files[name].decode())
        etc = str(doc.get("security", {}).get("etc_dir", "/etc/mdi"))
        state = str(doc["gateway"].get("state_dir", "/var/lib/mdi"))
        profiles = [str(folder) for folder in doc["gateway"].get("profiles", [])]
    except (KeyError, AttributeError, ValueError) as fault:
        raise ConfigError("the configuration in the backup cannot be read", name or "config/") from fault

    def at(path: str) -> Path:
        return root / Path(path).absolute().relative_to("/")

    targets = {"config": config.parent, "etc": at(etc), STATE: at(state) / "trust"}
    return targets | {f"profiles/{n}": at(folder) for n, folder in enumerate(profiles)}, at(state)


def audit_of(config: Config) -> AuditLog:
    """Return the audit log of commands of a gateway."""
    return AuditLog.open(Path(config.gateway.state_dir) / "audit", "admin", config.gateway.name)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist, readable by its owner only, durably. Raises: ConfigError."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        raise ConfigError(f"cannot be written: {fault.strerror}", str(path), "name a new file") from fault


def now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)
