"""What lies on the disk is sealed with a key, and the key itself lies on no disk in clear."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config import Config
from gateway.core.errors import ConfigError
from gateway.security.policy.registry import Broken, Facts, rule
from gateway.security.seal import HINT, protection, read_keys


def _asked(facts: Facts) -> bool:
    """Tell whether the credential of the sender can be seen: only by the sender itself."""
    return facts.starting and "forward" in facts.roles


@rule("seal-key", "What waits on the disk is sealed: there is a key.")
def seal_key(_config: Config, facts: Facts) -> Iterator[Broken]:
    """No key, no start."""
    if not _asked(facts):
        return
    where = ("gateway", "state_dir")
    try:
        if not read_keys():
            yield Broken(where, "there is no key to seal what waits there", f"make one: {HINT}")
    except ConfigError as fault:
        yield Broken(where, f"{fault.where}: {fault.what}", fault.hint)


@rule("seal-key-memory", "The key lies in memory only, put there by systemd, and on no disk in clear.")
def seal_key_memory(_config: Config, facts: Facts) -> Iterator[Broken]:
    """A key beside what it seals protects nothing."""
    kept = protection()
    if not _asked(facts) or kept.source == "none":
        return
    if not kept.in_memory:
        why = f"the key is a {kept.source} ({kept.memory})"
        yield Broken(("gateway", "state_dir"), why, "load it with LoadCredentialEncrypted=")
    if kept.readable_by_others:
        yield Broken(("gateway", "state_dir"), "everybody on this machine can read the key", "give it the mode 0400")
