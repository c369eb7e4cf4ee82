"""What becomes of violations: in production nothing starts and all are listed; in lab each is said, and all goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gateway.config import Config
from gateway.core.errors import ConfigError, TrustError
from gateway.security.policy.registry import Facts, Violation, judge
from gateway.security.policy.signature_rules import judged

log = logging.getLogger("mdi.policy")


class PolicyError(ConfigError):
    """Rules are broken, in production. violations: all of them. The text has one line for each, and one at its head."""

    def __init__(self, where: str, violations: list[Violation]) -> None:
        many = f"{len(violations)} rules are" if len(violations) > 1 else "a rule is"
        what = f"{many} broken, and the mode is production: not started"
        super().__init__(what, where, "mdi check lists them")
        self.violations = violations
        self.exit_code = exit_code(violations)

    def __str__(self) -> str:
        """Return one line, and below it one for each violation."""
        return "\n".join([f"{self.where}: {self.what}", *map(str, self.violations)])


def exit_code(violations: Iterable[Violation]) -> int:
    """Return 3 when something that was signed is not what is there, else 2."""
    return TrustError.exit_code if any(v.tamper for v in violations) else ConfigError.exit_code


def enforce(config: Config, roles: Iterable[str]) -> list[Violation]:
    """Say or refuse what breaks the rules; return all that was said, findings too. roles: acquire, forward or both.

    Raises: PolicyError in production, when anything is broken that stops.
    """
    facts = Facts(roles=frozenset(roles), starting=True)
    found = judge(config, facts)
    stopping = [violation for violation in found if violation.stops]
    if stopping and not config.lab:
        raise PolicyError(str(config.path), stopping)
    if config.lab:
        log.warning("LAB: rules are said and not enforced; nothing that leaves here is charted")
    else:
        judged(config, facts.now, facts.roles).accept()
    for violation in found:
        log.warning("%s", violation)
    return found
