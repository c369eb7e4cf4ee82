"""Checkpoints on their way out of the box: the newest of each writer, read from its folder.

The process with the network says those of the others too: acquire has no network, and a command ends at once. A
published checkpoint is a retained MQTT message on `…/status/audit/WRITER`; its text is the file's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.security.audit.chain import CHECKPOINT
from gateway.security.audit.entry import Checkpoint

WRITER = r"[a-z0-9][a-z0-9-]{0,46}"  # also the end of a topic
MOST_BYTES = 1024  # a checkpoint is about 400 bytes


class Publisher:
    """Looks for new checkpoints. post: name under the gateway's status, payload; called once for each new one."""

    def __init__(self, folder: Path, post: Callable[[str, bytes], None]) -> None:
        self._folder, self._post = folder, post
        self._said: dict[str, bytes] = {}

    def look(self) -> None:
        """Post what is new. What cannot be read, or is not signed by the key that it names, is left where it is."""
        try:
            writers = sorted(path.name for path in self._folder.iterdir() if re.fullmatch(WRITER, path.name))
        except OSError:
            return
        for writer in writers:
            with suppress(OSError, ValueError):
                with (self._folder / writer / CHECKPOINT).open("rb") as file:
                    text = file.read(MOST_BYTES).strip()
                if text == self._said.get(writer):
                    continue
                found = Checkpoint.parse(text)
                if found.writer == writer and found.genuine:
                    self._said[writer] = text
                    self._post(f"audit/{writer}", found.text)
