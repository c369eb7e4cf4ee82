"""mdi onboard submit and sign: what people are asked for, and how their signatures come in."""

from __future__ import annotations

import base64
import binascii
import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.auditing import open_audit
from gateway.cli.output import err, out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError, TrustError
from gateway.security.onboard import actions, approval
from gateway.security.onboard.approval import Request
from gateway.security.onboard.words import LANGUAGES, rows, word
from gateway.security.trust import minisign
from gateway.security.trust.files import SUFFIX, read_file
from gateway.security.trust.load import read_people
from gateway.security.trust.minisign import KDF_SCRYPT, MAX_TEXT, SecretKey

MISSING = 2  # exit code: it is not approved yet


def submit(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="Asset number: the record devices.d/ASSET.toml.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who asks; as the list of people names them.")] = "",
    valid_until: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="Last day of the approval; else the day before the next review.")
    ] = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Ask for the approval of a device: write what two people shall sign, approvals/ASSET/REV.json.

    It holds the record, the hash of the profile, the conduits, the policy and the version of this program, readable.
    Whoever asks cannot sign it. Send the file to both; each signs it on an own computer, with minisign or with
    `mdi onboard sign`. The exit code is 0, or 2 when something is wrong with the record.

    \b
    mdi onboard submit MT-01234 --by lev
    """
    read, now = read_config(config), datetime.now(UTC)
    trust = read_people(Path(read.security.etc_dir), Path(read.gateway.state_dir), now)
    with open_audit(read, "admin") as audit:
        request = actions.submit(read, trust, asset, by or getpass.getuser(), now, valid_until, audit)
    path = approval.request_path(Path(read.security.etc_dir), asset, request.rev)
    if json:
        print_json({"asset": asset, "rev": request.rev, "sha256": request.sha256, "file": str(path)})
        return
    out.print(f"{path}", markup=False)
    out.print(f"SHA-256 {request.sha256}, valid until {request.valid_until}", markup=False)
    out.print("Two people sign it, " + " and ".join(approval.ROLES) + f": minisign -S -m {path.name}", markup=False)


def sign(
    what: Annotated[str, typer.Argument(metavar="ASSET|FILE", help="Asset number, or a request REV.json.")],
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Secret key of minisign.")] = None,
    signature: Annotated[
        Path | None, typer.Option("--signature", metavar="FILE", help="Signature that was made elsewhere.")
    ] = None,
    rev: Annotated[int, typer.Option(metavar="REV", min=0, help="Revision; else the newest.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
    lang: Annotated[str, typer.Option("--lang", metavar="en|da", help="Language of what is shown.")] = "en",
) -> None:
    """Approve a device: show what is asked for, sign it, or take in a signature that was made elsewhere.

    On your own computer, with the request and your key: the signature is written beside it. On the gateway, with
    --signature: it is checked and kept, when it counts. Keys of people do not belong on a gateway.

    The exit code is 0 when the device is approved or the signature was written, 2 when more signatures are needed, 3
    when the signature does not count; each refusal says why.

    \b
    mdi onboard sign 3.json --key ~/.minisign/minisign.key
    mdi onboard sign MT-01234 --signature 3.json.minisig
    """
    if lang not in LANGUAGES:
        raise ConfigError(f"--lang {lang!r}", hint="en or da")
    if (key is None) == (signature is None):
        raise ConfigError("either --key or --signature", hint="--key signs here, --signature takes one in")
    if what.endswith(".json"):
        _sign_file(Path(what), key, yes, json, lang)
        return
    read, now = read_config(config), datetime.now(UTC)
    etc_dir = Path(read.security.etc_dir)
    rev = rev or next(iter(approval.revisions(etc_dir, what)), 0)
    if not rev:
        raise ConfigError(f"{what} was never submitted", hint="mdi onboard submit")
    request, data = approval.read_request(etc_dir, what, rev)
    if key:
        _show(request, yes or json, lang)
        text = minisign.sign(_secret(key), data, _comment(request))
    else:
        text = read_file(signature or Path(), MAX_TEXT).decode("utf-8", "replace")
    _take(read, request, text, now, json)


def _take(config: Config, request: Request, text: str, now: datetime, json: bool) -> None:
    """Keep a signature when it counts, and say what is still missing. Raises: TrustError when it does not."""
    trust = read_people(Path(config.security.etc_dir), Path(config.gateway.state_dir), now)
    with open_audit(config, "admin") as audit:
        verdict, name = actions.sign(config, trust, request.asset, request.rev, text, audit)
    people = [{"name": person.name, "role": person.role} for person in verdict.people]
    if json:
        missing = [{"rule": fault.rule, "what": str(fault)} for fault in verdict.missing]
        print_json(
            {"asset": request.asset, "rev": request.rev, "signer": name, "signed_by": people, "missing": missing}
        )
    else:
        out.print(f"{request.asset} {request.rev}: signed by {name}", markup=False)
        for fault in verdict.missing:
            out.print(str(fault), markup=False)
    if not verdict.approved:
        raise typer.Exit(MISSING)


def _sign_file(path: Path, key: Path | None, yes: bool, json: bool, lang: str) -> None:
    """Sign a request on the computer of the person who signs: no configuration, no list of people is needed."""
    if key is None:
        raise ConfigError("a signature is taken in by asset number", hint="mdi onboard sign ASSET --signature FILE")
    data = read_file(path, approval.MAX_REQUEST)
    request = Request.parse(data, str(path))
    _show(request, yes or json, lang)
    written = path.with_name(path.name + SUFFIX)
    written.write_text(minisign.sign(_secret(key), data, _comment(request)), encoding="utf-8")
    if json:
        print_json({"asset": request.asset, "rev": request.rev, "sha256": request.sha256, "file": str(written)})
    else:
        out.print(f"{written}", markup=False)


def _show(request: Request, yes: bool, lang: str) -> None:
    """Show what is signed, and ask. Raises: typer.Abort when the person does not want to."""
    if yes:
        return
    title = f"{word('request', lang)}: {request.asset} {request.rev}, {word('submitter', lang)} {request.submitter}"
    print_table(title, ("", word("field", lang), ""), rows(request.content, lang))
    out.print(f"SHA-256 {request.sha256}; {word('until', lang)} {request.valid_until}", markup=False)
    if not typer.confirm(word("sign?", lang), err=True):
        raise typer.Abort


def _comment(request: Request) -> str:
    """Return the trusted comment: what a person can read of the signature alone."""
    return f"purpose=approval asset={request.asset} rev={request.rev} sha256={request.sha256}"


def _secret(path: Path) -> SecretKey:
    """Read a secret key; asks for its password when it has one. Raises: TrustError."""
    text = read_file(path, MAX_TEXT).decode("utf-8", "replace")
    try:
        encrypted = base64.b64decode(text.strip().split("\n")[-1])[2:4] == KDF_SCRYPT
    except binascii.Error:
        encrypted = False
    password = ""
    if encrypted:
        err.print("the key has a password; checking it takes some seconds", markup=False)
        password = typer.prompt("password", hide_input=True, err=True)
    try:
        return SecretKey.parse(text, password, str(path))
    except MemoryError:
        raise TrustError("the password needs 1 GiB of memory to check", str(path), "sign with minisign") from None
