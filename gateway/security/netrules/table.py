"""An nftables table as data: chains, counters, rules. Data -> text for `nft -f`, and `nft -j list table` -> data.

Both ways meet in the same values, so what is declared and what is enforced compare with ==. What this module does not
know of (a statement, a match) is kept as its JSON, so that a foreign rule never looks like one of ours.
Users are names here; nft prints numbers: `uids` says which is which. Addresses are written as `ipaddress` writes them.
Syntax and JSON: nft(8), libnftables-json(5), as of nft 1.0.6.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FAMILY, NAME = "inet", "mdi"  # the one table that is ours; no other is ever touched
SET_OF_FLAGS = "ct state"  # written with commas: it is a bit mask, not a set


@dataclass(frozen=True, order=True)
class Match:
    """What a packet must have. key: as in nft, "ip daddr"; values: sorted, any of them."""

    key: str
    values: tuple[str, ...]
    op: str = "=="


@dataclass(frozen=True, order=True)
class Rule:
    """One rule of a chain: all matches hold -> the statements, in order."""

    chain: str
    matches: tuple[Match, ...]
    statements: tuple[str, ...]
    comment: str = ""

    def __str__(self) -> str:
        return f"{self.chain}: {line(self, {})}"


@dataclass(frozen=True, order=True)
class Chain:
    """A chain. hook: where it sits, "input -> 0"; policy: what happens when no rule decides."""

    name: str
    hook: str
    policy: str


@dataclass(frozen=True)
class Table:
    """The whole table."""

    chains: tuple[Chain, ...]
    counters: tuple[str, ...]
    rules: tuple[Rule, ...]
    foreign: tuple[str, ...] = ()  # objects that we never make: sets, maps, flow tables


def match(key: str, values: Iterable[str], op: str = "==") -> Match:
    return Match(key, tuple(sorted(values)), op)


def line(rule: Rule, uids: Mapping[str, int]) -> str:
    """Return the rule as nft takes it. uids: name -> number; a name that is not there stays a name."""
    words = [_match_text(m, uids) for m in rule.matches] + list(rule.statements)
    return " ".join(words) + (f' comment "{rule.comment}"' if rule.comment else "")


def _match_text(m: Match, uids: Mapping[str, int]) -> str:
    values = [str(uids.get(v, f'"{v}"')) if m.key == "meta skuid" and not v.isdecimal() else v for v in m.values]
    values = [f'"{v}"' for v in values] if m.key in ("meta time", "meta iif", "meta oif") else values
    op = "" if m.op == "==" else f"{m.op} "
    if len(values) == 1:
        return f"{m.key} {op}{values[0]}"
    return f"{m.key} {op}" + (",".join(values) if m.key == SET_OF_FLAGS else "{ " + ", ".join(values) + " }")


def text(table: Table, uids: Mapping[str, int], notes: Iterable[str] = ()) -> str:
    """Return what `nft -f` loads as one transaction: the old table goes and the new one stands, or nothing changes.

    delete, not flush: a chain or a set that somebody has added to our table goes with it. nft 1.0.6 wants named
    objects before they are used, and nothing of them on one line without ";".
    """
    lines = [f"# {' '.join(note.split())}" for note in notes]
    lines += [f"table {FAMILY} {NAME}", f"delete table {FAMILY} {NAME}", f"table {FAMILY} {NAME} {{"]
    for counter in table.counters:
        lines += [f"\tcounter {counter} {{", "\t}"]
    for chain in table.chains:
        hook, _, priority = chain.hook.partition(" ")
        lines += ["", f"\tchain {chain.name} {{"]
        lines += [f"\t\ttype filter hook {hook} priority {priority}; policy {chain.policy};"]
        lines += [f"\t\t{line(rule, uids)}" for rule in table.rules if rule.chain == chain.name]
        lines += ["\t}"]
    return "\n".join([*lines, "}", ""])


# ---- nft -j list table


def parse(document: str, uids: Mapping[str, int]) -> Table:
    """Return the table that nft lists. ValueError: no JSON of nft."""
    users = {number: name for name, number in uids.items()}
    chains, counters, rules, foreign = [], [], [], []
    for item in json.loads(document)["nftables"]:
        ((kind, of),) = item.items()
        if kind == "chain":
            hook = f"{of.get('hook')} {of.get('prio')}"
            chains.append(Chain(of["name"], hook, of.get("policy", "")))
        elif kind == "counter":
            counters.append(of["name"])
        elif kind == "rule":
            rules.append(_rule(of, users))
        elif kind not in ("metainfo", "table"):
            foreign.append(f"{kind} {of.get('name', '')}")
    return Table(tuple(chains), tuple(counters), tuple(rules), tuple(foreign))


def _rule(of: Mapping[str, Any], users: Mapping[int, str]) -> Rule:
    matches: list[Match] = []
    statements: list[str] = []
    for expression in of.get("expr", ()):
        ((kind, body),) = expression.items()
        found = _match(body, users) if kind == "match" else None
        if found and not statements:
            matches.append(found)
        else:
            statements.append(_statement(kind, body))
    return Rule(of["chain"], tuple(matches), tuple(statements), of.get("comment", ""))


def _match(body: Mapping[str, Any], users: Mapping[int, str]) -> Match | None:
    """Return a match of one of the kinds that we write; None for any other."""
    ((kind, left),) = body["left"].items()
    if kind == "meta" or (kind == "ct" and set(left) == {"key"}):
        key = f"{kind} {left['key']}"
    elif kind == "payload" and "field" in left:
        key = f"{left['protocol']} {left['field']}"
    else:
        return None
    right = body["right"]
    listed = right["set"] if isinstance(right, dict) and "set" in right else right
    values = [_value(v, key, users) for v in (listed if isinstance(listed, list) else [listed])]
    return match(key, values, "==" if body["op"] in ("==", "in") else body["op"])


def _value(value: Any, key: str, users: Mapping[int, str]) -> str:
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if key == "meta skuid" and isinstance(value, int):
        return users.get(value, str(value))
    return str(value) if isinstance(value, str | int) else _raw(value)


def _statement(kind: str, body: Any) -> str:
    if kind in ("accept", "drop") and body is None:
        return kind
    if kind == "counter" and isinstance(body, str):
        return f"counter name {body}"
    if kind == "reject" and isinstance(body, dict) and set(body) == {"type", "expr"}:
        return f"reject with {body['type']} {body['expr']}"
    if kind == "limit" and set(body) <= {"rate", "burst", "per"}:
        burst = f" burst {body['burst']} packets" if "burst" in body else ""
        return f"limit rate {body['rate']}/{body['per']}{burst}"
    if kind == "log" and set(body) == {"prefix", "level"}:
        return f'log prefix "{body["prefix"]}" level {body["level"]}'
    return _raw({kind: body})


def _raw(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
