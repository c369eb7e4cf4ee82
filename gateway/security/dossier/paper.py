"""The page as PDF, A4, by WeasyPrint (extra `pdf`). Nothing is fetched; the same page gives the same bytes."""

from __future__ import annotations

import hashlib
import logging
import os

from gateway.core.errors import ConfigError


def paper(html: str) -> bytes:
    """Return the PDF. Raises: ConfigError where WeasyPrint is not installed."""
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as fault:  # OSError: its libraries (pango) are missing
        raise ConfigError(
            "PDF needs WeasyPrint", hint="pip install 'mdi-edge-gateway[pdf]', apt-get install pango1.0-tools"
        ) from fault
    for name in ("weasyprint", "fontTools", "fontTools.subset"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # subset fonts carry the time of their making (fontTools)
    identifier = hashlib.sha256(html.encode("utf-8")).digest()[:16]
    made = HTML(string=html, url_fetcher=refuse).write_pdf(pdf_identifier=identifier)
    return bytes(made or b"")


def refuse(url: str, *_: object, **__: object) -> dict[str, object]:
    """Fetch nothing. Raises: ValueError, always."""
    raise ValueError(f"the dossier fetches nothing: {url[:60]}")
