"""The other end of the admin socket: one request, one answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.core.errors import LinkError, MdiError

WAIT_S = 30.0  # a verb reads profiles, and verifies signatures
MOST_BYTES = 64 * 1024 * 1024  # an export of the audit log is the largest answer: about 2 MB


class Refused(MdiError):
    """The daemon's word, with its exit code."""

    def __init__(self, said: str, code: int) -> None:
        super().__init__(said)
        self.exit_code = code


def ask(path: Path, verb: str, args: Mapping[str, str]) -> Any:
    """Return the answer. Raises: Refused, LinkError."""
    request = json.dumps({"verb": verb, "args": dict(args)}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(WAIT_S)
            connection.connect(str(path))
            connection.sendall(request)
            with connection.makefile("rb") as file:
                line = file.readline(MOST_BYTES)
        answer = json.loads(line)
    except OSError as fault:
        raise LinkError(f"no answer: {fault.strerror or fault}", str(path), "systemctl status mdi-admin") from fault
    except ValueError:
        raise LinkError(
            "closed without an answer", str(path), "too many connections, or too slow; again later"
        ) from None
    if not answer["ok"]:
        raise Refused(answer["error"], answer["exit"])
    return answer["result"]
