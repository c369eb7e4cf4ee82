"""How certificates are shown to people, for `mdi certs status` and `mdi status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.cli.output import out, print_table


def show_certificates(forward: dict[str, Any]) -> None:
    """Print what the running sender says of TLS; nothing for a sink without. forward: its status."""
    if tls := forward.get("tls"):
        spoken = f"{tls['version']}, {tls['cipher']}" if "version" in tls else "no handshake yet"
        out.print(f"TLS: {spoken}; policy: {tls['policy']}", highlight=False)
        table(forward["certificates"] + [tls["broker"]] * ("broker" in tls))


def table(states: Sequence[dict[str, Any]]) -> None:
    """Print certificates as a table, and what is wrong below it."""
    columns = ("certificate", "subject", "names", "issuer", "key", "valid until", "days left")
    rows = [
        (s["role"], s["subject"], ", ".join(s["names"]), s["issuer"], s["key"], s["not_after"], _days(s))
        for s in states
    ]
    print_table("Certificates", columns, rows)
    for state in states:
        for fault in state["faults"]:
            out.print(fault, style="bold red", markup=False, highlight=False)


def _days(state: dict[str, Any]) -> str:
    if state["days_left"] is None:
        return ""
    said = f"{state['days_left']:.0f}"
    return said if state["warn"] is None else f"{said}: {'OVER' if state['days_left'] <= 0 else 'renew'}"
