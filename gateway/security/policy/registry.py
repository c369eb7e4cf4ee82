"""The rules: what each is called, what it says, and how it is asked. A registry; every part of the program may add one.

A rule is a function of the checked configuration and of a few facts from outside. It opens no device and changes
nothing. It yields what is broken; name and line are put to it here.

    @rule("sink-tls", "what leaves is encrypted")
    def sink_tls(config: Config, facts: Facts) -> Iterator[Broken]:
        if not config.sink.ca:
            yield Broken(("sink", "ca"), "it is empty: everything would leave in clear", "name the broker's CA")

A part whose module is not imported by this package names it in MODULES, and its rules are asked like all others.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.config import Config
from gateway.core.personal import withhold

MODULES = (  # named, not imported: some stand above this one
    "gateway.security.policy.opened",
    "gateway.security.policy.protected",
    "gateway.security.policy.leaving",
    "gateway.security.policy.zones",
    "gateway.security.policy.personal_rules",
    "gateway.security.policy.signature_rules",
    "gateway.security.policy.seal_rules",
    "gateway.security.policy.certs_rules",
)
RULES = 1  # an approval is for this version; raised when a rule comes, goes, or allows more or less than before
ROLES = frozenset({"acquire", "forward"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may know besides the configuration.

    now: UTC; roles: which this process is about to be, both when nobody starts (`mdi check`); starting: a process is
    about to start, so what only its user may see (keys, credentials) can be asked for
    """

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    roles: frozenset[str] = ROLES
    starting: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """What a rule found. path: the key in the document, ("port", 0, "link", "host"); where: when it is another file.

    tamper: something that was signed is not what is there (exit code 3); reason: of a TrustError
    """

    path: tuple[str | int, ...]
    why: str
    hint: str
    where: str = ""
    tamper: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule broken at one place. where: "file:line"; hint: what to change; stops: the start, in production."""

    rule: str
    key: str
    where: str
    why: str
    hint: str
    stops: bool = True
    tamper: bool = False
    reason: str = ""

    def __str__(self) -> str:
        """Return one line for a person."""
        return f"{self.where}: {self.key}: {self.why} [{self.rule}] → {self.hint}"


Check = Callable[[Config, Facts], Iterable[Broken]]


@dataclass(frozen=True, slots=True)
class Rule:
    """name: stable, for programs; says: what must hold, in words; stops: breaking it stops the start in production."""

    name: str
    says: str
    check: Check
    stops: bool = True


_RULES: dict[str, Rule] = {}


def rule(name: str, says: str, stops: bool = True) -> Callable[[Check], Check]:
    """Register a function as a rule."""

    def register(check: Check) -> Check:
        if name in _RULES and _RULES[name].check.__module__ != check.__module__:
            raise ValueError(f"two rules are called {name}")
        _RULES[name] = Rule(name, says, check, stops)
        return check

    return register


def rules() -> tuple[Rule, ...]:
    """Return all rules, those of a module together, in the order of MODULES."""
    for module in MODULES:
        importlib.import_module(module)
    return tuple(_RULES.values())


def judge(config: Config, facts: Facts | None = None) -> list[Violation]:
    """Return all that is broken, what stops and what does not, in the order of the rules."""
    facts = facts or Facts()
    return [_violation(config, one, broken) for one in rules() for broken in one.check(config, facts)]


def violations(config: Config, facts: Facts | None = None) -> list[Violation]:
    """Return all that stops the start in production; in lab the same list is only said."""
    return [violation for violation in judge(config, facts) if violation.stops]


def findings(config: Config, facts: Facts | None = None) -> list[Violation]:
    """Return what should be tidied up, and stops nobody."""
    return [violation for violation in judge(config, facts) if not violation.stops]


def _violation(config: Config, one: Rule, broken: Broken) -> Violation:
    where = broken.where or config.where(*broken.path)
    key, why, hint = map(
        withhold, (key_text(config, broken.path), broken.why, broken.hint)
    )  # a name may be a CPR number
    return Violation(one.name, key, where, why, hint, one.stops, broken.tamper, broken.reason)


def key_text(config: Config, path: tuple[str | int, ...]) -> str:
    """Return a key as a person names it: ports, devices, zones and conduits by name, routes by number from 1."""
    named = {"port": [p.settings.name for p in config.ports]}
    named |= {"zone": [z.name for z in config.zones], "conduit": [c.name for c in config.conduits]}
    parts: list[str] = []
    for at, part in enumerate(path):
        if isinstance(part, str):
            parts.append(part)
        elif at == 1 and path[0] in named and part < len(named[str(path[0])]):
            parts.append(named[str(path[0])][part])
        elif at == 3 and path[0] == "port" and isinstance(path[1], int):
            parts.append(config.ports[path[1]].devices[part].settings.name)
        else:
            parts.append(str(part + 1))
    return ".".join(parts)
