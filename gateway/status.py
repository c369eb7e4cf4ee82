"""The status of a running gateway, for `mdi status` and other programs: one JSON file per role in the run directory.

Counters and states only: no value, no identity of anybody.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.core.errors import LinkError
from gateway.forward import Forwarder
from gateway.port import Port
from gateway.security.seal import protection

STALE_S = 5.0  # the file is written each second; older means that the process is gone or stuck


def port_status(port: Port, now: float) -> dict[str, Any]:
    """Return the state of one port."""
    counters = {key: dict(value) if isinstance(value, Counter) else value for key, value in _fields(port.counters)}
    return {
        "name": port.name,
        "state": port.state,
        "idle_s": round(now - port.progress, 1),
        **counters,
        "ring": {"fill": round(port.ring.fill, 3), "seen": port.ring.seen, "dropped": port.ring.dropped},
        "devices": [
            {
                "name": device.name,
                "profile": device.profile_id,
                "firmware": device.firmware,
                "digest": device.plan.digest.hex()[:16],
                "refused": device.refused or device.barred,
                "samples": device.samples,
                "last_data_ns": device.last_data_ns,
                "clock_offset_s": None if device.offset_s is None else round(device.offset_s, 3),
                "clock_offset_age_s": None if device.offset_s is None else round(now - device.offset_at, 1),
                "unmapped": sum(device.plan.unmapped.values()),
            }
            for device in port.devices
        ],
    }


def _fields(counters: object) -> list[tuple[str, Any]]:
    return [(field.name, getattr(counters, field.name)) for field in fields(counters)]  # type: ignore[arg-type]


def forward_status(forwarder: Forwarder) -> dict[str, Any]:
    """Return the state of the way from ring to receiver."""
    return {
        "sink": forwarder.sink.state(),
        "alarm": forwarder.alarm,
        "sink_counters": asdict(forwarder.sink.counters),
        "counters": asdict(forwarder.counters),
        "spool": {
            **asdict(forwarder.spool.counters),
            "waiting": forwarder.waiting,
            "fill": round(forwarder.spool.fill, 4),
            "sealed": bool(forwarder.spool.sealed_with),
            "sealed_with": forwarder.spool.sealed_with,
            "key": asdict(protection()),
        },
        "rings": [
            {"port": r.port, "fill": round(r.reader.fill, 3), "torn": r.reader.torn, "blocked": r.blocked}
            for r in forwarder.rings
        ],
        "devices": [
            {"name": name, **asdict(account), "difference": account.difference}
            for name, account in sorted(forwarder.accounts.items())
        ],
    }


def headline(acquire: dict[str, Any], forward: dict[str, Any], stuck: Sequence[str]) -> str:
    """Return one line for a person of what the roles of this process do: systemctl status shows it. {}: not here."""
    said = ["LAB"] if "lab" in (acquire.get("mode"), forward.get("mode")) else []
    said += [f"STUCK: {', '.join(stuck)}"] if stuck else []
    if acquire:
        states = [port["state"] for port in acquire["ports"]]
        receiving = states.count("receiving")
        said.append(f"{receiving} of {len(states)} ports receiving")
    if forward:
        waiting = forward["spool"]["waiting"]
        said += [forward["sink"], f"{waiting} message{'s' * (waiting != 1)} waiting"]
        said.append(f"guarantee {forward['grade']['letter']}")
    return ", ".join(said)


def status_path(config: Config, role: str) -> Path:
    """Return the status file of a role."""
    return Path(config.gateway.run_dir) / f"status-{role}.json"


def write_status(config: Config, role: str, status: dict[str, Any]) -> None:
    """Replace the status file: a reader sees the old one or the new one."""
    path = status_path(config, role)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(status), encoding="utf-8")
    os.replace(draft, path)


def read_status(config: Config) -> dict[str, Any]:
    """Return role -> status with `alive`; a role that never ran here is missing."""
    found: dict[str, Any] = {}
    for role in ("acquire", "forward"):
        try:
            status = json.loads(status_path(config, role).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        status["age_s"] = round((time.monotonic_ns() - status["mono_ns"]) / 1e9, 1)  # of the machine, since its start
        status["alive"] = 0 <= status["age_s"] < STALE_S  # below zero: written before the machine started
        found[role] = status
    return found


def read_live_status(config: Config) -> dict[str, Any]:
    """Return the status of each role; alive means: written lately, and by a process that is still there.

    Raises: LinkError when the files are not those of a gateway.
    """
    try:
        found = read_status(config)
        for role in found.values():
            role["alive"] = role["alive"] and _exists(int(role["pid"]))
    except (ValueError, TypeError, KeyError) as fault:
        hint = "another program writes there; remove status-*.json"
        raise LinkError("the status is none of a gateway", config.gateway.run_dir, hint) from fault
    return found


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks only
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
