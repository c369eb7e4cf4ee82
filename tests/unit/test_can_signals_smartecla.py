"""The SmartECLA profile and its DBC, against the frames and the signal table of the reference material."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import can
import numpy as np
import pytest

from drivers.can_signals.database import load_messages
from gateway.core.errors import ProfileError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.sample import Validity
from tests.unit.can_signals_rig import drain, faults, frames, record_of, smartecla, started, values

MEASUREMENT = 0x10 << 24  # block 10h of the arbitration id


def message(arbitration_id: int, data: str) -> can.Message:
    return can.Message(arbitration_id=arbitration_id, data=bytes.fromhex(data), is_extended_id=True)


@pytest.mark.parametrize(
    ("arbitration_id", "data", "name", "value"),
    [
        (0x10040070, "E425000001000000", "AS3_spo2_spo2.value", 97.0),
        (0x10040010, "122F000001000000", "AS3_inv_pressure_1_sys.value", 120.5),
        (0x10090003, "69020000 01000000", "PiCCO2_apdia.value", 61.7),
        (0x10030000, "D0FFFFFF 01000000", "PressureBoard_sig1.value", -48.0),
    ],
)
def test_frames_of_the_notes(arbitration_id: int, data: str, name: str, value: float) -> None:
    protocol = started([smartecla()])
    protocol.receive_data(record_of(message(arbitration_id, data)), 0)
    assert values(drain(protocol)) == {name: value}


@pytest.mark.parametrize(("firmware", "litres"), [("0", 0.44921875), ("2690", 460 / 4095)])
def test_error_6_blood_flow_is_scaled_as_the_header_revision_says(firmware: str, litres: float) -> None:
    """The logged frame 100C0000 8 2E 00 00 00 01 00 00 00 was shown as 0,44921875 L/min by the older header."""
    block, plan = decoded(firmware, message(0x100C0000, "2E00000001000000"))
    assert block["value"] == pytest.approx([litres], rel=1e-9)
    assert block["validity"].tolist() == [Validity.VLD]
    assert not plan.unmapped


def test_blood_flow_of_an_unknown_revision_is_left_out_and_counted() -> None:
    block, plan = decoded("", message(0x100C0000, "2E00000001000000"))
    assert len(block) == 0
    assert plan.unmapped == {("signal", "BloodFlow_average.value"): 1}


def test_a_revision_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ProfileError, match="outside the range"):
        Plan(smartecla(), "2600", nomenclature())


def test_what_the_as3_marks_as_no_value_has_none() -> None:
    block, _ = decoded("2690", message(0x10040060, "0180FFFF01000000"))  # -32767
    assert math.isnan(block["value"][0])
    assert block["validity"].tolist() == [Validity.NA]


def decoded(firmware: str, *messages: can.Message) -> tuple[np.ndarray, Plan]:
    """Send messages through driver and plan."""
    profile = smartecla()
    plan = Plan(profile, firmware, nomenclature())
    protocol = started([profile])
    for one in messages:
        protocol.receive_data(record_of(one), 0)
    return np.concatenate([plan.decode(frame, 0) for frame in frames(drain(protocol))]), plan


def test_the_dbc_says_what_the_signal_table_says(shared: Path) -> None:
    table = shared / "captures" / "smartecla_can" / "signals.csv"
    with table.open(encoding="utf-8") as file:
        rows = {int(row["can_id_hex29"], 16): row for row in csv.DictReader(file)}
    for compiled in load_messages(smartecla(), 0):
        assert compiled.can_id & 0x8000_0000
        row = rows[compiled.dbc.frame_id]
        (signal,) = compiled.dbc.signals
        assert compiled.name.endswith("_" + row["signal"])
        assert (signal.start, signal.length, signal.byte_order, signal.is_signed) == (0, 32, "little_endian", True)
        # the one scale that depends on the revision is in the profile
        scale = 1.0 if row["scale_per_lsb"] == "10/4095" else float(row["scale_per_lsb"])
        assert (signal.scale, signal.offset) == (scale, 0)


@pytest.mark.parametrize("firmware", ["", "0", "2690"])
def test_every_metric_is_reachable_and_its_unit_fits_its_term(firmware: str) -> None:
    profile, terms = smartecla(), nomenclature()
    plan = Plan(profile, firmware, terms)
    objects = {f"{m.name}.{s.name}" for m in load_messages(profile, 0) for s in m.dbc.signals}
    specs = [spec for channel in profile.resolve(firmware) for spec in channel.metrics]
    assert {spec.object for spec in specs} <= objects
    assert len({spec.path for spec in specs}) == len(specs) == len(plan.metrics)
    for metric in plan.metrics:
        assert metric.unit is not None
        assert terms.fits(terms.term(metric.ref_id), metric.unit), metric.ref_id
        assert -math.inf < metric.range[0] < metric.range[1] < math.inf


def test_the_vmd_of_a_metric_is_the_device_of_its_frame() -> None:
    profile = smartecla()
    device = {f"{m.name}.value": m.dbc.frame_id >> 16 & 0xFF for m in load_messages(profile, 0)}
    for channel in profile.resolve("2690"):
        for spec in channel.metrics:
            assert int(spec.path.split(".")[1]) == device[str(spec.object)]


def test_no_patient_identity_is_described() -> None:
    """PiCCO2 sends parts of the patient's name and number (30h to 37h): never decoded."""
    ids = {m.dbc.frame_id for m in load_messages(smartecla(), 0)}
    assert ids.isdisjoint(MEASUREMENT | 0x09_0000 | signal for signal in range(0x31, 0x38))


def test_through_a_virtual_bus_of_python_can() -> None:
    with (
        can.Bus(interface="virtual", channel="smartecla") as device,
        can.Bus(interface="virtual", channel="smartecla") as gateway,
    ):
        device.send(message(0x10040070, "E425000001000000"))
        device.send(message(0x10070001, "5800000001000000"))
        protocol = started([smartecla()])
        for _ in range(2):
            received = gateway.recv(timeout=5)
            assert received is not None
            protocol.receive_data(record_of(received), round(received.timestamp * 1e9))
    assert values(drain(protocol)) == {"AS3_spo2_spo2.value": 97.0, "N560_bpm.value": 88.0}


@pytest.mark.parametrize("name", ["logfile.asc", "test_CanMessage.asc", "test_CanMessage.blf", "test_CanMessage.trc"])
def test_logs_of_other_networks_give_no_value(shared: Path, name: str) -> None:
    protocol = started([smartecla()])
    path = shared / "captures" / "can_logs" / name
    if not path.is_file():
        pytest.skip(f"no {name} in ../shared")
    ids: list[int] = []
    wrong = errors = 0
    with can.LogReader(path) as reader:
        for received in reader:
            if len(received.data) > 8:
                continue  # CAN FD, or a J1939 transport message that the reader has put together
            protocol.receive_data(record_of(received), round(received.timestamp * 1e9))
            if received.is_error_frame:
                errors += 1
            elif not received.is_extended_id and received.arbitration_id > 0x7FF:
                wrong += 1  # the BLF file holds such: more than 11 bits
            elif not received.is_remote_frame:
                ids.append(received.arbitration_id)
    events = drain(protocol)
    reasons = Counter(fault.reason for fault in faults(events))
    assert frames(events) == []
    assert len(ids) + wrong >= 2
    assert reasons == Counter(unknown_id=len(set(ids)), bad_record=wrong, error_frame=errors)
