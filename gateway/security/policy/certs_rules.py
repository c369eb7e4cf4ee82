"""Rules about the certificate and the key of this gateway. Asked where they can be read: when the sender starts."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config import Config
from gateway.security.certs.judge import Fault
from gateway.security.certs.state import CA, CRL, GATEWAY, CertificateState, status
from gateway.security.policy.registry import Broken, Facts, rule

KEYS = {GATEWAY: "cert", CA: "ca", CRL: "crl"}
# The broker may know its clients by another CA than the one that vouches for the broker; its word counts.
DOUBTFUL = frozenset({Fault.FOREIGN.value, Fault.CRL.value})


@rule("certificate", "The gateway's certificate is good now, and its key is its owner's only.")
def certificate(config: Config, facts: Facts) -> Iterator[Broken]:
    """Expired, not yet valid, another name, weak, self-signed, revoked, missing, or a key that others may read."""
    yield from _broken(config, facts, doubtful=False)


@rule(
    "certificate-chain",
    "The CA file vouches for the gateway's certificate too, and revocation lists are in date.",
    False,
)
def certificate_chain(config: Config, facts: Facts) -> Iterator[Broken]:
    """Said, and no reason to stop: the broker decides."""
    yield from _broken(config, facts, doubtful=True)


def _broken(config: Config, facts: Facts, doubtful: bool) -> Iterator[Broken]:
    if not facts.starting or "forward" not in facts.roles or config.sink_kind.name != "mqtt":
        return
    for state in status(config, facts.now):
        if state.role in KEYS:
            for why in _of(state, doubtful):
                key = "key" if "private key" in why else KEYS[state.role]
                yield Broken(("sink", key), why, "mdi certs status tells all of them")


def _of(state: CertificateState, doubtful: bool) -> list[str]:
    pairs = zip(state.faults, state.kinds, strict=True)
    return [fault for fault, kind in pairs if (kind in DOUBTFUL) == doubtful]
