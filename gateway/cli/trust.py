"""mdi trust: keys of people, signatures, and what counts on this gateway."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import read_config
from gateway.core.errors import ConfigError, TrustError
from gateway.security.policy.signature_rules import judged
from gateway.security.trust.files import SUFFIX, read_file
from gateway.security.trust.folder import MANIFEST, write_manifest
from gateway.security.trust.minisign import PublicKey, SecretKey
from gateway.security.trust.minisign import sign as make_signature
from gateway.security.trust.people import FILE, NAME, Trust
from gateway.security.trust.revisions import Revisions
from gateway.security.trust.signed import CONFIGURATION, FOLDER, PROFILE, Verdict, judge
from gateway.security.trust.tool import APPROVERS, claim_for, item_for

app = typer.Typer(help="Signatures: keys of people, what they sign, and what counts here.", no_args_is_help=True)

Until = Annotated[str, typer.Option("--until", metavar="DATE", help="Last day on which it counts, 2027-06-30.")]
Rev = Annotated[int | None, typer.Option("--rev", metavar="N", min=0, help="Revision, higher than any before.")]
Key = Annotated[Path, typer.Option("--key", "-k", metavar="FILE", help="The secret key, of minisign or mdi trust key.")]
PURPOSES = {purpose.name: purpose for purpose in (CONFIGURATION, PROFILE, FOLDER)}
TEMPLATE = """# Who may sign. Signed by the root keys: mdi trust sign {file} --until DATE --key ROOT.key
rev = 1
threshold = 2

# [[person]]
# name = "mso"                   # short: a-z, 0-9, "-"; it stands in file names
# title = "Mette Sørensen"
# role = "it-security"           # it-security, medico, clinical, operations, supplier, release
# key = "RWQ…"                   # the second line of the person's .pub file
# valid_from = 2026-01-01
# valid_to = 2027-12-31
# # revoked = 2026-09-30         # from then on nothing that this key signed counts
"""


@app.command("key")
def key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="FILE.key and FILE.pub are written.")],
    without_password: Annotated[bool, typer.Option("--without-password", help="For a key on a locked token.")] = False,
) -> None:
    """Make a key pair for a person, in the format of minisign.

    Do it on the person's own computer, never on a gateway. FILE.key stays with the person; FILE.pub goes to whoever
    keeps the list of people. `minisign -G` does the same.
    """
    password = "" if without_password else typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    secret = SecretKey.generate()
    for name, text, mode in ((".key", secret.text(password), 0o600), (".pub", secret.public.text, 0o644)):
        _write_new(path.with_name(path.name + name), text, mode)
    out.print(f"{path}.key stays with you. Key {secret.public.name}: {secret.public.line}", markup=False)


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError("is there already", str(path), "choose another name; nothing is overwritten") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@app.command("init")
def init(
    etc_dir: Annotated[Path, typer.Argument(metavar="DIR", help="The gateway's etc_dir.")],
    root: Annotated[list[Path], typer.Option("--root", metavar="FILE", help="A root's .pub file; twice for two.")],
) -> None:
    """Lay out the folder of trust: the root keys, and a list of people to fill in.

    Two root keys of two people: then nobody changes alone who may sign.

    \b
    mdi trust init /etc/mdi --root anna.pub --root bo.pub
    """
    folder = etc_dir / "trust"
    keys = [PublicKey.parse(read_file(path).decode("ascii", "replace"), str(path)) for path in root]
    if len({key.id for key in keys}) < 2:
        raise ConfigError("two different root keys are needed", str(folder), "--root A.pub --root B.pub")
    folder.mkdir(parents=True, exist_ok=True)
    for number, public in enumerate(keys, 1):
        _write_new(folder / f"root{number if number > 1 else ''}.pub", public.text, 0o644)
    _write_new(folder / FILE, TEMPLATE.format(file=folder / FILE), 0o644)
    out.print(f"{folder}: fill in {FILE}, then have it signed with both root keys", markup=False)


@app.command("manifest")
def manifest(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of profiles.")]) -> None:
    """Write DIR/MANIFEST: the SHA-256 of each profile and data file, for one signature over all of them.

    sha256sum -c MANIFEST checks it too.
    """
    data = write_manifest(folder)
    if not data:
        raise ConfigError("has no profiles", str(folder), "name the folder above the vendors' folders")
    (folder / MANIFEST).write_bytes(data)
    out.print(f"{folder / MANIFEST}: {len(data.splitlines())} files", markup=False)


@app.command("comment")
def comment(path: Annotated[Path, typer.Argument(metavar="FILE")], until: Until, rev: Rev = None) -> None:
    """Print the trusted comment for minisign -t: what FILE is, its revision, and until when it counts.

    \b
    minisign -S -s anna.key -m mdi_config.toml -x mdi_config.toml.anna.minisig \\
      -t "$(mdi trust comment mdi_config.toml --rev 4 --until 2027-06-30)"
    """
    claim, _ = claim_for(path, rev, _day(until))
    out.print(claim.text, markup=False, highlight=False, soft_wrap=True)


@app.command("sign")
def sign(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration, profile, approvers.toml or MANIFEST.")],
    secret_key: Key,
    until: Until,
    rev: Rev = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the signer: FILE.NAME.minisig.")] = "",
) -> None:
    """Sign FILE with an own key, without minisign. Do it where the key is, not on a gateway.

    Configuration: two people in different roles. A profile, or the MANIFEST of a folder: one. approvers.toml: two
    root keys. A key with a password needs 1 GiB of memory for a moment, as with minisign.

    \b
    mdi trust sign mdi_config.toml --key anna.key --name anna --rev 4 --until 2027-06-30
    """
    if name and not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no short name", "--name", "a-z, 0-9 and -")
    claim, item = claim_for(path, rev, _day(until))
    secret = _secret(secret_key)
    target = path.with_name(f"{path.name}{'.' + name if name else ''}{SUFFIX}")
    target.write_text(make_signature(secret, item.data, claim.text), encoding="utf-8")
    out.print(f"{target}: {claim.text}", markup=False, highlight=False)


def _secret(path: Path) -> SecretKey:
    text = read_file(path).decode("ascii", "replace")
    try:
        return SecretKey.parse(text, _password() if _locked(text) else "", str(path))
    except MemoryError:
        raise ConfigError("not enough memory for a key with a password", str(path), "1 GiB is needed") from None


def _locked(text: str) -> bool:
    """Tell whether a key file has a password: base64 of the algorithms Ed, Sc (scrypt) and B2."""
    return text.strip().split("\n")[-1].startswith("RWRTY0Iy")


def _password() -> str:
    return str(typer.prompt("Password of the key", hide_input=True))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no day", "--until", "write 2027-06-30") from None


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(metavar="FILE")],
    etc_dir: Annotated[Path, typer.Option("--etc-dir", metavar="DIR", help="Whose people count.")] = Path("/etc/mdi"),
    json: JsonOption = False,
) -> None:
    """Tell who signed FILE, and whether that counts with these people, without looking at older revisions.

    The exit code is 0 when it counts, else 3.
    """
    purpose, item = item_for(path)
    now = datetime.now(UTC)
    if purpose == APPROVERS:
        trust = Trust.read(path.resolve().parent.parent, now)
        verdicts = [_row_of_list(trust)]
    else:
        trust = Trust.read(etc_dir, now)
        verdicts = [_row(judge(item, PURPOSES[purpose], trust, Revisions(Path("/nonexistent"))))]
    _print(f"{path}: counts", verdicts, json)


@app.command("status")
def status(config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Show what is signed on this gateway, by whom, in which revision, and what does not count.

    The exit code is 0 when all counts, else 3; in lab it is said all the same.
    """
    checked = read_config(config)
    found = judged(checked, datetime.now(UTC))
    rows = [_row_of_list(found.trust)] if found.trust else []
    rows += [_row(verdict) for verdict in found.verdicts]
    rows += [_refused_row(r.what, r.fault) for r in found.refused]
    _print(f"{config}: {checked.security.mode}", rows, json)
    if found.refused:
        raise typer.Exit(TrustError.exit_code)


def _row(verdict: Verdict) -> dict[str, Any]:
    people = [f"{p.name} ({p.role})" for p in verdict.people]
    end = verdict.claim.valid_until.isoformat()
    return {"file": verdict.name, "counts": True, "rev": verdict.claim.rev, "until": end, "people": people, "why": ""}


def _row_of_list(trust: Trust) -> dict[str, Any]:
    people = [f"{len(trust.roots)} root keys"]
    return {"file": FILE, "counts": True, "rev": trust.rev, "until": None, "people": people, "why": ""}


def _refused_row(what: str, fault: TrustError) -> dict[str, Any]:
    row = {"file": what, "counts": False, "rev": None, "until": None, "people": []}
    return {**row, "why": str(fault), "reason": fault.reason}


def _print(title: str, rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        print_json(rows)
        return
    columns = ("file", "counts", "rev", "until", "people", "why")
    shown = (
        (r["file"], "yes" if r["counts"] else "NO", r["rev"], r["until"], ", ".join(r["people"]), r["why"])
        for r in rows
    )
    print_table(title, columns, shown)


@app.command("people")
def people(
    etc_dir: Annotated[Path, typer.Option("--etc-dir", metavar="DIR", help="Whose people.")] = Path("/etc/mdi"),
    json: JsonOption = False,
) -> None:
    """List who may sign here: role, key, first and last day, revoked."""
    trust = Trust.read(etc_dir, datetime.now(UTC))
    rows = [
        {
            "name": p.name,
            "title": p.title,
            "role": p.role,
            "key": p.key.name,
            "from": p.valid_from.isoformat(),
            "to": p.valid_to.isoformat(),
            "revoked": p.revoked.isoformat() if p.revoked else None,
        }
        for p in trust.people
    ]
    if json:
        print_json({"rev": trust.rev, "threshold": trust.threshold, "people": rows})
        return
    print_table(f"{trust.path}: revision {trust.rev}", rows[0] if rows else ("name",), (r.values() for r in rows))
