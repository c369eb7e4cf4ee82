"""The exam, a real line: simulator and driver speak over a pseudo-terminal at the settings of the profile.

All lines run at once, each with a simulated device and a port's own loop; the suite waits for each until it has read a
value. What a pseudo-terminal does not do is keep the speed of the line; the settings are set and accepted all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway import registry
from gateway.core.errors import LinkError
from gateway.core.frame import Frame, NeedData
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.simulate import Pty, serve
from tests.conformance.rig import PROFILES, driver_of, plan_of, protocol_of

PATIENCE_S = 90.0  # an episodic device speaks once a minute
SERIAL = {
    profile.id: line
    for profile in PROFILES.values()
    if profile.wiring is not None
    for line in profile.wiring.lines[:1]
    if line["kind"] == "serial"
}


@dataclass
class Line:
    """One device on one pseudo-terminal, and who listens."""

    profile: Profile
    settings: dict[str, Any]
    read: threading.Event = field(default_factory=threading.Event)
    refused: bytes = b""
    faults: list[str] = field(default_factory=list)

    def listen(self, path: str, stop: threading.Event) -> None:
        kind = registry.find("link", "serial")
        rest = {key: value for key, value in self.settings.items() if key != "kind"}
        link = kind.create(kind.settings(device=path, **rest), time.time_ns)
        gate, plan = Gate(self.profile.transmit), plan_of(self.profile.id).twin()
        protocol = protocol_of(self.profile)
        with suppress(LinkError):  # the device has gone at the end of the suite
            link.open()
            protocol.start(time.monotonic())
            while not stop.is_set() and not self.read.is_set():
                data = protocol.data_to_send(time.monotonic())
                if not gate.allows(data):
                    self.refused = data
                    break
                if data:
                    link.write(data)
                wake = protocol.next_wake()
                wait = 0.2 if wake is None else min(0.2, max(0.0, wake - time.monotonic()))
                for t_ns, piece in link.read(wait):
                    protocol.receive_data(piece, t_ns)
                while not isinstance(event := protocol.next_event(), NeedData):
                    if isinstance(event, Frame):
                        block = plan.decode(event, 0)
                        if IS_USABLE[block["validity"]].any():
                            self.read.set()
                    else:
                        self.faults.append(repr(event))
        link.close()


@pytest.fixture(scope="module")
def lines() -> Iterator[dict[str, Line]]:
    stop = threading.Event()
    found = {name: Line(PROFILES[name], dict(settings)) for name, settings in SERIAL.items()}
    threads: list[threading.Thread] = []
    with ExitStack() as stack:
        for line in found.values():
            device = driver_of(line.profile).simulator([DeviceSpec(0, line.profile)], {}, Scene())
            pty = stack.enter_context(Pty())
            threads.append(threading.Thread(target=line.listen, args=(pty.where, stop)))
            threads.append(threading.Thread(target=serve, args=(device, pty, stop)))
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("profile_id", SERIAL)
def test_a_value_comes_over_a_real_line(profile_id: str, lines: dict[str, Line]) -> None:
    line = lines[profile_id]
    assert line.read.wait(PATIENCE_S), f"nothing read; faults: {line.faults[:3]}, refused: {line.refused.hex()}"
    assert not line.refused
