"""What the running gateway knows of devices, for others to read: state_dir/onboard/observed.json and activated.json.

observed   what each device has said that it is: maker, model, firmware, serial number, and when
activated  which approval of each asset was opened first, and when: an older one does not come back

The process with the ports is the only writer. Both are replaced whole; a reader sees the old one or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway.core.frame import Identified
from gateway.security.onboard.journal import FOLDER

MAX_WORD = 64  # characters; the label of a device is shorter
T = TypeVar("T")


@dataclass(frozen=True)
class Observed:
    """What a device has said of itself; empty where it did not say. t: UTC, ISO 8601, when it began to say so."""

    vendor: str
    model: str
    firmware: str
    serial: str
    t: str

    @classmethod
    def of(cls, said: Identified, t: str) -> Observed:
        """Return what was said, cut to what a label holds."""
        return cls(_word(said.vendor), _word(said.model), _word(said.firmware), _word(said.serial), t)

    def same(self, other: Observed | None) -> bool:
        """Tell whether the device says the same as before."""
        return other is not None and (self.vendor, self.model, self.firmware, self.serial) == (
            other.vendor,
            other.model,
            other.firmware,
            other.serial,
        )


@dataclass(frozen=True)
class Activated:
    """The approval with which an asset was opened. t: when its signatures were first found good."""

    rev: int
    sha256: str
    t: str


def read_observed(state_dir: Path) -> dict[str, Observed]:
    """Return device -> what it says it is; {} when nothing was seen or the file is none."""
    return _read(state_dir / FOLDER / "observed.json", Observed)


def read_activated(state_dir: Path) -> dict[str, Activated]:
    """Return asset -> the approval that was opened."""
    return _read(state_dir / FOLDER / "activated.json", Activated)


def write_observed(state_dir: Path, found: Mapping[str, Observed]) -> None:
    """Replace the file. Raises: OSError."""
    _write(state_dir / FOLDER / "observed.json", {name: asdict(one) for name, one in found.items()})


def write_activated(state_dir: Path, found: Mapping[str, Activated]) -> None:
    """Replace the file. Raises: OSError."""
    _write(state_dir / FOLDER / "activated.json", {asset: asdict(one) for asset, one in found.items()})


def _word(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:MAX_WORD].strip()


def _read(path: Path, kind: type[T]) -> dict[str, T]:
    try:
        doc = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): kind(**one) for name, one in doc.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _write(path: Path, doc: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(json.dumps(doc, ensure_ascii=False, sort_keys=True, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
