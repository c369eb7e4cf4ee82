"""What the pages show: states and counts, collected once for each request. No value, no text of a device or a person.

Reasons are the stable words of the rules, not what somebody has typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.core.errors import MdiError
from gateway.security.onboard.standing import read_trust, standing
from gateway.status import read_live_status

Row = tuple[Any, ...]
DOSSIER = "dossier.html"  # in state_dir, where `mdi onboard report` was told to write it


@dataclass(frozen=True)
class View:
    """Rows for the tables of one page. None: not known. spool: waiting, filled (0 … 1), connection."""

    gateway: str
    lab: bool
    now: datetime
    roles: tuple[Row, ...]
    ports: tuple[Row, ...] | None
    devices: tuple[Row, ...]
    spool: Row | None
    certificates: tuple[Row, ...] | None
    dossier: bool


def collect(config: Config, now: datetime) -> View:
    """Read status files and papers. Raises: MdiError when the configuration's folders hold something else."""
    status = _status(config)
    acquire, forward = status.get("acquire"), status.get("forward")
    trust, _ = read_trust(config, now)
    return View(
        gateway=config.gateway.name,
        lab=config.lab,
        now=now,
        roles=tuple((role, bool(found["alive"]), found["age_s"]) for role, found in sorted(status.items())),
        ports=tuple(_port(port) for port in acquire["ports"]) if acquire else None,
        devices=tuple(
            (s.device, s.asset, str(s.state), s.may_open, s.rules, [p.name for p in s.people], s.until)
            for s in standing(config, trust, now).values()
        ),
        spool=(forward["spool"]["waiting"], forward["spool"]["fill"], forward["sink"]) if forward else None,
        certificates=_certificates(forward),
        dossier=dossier_path(config).is_file(),
    )


def dossier_path(config: Config) -> Path:
    """Return where a dossier lies that may be shown."""
    return Path(config.gateway.state_dir) / DOSSIER


def _status(config: Config) -> dict[str, Any]:
    try:
        return read_live_status(config)
    except (MdiError, OSError):
        return {}


def _port(port: dict[str, Any]) -> Row:
    return port["name"], port["state"], port["frames_ok"], sum(port["frames_bad"].values()), port["ring"]["fill"]


def _certificates(forward: dict[str, Any] | None) -> tuple[Row, ...] | None:
    """The sender says how its certificates stand: their files are for nobody else."""
    if not forward or not isinstance(forward.get("certificates"), list):
        return None
    return tuple((c.get("role"), c.get("days_left"), c.get("kinds") or []) for c in forward["certificates"])
