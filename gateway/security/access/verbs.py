"""What can be asked over the admin socket: a registry, each verb with the least role that may.

A verb answers with what JSON can say: states and names, no value and nothing of a patient. Those that change something
do it as the account that asks, and audit it so. What needs another user's files (private keys, the spool) is no verb:
that is done by root, with the commands of the command line.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.core.errors import ConfigError, LinkError
from gateway.security.access.roles import Peer, Role
from gateway.security.audit import Audit, Event
from gateway.security.audit.reading import entries_of, since_text, writers_of
from gateway.security.certs.state import status as certificates_of
from gateway.security.onboard import actions
from gateway.security.onboard.life import Step
from gateway.security.onboard.standing import read_trust, standing
from gateway.security.policy.signature_rules import judged
from gateway.status import read_live_status

MOST_ENTRIES = 5000  # of one export: about 2 MB, which a client takes in one piece


@dataclass(frozen=True)
class Ask:
    """One request that is allowed. args: texts by name, exactly those that the verb takes."""

    config: Config
    peer: Peer
    role: Role
    args: Mapping[str, str]
    now: datetime
    audit: Audit


Answer = dict[str, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Verb:
    """name, least role, the names of its arguments (with "?" at the end: may be left out), and a sentence."""

    name: str
    role: Role
    args: tuple[str, ...]
    says: str
    run: Callable[[Ask], Answer]


VERBS: dict[str, Verb] = {}


def verb(name: str, role: Role, *args: str) -> Callable[[Callable[[Ask], Answer]], Callable[[Ask], Answer]]:
    """Register a function as a verb; its first line is the sentence."""

    def register(run: Callable[[Ask], Answer]) -> Callable[[Ask], Answer]:
        VERBS[name] = Verb(name, role, args, (run.__doc__ or "").split("\n")[0], run)
        return run

    return register


def fitting(found: Verb, args: Mapping[str, str]) -> None:
    """Check the arguments of a request. Raises: ConfigError."""
    known = {name.rstrip("?") for name in found.args}
    needed = {name for name in found.args if not name.endswith("?")}
    if extra := sorted(args.keys() - known):
        raise ConfigError(f"{found.name} takes no {extra[0]}", hint="takes " + (", ".join(found.args) or "nothing"))
    if missing := sorted(needed - args.keys()):
        raise ConfigError(f"{found.name} needs {missing[0]}", hint=f"{found.name} {missing[0]}=…")


@verb("whoami", Role.VIEWER)
def whoami(ask: Ask) -> Answer:
    """The account and role that the gateway sees."""
    return {"account": ask.peer.name, "uid": ask.peer.uid, "role": ask.role.word}


@verb("verbs", Role.VIEWER)
def verbs(ask: Ask) -> Answer:
    """What can be asked, and the least role for each."""
    return [
        {"verb": v.name, "role": v.role.word, "args": list(v.args), "says": v.says, "allowed": ask.role >= v.role}
        for v in VERBS.values()
    ]


@verb("status", Role.VIEWER)
def status(ask: Ask) -> Answer:
    """States and counters of the running roles, no values."""
    return read_live_status(ask.config)


@verb("devices", Role.VIEWER)
def devices(ask: Ask) -> Answer:
    """Each device: where it is in its life, and why."""
    trust, _ = read_trust(ask.config, ask.now)
    return [
        {
            "device": s.device,
            "asset": s.asset,
            "state": str(s.state),
            "may_open": s.may_open,
            "reasons": list(s.reasons),
        }
        for s in standing(ask.config, trust, ask.now).values()
    ]


@verb("certificates", Role.VIEWER)
def certificates(ask: Ask) -> Answer:
    """Certificates, their days left, and what is wrong."""
    return [found.as_dict() for found in certificates_of(ask.config, ask.now)]


@verb("signatures", Role.VIEWER)
def signatures(ask: Ask) -> Answer:
    """What is signed, by whom, and what does not count."""
    found = judged(ask.config, ask.now)
    good = [{"file": v.name, "rev": v.claim.rev, "people": [p.name for p in v.people]} for v in found.verdicts]
    return {"counts": good, "refused": [{"file": r.what, "why": str(r.fault)} for r in found.refused]}


@verb("reload", Role.OPERATOR)
def reload(ask: Ask) -> Answer:
    """The running roles take the changed configuration over; status tells whether they did."""
    asked = {}
    for role, found in read_live_status(ask.config).items():
        if found["alive"]:
            try:
                os.kill(int(found["pid"]), signal.SIGUSR1)
            except OSError as fault:
                raise LinkError(f"{role} cannot be asked: {fault.strerror}", hint="root: mdi reload") from fault
            asked[role] = found["reload"]["count"]
    if not asked:
        raise LinkError("no gateway runs with this configuration", ask.config.gateway.run_dir, "start it")
    return {"asked": asked}


@verb("suspend", Role.OPERATOR, "asset", "reason")
def suspend(ask: Ask) -> Answer:
    """A device is suspended, within a second or two; one person may."""
    return _by_hand(ask, Step.SUSPEND)


@verb("resume", Role.APPROVER, "asset", "reason")
def resume(ask: Ask) -> Answer:
    """A suspension ends, while the approval still holds."""
    return _by_hand(ask, Step.RESUME)


@verb("revoke", Role.APPROVER, "asset", "reason")
def revoke(ask: Ask) -> Answer:
    """A device loses its approval, for good."""
    return _by_hand(ask, Step.REVOKE)


@verb("retire", Role.ADMINISTRATOR, "asset", "reason")
def retire(ask: Ask) -> Answer:
    """A device is taken out of use, for good."""
    return _by_hand(ask, Step.RETIRE)


def _by_hand(ask: Ask, step: Step) -> Answer:
    trust, _ = read_trust(ask.config, ask.now)
    name, reason = ask.args["asset"], ask.args["reason"]
    found = actions.by_hand(ask.config, trust, name, step, ask.peer.name, reason, ask.now, ask.audit)
    return {"asset": name, "device": found.device, "state": str(found.state), "may_open": found.may_open}


@verb("approve", Role.APPROVER, "asset", "rev", "signature")
def approve(ask: Ask) -> Answer:
    """A signature is handed in for a request; it counts by whose key made it, not by who hands it in."""
    trust, why = read_trust(ask.config, ask.now)
    if trust is None:
        raise ConfigError(f"nobody's signature counts here: {why}", hint="mdi trust status")
    if not ask.args["rev"].isdecimal() or len(ask.args["rev"]) > 9:
        raise ConfigError("rev is a whole number", hint="rev=1")
    asset, rev = ask.args["asset"], int(ask.args["rev"])
    verdict, person = actions.sign(ask.config, trust, asset, rev, ask.args["signature"], ask.audit)
    return {"asset": asset, "rev": rev, "signer": person, "people": [p.name for p in verdict.people]}


@verb("audit", Role.APPROVER, "since?")
def audit(ask: Ask) -> Answer:
    """The audit log of all processes, newest last, the latest 5000 entries."""
    folder = Path(ask.config.gateway.state_dir) / "audit"
    since = since_text(ask.args.get("since", ""), ask.now)
    found = [{"writer": w, **entry} for w in writers_of(folder) for entry in entries_of(folder / w, since)]
    found.sort(key=lambda entry: str(entry["t_utc"]))
    ask.audit.write(Event.AUDIT_READ, person=ask.peer.name, entries=len(found), actor=ask.peer.name)
    return found[-MOST_ENTRIES:]
