"""mdi reload."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from gateway.cli.output import out
from gateway.cli.run import DEFAULT, ConfigOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError, LinkError
from gateway.status import read_live_status

WAIT_S = 130.0  # a reload has 120 s (gateway.reload)
ORDER = ("forward", "acquire")  # the sender knows a new device before its first sample comes


def reload(config: ConfigOption = DEFAULT) -> None:
    """Let a running gateway take its changed configuration over, without an end.

    The configuration is checked first, as `mdi check` does it; one that is wrong is refused here, and the gateway goes
    on as before. Ports that did not change go on untouched, and so does the spool. What cannot change without a restart
    is named, and then nothing is taken over. The exit code is 0 when each role has taken it, 2 when one refused.

    \b
    mdi check --config /etc/mdi/mdi_config.toml && mdi reload --config /etc/mdi/mdi_config.toml
    """
    checked = read_config(config)
    found = read_live_status(checked)
    alive = [role for role in ORDER if found.get(role, {}).get("alive")]
    if not alive:
        raise LinkError("no gateway runs with this configuration", checked.gateway.run_dir, "start it: mdi run")
    done: set[int] = set()
    for role in alive:
        if found[role]["pid"] not in done:  # one process may have both roles
            done.add(found[role]["pid"])
            _reload(checked, role, found[role])


def _reload(config: Config, role: str, before: dict[str, Any]) -> None:
    """Ask one process and wait for its answer. Raises: ConfigError when it refuses, LinkError when it is silent."""
    try:
        os.kill(before["pid"], signal.SIGUSR1)
    except PermissionError:
        raise LinkError(f"{role} is another user's process", str(before["pid"]), "sudo mdi reload") from None
    pause, end = threading.Event(), time.monotonic() + WAIT_S
    while (said := read_live_status(config)[role])["reload"]["count"] == before["reload"]["count"]:
        if time.monotonic() > end or not said["alive"]:
            raise LinkError(f"{role} does not answer", f"process {before['pid']}", "look at its log")
        pause.wait(0.1)
    if not said["reload"]["ok"]:
        raise ConfigError(f"{role} goes on as before: {said['reload']['said']}")
    out.print(f"{role}: {said['reload']['said']}")
