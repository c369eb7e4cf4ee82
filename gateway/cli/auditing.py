"""The audit log as commands open it."""

from __future__ import annotations

import logging
import re
import time
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.clock import SystemClock
from gateway.config import Config
from gateway.config_sections import NAME, GatewaySettings
from gateway.config_security import PRODUCTION
from gateway.core.errors import ConfigError, MdiError
from gateway.security.audit import Audit, AuditLog, Clocks, Event
from gateway.security.audit.log import FILE_BYTES, Said
from gateway.security.audit.selftest import TESTS, Place, selftest
from gateway.security.audit.syslog import Syslog
from gateway.security.policy import Violation

log = logging.getLogger("mdi.audit")
SMALLEST = 2  # files at least, so that there is an oldest one that can go


def audit_folder(config: Config) -> Path:
    """Return where the audit logs of this gateway live, one folder for each writer."""
    return Path(config.gateway.state_dir) / "audit"


def open_audit(config: Config, writer: str, said: Said = lambda _: None) -> AuditLog:
    """Return the audit log of this process, at work. Raises: ConfigError."""
    clock = SystemClock()  # of the log's own thread

    def quality() -> str:
        return clock.look().quality.name.lower()

    limit = config.audit.limit_mib << 20
    return AuditLog.open(
        audit_folder(config),
        writer,
        config.gateway.name,
        clocks=Clocks(quality=quality),
        limits=(min(FILE_BYTES, limit // SMALLEST), limit),
        said=said,
    )


@contextmanager
def forwarding(config: Config, writer: str) -> Iterator[Said]:
    """Yield what sends each entry to the collector; acquire has no network, and reaches the local one only."""
    to = config.audit.syslog
    if not to or (writer == "acquire" and to != "local"):
        yield lambda _: None
        return
    syslog = Syslog(to, config.gateway.name, config.audit.syslog_ca)
    try:
        yield syslog
    finally:
        syslog.close()


def self_test(config: Config, writer: str, audit: Audit) -> None:
    """Run the security self-test and write it down. A log that was changed stops nothing: it is known, data flows on.

    Raises: ConfigError in production, when the box cannot be relied on.
    """
    began = time.monotonic()
    failed = selftest(Place(audit_folder(config) / writer, config.gateway.name))
    took_s, first = round(time.monotonic() - began, 3), failed[0] if failed else "none"
    audit.write(Event.SELFTEST, ok=not failed, tests=len(TESTS), failed=len(failed), rule=first, took_s=took_s)
    if failed:
        log.error("the security self-test fails: %s", ", ".join(failed))
    if set(failed) - {"audit-chain"} and not config.lab:
        raise ConfigError(
            f"the security self-test fails: {', '.join(failed)}", hint="mdi audit verify; then ask for help"
        )


def say_violations(audit: Audit, violations: Iterable[Violation], mode: str) -> None:
    """Write down which rules are broken."""
    for found in violations:
        if found.reason:  # a signature
            audit.write(Event.SIGNATURE_REFUSED, found.key, rule=found.reason, file=found.where)
        audit.write(Event.POLICY_VIOLATION, found.rule, rule=found.rule, key=found.key, where=found.where, mode=mode)


def audit_refusal(path: Path, writer: str, fault: MdiError) -> None:
    """Write down that a configuration was refused, as far as it tells where; a new box has nowhere to write it."""
    with suppress(OSError, ValueError, ConfigError):
        gateway = tomllib.loads(path.read_text(encoding="utf-8")).get("gateway", {})
        name = gateway.get("name", "") if isinstance(gateway, dict) else ""
        state_dir = gateway.get("state_dir", GatewaySettings.state_dir) if name else ""
        if not isinstance(name, str) or not re.fullmatch(NAME, name) or not isinstance(state_dir, str):
            return
        if not (Path(state_dir) / "audit" / writer).is_dir():
            return
        with AuditLog.open(Path(state_dir) / "audit", writer, name) as audit:
            say_violations(audit, getattr(fault, "violations", ()), PRODUCTION)
            audit.write(Event.CONFIG_REFUSED, error=type(fault).__name__, where=fault.where)
