"""HL7: build one PCD-01 message of 40 numerics, and read and check it, beside hl7apy doing the same.

Method: one process, one thread. The message is that of a patient monitor: a plan of its own, 40 numerics in 8
channels, one instant, 59 OBX with the device rows; each message has new values, a new time and a new control id. Only
the numerics are counted. Build: best of seven runs of 2,000 messages; hl7apy builds the same text from its fields as an
object tree, best of five single messages, and the bench stops when the texts differ. Read: parse_oru with check_oru
beside hl7apy's parse_message with validate(), on the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC

import numpy as np

from gateway.core.hl7 import Encoder
from gateway.core.hl7_check import check_oru, parse_oru
from gateway.core.hl7_message import DeviceIdentity, Sender
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import SAMPLE
from gateway.hl7_validate import validate

CHANNELS, PER_CHANNEL = 8, 5
TERMS = (
    ("MDC_PULS_OXIM_SAT_O2", "%"),
    ("MDC_ECG_HEART_RATE", "/min"),
    ("MDC_PRESS_BLD_NONINV_SYS", "mm[Hg]"),
    ("MDC_TEMP_CORE", "Cel"),
    ("MDC_TTHOR_RESP_RATE", "/min"),
)
HEAD = """
[profile]
vendor = "Bench"
model = "Monitor"
driver = "none"
source = "this bench"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
"""
START_NS = 1_795_000_000_000_000_000
NUMERICS = CHANNELS * PER_CHANNEL


def plan() -> Plan:
    """Return a plan of 40 numerics."""
    text = HEAD
    for channel in range(1, CHANNELS + 1):
        text += (
            f'[[channel]]\npath = "1.{channel}.1"\nvmd = "MDC_DEV_ANALY_SAT_O2_VMD"\n'
            'chan = "MDC_DEV_ANALY_SAT_O2_CHAN"\nframe = "f"\nmetric = [\n'
        )
        for n, (ref_id, unit) in enumerate(TERMS, 1):
            text += f'{{ n = {n}, id = "{ref_id}", unit = "{unit}", object = {channel * 10 + n} }},\n'
        text += "]\n"
    return Plan(parse_profile(text, "bench/monitor", "bench.toml"), "", nomenclature())


def encoder() -> Encoder:
    """Return an encoder of that plan."""
    sender = Sender("MDIGW", "0011223344556677", "AUH", "KITA", "RM")
    device = DeviceIdentity("monitor-1", "0009FBFFFE012345", "ITA", "Stue 3", "Seng 2", "AUH")
    return Encoder(plan(), sender, device, UTC)


def blocks(count: int) -> list[np.ndarray]:
    """Return blocks of 40 samples with values as a monitor has them, a second apart."""
    rng = np.random.default_rng(1)
    rows = np.zeros((count, NUMERICS), SAMPLE)
    rows["metric"] = np.arange(NUMERICS)
    rows["t_ns"] = START_NS + np.arange(count)[:, None] * 1_000_000_000
    rows["value"] = rng.integers(300, 1500, rows.shape) / 10
    return list(rows)


def best(work: Callable[[], int], runs: int) -> float:
    """Return numerics/s, best of `runs`."""
    result = 0.0
    for _ in range(runs):
        start = time.perf_counter()
        done = work()
        result = max(result, done / (time.perf_counter() - start))
    return result


def hl7apy_build(segments: list[list[str]]) -> str:
    """Build a message from its fields (each a list of name, field 1, field 2 …) with hl7apy."""
    from hl7apy.core import Message

    message = Message("ORU_R01", version="2.6")
    result = message.add_group("ORU_R01_PATIENT_RESULT")
    patient = result.add_group("ORU_R01_PATIENT")
    home = {"PID": patient}
    for name, *fields in segments:
        if name == "PV1":
            home[name] = patient.add_group("ORU_R01_VISIT")
        elif name == "OBR":
            home[name] = result.add_group("ORU_R01_ORDER_OBSERVATION")
        elif name == "OBX":
            home[name] = home["OBR"].add_group("ORU_R01_OBSERVATION")
        segment = message.msh if name == "MSH" else home[name].add_segment(name)
        for n, text in enumerate(fields, 1):
            if name == "MSH" and n in (7, 12):  # a new Message has these two already
                setattr(segment, f"msh_{n}", text)
            elif text and (name != "MSH" or n > 2):
                for repetition in text.split("~"):
                    segment.add_field(f"{name}_{n}").value = repetition
    er7: str = message.to_er7()
    return er7


def fields_of(payload: bytes) -> list[list[str]]:
    """Take a message apart for hl7apy_build; not timed."""
    lines = payload.decode().rstrip("\r").split("\r")
    cut = [line.split("|") for line in lines]
    cut[0].insert(1, "|")  # MSH-1 is the delimiter itself
    return cut


def build() -> dict[str, object]:
    """Encoding."""
    ready, own = blocks(2000), encoder()

    def ours() -> int:
        for i, block in enumerate(ready):
            own.encode(block, f"MDIGW-AUH-{i:010}", START_NS)
        return NUMERICS * len(ready)

    payload = own.encode(ready[0], "MDIGW-AUH-0", START_NS)
    fields = fields_of(payload)
    theirs = hl7apy_build(fields)
    if theirs.rstrip("\r") != payload.decode().rstrip("\r"):
        raise SystemExit("hl7apy built another text:\n" + theirs.replace("\r", "\n"))

    def with_hl7apy() -> int:
        hl7apy_build(fields)
        return NUMERICS

    return row("HL7 encode, 40 numerics", best(ours, 7), best(with_hl7apy, 5), 400_000, 1000)


def read() -> dict[str, object]:
    """Reading with all checks."""
    own, table = encoder(), nomenclature()
    payloads = [own.encode(block, f"MDIGW-AUH-{i:010}", START_NS) for i, block in enumerate(blocks(500))]

    def ours() -> int:
        for payload in payloads:
            if check_oru(parse_oru(payload), table):
                raise SystemExit("the checker finds fault with our own message")
        return NUMERICS * len(payloads)

    def with_hl7apy() -> int:
        if validate(payloads[0]):
            raise SystemExit("hl7apy finds fault with our message")
        return NUMERICS

    return row("HL7 parse and check, 40 numerics", best(ours, 7), best(with_hl7apy, 5), 80_000, 100)


def row(name: str, ours: float, baseline: float, target: float, times: float) -> dict[str, object]:
    """Return one line of the report. target: numerics/s; times: at least so many times the baseline."""
    return {
        "bench": name + ", beside hl7apy",
        "ours": ours,
        "baseline": baseline,
        "ratio": ours / baseline,
        "unit": "numerics/s",
        "target": f"≥ {target:,.0f} and ≥ {times:,.0f} x",
        "met": ours >= target and ours / baseline >= times,
    }


def run() -> list[dict[str, object]]:
    """Return one row per direction."""
    return [build(), read()]


if __name__ == "__main__":
    for line in run():
        print(line)
