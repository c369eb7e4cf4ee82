"""One process under test: started in a group of its own, with limits, and killed with its group, whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts.wait import wait_until

START_S = 60.0  # a start takes a second; on a machine that does much else it may take very long
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")  # util-linux: dies when the thread that started it does


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a process. asked: the signal that we sent, 0 for none: then it ended by itself."""

    part: str
    code: int
    asked: int


@dataclass
class Part:
    """One program, started as often as the test wants, from the main thread.

    ready: a text of its log that says that it has started; environment: added to ours, for its next start; limits: for
    its next start, as prlimit(1) names them: {"nofile": 32, "as": 256 << 20, "fsize": "1000:"} (the soft one only).
    """

    name: str
    command: Sequence[str]
    log: Path
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int | str] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _from: int = 0

    def start(self, wait: bool = True) -> float:
        """Start; return how long it took until it was ready, in s (0.0 without waiting)."""
        assert self.process is None or self.died(), f"{self.name} runs already"
        begun = time.monotonic()
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*WITH_US, *self._limited(), *self.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        if wait:
            self.wait_ready()
        return time.monotonic() - begun if wait else 0.0

    def _limited(self) -> list[str]:
        return ["prlimit", *(f"--{name}={value}" for name, value in self.limits.items())] if self.limits else []

    def wait_ready(self) -> None:
        """Return when its log says so. Raises: AssertionError when it ends instead."""

        def said() -> bool:
            assert not self.died(), f"{self.name} ended at its start:\n{self.said()[-2000:]}"
            return self.ready in self.said()

        wait_until(said, lambda: f"{self.name} is not ready:\n{self.said()[-2000:]}", START_S)

    def said(self) -> str:
        """Return what it has logged since its last start."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} does not run"
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def died(self) -> bool:
        """Tell whether it has ended by itself; keep its exit code."""
        if self.process is not None and self.process.poll() is not None:
            self.ended.append(Ended(self.name, self.process.returncode, 0))
            self._forget()
        return self.process is None

    def send(self, how: signal.Signals) -> None:
        """Send a signal to the whole group."""
        os.killpg(self.pid, how)

    def end(self, how: signal.Signals, timeout_s: float = START_S) -> int:
        """Send a signal that ends it; return its exit code (negative: the signal)."""
        if self.died():
            return self.ended[-1].code
        assert self.process is not None
        self.send(how)
        if how != signal.SIGKILL:
            os.killpg(self.pid, signal.SIGCONT)  # a stopped one would not hear it
        code = self.process.wait(timeout_s)
        self.ended.append(Ended(self.name, code, how))
        self._forget()
        return code

    def close(self) -> None:
        """Kill what is still there."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(START_S)
            self._forget()

    def _forget(self) -> None:
        assert self.process is not None
        if self.process.stdin:
            self.process.stdin.close()
        self.process = None


def mistakes(said: str) -> list[str]:
    """Return the lines in which a command tells a person what is wrong. A lab also says what it lets pass: warnings."""
    return [line for line in said.splitlines() if line.startswith("mdi: ")]
