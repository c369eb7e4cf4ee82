"""The admin socket: a line of JSON in, a line of JSON out. A process of its own; nothing clinical waits for it.

    {"verb": "suspend", "args": {"asset": "A-1", "reason": "…"}}  ->  {"ok": true, "result": …}
                                                                      {"ok": false, "error": "one line", "exit": 2}

Everybody of this box may connect, so that a denial is seen and written down. Every request is audited, granted or
denied. Lines, connections, requests and times are bounded.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.core.errors import ConfigError, LinkError, MdiError
from gateway.security.access.gate import Gate, Session
from gateway.security.access.glass import granted, path_of
from gateway.security.access.roles import Peer, Role, peer_of, role_of
from gateway.security.access.verbs import VERBS, Ask, fitting
from gateway.security.audit import Audit, Event

log = logging.getLogger("mdi.access")

MAX_LINE = 64 * 1024  # a signature is 16 KiB at most, and base64 in JSON does not grow
LINE_S = 5.0  # for the rest of a line that has begun
MOST_CLIENTS, MOST_OF_ONE = 16, 4
BACKLOG = 16
DENIED = 77  # EX_NOPERM, sysexits.h


@dataclass(frozen=True)
class Denied(Exception):
    """A request that is not answered. why: one word; says: for the person; verb: the one that the role does not allow.

    fails: it counts towards the lock-out; ends: the connection ends with it
    """

    why: str
    says: str
    fails: bool = True
    ends: bool = False
    verb: str = ""


class AdminServer:
    """read: reads and checks the configuration anew for each request; mono: seconds that only go forward."""

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        audit: Audit,
        mono: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._read, self._audit = config.access, read, audit
        self._mono, self._now = mono, now
        self._gate = Gate(self._settings)
        self._lock = threading.Lock()  # the gate, and who is connected
        self._of: Counter[int] = Counter()
        self._socket = _listen(Path(self._settings.socket))

    def serve(self, stop: threading.Event) -> None:
        """Answer until `stop` is set."""
        with selectors.DefaultSelector() as selector, self._socket:
            selector.register(self._socket, selectors.EVENT_READ)
            while not stop.is_set():
                if selector.select(0.2):
                    with suppress(OSError):
                        self._accept(self._socket.accept()[0], stop)
        Path(self._settings.socket).unlink(missing_ok=True)

    def _accept(self, connection: socket.socket, stop: threading.Event) -> None:
        try:
            peer = peer_of(connection)
        except OSError:
            connection.close()
            return
        with self._lock:
            full = self._of.total() >= MOST_CLIENTS or self._of[peer.uid] >= MOST_OF_ONE
            if not full:
                self._of[peer.uid] += 1
        if full:
            self._say_denied(peer, Role.NOBODY, "", "too-many")
            connection.close()
            return
        threading.Thread(target=self._client, args=(connection, peer, stop), name="client", daemon=True).start()

    def _client(self, connection: socket.socket, peer: Peer, stop: threading.Event) -> None:
        now = self._mono()
        session = Session(self._settings, now, now)
        try:
            with connection:
                rest = b""
                while not stop.is_set():
                    line, rest = self._line(connection, session, rest)
                    session.active = self._mono()
                    answer, ends = self._answer(peer, line)
                    connection.settimeout(LINE_S)
                    connection.sendall(json.dumps(answer, ensure_ascii=False, default=str).encode() + b"\n")
                    if ends:
                        return
        except (OSError, EOFError):  # gone, idle, or too slow: nothing to answer
            return
        finally:
            with self._lock:
                self._of[peer.uid] -= 1
                self._of += Counter()  # forget those at 0

    def _line(self, connection: socket.socket, session: Session, rest: bytes) -> tuple[bytes, bytes]:
        """Return the next line and what came after it; "" for one that is too long. Raises: EOFError, OSError."""
        begun = self._mono()
        while b"\n" not in rest:
            if len(rest) > MAX_LINE:
                return b"", b""
            now = self._mono()
            left = begun + LINE_S - now if rest else session.left(now)
            if left <= 0:
                raise EOFError
            connection.settimeout(min(left, 1.0))
            try:
                more = connection.recv(MAX_LINE)
            except TimeoutError:
                continue
            if not more:
                raise EOFError
            begun = begun if rest else self._mono()
            rest += more
        line, _, rest = rest.partition(b"\n")
        return line[: MAX_LINE + 1], rest

    def _answer(self, peer: Peer, line: bytes) -> tuple[dict[str, Any], bool]:
        """Return the answer to one line, and whether the connection ends with it."""
        name, role = "", Role.NOBODY
        try:
            role = self._role(peer)
            name, args = self._request(peer, role, line)
            return {"ok": True, "result": self._run(peer, role, name, args)}, False
        except Denied as denied:
            ends = denied.ends
            if denied.fails:
                with self._lock:
                    ends = self._gate.failed(peer.uid, self._mono()) or ends
            self._say_denied(peer, role, denied.verb, denied.why)
            return {"ok": False, "error": denied.says, "exit": DENIED, "why": denied.why}, ends
        except MdiError as fault:
            return {"ok": False, "error": str(fault), "exit": fault.exit_code}, False
        except OSError as fault:
            return {"ok": False, "error": f"{fault.filename or name}: {fault.strerror}", "exit": 1}, False
        except Exception:
            log.exception("bug in verb %s", name)
            return {"ok": False, "error": "stopped by a bug; see the log, please report", "exit": 70}, False

    def _role(self, peer: Peer) -> Role:
        return role_of(peer, self._settings, granted(path_of(self._settings.socket), self._now().timestamp()))

    def _request(self, peer: Peer, role: Role, line: bytes) -> tuple[str, dict[str, str]]:
        """Return verb and arguments of a line that may be answered. Raises: Denied."""
        with self._lock:
            why = self._gate.refusal(peer.uid, self._mono())
        if why:
            raise Denied(why, f"{why.replace('-', ' ')}: wait, then try again", fails=False, ends=True)
        if not line or len(line) > MAX_LINE:
            raise Denied("too-long", f"a request has 1 to {MAX_LINE} bytes", ends=True)
        try:
            doc = json.loads(line)
            name, args = doc["verb"], doc.get("args", {})
            good = isinstance(name, str) and all(isinstance(k, str) and isinstance(v, str) for k, v in args.items())
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            good = False
        if not good:
            raise Denied("malformed", "no request", ends=True)
        if name not in VERBS:
            raise Denied("no-verb", "there is no such verb" if role else "denied")
        if role < VERBS[name].role:
            says = f"{name} takes the role {VERBS[name].role.word}, this account is {role.word}"
            raise Denied("role", says, verb=name)
        return name, args

    def _run(self, peer: Peer, role: Role, name: str, args: dict[str, str]) -> Any:
        self._audit.write(
            Event.ACCESS_GRANTED, name, actor=peer.name, verb=name, role=role.word, uid=peer.uid, via="socket"
        )
        fitting(VERBS[name], args)
        return VERBS[name].run(Ask(self._read(), peer, role, args, self._now(), self._audit))

    def _say_denied(self, peer: Peer, role: Role, name: str, why: str) -> None:
        facts = {"role": role.word, "uid": peer.uid, "rule": why, "via": "socket"} | ({"verb": name} if name else {})
        self._audit.write(Event.ACCESS_DENIED, name, actor=peer.name, **facts)
        log.warning("denied to uid %d: %s", peer.uid, why)


def _listen(path: Path) -> socket.socket:
    """Make the socket. Raises: ConfigError when another daemon has it, LinkError."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(str(path)) == 0:
                    raise ConfigError("another daemon answers there", str(path), "only one: mdi admin serve")
            path.unlink()
        listening.bind(str(path))
        os.chmod(path, 0o666)  # who may what is decided by the kernel's word on the peer, and written down
        listening.listen(BACKLOG)
    except OSError as fault:
        listening.close()
        raise LinkError(f"cannot listen: {fault.strerror}", str(path), "check the folder and its rights") from fault
    except ConfigError:
        listening.close()
        raise
    return listening
