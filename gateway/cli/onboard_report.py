"""mdi onboard report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import out, print_json
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.cli.security import EvidenceOption, LangOption, check_lang, moment, places
from gateway.config import read_config
from gateway.security.dossier.collect import collect
from gateway.security.dossier.page import page
from gateway.security.dossier.paper import paper


def report(
    asset: Annotated[str, typer.Argument(metavar="[ASSET]", help="One device, by name or asset id; else all.")] = "",
    output: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="Where the page goes.")] = Path(
        "dossier.html"
    ),
    pdf: Annotated[Path | None, typer.Option("--pdf", metavar="FILE.pdf", help="Also as PDF, A4 (extra pdf).")] = None,
    lang: LangOption = "da",
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="Made at this time instead of now, ISO 8601.")] = "",
    evidence: EvidenceOption = None,
    config: ConfigOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Write the dossier of this gateway, or of one device: what a reviewer of IT security reads.

    One HTML file without scripts that fetches nothing; with --pdf the same on A4. Same input and same --at, same bytes.
    It holds addresses and names of approvers, and nothing about a patient. Best run as root, which may read everything;
    what cannot be read is shown as unknown.

    \b
    mdi onboard report --out dossier.html --pdf dossier.pdf
    mdi onboard report AUH-4711 --lang en --out auh-4711.html
    """
    check_lang(lang)
    read = read_config(config)
    facts = collect(read, moment(at), places(read.security.etc_dir, evidence), asset)
    html = page(facts, lang)
    written = {output: html.encode("utf-8")}
    if pdf is not None:
        written[pdf] = paper(html)
    for path, data in written.items():
        path.write_bytes(data)
    if json:
        rows = [{"file": str(path), "sha256": hashlib.sha256(data).hexdigest()} for path, data in written.items()]
        print_json({"made": facts.made, "config_sha256": facts.config.sha256, "written": rows})
        return
    for path, data in written.items():
        out.print(
            f"{path}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}", markup=False, highlight=False
        )
