"""mdi run, acquire, forward, check, status."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import service
from gateway.cli.output import out, print_json, print_table
from gateway.config import Config, Device, read_config
from gateway.core.errors import ConfigError
from gateway.status import read_status

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON value for programs.")]
DEFAULT = Path("mdi_config.toml")


def run(config: ConfigOption = DEFAULT) -> None:
    """Run the whole gateway in one process: ports, rings, spool and sender."""
    _serve(config, ("forward", "acquire"))


def acquire(config: ConfigOption = DEFAULT) -> None:
    """Run the ports only: from the devices into the rings. Needs no network but its devices."""
    _serve(config, ("acquire",))


def forward(config: ConfigOption = DEFAULT) -> None:
    """Run the sender only: from the rings through the spool to the receiver. Opens no device."""
    _serve(config, ("forward",))


def _serve(path: Path, roles: tuple[str, ...]) -> None:
    config = read_config(path)
    stop = stop_on_signals()
    if "forward" in roles:
        judge_plans(path)
    service.serve(config, roles, stop)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set: the orderly end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def judge_plans(path: Path) -> None:
    """Have a message of each device's plan judged, once for each plan in the life of the state directory.

    In a process of its own: hl7apy is large, and a bedside box needs it for this moment only. Raises: ConfigError.
    """
    judge = [sys.executable, "-m", "gateway.cli.judge", str(path)]
    result = subprocess.run(judge, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise ConfigError((result.stderr.strip().splitlines() or ["the judge ended without a word"])[-1])


def check(config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Check configuration and profiles without touching any hardware. Exit code 2 when something is wrong."""
    checked = read_config(config)
    columns = ("port", "driver", "link", "device", "profile", "metrics", "digest")
    rows = [
        (p.settings.name, p.driver.name, p.link_kind.describe(p.link), d.settings.name, *_plan(checked, d))
        for p in checked.ports
        for d in p.devices
    ]
    if json:
        print_json({"ok": True, "ports": [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    shown = ((port, link, device, profile, metrics) for port, _, link, device, profile, metrics, _ in rows)
    print_table(f"{config}: correct", ("port", "link", "device", "profile", "metrics"), shown)


def _plan(config: Config, device: Device) -> tuple[str, int, str]:
    plan = config.profiles.plan(device.settings.profile, device.settings.firmware)
    return plan.profile_id, len(plan.metrics), plan.digest.hex()[:16]


def status(config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Show what a running gateway does. Exit code 1 when a role that ran here is not alive."""
    found = read_status(read_config(config))
    if json:
        print_json(found)
    elif not found:
        out.print("no gateway has run with this configuration yet: mdi run")
    else:
        _show(found)
    if not found or not all(role["alive"] for role in found.values()):
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    for role, state in found.items():
        alive = "alive" if state["alive"] else f"NOT alive, last seen {state['age_s']} s ago"
        out.print(f"{role}: {alive}, process {state['pid']}, clock steps {state['clock_steps']}")
    if "acquire" in found:
        rows = [
            (
                p["name"],
                p["state"],
                p["frames_ok"],
                sum(p["frames_bad"].values()),
                p["samples"],
                f"{p['ring']['fill']:.0%}",
                p["ring"]["dropped"],
            )
            for p in found["acquire"]["ports"]
        ]
        print_table("Ports", ("port", "state", "frames ok", "bad", "samples", "ring", "dropped"), rows)
    if "forward" in found:
        state = found["forward"]
        counters, spool = state["counters"], state["spool"]
        print_table(
            f"Forward: {state['sink']}",
            ("messages", "accepted", "rejected", "resent", "waiting", "samples lost", "spool"),
            [
                (
                    counters["messages"],
                    counters["accepted"],
                    counters["rejected"],
                    counters["resent"],
                    spool["waiting"],
                    counters["rows_lost"],
                    f"{spool['fill']:.1%}",
                )
            ],
        )
