"""Building blocks of the MEDIBUS tests: a profile, a protocol that is fed by hand, a talk with the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from drivers.draeger_medibus import DRIVER
from gateway.core.frame import NEED_DATA, Alert, Alerts, Event, Fault, Frame, Reading, Wave
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.scene import Scene
from tests.conftest import ROOT

T0 = 1_767_225_600_000_000_000
ICC_ANSWER = b"\x01\x51\x35\x32\x0d"
EVITA_IS = b"8240'Evita 4'01.00:04.03"
Wire = list[tuple[float, str, bytes]]
"""(now, ">" to the device or "<" from it, bytes)."""


@cache
def profile(name: str) -> Profile:
    path = ROOT / "firmware_profiles" / "draeger" / f"{name}.toml"
    return parse_profile(path.read_text(encoding="utf-8"), f"draeger/{name}", str(path))


def protocol(name: str = "evita_4", **options: Any) -> DeviceProtocol:
    made = DRIVER.protocol([DeviceSpec(0, profile(name))], options)
    made.start(0.0)
    return made


def framed(begin: int, code: int, data: bytes = b"") -> bytes:
    """Return a command (begin 0x1B) or response (0x01) with its checksum, made by hand."""
    body = bytes((begin, code)) + data
    return body + b"%02X\r" % (sum(body) % 256)


def response(code: int, data: bytes = b"") -> bytes:
    return framed(0x01, code, data)


def command(code: int, argument: bytes = b"") -> bytes:
    return framed(0x1B, code, argument)


def drained(source: DeviceProtocol) -> list[Event]:
    found: list[Event] = []
    while (event := source.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def told(source: DeviceProtocol, data: bytes, t_ns: int = T0) -> list[Event]:
    """Feed bytes and return the events."""
    source.receive_data(data, t_ns)
    return drained(source)


def frames(events: list[Event], kind: str = "") -> list[Frame]:
    return [event for event in events if isinstance(event, Frame) and kind in ("", event.kind)]


def readings(events: list[Event], kind: str) -> list[Reading]:
    lists = (frame.payload for frame in frames(events, kind))
    return [reading for payload in lists if isinstance(payload, list) for reading in payload]


def alerts(events: list[Event], kind: str = "alarm_1") -> list[Alert]:
    """Return the alerts of the last list of a kind."""
    payload = frames(events, kind)[-1].payload
    assert isinstance(payload, Alerts)
    return list(payload.active)


def waves(events: list[Event]) -> list[Wave]:
    return [frame.payload for frame in frames(events, "wave") if isinstance(frame.payload, Wave)]


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def answered(source: DeviceProtocol, identity: bytes = EVITA_IS) -> float:
    """Bring a session to where data are asked for; return the time."""
    assert source.data_to_send(0.0) == command(0x51)
    source.receive_data(ICC_ANSWER, T0)
    assert source.data_to_send(0.1) == command(0x52)
    source.receive_data(response(0x52, identity), T0)
    return 0.4


def asked(source: DeviceProtocol, now: float) -> bytes:
    """Let time pass up to `now` and return all that was sent."""
    source.data_to_send(now)
    return source.data_to_send(now)


def converse(
    name: str,
    seconds: float,
    options: Mapping[str, Any] | None = None,
    scene: Scene = Scene(),  # noqa: B008  # frozen
    echo: bool = False,
) -> tuple[list[Event], Wire]:
    """Let driver and simulator speak. echo: the line gives back what the driver writes, before the device answers."""
    spec = DeviceSpec(0, profile(name))
    source, device = DRIVER.protocol([spec], options or {}), DRIVER.simulator([spec], {}, scene)
    events: list[Event] = []
    wire: Wire = []
    now = 0.0
    source.start(now)
    while now < seconds:
        out = source.data_to_send(now)
        if out:
            wire.append((now, ">", out))
            device.receive_data(out, now)
        if echo and out:
            source.receive_data(out, T0 + round(now * 1e9))
        said = device.data_to_send(now)
        if said:
            wire.append((now, "<", said))
            source.receive_data(said, T0 + round(now * 1e9))
        events += drained(source)
        wakes = [wake for wake in (source.next_wake(), device.next_wake()) if wake is not None]
        now = max(now + 0.001, min(wakes, default=seconds))
    return events, wire
