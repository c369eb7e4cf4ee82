"""What a campaign of tests has come to, for people and for a report."""

from __future__ import annotations

import json
import os
from pathlib import Path

EVIDENCE = "MDI_EVIDENCE"


def tell(name: str, figures: dict[str, object]) -> None:
    """Print one line; with a folder in MDI_EVIDENCE also write it to <name>.json there."""
    folder = os.environ.get(EVIDENCE)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"{name}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | figures, indent=1, ensure_ascii=False) + "\n")
    print(f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
