"""What must be signed: the people, this configuration, and each profile that a device uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from gateway.config import Config
from gateway.security.policy.registry import Broken, Facts, rule
from gateway.security.trust import TAMPER
from gateway.security.trust.load import Judged, judge_all
from gateway.security.trust.signed import Item


@rule("signed", "People, configuration and each profile in use are signed by who may, and nothing older comes back.")
def signed(config: Config, facts: Facts) -> Iterator[Broken]:
    """Each thing that does not count, at its own place."""
    for refused in judged(config, facts.now).refused:
        fault = refused.fault
        path = _place(config, refused.what)
        yield Broken(path, fault.what, fault.hint, fault.where, fault.reason in TAMPER, fault.reason)


def judged(config: Config, now: datetime, roles: Iterable[str] = ()) -> Judged:
    """Judge all signatures over the bytes that this configuration was made of. roles: of the process that records."""
    used = sorted({device.settings.profile for device in config.devices})
    return judge_all(
        Path(config.security.etc_dir),
        Path(config.gateway.state_dir),
        "-".join(sorted(roles)),
        Item(config.path, config.text.encode(), config.path.name),
        [config.profiles.item(profile_id) for profile_id in used],
        now,
    )


def _place(config: Config, what: str) -> tuple[str | int, ...]:
    """Return the key that a profile is named by, or the one of the folder with the list of people."""
    for i, port in enumerate(config.ports):
        for n, device in enumerate(port.devices):
            if device.settings.profile == what:
                return ("port", i, "device", n, "profile")
    return ("security",) if what == "configuration" else ("security", "etc_dir")
