"""What TLS is to the connection of a gateway: a context for each, the files looked after, and what is wrong in words.

A new certificate is found by looking at the files once a second, not by a signal: who installs it needs no right over
the process, and it works for the CA file and the revocation list too. New files that cannot be used are said once, and
the connection stays as it is. Those that can be used end it in order, and the next one begins at once; the broker keeps
the session, the spool keeps the messages.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError
from gateway.security.certs.judge import Finding, dates, name, strength
from gateway.security.certs.state import BROKER, CertificateState, state_of
from gateway.security.certs.tls import Context, TlsFiles, TlsRules, client_context
from gateway.security.certs.x509 import read_certificates, read_der
from gateway.sinks.mqtt_settings import MqttSettings

log = logging.getLogger("mdi.mqtt")
LOOK_S = 1.0  # between two looks at the files: four stat calls

Stamp = tuple[tuple[int, int, int, int], ...]


class Tls:
    """One connection's. All but `seen` belongs to the connection's thread."""

    def __init__(self, settings: MqttSettings, rules: TlsRules, gateway: str) -> None:
        self._files = TlsFiles(settings.ca, settings.cert, settings.key, settings.crl)
        self._rules, self._gateway, self._host = rules, gateway, settings.host
        self._stamp: Stamp = ()  # of the files in use
        self._refused: Stamp = ()  # of files that were looked at and cannot be used
        self._look_at = 0.0
        self._context: Context | None = None
        self._own_sha256 = ""

    def context(self) -> Context:
        """Return the context of a new connection, from the files as they are now. Raises: ConfigError."""
        self._stamp, self._refused, self._context = self._now(), (), None
        self._context = client_context(self._files, self._rules)
        self._own_sha256 = self._fingerprint()
        return self._context

    def changed(self, now: float) -> bool:
        """Tell, once a second at most, whether there are other files that can be used. now: monotonic, s."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_S
        stamp = self._now()
        if stamp in (self._stamp, self._refused):
            return False
        try:
            client_context(self._files, self._rules)
        except ConfigError as fault:
            wrong = str(fault)
        else:
            wrong = "; ".join(self.own())
        if wrong:
            if self._now() == stamp:  # otherwise somebody was just writing: look again
                self._refused = stamp
                log.error("new certificate files are not taken, the connection stays: %s", wrong)
            return False
        log.info("new certificate files: connecting with them")
        return True

    def why(self, reason: str, answered: bool) -> str:
        """Return why a connection ended. answered: the broker had said something over MQTT."""
        context = self._context
        if context is None:
            return reason
        if context.heard and context.heard not in reason:
            reason = context.heard
        elif not answered and context.version and reason == "connection lost":
            reason = "the broker ended the connection after the TLS handshake: does it refuse this certificate?"
        own = self.own() if "refuses" in reason or "certificate" in reason else []
        return "; ".join((reason, *own))

    def own(self) -> list[str]:
        """Return what this box finds wrong of its own certificate."""
        if not self._files.cert:
            return []
        try:
            cert = read_certificates(Path(self._files.cert).read_bytes(), self._files.cert)[0]
        except (OSError, ConfigError) as fault:
            return [str(fault)]
        found: list[Finding] = dates(cert, datetime.now(UTC)) + name(cert, self._gateway) + strength(cert)
        own = [finding.text for finding in found]
        return [*own, f"it is self-signed: {cert.subject}"] if cert.self_issued else own

    def _fingerprint(self) -> str:
        try:
            certs = read_certificates(Path(self._files.cert).read_bytes()) if self._files.cert else []
        except (OSError, ConfigError):
            return ""
        return certs[0].sha256 if certs else ""

    def seen(self) -> dict[str, Any]:
        """Return what the last handshake agreed on, and the broker's certificate."""
        context = self._context
        if context is None or not context.peer:
            return {"policy": str(self._rules)}
        seen: dict[str, Any] = {"policy": str(self._rules), "version": context.version, "cipher": context.cipher}
        return seen | {"own_sha256": self._own_sha256, "broker": self._broker(context.peer).as_dict()}

    def _broker(self, der: bytes) -> CertificateState:
        cert, now, wanted = read_der(der), datetime.now(UTC), self._rules.name or self._host
        return state_of(BROKER, f"TLS of {wanted}", cert, now, dates(cert, now))

    def _now(self) -> Stamp:
        found = []
        for path in filter(None, (self._files.ca, self._files.cert, self._files.key, self._files.crl)):
            try:
                stat = os.stat(path)
            except OSError:
                found.append((0, 0, 0, 0))
            else:
                found.append((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)
