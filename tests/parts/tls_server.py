"""A TLS server of Python's ssl that takes anything: for servers that mosquitto would not be. Keeps who spoke to it."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tests.parts.broker import HOST
from tests.parts.pki import Pair


class TlsServer:
    """heard: the first bytes of each client that finished its handshake; faults: of handshakes that failed."""

    def __init__(self, pair: Pair, version: str = "", ciphers: str = "") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")  # weak keys, old versions: all that a client may meet
        if version:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        context.load_cert_chain(pair.cert, pair.key)
        self.heard: list[bytes] = []
        self.faults: list[str] = []
        self._context = context
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(3)
            try:
                with self._context.wrap_socket(plain, server_side=True) as client:
                    if data := client.recv(1024):
                        self.heard.append(data)
            except OSError as fault:
                self.faults.append(str(fault))
            finally:
                plain.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@contextmanager
def tls_server(pair: Pair, version: str = "", ciphers: str = "") -> Iterator[TlsServer]:
    server = TlsServer(pair, version, ciphers)
    try:
        yield server
    finally:
        server.close()
