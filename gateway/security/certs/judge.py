"""Is this certificate good, for this use, at this time? A list of what is wrong, each with its own message. Pure.

What counts as weak: RSA below 2048 bits and SHA-1 give less than 112 bits of security (NIST SP 800-57 part 1 rev. 5,
table 2 and 3; OpenSSL's security level 2 refuses the same).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from cryptography import x509

from gateway.security.certs.x509 import CLIENT, Certificate

RSA_BITS = 2048
CURVE_BITS = 256
HASHES = frozenset({"", "sha256", "sha384", "sha512"})  # "": Ed25519 and Ed448 hash by themselves
DEPTH = 8  # certificates in a chain; a longer one is a loop or a joke


class Fault(Enum):
    """Kinds of what can be wrong; the words are stable, for programs."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    SELF_SIGNED = "self-signed"
    FOREIGN = "foreign-ca"
    NAME = "wrong-name"
    KEY = "weak-key"
    HASH = "weak-signature"
    USAGE = "wrong-usage"
    REVOKED = "revoked"
    MISMATCH = "key-mismatch"
    MISSING = "missing"
    RIGHTS = "rights"
    CRL = "revocation-list"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. text: for a person, what and how; hint: what to do."""

    fault: Fault
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text} → {self.hint}" if self.hint else self.text


def dates(cert: Certificate, now: datetime) -> list[Finding]:
    """Return whether it is valid at this time. now: with its time zone."""
    if now > cert.not_after:
        text = f"the certificate of {named(cert)} has expired: it was valid until {said(cert.not_after)}"
        return [Finding(Fault.EXPIRED, text, "mdi certs csr, have it signed, mdi certs rotate")]
    if now < cert.not_before:
        text = f"the certificate of {named(cert)} is not yet valid: it begins at {said(cert.not_before)}"
        return [Finding(Fault.NOT_YET_VALID, text, "look at the clock of this box, or wait")]
    return []


def strength(cert: Certificate) -> list[Finding]:
    """Return what is weak of its key and of its issuer's signature."""
    found = []
    least = RSA_BITS if cert.key.startswith("RSA") else CURVE_BITS
    if cert.strength < least:
        text = f"the key of {named(cert)} is too weak: {cert.key}"
        found.append(Finding(Fault.KEY, text, "EC P-256 or RSA 2048 and better"))
    if cert.hash not in HASHES and not (cert.self_issued and cert.authority):  # nobody checks a root's own signature
        text = f"the signature under the certificate of {named(cert)} is too weak: {cert.hash}"
        found.append(Finding(Fault.HASH, text, "have it signed with SHA-256"))
    return found


def usage(cert: Certificate, purpose: str) -> list[Finding]:
    """Return whether it is for this purpose: CLIENT (a gateway, KITA) or SERVER (a broker)."""
    found = []
    if cert.authority:
        text = f"{named(cert)} is a certificate authority, not a {purpose}"
        found.append(Finding(Fault.USAGE, text, "install the certificate that was issued for this box"))
    elif (cert.purposes is not None and purpose not in cert.purposes) or not cert.signs:
        text = f"the certificate of {named(cert)} is not for use as a {purpose}"
        found.append(Finding(Fault.USAGE, text, f"have it issued with extended key usage {purpose}Auth"))
    return found


def name(cert: Certificate, wanted: str, purpose: str = CLIENT) -> list[Finding]:
    """Return whether it names this client (CN, which the broker takes as user name) or this server (SAN)."""
    if purpose == CLIENT:
        fits, has = cert.common_name == wanted, cert.common_name or "no CN"
    else:
        fits, has = any(_matches(found, wanted) for found in cert.names), ", ".join(cert.names) or "no SAN"
    if fits:
        return []
    text = f"the certificate names {has}, and not {wanted}"
    return [Finding(Fault.NAME, text, f"have it issued for {wanted}")]


def chain(
    cert: Certificate, between: Sequence[Certificate], anchors: Sequence[Certificate], now: datetime
) -> list[Finding]:
    """Return whether one of `anchors` vouches for it, over certificates of `between`, all of them good now."""
    link, seen = cert, 0
    while seen < DEPTH:
        seen += 1
        if anchor := next((a for a in anchors if link.issued_by(a)), None):
            return [*dates(anchor, now), *strength(anchor)]
        above = next((c for c in between if c.authority and c is not link and link.issued_by(c)), None)
        if above is None:
            break
        if wrong := [*dates(above, now), *strength(above)]:
            return wrong
        link = above
    if link is cert and cert.self_issued:
        text = f"the certificate of {named(cert)} is self-signed: nobody vouches for it"
        return [Finding(Fault.SELF_SIGNED, text, "have the request signed by the region's CA")]
    text = f"the certificate of {named(cert)} comes from a foreign CA: {link.issuer}"
    known = "; ".join(a.subject for a in anchors) or "none"
    return [Finding(Fault.FOREIGN, text, f"known here: {known}")]


def revocation(
    cert: Certificate, lists: Iterable[x509.CertificateRevocationList], anchors: Iterable[Certificate], now: datetime
) -> list[Finding]:
    """Return whether its issuer has revoked it. A list that is not signed by an anchor, or is out of date, is said."""
    found: list[Finding] = []
    issuers = [a for a in anchors if a.raw.subject == cert.raw.issuer]
    for crl in lists:
        if crl.issuer != cert.raw.issuer or not issuers:
            continue
        if not any(_signed(crl, issuer) for issuer in issuers):
            text = f"the revocation list of {cert.issuer} is not signed by it"
            found.append(Finding(Fault.CRL, text, "fetch it again from the CA"))
            continue
        end = crl.next_update_utc
        if end is not None and end < now:
            text = f"the revocation list of {cert.issuer} is out of date since {said(end)}"
            found.append(Finding(Fault.CRL, text, "fetch the new one from the CA"))
        if crl.get_revoked_certificate_by_serial_number(cert.raw.serial_number) is not None:
            text = f"the certificate of {named(cert)}, serial {cert.serial}, is revoked"
            found.append(Finding(Fault.REVOKED, text, "mdi certs csr, have it signed, mdi certs rotate"))
    return found


def judge_client(
    certs: Sequence[Certificate], anchors: Sequence[Certificate], gateway: str, now: datetime
) -> list[Finding]:
    """Return all that is wrong of a client's certificate file: the leaf first, then what is between it and the CA."""
    leaf, between = certs[0], certs[1:]
    vouched = chain(leaf, between, anchors, now) if anchors and leaf.hash in HASHES else []  # others nobody can check
    return [*dates(leaf, now), *name(leaf, gateway), *strength(leaf), *usage(leaf, CLIENT), *vouched]


def days_left(cert: Certificate, now: datetime) -> float:
    """Return days until it expires; below zero: since."""
    return (cert.not_after - now).total_seconds() / 86400


def named(cert: Certificate) -> str:
    """Return how a person calls it."""
    return cert.common_name or cert.subject or "nobody"


def said(when: datetime) -> str:
    """Return a time in UTC for a person."""
    return when.strftime("%Y-%m-%d %H:%M UTC")


def _signed(crl: x509.CertificateRevocationList, issuer: Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.raw.public_key())  # type: ignore[arg-type]  # a kind of key that signs
    except (TypeError, ValueError):
        return False


def _address(text: str) -> str:
    """Return an address in its one form, "" for what is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _matches(found: str, wanted: str) -> bool:
    """Compare one name of a SAN. A wildcard stands for one whole label, the leftmost (RFC 9525, 6.3)."""
    kind, _, value = found.partition(":")
    if kind == "IP":
        return bool(_address(wanted)) and _address(value) == _address(wanted)
    if value.startswith("*."):
        return "." in wanted and value[2:].lower() == wanted.split(".", 1)[1].lower()
    return value.lower() == wanted.lower()
