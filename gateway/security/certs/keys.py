"""Key pairs and requests. The private key is made here, on the box, and leaves it never: only the request does.

ECDSA on P-256: TLS 1.3 requires every implementation to have it (RFC 8446, 9.1), mosquitto 2.0.11 with OpenSSL 3 takes
it, and so do the CAs that hospitals run. Ed25519 would be as good; Microsoft's AD CS and the profile of public CAs
(CA/Browser Forum Baseline Requirements, 6.1.5) do not take it.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.core.errors import ConfigError

KIND = "EC P-256"
MAX_CN = 64  # ub-common-name, RFC 5280 appendix A.1
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def make_key() -> bytes:
    """Return a new private key in PEM (PKCS #8, without a password: nobody is there to type one)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request(key: bytes, name: str) -> bytes:
    """Return a certificate signing request in PEM: CN and SAN are the gateway's name, for use as a TLS client.

    Raises: ConfigError when the name cannot stand in a certificate or the key cannot be read.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_CN:
        raise ConfigError(f"{name!r} cannot stand in a certificate", hint="a-z, 0-9 and -, at most 64 characters")
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
        False,
    )
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=True, encipher_only=False, decipher_only=False, **usage), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(_private(key), SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def public_of(key: bytes) -> bytes:
    """Return the public half of a private key in PEM, DER (SubjectPublicKeyInfo). Raises: ConfigError."""
    return _private(key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        read = load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as fault:
        raise ConfigError("the private key cannot be read", hint="make one: mdi certs csr") from fault
    return read  # type: ignore[return-value]  # any kind signs a request and has a public half
