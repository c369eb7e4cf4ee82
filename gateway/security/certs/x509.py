"""X.509 certificates as facts: what stands in a PEM file, in the words of a person. Pure: bytes in, facts out.

The reading is that of `cryptography`; nothing is decoded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.core.errors import ConfigError

CLIENT, SERVER = "client", "server"
_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH: CLIENT, ExtendedKeyUsageOID.SERVER_AUTH: SERVER}


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate.

    names: of the subject alternative name, "DNS:…" and "IP:…"; key: "EC P-256", "RSA 2048", "Ed25519"; strength: of
    the key in bits of its kind (RSA: modulus; elliptic curves: field), 0: a kind that is not known; hash: of the
    signature, "" where the algorithm has its own (Ed25519); purposes: extended key usage as CLIENT and SERVER, None:
    any;
    signs: key usage allows digital signatures; authority: may sign certificates; public: its key, DER.
    """

    subject: str
    common_name: str
    names: tuple[str, ...]
    issuer: str
    serial: str
    key: str
    strength: int
    hash: str
    not_before: datetime
    not_after: datetime
    purposes: frozenset[str] | None
    signs: bool
    authority: bool
    sha256: str
    public: bytes
    raw: x509.Certificate

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are one name: a root, or nobody vouches for it."""
        return self.raw.subject == self.raw.issuer

    def issued_by(self, issuer: Certificate) -> bool:
        """Tell whether `issuer` has signed this certificate: name and signature."""
        try:
            self.raw.verify_directly_issued_by(issuer.raw)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


def read_certificates(data: bytes, where: str = "") -> list[Certificate]:
    """Return the certificates of a PEM file in their order. Raises: ConfigError when there is none, or it is broken."""
    hint = "a PEM file is needed: -----BEGIN CERTIFICATE-----"
    try:
        return [facts(raw) for raw in x509.load_pem_x509_certificates(data)]
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise ConfigError("there is no certificate that can be read", where, hint) from fault


def read_der(data: bytes) -> Certificate:
    """Return the facts of one certificate in DER, as TLS has it. Raises: ConfigError."""
    try:
        return facts(x509.load_der_x509_certificate(data))
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise ConfigError("the certificate cannot be read") from fault


def facts(raw: x509.Certificate) -> Certificate:
    """Return the facts of a certificate. Raises: ValueError, UnsupportedAlgorithm for what cannot be decoded."""
    names = raw.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    key, strength = _key(raw)
    return Certificate(
        subject=raw.subject.rfc4514_string(),
        common_name=str(names[0].value) if names else "",
        names=_alternative_names(raw),
        issuer=raw.issuer.rfc4514_string(),
        serial=f"{raw.serial_number:x}",
        key=key,
        strength=strength,
        hash=_hash(raw),
        not_before=raw.not_valid_before_utc,
        not_after=raw.not_valid_after_utc,
        purposes=_purposes(raw),
        signs=_signs(raw),
        authority=_authority(raw),
        sha256=raw.fingerprint(SHA256()).hex(),
        public=raw.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        raw=raw,
    )


def _key(raw: x509.Certificate) -> tuple[str, int]:
    key = raw.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        known = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}  # SEC 2 name: NIST name
        return f"EC {known.get(key.curve.name, key.curve.name)}", key.curve.key_size
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}", key.key_size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519", 256
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448", 448
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA {key.key_size}", 0
    return type(key).__name__, 0


def _hash(raw: x509.Certificate) -> str:
    try:
        algorithm = raw.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "unknown"
    return algorithm.name if algorithm else ""


def _alternative_names(raw: x509.Certificate) -> tuple[str, ...]:
    try:
        found = raw.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = [f"DNS:{name}" for name in found.get_values_for_type(x509.DNSName)]
    return (*dns, *(f"IP:{address}" for address in found.get_values_for_type(x509.IPAddress)))


def _purposes(raw: x509.Certificate) -> frozenset[str] | None:
    try:
        found = raw.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in found:
        return None
    return frozenset(_PURPOSES[oid] for oid in found if oid in _PURPOSES)


def _signs(raw: x509.Certificate) -> bool:
    try:
        return raw.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True


def _authority(raw: x509.Certificate) -> bool:
    try:
        return raw.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
