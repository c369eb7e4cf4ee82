"""What people on this box have done to a device: suspend, resume, revoke, retire. state_dir/onboard/ASSET.jsonl.

One line of canonical JSON per act, appended under a lock and synced before it counts. What cannot be read, or what the
life cycle does not allow, is no journal any more: the device is then held. A last line without its end was never
confirmed to anybody, and is cut by the next act.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.core.errors import ConfigError, TrustError
from gateway.security.onboard.canonical import canonical
from gateway.security.onboard.life import BY_HAND, Step
from gateway.security.onboard.record import record_path

FOLDER = "onboard"
MAX_JOURNAL = 1024 * 1024  # some thousand acts
MAX_REASON = 200  # characters


@dataclass(frozen=True)
class Act:
    """One act. t: UTC, ISO 8601; person: who says that it was them; reason: theirs, never about a patient."""

    t: str
    step: str
    person: str
    reason: str
    rev: int
    sha256: str


@dataclass(frozen=True)
class Past:
    """What the acts come to. looked: when it was last let go on; what it said before does not count."""

    suspended: Act | None = None
    revoked: Act | None = None
    retired: Act | None = None
    looked: str = ""


def journal_path(state_dir: Path, asset: str) -> Path:
    """Return where the acts on an asset stand. Raises: ConfigError when the asset can be none."""
    return state_dir / FOLDER / f"{record_path(state_dir, asset).stem}.jsonl"


def read_acts(state_dir: Path, asset: str) -> list[Act]:
    """Return all acts, in order. Raises: TrustError when the journal is damaged."""
    path = journal_path(state_dir, asset)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JOURNAL + 1)
    except FileNotFoundError:
        return []
    except OSError as fault:
        raise TrustError(f"cannot be read: {fault.strerror}", str(path), "check its rights") from fault
    if len(data) > MAX_JOURNAL:
        raise TrustError("is too large", str(path), "find out who wrote it")
    whole = data[: data.rfind(b"\n") + 1]
    return [_act(line, f"{path}:{number}") for number, line in enumerate(whole.splitlines(), 1)]


def past(acts: list[Act], where: str = "") -> Past:
    """Return what the acts come to. Raises: TrustError when they contradict each other."""
    now = Past()
    for act in acts:
        step = Step(act.step)
        fits = {
            Step.SUSPEND: not (now.suspended or now.revoked),
            Step.RESUME: not now.revoked,
            Step.REVOKE: not now.revoked,
            Step.RETIRE: now.revoked is not None and not now.retired,
        }[step]
        if not fits:
            raise TrustError(f"{act.step} cannot follow on what stands before it", where, "find out who wrote it")
        now = Past(
            act if step is Step.SUSPEND else None if step is Step.RESUME else now.suspended,
            act if step is Step.REVOKE else now.revoked,
            act if step is Step.RETIRE else now.retired,
            act.t if step is Step.RESUME else now.looked,
        )
    return now


def append(state_dir: Path, asset: str, act: Act) -> None:
    """Write an act down, synced. Raises: OSError, TrustError when the journal is damaged."""
    path = journal_path(state_dir, asset)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        past([*read_acts(state_dir, asset), act], str(path))
        data = path.read_bytes()
        os.ftruncate(handle, data.rfind(b"\n") + 1)
        os.lseek(handle, 0, os.SEEK_END)
        os.write(handle, canonical(asdict(act)) + b"\n")
        os.fsync(handle)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.close(handle)


def moment(now: datetime) -> str:
    """Return a time as it is written down: UTC, microseconds, always the same length, so that texts sort as times."""
    return now.astimezone(UTC).isoformat(timespec="microseconds")


def _act(line: bytes, where: str) -> Act:
    try:
        doc = json.loads(line)
        act = Act(**doc)
        good = canonical(doc) == line and Step(act.step) in BY_HAND and datetime.fromisoformat(act.t).tzinfo is not None
    except (ValueError, TypeError, RecursionError, ConfigError):
        good = False
    if not good:
        raise TrustError("is no act of ours", where, "find out who wrote it; the device is held until then")
    return act
