"""Valid PCD-01 messages for tests, made by the encoder from a plan of three numerics."""

from __future__ import annotations

from datetime import UTC

import numpy as np

from gateway.core.hl7 import Encoder
from gateway.core.hl7_message import DeviceIdentity, Sender
from gateway.core.message import Message
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import SAMPLE, Validity

BASE = "mdi/v1/auh/ita/gw-1"
TOPIC = f"{BASE}/up/oru-r01"
ACK_TOPIC = f"{BASE}/down/ack"
STATUS_TOPIC = f"{BASE}/status"
DEVICE = "0009FBFFFE012345"
T_NS = 1_795_253_401_400_000_000  # 2026-11-21 09:30:01.4 UTC

PROFILE = """
[profile]
vendor = "Test"
model = "Monitor"
driver = "none"
source = "made for tests"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "f"
metric = [
{ n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 1 },
{ n = 2, id = "MDC_ECG_HEART_RATE", unit = "/min", object = 2 },
{ n = 3, id = "MDC_TEMP_CORE", unit = "Cel", object = 3 },
]
"""
METRICS = ("MDC_PULS_OXIM_SAT_O2", "MDC_ECG_HEART_RATE", "MDC_TEMP_CORE")
PLAN = Plan(parse_profile(PROFILE, "test/monitor", "test.toml"), "", nomenclature())


def payload(
    control_id: str = "gw-1.1.1",
    values: tuple[float, ...] = (97.0, 72.0, 36.8),
    t_ns: int = T_NS,
    validity: Validity = Validity.VLD,
    flags: int = 0,
    processing_id: str = "P",
    acks: tuple[str, str] = ("AL", "NE"),
) -> bytes:
    """Return one message: values[i] of METRICS[i]. acks: MSH-15 and MSH-16."""
    rows = np.zeros(len(values), SAMPLE)
    rows["metric"] = np.arange(len(values))
    rows["t_ns"] = t_ns
    rows["value"] = values
    rows["validity"] = validity
    rows["flags"] = flags
    sender = Sender("MDIGW", "0011223344556677", "AUH", "KITA", "RM", processing_id, *acks)
    device = DeviceIdentity("monitor-1", DEVICE, "ITA", "Stue 3", "Seng 2", "AUH")
    return Encoder(PLAN, sender, device, UTC).encode(rows, control_id, t_ns + 1_000_000_000)


def message(n: int = 1, values: tuple[float, ...] = (97.0, 72.0, 36.8)) -> Message:
    """Return the n-th message of the gateway, observed n seconds after T_NS."""
    control_id = f"gw-1.1.{n}"
    return Message(n, control_id, TOPIC, payload(control_id, values, T_NS + n * 1_000_000_000))


def changed(message_bytes: bytes, old: str, new: str) -> bytes:
    """Return the message with one text replaced; it must be there."""
    assert old.encode() in message_bytes, old
    return message_bytes.replace(old.encode(), new.encode(), 1)
