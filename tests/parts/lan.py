"""A hospital's network in name spaces of the kernel: the gateway's box, its neighbours, and somebody behind it.

    far ──10.77.0.0/24── box ──10.0.0.0/8, fd00::/16── near

`near` has the addresses of broker, devices, servers and jump host, and echoes on whatever port it is told to. Who
speaks is a process of its own, of any user. Needs root; nothing of the machine's own network is touched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BOX, BOX6 = "10.0.0.1", "fd00::1"
FAR, FAR_GATE = "10.77.0.2", "10.77.0.1"
ECHO = Path(__file__).with_name("lan_echo.py")
SAY = Path(__file__).with_name("lan_say.py")
REFUSED = ("EHOSTUNREACH", "EACCES", "EPERM")  # what icmpx admin-prohibited becomes, for IPv4 and IPv6 (RFC 1812, 4443)


def needed() -> None:
    """Skip, visibly, where name spaces cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("network name spaces want root")
    for program in ("ip", "nft", "unshare"):
        if not shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin"):
            pytest.skip(f"no {program} on this machine")
    if subprocess.run(["unshare", "-n", "true"], check=False).returncode:
        pytest.skip("this kernel makes no network name spaces")


class Lan:
    """See the module text."""

    def __init__(self) -> None:
        self.names = {place: f"mdi-{place}-{os.getpid()}" for place in ("box", "near", "far")}
        self._running: list[subprocess.Popen[str]] = []

    def start(self, addresses: Iterable[str]) -> None:
        for name in self.names.values():
            self._ip("netns", "add", name)
        for place, other in (("near", "box"), ("far", "box")):
            inside, outside = f"to-{other}", f"to-{place}"
            self._ip("link", "add", inside, "netns", self.names[place], "type", "veth",
                     "peer", "name", outside, "netns", self.names[other])  # fmt: skip
            self.ip(place, "link", "set", inside, "up")
            self.ip(other, "link", "set", outside, "up")
        for place in self.names:
            self.ip(place, "link", "set", "lo", "up")
        self.ip("box", "addr", "add", f"{BOX}/8", "dev", "to-near")
        self.ip("box", "addr", "add", f"{BOX6}/16", "dev", "to-near", "nodad")
        self.ip("box", "addr", "add", f"{FAR_GATE}/24", "dev", "to-far")
        self.ip("far", "addr", "add", f"{FAR}/24", "dev", "to-box")
        self.ip("far", "route", "add", "default", "via", FAR_GATE)
        for address in addresses:
            more = ("nodad",) if ":" in address else ()
            self.ip("near", "addr", "add", f"{address}/{16 if ':' in address else 8}", "dev", "to-box", *more)
        self.ip("near", "route", "add", "10.77.0.0/24", "via", BOX)

    def stop(self) -> None:
        for one in self._running:
            one.kill()
            one.wait()
        for name in self.names.values():
            self._ip("netns", "delete", name)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})

    def ip(self, place: str, *words: str) -> None:
        self._ip("-n", self.names[place], *words)

    def run(self, place: str, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program there, as root."""
        return subprocess.run(self.there(place, *words), input=given, capture_output=True, text=True, check=False)

    def there(self, place: str, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.names[place], *words]

    def nft(self, *words: str, given: str = "") -> None:
        done = self.run("box", "nft", *words, given=given)
        assert done.returncode == 0, done.stderr

    def switch(self, place: str, name: str, value: str) -> None:
        self.run(place, "sh", "-c", f"echo {value} > /proc/sys/net/{name}")

    def echo(self, place: str, ports: Iterable[int], uid: int = 0) -> subprocess.Popen[str]:
        """Listen there, TCP and UDP, IPv4 and IPv6, and say back what is said; ready when this returns."""
        words = self.there(place, sys.executable, str(ECHO), str(uid), *map(str, ports))
        made = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._running.append(made)
        assert made.stdout is not None
        assert made.stdout.readline() == "ready\n"
        return made

    def say(self, place: str, uid: int, targets: list[tuple[Any, ...]]) -> list[str]:
        """Try each (protocol, address, port[, own address]) as this user: "ok", the name of an errno, or "silent"."""
        done = self.run(place, sys.executable, str(SAY), str(uid), given=json.dumps(targets))
        assert done.returncode == 0, done.stderr
        answers: list[str] = json.loads(done.stdout)
        return answers

    def talk(self, place: str, uid: int, address: str, port: int, own: str = "") -> subprocess.Popen[str]:
        """Open a TCP connection that says a line for each line of its input, and prints what comes back."""
        words = self.there(place, sys.executable, str(SAY), str(uid), address, str(port), own)
        made = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._running.append(made)
        return made


@contextmanager
def lan(addresses: Iterable[str]) -> Iterator[Lan]:
    needed()
    made = Lan()
    try:
        made.start(addresses)
        yield made
    finally:
        made.stop()


def answers(talk: subprocess.Popen[str]) -> bool:
    """Say a word on an open connection; tell whether it comes back."""
    assert talk.stdin is not None
    assert talk.stdout is not None
    talk.stdin.write("again\n")
    talk.stdin.flush()
    return talk.stdout.readline() == "ok\n"
