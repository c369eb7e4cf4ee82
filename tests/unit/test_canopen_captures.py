"""Real and own recordings against what they are known to hold.

`python -m tests.unit.test_canopen_captures` writes the project's own recordings anew.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.canopen import DRIVER, CanOpenSimulator
from gateway import registry
from gateway.core.frame import Alerts, Fault, Frame, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.profile_lint import lint
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE, Validity
from gateway.core.scene import Scene
from tests.conftest import ROOT
from tests.unit.canopen_rig import (
    ALERTS,
    EDS,
    PROFILE,
    T_NS,
    faults,
    frames,
    gamma_xl,
    heard,
    profile,
    readings,
    record,
    started,
)

CAPTURES = ROOT / "drivers" / "canopen" / "captures"
SCENES = {"pump": (Scene(seed=1), 20.0), "pump_nothing_measured": (Scene(seed=1, nothing=True), 5.0)}

# ABB CM588, as its transcript shows it: TPDO1 of node 0Ah begins with 2000h:1, 8 bits; the rest is not shown.
ABB_EDS = """[FileInfo]
FileName=abb.eds

[DeviceInfo]
VendorName=ABB

[2000]
ParameterName=Data
ObjectType=0x9
SubNumber=2

[2000sub0]
ParameterName=Number of entries
ObjectType=0x7
DataType=0x0005
AccessType=ro
DefaultValue=1

[2000sub1]
ParameterName=First byte
ObjectType=0x7
DataType=0x0005
AccessType=ro
"""


def abb() -> Profile:
    given = "heartbeat_ms = 0\ntpdo = [{ number = 1, cob_id = 0x18A, map = [0x20000108] }]"
    whole = profile(ABB_EDS, given)
    (channel,) = whole.channels
    rows = tuple(row for row in channel.metrics if row.kind == "alert")
    return replace(whole, channels=(replace(channel, metrics=rows),))


def candump(path: Path) -> list[bytes]:
    """Return the records of a candump text: `can0  70A   [1]  00`."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            _, can_id, _, *data = line.split()
            found.append(record(int(can_id, 16), " ".join(data)))
    return found


def test_the_transcript_of_an_abb_cm588(shared: Path) -> None:
    """Boot-up, error reset, NMT start, TPDO1 of zeros; a client reads and writes by SDO, with 4-byte requests."""
    records = candump(shared / "captures" / "canopen" / "abb_cm588_candump.txt")
    protocol = started(abb())
    events = heard(protocol, *records)
    assert protocol.frames_ok == len(records) == 21
    # No heartbeat: the master has started the node, but the node has not said that it runs.
    first, *taken_back = readings(events)
    assert first == Reading("2000.01", 0, 0, 0.0, Validity.QST)
    assert [(r.object, r.validity) for r in taken_back] == [("2000.01", Validity.NA)]
    told = [e for e in events if isinstance(e, Fault)]
    # The client read 1800h:1 (18Ah, as configured) and 1A00h:0 = 8 and 1A00h:1 = 20000108h. We configured one object of
    # the eight that are mapped, so what follows it cannot be read, and the difference is told.
    assert Counter(fault.reason for fault in told) == {"not_operational": 1, "unknown_id": 3, "mapping_differs": 1}
    assert [fault.detail for fault in told if fault.reason == "unknown_id"] == ["28A", "38A", "48A"]
    assert frames(events, "emcy")[-1].payload == Alerts(())


def test_a_device_of_the_users_own_needs_an_eds_and_a_profile(tmp_path: Path) -> None:
    """No code: two files in a folder, read end to end."""
    folder = tmp_path / "acme"
    folder.mkdir()
    (folder / "x.eds").write_text(EDS, encoding="utf-8")
    text = PROFILE.format(driver="", transmit="", metrics=ALERTS)
    (folder / "warmer.toml").write_text(text, encoding="utf-8")
    own = registry.Profiles([tmp_path]).get("acme/warmer")
    assert not lint(own, nomenclature(), DRIVER.frames)
    plan = Plan(own, "", nomenclature())
    protocol = registry.driver(own.driver).protocol([DeviceSpec(0, own, {"node": 11})], {})
    protocol.start(0.0)
    protocol.receive_data(record(0x70B, "05") + record(0x18B, "0000 7301 00000000"), T_NS)
    block = plan.decode(protocol.next_event(), 0)  # type: ignore[arg-type]  # a Frame
    assert (block["value"].tolist(), block["validity"].tolist()) == ([37.1], [Validity.VLD])
    assert block["t_ns"].tolist() == [T_NS]


def line(name: str) -> bytes:
    """Return what the simulated bus says."""
    scene, seconds = SCENES[name]
    bus = CanOpenSimulator([DeviceSpec(0, gamma_xl())], {}, scene)
    return b"".join(bus.data_to_send(step / 10) for step in range(round(seconds * 10)))


def described(data: bytes) -> dict[str, Any]:
    """Return what driver and profile make of a recording, for a person to read."""
    protocol, plan = started(gamma_xl()), Plan(gamma_xl(), "", nomenclature())
    events = heard(protocol, data)
    found: dict[str, Counter[str]] = {}
    for frame in (event for event in events if isinstance(event, Frame)):
        for row in plan.decode(frame, 0):
            metric = plan.metrics[row["metric"]]
            if metric.kind != "alert":
                usable = IS_USABLE[row["validity"]]
                value = metric.tokens[int(row["value"])] if usable and metric.tokens else f"{row['value']:g}"
                found.setdefault(metric.ref_id, Counter())[value] += 1
    lists = [frame.payload for frame in frames(events, "emcy")]
    return {
        "records": len(data) // 16,
        "faults": dict(Counter(faults(events))),
        "values": {name: dict(counts) for name, counts in sorted(found.items())},
        "alerts": sorted({str(alert.object) for each in lists if isinstance(each, Alerts) for alert in each.active}),
    }


@pytest.mark.parametrize("name", SCENES)
def test_a_recording_is_what_the_simulator_says_today(name: str) -> None:
    assert (CAPTURES / f"{name}.bin").read_bytes() == line(name)


@pytest.mark.parametrize("name", SCENES)
def test_a_recording_decodes_to_what_stands_beside_it(name: str) -> None:
    expected = json.loads((CAPTURES / f"{name}.expected.json").read_text(encoding="utf-8"))
    assert described((CAPTURES / f"{name}.bin").read_bytes()) == expected


def test_any_split_gives_the_same_events() -> None:
    data = line("pump")
    whole = heard(started(gamma_xl()), data)
    for size in (1, 3, 16, 17, 500):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert heard(started(gamma_xl()), *pieces) == whole


def test_every_fault_has_a_remedy_and_stands_in_the_readme() -> None:
    readme = (ROOT / "drivers" / "canopen" / "README.md").read_text(encoding="utf-8")
    for reason in DRIVER.faults:
        assert f"`{reason}`" in readme, reason


def write() -> None:
    """Write the recordings anew."""
    for name in SCENES:
        data = line(name)
        (CAPTURES / f"{name}.bin").write_bytes(data)
        text = json.dumps(described(data), indent=2, ensure_ascii=False)
        (CAPTURES / f"{name}.expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
