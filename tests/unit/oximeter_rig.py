"""The pulse oximeters in virtual time: driver and simulator of a profile in conversation, what the plan makes of it.

`python -m tests.unit.oximeter_rig` makes the recordings of the four drivers anew (drivers/<name>/captures): the bytes
of the simulated oximeter, and beside them what the driver reads.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.core.frame import Alerts, Event, Fault, Frame, Identified, NeedData, Reading, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import MetricSpec, Profile, parse_profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec, Driver, Simulator
from gateway.core.sample import Block, Validity
from gateway.core.scene import Scene
from tests.conftest import ROOT

S = 1_000_000_000
T0 = 1_767_225_600 * S  # when the scene's clock shows t = 0
RECORDED = (  # one for each format
    "nonin/oem3_df2",
    "nonin/9560_3150_df7",
    "nonin/9560_df8",
    "nonin/9560_df13",
    "nonin/monitors_ascii",
    "contec/cms50e_v7",
    "contec/cms50_old",
    "masimo/radical7",
    "nellcor/n595",
    "nellcor/n200",
)
RECORDED_S = 33.0  # an alert has begun and ended by then
VENDORS = {"nonin": "nonin", "contec": "contec_cms50", "masimo": "masimo_ascii", "nellcor": "nellcor_ascii"}
PROFILES = sorted(
    f"{path.parent.name}/{path.stem}" for vendor in VENDORS for path in (ROOT / "firmware_profiles" / vendor).glob("*")
)


@cache
def profile(profile_id: str) -> Profile:
    path = ROOT / "firmware_profiles" / f"{profile_id}.toml"
    return parse_profile(path.read_text(encoding="utf-8"), profile_id, path.name)


def driver(profile_id: str) -> Driver:
    found: Driver = import_module(f"drivers.{VENDORS[profile_id.split('/', maxsplit=1)[0]]}").DRIVER
    return found


def protocol(profile_id: str) -> DeviceProtocol:
    """Return a driver that was started at 0 s."""
    made = driver(profile_id).protocol([DeviceSpec(0, profile(profile_id))], {})
    made.start(0.0)
    return made


def simulator(profile_id: str, scene: Scene | None = None) -> Simulator:
    return driver(profile_id).simulator([DeviceSpec(0, profile(profile_id))], {}, scene or Scene())


def plan(profile_id: str) -> Plan:
    return Plan(profile(profile_id), "", nomenclature())


def specs(profile_id: str) -> list[MetricSpec]:
    return [spec for channel in profile(profile_id).channels for spec in channel.metrics]


def drain(made: DeviceProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := made.next_event(), NeedData):
        found.append(event)
    return found


def read(profile_id: str, data: bytes, t_ns: int = T0, made: DeviceProtocol | None = None) -> list[Event]:
    """Return what a driver makes of bytes that came at once."""
    made = made or protocol(profile_id)
    made.receive_data(data, t_ns)
    return drain(made)


def converse(profile_id: str, seconds: float, scene: Scene | None = None) -> Iterator[tuple[float, bytes, bytes]]:
    """Yield (now, what the driver said, what the oximeter said)."""
    made, device = protocol(profile_id), simulator(profile_id, scene)
    now = 0.0
    while now <= seconds:
        asked = made.data_to_send(now)
        if asked:
            device.receive_data(asked, now)
        said = device.data_to_send(now)
        made.receive_data(said, T0 + round(now * 1e9))
        yield now, asked, said
        wakes = [wake for wake in (made.next_wake(), device.next_wake()) if wake is not None]
        now = max(now + 0.001, min(wakes, default=seconds + 1))


def said_by(profile_id: str, seconds: float, scene: Scene | None = None) -> list[tuple[int, bytes]]:
    """Return what the oximeter says to a driver that is there: (t_ns, bytes)."""
    return [(T0 + round(now * 1e9), said) for now, _, said in converse(profile_id, seconds, scene) if said]


def heard(profile_id: str, said: Iterable[tuple[int, bytes]]) -> list[Event]:
    made = protocol(profile_id)
    return [event for t_ns, data in said for event in read(profile_id, data, t_ns, made)]


def frames(events: list[Event], kind: str) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame) and event.kind == kind]


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def readings(frame: Event) -> dict[int | str, Reading]:
    """Return the readings of a frame by name."""
    assert isinstance(frame, Frame)
    assert isinstance(frame.payload, list)
    return {reading.object: reading for reading in frame.payload}


def active(frame: Event) -> list[int | str]:
    """Return the alerts of a frame by name."""
    assert isinstance(frame, Frame)
    assert isinstance(frame.payload, Alerts)
    return [alert.object for alert in frame.payload.active]


def wave(frame: Event) -> Wave:
    assert isinstance(frame, Frame)
    assert isinstance(frame.payload, Wave)
    return frame.payload


def decoded(profile_id: str, events: Sequence[Event]) -> list[Block]:
    table = plan(profile_id)
    return [table.decode(event, 0) for event in events if isinstance(event, Frame)]


def ways(data: bytes) -> list[bytes]:
    """Return the data with each single bit flipped."""
    return [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)]


def summary(events: list[Event]) -> dict[str, Any]:
    """Return what a stream of events says, for people to read and for a test to compare."""
    values: dict[str, list[float | str]] = {}
    alerts: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    for event in events:
        if not isinstance(event, Frame):
            continue
        if isinstance(event.payload, Wave):
            samples[str(event.payload.object)] += len(event.payload.samples)
        elif isinstance(event.payload, Alerts):
            alerts.update(str(alert.object) for alert in event.payload.active)
        elif isinstance(event.payload, list):
            for reading in event.payload:
                key = f"{event.kind} {reading.object} {Validity(reading.validity).name}"
                values.setdefault(key, []).append(reading.value)
    return {
        "frames": dict(sorted(Counter(event.kind for event in events if isinstance(event, Frame)).items())),
        "faults": dict(sorted(Counter(faults(events)).items())),
        "identified": [" ".join(filter(None, event[1:])) for event in map(_identity, events) if event],
        "values": {key: _in_words(found) for key, found in sorted(values.items())},
        "alerts": dict(sorted(alerts.items())),
        "wave_samples": dict(samples),
    }


def _identity(event: Event) -> tuple[str, ...] | None:
    return ("", event.model, event.firmware, event.serial) if isinstance(event, Identified) else None


def _in_words(found: list[float | str]) -> str:
    words = sorted({value for value in found if isinstance(value, str)})
    if words:
        return f"{len(found)}: {', '.join(words)}"
    numbers = [value for value in found if isinstance(value, float) and not math.isnan(value)]
    return f"{len(found)} from {min(numbers)} to {max(numbers)}, last {numbers[-1]}" if numbers else f"{len(found)}"


def capture(profile_id: str) -> Path:
    """Return where the recording of a profile lies."""
    return ROOT / "drivers" / driver(profile_id).name / "captures" / f"{profile_id.split('/')[1]}.bin"


def recording(profile_id: str) -> bytes:
    return b"".join(data for _, data in said_by(profile_id, RECORDED_S, Scene(seed=7)))


def main() -> None:
    """Write all recordings."""
    for profile_id in RECORDED:
        path = capture(profile_id)
        data = recording(profile_id)
        path.write_bytes(data)
        text = json.dumps(summary(read(profile_id, data)), indent=1, ensure_ascii=False)
        path.with_suffix(".expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
