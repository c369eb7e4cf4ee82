"""mdi sbom, mdi vulnerabilities, mdi verify-install."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import out, print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.security.inventory import install, sbom, software, vulnerabilities
from gateway.security.trust import minisign

FINDINGS, TAMPER = 2, 3  # exit codes, docs/operation.md


def make_sbom(
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file; without it, print.")
    ] = None,
    host: Annotated[bool, typer.Option(help="With the packages of this host, kernel and operating system.")] = True,
    name: Annotated[str, typer.Option(metavar="NAME", help="What it is of, as the document says.")] = "gateway",
) -> None:
    """Write the bill of materials (CycloneDX 1.6, JSON) of what is installed here, as the installers recorded it.

    Each component with maker, version, licence and, where its makers publish one, the end of support. Two documents of
    the same software have the same serial number.

    \b
    mdi sbom --out gw-ita-03.cdx.json --name gw-ita-03
    mdi sbom --no-host | jq '.components | length'
    """
    found = software.host() if host else software.python_components()
    made_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = sbom.cyclonedx(found, software.needed(), name, made_at)
    if out_file is None:
        typer.echo(text, nl=False)
        return
    out_file.write_text(text, encoding="utf-8")
    out.print(f"{out_file}: {len(found)} components")


def list_vulnerabilities(
    scan: Annotated[Path, typer.Argument(metavar="SCAN.json", help="Made elsewhere: pip-audit --format json.")],
    made: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="The day of the scan; without it, that of the file.")
    ] = "",
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Show the known vulnerabilities of what is installed here, with what was decided on each.

    The box asks nobody: the scan is made where there is a network, the decisions are in vex/triage.toml below etc_dir.
    Exit code 2 when one is open: undecided, decided until a day that has passed, or still there; when the scan is older
    than 30 days; or when it did not ask about something that is installed.

    \b
    mdi vulnerabilities scan.json
    mdi vulnerabilities scan.json --json | jq '.open'
    """
    today = datetime.now(UTC).date()
    try:
        text = scan.read_text(encoding="utf-8")
        day = date.fromisoformat(made) if made else datetime.fromtimestamp(scan.stat().st_mtime, UTC).date()
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", str(scan), "name the file of a scan") from fault
    except ValueError:
        raise ConfigError(f"--made {made} is no day", hint="write YYYY-MM-DD") from None
    read = vulnerabilities.read_scan(text, day, str(scan))
    triage = Path(read_config(config).security.etc_dir) / "vex" / "triage.toml"
    installed = software.python_components()
    judged = vulnerabilities.judge(read, vulnerabilities.read_triage(triage), installed, today)
    findings = vulnerabilities.findings(read, judged, installed, today)
    if json:
        print_json({**vulnerabilities.counts(judged), "scan": str(day), "findings": findings})
    else:
        rows = (
            (
                j.known.component,
                j.known.version,
                j.known.id,
                j.decision.state if j.decision else None,
                j.problem or "closed",
            )
            for j in judged
        )
        title = f"Scan of {day}, {len(read.asked)} components asked about"
        print_table(title, ("component", "version", "vulnerability", "decision", "state"), rows)
        for finding in findings:
            out.print(finding)
    raise typer.Exit(FINDINGS if findings else 0)


def verify_install(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The signed list of the release.")],
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Public key (minisign) that must have signed MANIFEST.minisig.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What to look at; without it, the program that is running.")
    ] = None,
    write: Annotated[bool, typer.Option(help="Write the list, for a release; sign it then.")] = False,
    json: JsonOption = False,
) -> None:
    """Compare what is installed with what was released: every file, and the bytecode that the interpreter has made.

    Exit code 0 when all is as released, 3 when a file was changed, is missing or is foreign, or when the signature is
    wrong. Without --key only the files are compared, and it says so: whoever changed the files could have changed the
    list.

    \b
    mdi verify-install /opt/mdi/MANIFEST --key /etc/mdi/trust/release.pub
    mdi verify-install MANIFEST --write && minisign -Sm MANIFEST
    """
    where = root or install.installed_root()
    if write:
        found = install.hashes(where)
        manifest.write_text(install.write_manifest(found), encoding="utf-8")
        out.print(f"{manifest}: {len(found)} files; sign it: minisign -Sm {manifest}")
        return
    try:
        data = manifest.read_bytes()
        if key is not None:
            signature = Path(f"{manifest}.minisig").read_text(encoding="utf-8")
            minisign.verify(minisign.PublicKey.parse(key.read_text(encoding="utf-8")), data, signature)
    except OSError as fault:
        raise ConfigError(
            f"cannot be read: {fault.strerror}", str(fault.filename), "name the files of the release"
        ) from fault
    want = install.read_manifest(data.decode("utf-8", "replace"), str(manifest))
    folders = install.folders_of(want)
    found = install.hashes(where, folders)
    differences = [*install.compare(want, found), *install.compiled(where, folders)]
    if json:
        rows = [{"path": d.path, "what": d.what} for d in differences]
        print_json({"files": len(want), "signed": key is not None, "differences": rows})
    elif differences:
        print_table(f"{where}: not as released", ("file", "is"), ((d.path, d.what) for d in differences))
    else:
        out.print(f"{where}: {len(want)} files, all as in {manifest}" + ("" if key else ", which nobody has verified"))
    raise typer.Exit(TAMPER if differences else 0)
