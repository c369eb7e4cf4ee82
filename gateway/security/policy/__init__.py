"""The configuration against its own zones and conduits: a list of violations, or none.

    from gateway.security.policy import violations, enforce

    violations(config)        all that stops the start in production; in lab each is a warning
    findings(config)          all that should be tidied up, and stops nobody
    enforce(config, roles)    at the start of run, acquire, forward, and of each reload: PolicyError in production

Another part adds a rule: see gateway.security.policy.registry.
"""

from gateway.security.policy.conduits import conduits_of, conduits_of_sink
from gateway.security.policy.enforce import PolicyError, enforce
from gateway.security.policy.registry import RULES, Broken, Facts, Rule, Violation, findings, rule, rules, violations

__all__ = [
    "RULES",
    "Broken",
    "Facts",
    "PolicyError",
    "Rule",
    "Violation",
    "conduits_of",
    "conduits_of_sink",
    "enforce",
    "findings",
    "rule",
    "rules",
    "violations",
]
