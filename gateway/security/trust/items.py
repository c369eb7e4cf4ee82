"""What was read, for whoever verifies it: the same bytes that are parsed. Light: it is imported by every command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ProfileItem:
    """A profile as it was read. beside: the data files it names.

    root: the folder of profiles; packaged: it came with the release; id: "vendor/model"
    """

    root: Path
    packaged: bool
    id: str
    path: Path
    data: bytes = field(repr=False)
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)
