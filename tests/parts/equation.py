"""The equation of docs/guarantees.md, looked at by every test that runs the pipeline, each time it reads the status."""

from __future__ import annotations

from typing import Any

TERMS = ("acknowledged", "waiting", "lost", "rejected", "left_out")


def unbalanced(status: dict[str, Any]) -> list[str]:
    """Return what is wrong in a status (role -> what it says): "" for nothing. Computed anew from its terms."""
    devices = status.get("forward", {}).get("devices", [])
    sums = [(device, sum(device[term] for term in TERMS)) for device in devices]
    return [
        f"{device['name']}: {device['seen']} seen, {total} accounted for"
        for device, total in sums
        if device["seen"] != total or device["difference"]
    ]
