"""Declared = enforced = observed? Three views of the same network, and where they differ. Pure.

declared    what the configuration, its conduits and the standing of the devices allow
enforced    what nft lists
observed    what sockets there are, and what the kernel does with packets of others
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.security.netrules.declared import table
from gateway.security.netrules.sockets import Socket, undeclared
from gateway.security.netrules.table import Rule, Table
from gateway.security.netrules.ways import Ways


@dataclass(frozen=True, order=True)
class Drift:
    """One difference. between: "enforced" or "observed", against declared; kind: a word for programs."""

    between: str
    kind: str
    what: str


@dataclass(frozen=True)
class Observed:
    """What is seen. forwards: names of kernel switches that pass packets on; bridges: interfaces that join networks."""

    sockets: tuple[Socket, ...] = ()
    forwards: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()


def enforced_drift(declared: Ways, enforced: Table | None) -> list[Drift]:
    """Compare with what nft lists. None: there is no table of ours."""
    if enforced is None:
        return [Drift("enforced", "no-table", "there is no table inet mdi: nothing is enforced")]
    wanted = table(declared)
    found = [Drift("enforced", "rule-missing", str(rule)) for rule in _less(wanted.rules, enforced.rules)]
    found += [Drift("enforced", "rule-added", str(rule)) for rule in _less(enforced.rules, wanted.rules)]
    found += [Drift("enforced", "chain-missing", str(c)) for c in wanted.chains if c not in enforced.chains]
    found += [Drift("enforced", "chain-added", str(c)) for c in enforced.chains if c not in wanted.chains]
    found += [Drift("enforced", "object-added", name) for name in enforced.foreign]
    if not found and wanted.rules != enforced.rules:
        found.append(Drift("enforced", "order", "the rules stand in another order"))
    return found


def _less(some: Iterable[Rule], others: Iterable[Rule]) -> list[Rule]:
    """Return what is in the first and not in the second; twice is not once."""
    return list((Counter(some) - Counter(others)).elements())


def observed_drift(declared: Ways, observed: Observed) -> list[Drift]:
    """Compare with what is seen."""
    found = [
        Drift("observed", "listener" if socket.listens else "connection", str(socket))
        for socket in undeclared(observed.sockets, declared.ways)
    ]
    found += [Drift("observed", "forwarding", name) for name in observed.forwards]
    found += [Drift("observed", "bridge", name) for name in observed.bridges]
    return found


def drift(declared: Ways, enforced: Table | None, observed: Observed) -> list[Drift]:
    """Return all differences; none: the three are the same."""
    return enforced_drift(declared, enforced) + observed_drift(declared, observed)
