"""Profiles of invented devices that send lines of text, and the recording of drivers/ascii_line/captures.

`python -m tests.unit.ascii_line_rig` makes the recording anew: the simulated Accutorr 3, asked for 70 seconds.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from drivers.ascii_line import DRIVER
from gateway.core.frame import Event, Frame, NeedData
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.scene import Scene
from gateway.record import Direction, Header, RecordingWriter
from tests.conftest import ROOT

S = 1_000_000_000
T0 = 1_767_225_600 * S  # what the clock of the scene shows at 0
FOLDER = ROOT / "drivers" / "ascii_line"
CAPTURE = FOLDER / "captures" / "accutorr_3.mdirec"
ACCUTORR = "datascope/accutorr_3"
RECORDED_S = 70.0  # a cuff has measured twice

HEAD = """
[profile]
vendor = "Acme"
model = "Test"
driver = "ascii_line"
source = "invented"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
"""
CHANNEL = """
[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_METER_TEMP_VMD"
chan = "MDC_DEV_METER_TEMP_CHAN"
frame = "values"
metric = [
"""


def warmer() -> str:
    """Return the profile of the README."""
    return (FOLDER / "README.md").read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]


def text_of(driver: str, *rows: str, more: str = "") -> str:
    """Return a profile with this [driver] table and these rows."""
    return HEAD + more + "\n[driver]\n" + driver + CHANNEL + "".join(f"  {{ {row} }},\n" for row in rows) + "]\n"


def parsed(text: str) -> Profile:
    return parse_profile(text, "acme/test", "test.toml")


@cache
def accutorr() -> Profile:
    path = ROOT / "firmware_profiles" / f"{ACCUTORR}.toml"
    return parse_profile(path.read_text(encoding="utf-8"), ACCUTORR, path.name)


def started(profile: Profile) -> DeviceProtocol:
    protocol = DRIVER.protocol([DeviceSpec(0, profile)], {})
    protocol.start(0.0)
    return protocol


def drained(protocol: DeviceProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


def heard(profile: Profile, *pieces: bytes, every_s: float = 1.0) -> list[Event]:
    """Return what the driver makes of pieces that come one after the other."""
    protocol = started(profile)
    found: list[Event] = []
    for n, piece in enumerate(pieces):
        protocol.receive_data(piece, T0 + round(n * every_s * S))
        found += drained(protocol)
    return found


def record(path: Path) -> dict[str, Any]:
    """Write a recording of the simulated Accutorr 3; return what the driver reads in it."""
    protocol, plan = started(accutorr()), Plan(accutorr(), "", nomenclature())
    device = DRIVER.simulator([DeviceSpec(0, accutorr())], {}, Scene(seed=7))
    path.unlink(missing_ok=True)
    made_of = ((ACCUTORR, plan.digest.hex()),)
    writer = RecordingWriter(path, Header("2026-01-01T00:00:00Z", "test", "port", "ascii_line", "loopback", made_of))
    lines: list[dict[str, Any]] = []
    now = 0.0
    while now < RECORDED_S:
        t_ns = T0 + round(now * S)
        asked = protocol.data_to_send(now)
        device.receive_data(asked, now)
        answer = device.data_to_send(now)
        for direction, data in ((Direction.TO_DEVICE, asked), (Direction.FROM_DEVICE, answer)):
            if data:
                writer.append(t_ns, direction, data)
        protocol.receive_data(answer, t_ns)
        for event in drained(protocol):
            assert isinstance(event, Frame)
            rows = plan.decode(event, 0)
            values = {plan.metrics[r["metric"]].ref_id: float(r["value"]) for r in rows if r["value"] == r["value"]}
            lines.append({"t": now, "values": values})
        now += 0.5
    writer.close()
    return {"lines": lines}


if __name__ == "__main__":
    expected = record(CAPTURE)
    text = json.dumps(expected, indent=1) + "\n"
    CAPTURE.with_suffix(".expected.json").write_text(text, encoding="utf-8")
