"""Break-glass: root at the console gives an account of this box a role for minutes. Needs no network and no directory.

`/run/mdi-admin/break-glass.json` beside the socket: {uid: [role, until]}. It counts only while it belongs to root (or
to the user of the daemon itself) and nobody else may write it. Memory: a restart of the box ends it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gateway.core.errors import ConfigError
from gateway.security.access.roles import Role

FILE = "break-glass.json"
MOST_MINUTES = 60
MAX_BYTES = 64 * 1024


def path_of(socket: str) -> Path:
    """Return where it lies, beside the admin socket."""
    return Path(socket).parent / FILE


def granted(path: Path, now_s: float) -> Mapping[int, Role]:
    """Return uid -> role that is granted now (UTC, s). A file that is none, or is not root's, grants nothing."""
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            data = file.read(MAX_BYTES)
        mine = about.st_uid in (0, os.getuid()) and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        doc = json.loads(data) if mine and stat.S_ISREG(about.st_mode) else {}
        longest = now_s + 60 * MOST_MINUTES
        return {int(uid): Role[role] for uid, (role, until) in doc.items() if now_s < float(until) <= longest}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return {}


def grant(path: Path, uid: int, role: Role, minutes: int, now_s: float) -> None:
    """Grant a role. Raises: ConfigError, OSError when this user may not write there."""
    if not 1 <= minutes <= MOST_MINUTES:
        raise ConfigError(f"{minutes} minutes is not 1 to {MOST_MINUTES}", hint="grant it again when it is over")
    before = {str(u): [r.name, until] for u, (r, until) in _all(path, now_s).items()}
    text = json.dumps(before | {str(uid): [role.name, now_s + 60 * minutes]})
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _all(path: Path, now_s: float) -> dict[int, tuple[Role, float]]:
    known = granted(path, now_s)
    doc = json.loads(path.read_text(encoding="utf-8")) if known else {}
    return {uid: (role, float(doc[str(uid)][1])) for uid, role in known.items()}
