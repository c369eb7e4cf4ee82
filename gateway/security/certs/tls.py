"""TLS of a client, in one place: gateway and KITA make their connections with `client_context` and nothing else.

The broker's certificate is checked against the CAs of one file, never those of the system, and against one name,
always: no key switches either off. TLS 1.3; 1.2 only where the configuration names it, and then with ECDHE and an AEAD
only. Nobody is asked for the password of a key: a file that needs one is refused.

With TLS 1.3 a client takes the handshake for done before the server has looked at its certificate (RFC 8446, 4.4.2.4
and appendix A.1): that it was refused comes as an alert with the first read. `Context.heard` keeps it, in words.
"""

from __future__ import annotations

import select
import ssl
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import ConfigError

VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}
CIPHERS_12 = "ECDHE+AESGCM:ECDHE+CHACHA20"  # forward secrecy and an AEAD; those of TLS 1.3 have both anyway
VERDICT_S = 0.5  # some round trips of a wide network
LEVEL = "@SECLEVEL=2"  # 112 bits: no RSA below 2048, no SHA-1 (SSL_CTX_set_security_level(3))


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. ca: who may vouch for the broker; cert, key: of this client, "": none; crl: "": not asked."""

    ca: str
    cert: str = ""
    key: str = ""
    crl: str = ""


@dataclass(frozen=True, slots=True)
class TlsRules:
    """What the rules of the gateway say. name: in the broker's certificate, "": the host that is connected to."""

    minimum: str = "1.3"
    name: str = ""

    def __str__(self) -> str:
        """Return the policy for a person."""
        versions = "TLS 1.3" if self.minimum == "1.3" else f"TLS 1.2 (ECDHE with an AEAD: {CIPHERS_12}) or 1.3"
        name = f"name {self.name}" if self.name else "name of the host"
        return f"{versions}, CA of one file, {name} always checked, keys of 112 bits and better, no compression"


class Context(ssl.SSLContext):
    """A context that knows its server's name, and keeps in `heard` why a handshake or a connection failed."""

    heard: str
    server_name: str
    version: str  # of the last handshake, as "TLSv1.3"; "" before
    cipher: str
    peer: bytes  # the server's certificate in DER

    def wrap_socket(self, sock: Any, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap for the one server that this context is for."""
        self.heard = ""
        options["server_hostname"] = self.server_name or options.get("server_hostname")
        if not options["server_hostname"]:
            raise ConfigError("a TLS connection without the name of its server")
        return super().wrap_socket(sock, *args, **options)


class _Socket(ssl.SSLSocket):
    """Tells its context what went wrong; see the module text."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
            self._await_verdict()
        except OSError as fault:
            self._hear(fault)
            raise
        context = self.context
        if isinstance(context, Context):
            context.version, context.peer = self.version() or "", self.getpeercert(True) or b""
            context.cipher = (self.cipher() or ("",))[0]

    def _await_verdict(self) -> None:
        """Wait for what a server sends after it has looked at the client's certificate: session tickets, or an alert.

        So a refusal is heard before anything is written: writing to a server that has gone can hide its alert. A server
        without tickets costs VERDICT_S. Raises: SSLError, the alert.
        """
        waits, _, _ = select.select([self], [], [], VERDICT_S if self.version() == "TLSv1.3" else 0)
        if waits:
            patience = self.gettimeout()
            self.setblocking(False)
            try:
                super().recv(1)  # a broker says nothing before CONNECT (MQTT 5.0, 3.1): tickets only
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            finally:
                self.settimeout(patience)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as fault:
            self._hear(fault)
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        """A server that refuses a certificate closes: writing may fail before its alert was read. So read it."""
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as fault:
            self._hear(fault)
            if isinstance(fault, BrokenPipeError | ConnectionResetError):
                try:
                    super().recv(1)
                except OSError as alert:
                    self._hear(alert)
            raise

    def _hear(self, fault: OSError) -> None:
        waits = isinstance(fault, ssl.SSLWantReadError | ssl.SSLWantWriteError)
        if isinstance(self.context, Context) and isinstance(fault, ssl.SSLError) and not waits:
            self.context.heard = explain(fault)


def client_context(files: TlsFiles, rules: TlsRules) -> Context:
    """Return the context of a client. Raises: ConfigError naming the file that cannot be used."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name; loads no CA of the system
    context.sslsocket_class = _Socket
    context.heard = context.version = context.cipher = ""
    context.peer, context.server_name = b"", rules.name
    context.minimum_version = VERSIONS[rules.minimum]
    context.set_ciphers(f"{CIPHERS_12}:{LEVEL}")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.hostname_checks_common_name = False  # the name stands in the SAN (RFC 9525, 6.3)
    _load(context.load_verify_locations, files.ca, "no CA certificates in this file", files.ca)
    if files.crl:
        _load(context.load_verify_locations, files.crl, "no revocation list in this file", files.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if files.cert:
        why = "certificate or key cannot be used"
        _load(context.load_cert_chain, files.cert, why, files.cert, files.key, _no_password)
    return context


def _load(load: Any, where: str, why: str, *arguments: Any) -> None:
    try:
        load(*arguments)
    except ssl.SSLError as fault:
        known = _OWN.get(str(fault.reason), _reason(fault))
        raise ConfigError(f"{why}: {known}", where, "look at it with: mdi certs status") from fault
    except OSError as fault:
        raise ConfigError(f"{why}: {fault.strerror}", where, "check path and rights") from fault


def _no_password() -> bytes:
    raise ConfigError("the key is encrypted with a password", hint="a gateway has nobody to type it: mdi certs csr")


# ---- what went wrong, in words

# verify codes of OpenSSL (x509_vfy.h) -> what is wrong of the server's certificate
_SERVER = {
    9: "certificate is not yet valid; or is the clock of this box wrong?",
    10: "certificate has expired",
    18: "certificate is self-signed: nobody vouches for it",
    19: "certificate comes from a foreign CA, sent along with it: not in the CA file",
    20: "certificate comes from a foreign CA: not in the CA file",
    21: "certificate comes from a foreign CA: not in the CA file",
    23: "certificate is revoked",
    3: "certificate cannot be asked for: the revocation list of its CA is missing in the crl file",
    12: "certificate cannot be asked for: the revocation list of its CA is out of date",
    26: "certificate is not for use as a server",
    62: "certificate has another name than the broker",
    64: "certificate has another name than the broker",
    66: "certificate has a key that is too weak",
    67: "certificate comes from a CA with a key that is too weak",
    68: "certificate is signed with a hash that is too weak",
}
# what OpenSSL says of a certificate or key of our own
_OWN = {
    "EE_KEY_TOO_SMALL": "the key is too weak",
    "CA_KEY_TOO_SMALL": "the key of its CA is too weak",
    "CA_MD_TOO_WEAK": "it is signed with a hash that is too weak",
    "EE_MD_TOO_WEAK": "it is signed with a hash that is too weak",
    "KEY_VALUES_MISMATCH": "certificate and key do not fit",
    "KEY_TYPE_MISMATCH": "certificate and key do not fit",
    "NO_START_LINE": "it is no PEM file",
}
# alerts (RFC 8446, 6.2), by what OpenSSL calls them -> what the server says of the client
_CLIENT = {
    "ALERT_CERTIFICATE_EXPIRED": "the broker refuses this certificate: it has expired",
    "ALERT_CERTIFICATE_REVOKED": "the broker refuses this certificate: it is revoked",
    "ALERT_UNKNOWN_CA": "the broker refuses this certificate: it does not know the CA",
    "ALERT_BAD_CERTIFICATE": "the broker refuses this certificate: it is not valid",
    "ALERT_UNSUPPORTED_CERTIFICATE": "the broker refuses this certificate: wrong kind or use",
    "ALERT_CERTIFICATE_UNKNOWN": "the broker refuses this certificate",
    "ALERT_CERTIFICATE_REQUIRED": "the broker wants a certificate, and none is configured: cert and key",
    "ALERT_ACCESS_DENIED": "the broker refuses this certificate: access denied",
    "ALERT_PROTOCOL_VERSION": "the broker speaks no version of TLS that is allowed here",
    "ALERT_HANDSHAKE_FAILURE": "the broker refuses the TLS handshake: no common cipher, or a weak certificate",
    "ALERT_INSUFFICIENT_SECURITY": "the broker refuses the TLS handshake: it wants better ciphers",
    "ALERT_INTERNAL_ERROR": "the broker refuses the certificate or the TLS handshake by an error of its own",
    "ALERT_DECRYPT_ERROR": "the broker refuses this certificate: its signature cannot be checked",
    "UNSUPPORTED_PROTOCOL": "the broker speaks no version of TLS that is allowed here",
    "WRONG_VERSION_NUMBER": "the broker speaks no TLS on this port",
    "CA_MD_TOO_WEAK": "the broker's certificate is signed with a hash that is too weak",
    "EE_KEY_TOO_SMALL": "the broker's certificate has a key that is too weak",
    "DH_KEY_TOO_SMALL": "the broker's key exchange is too weak",
}


def explain(fault: OSError) -> str:
    """Return in words why a TLS connection failed; each kind of bad certificate has its own."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        known = _SERVER.get(fault.verify_code)
        return f"the broker's {known}" if known else f"the broker's certificate is refused: {fault.verify_message}"
    if isinstance(fault, ssl.SSLError):
        reason = str(fault.reason or "")
        return next((text for name, text in _CLIENT.items() if reason.endswith(name)), f"TLS failed: {_reason(fault)}")
    return fault.strerror or str(fault)


def _reason(fault: ssl.SSLError) -> str:
    return str(fault.reason or fault.strerror or fault).replace("_", " ").lower()
