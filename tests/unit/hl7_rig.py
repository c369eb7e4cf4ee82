"""What the HL7 tests share: one gateway, one device, plans, and samples written as people write them."""

from __future__ import annotations

import csv
import math
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from gateway.core.hl7 import Encoder
from gateway.core.hl7_message import DeviceIdentity, Sender
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import SAMPLE, Block, Flag, Validity

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "hl7"
COPENHAGEN = ZoneInfo("Europe/Copenhagen")
SENDER = Sender("MDIGW", "0011223344556677", "AUH", "KITA", "RM")
DEVICE = DeviceIdentity("skop-3", "0009FBFFFE012345", "Børneafdeling", "Stue Ø3", "Seng Å2", "AUH")
NOW_NS = 1_795_253_401_400_000_000  # 2026-11-21 10:30:01.4 in Copenhagen
CONTROL_ID = "GW-0421-7-18231"


def plan_of(case: str) -> Plan:
    """Return the plan of a golden case."""
    path = GOLDEN / case / "profile.toml"
    return Plan(parse_profile(path.read_text(encoding="utf-8"), f"golden/{case}", path.name), "", nomenclature())


def encoder_of(plan: Plan, sender: Sender = SENDER, device: DeviceIdentity = DEVICE) -> Encoder:
    """Return an encoder in Copenhagen."""
    return Encoder(plan, sender, device, COPENHAGEN)


def utc_ns(text: str) -> int:
    """Read "2026-11-21T09:30:00.120Z"."""
    return round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000


def samples_of(case: str, plan: Plan) -> Block:
    """Read the samples of a golden case."""
    metrics = {metric.path: metric for metric in plan.metrics}
    rows = []
    with (GOLDEN / case / "samples.csv").open(encoding="utf-8", newline="") as file:
        for seq, row in enumerate(csv.DictReader(file), 1):
            metric = metrics[row["path"]]
            assert metric.ref_id == row["ref_id"], row
            flags = sum(Flag[name] for name in row["flags"].split())
            value = float(row["value"] or math.nan)
            rows.append((utc_ns(row["time"]), seq, value, metric.index, 0, Validity[row["validity"]], flags, 0))
    return np.array(rows, SAMPLE)


def er7_of(text: str) -> bytes:
    """Return a message written one segment to a line."""
    return "".join(f"{line}\r" for line in text.splitlines() if line).encode()
