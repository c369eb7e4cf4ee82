"""An outside judge of our messages: hl7apy, strict.

hl7apy knows structure, cardinality and data types of HL7 v2.6; the rules of PCD-01 are those of gateway.core.hl7_check.
It takes about 3 ms per OBX, so it is asked when a plan is new, in tests, and by `mdi hl7 check`; it is imported then.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from gateway.core.er7 import read
from gateway.core.errors import ConfigError
from gateway.core.hl7 import Encoder
from gateway.core.hl7_check import check
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.sample import SAMPLE, Block, Validity

VERSION = "2.6"
SPECIMEN_ID = "VALIDATE"  # MSH-10 of a message that is judged and never sent


@lru_cache(maxsize=1)
def _load() -> None:
    """Load the tables of the version once: hl7apy does it on first use, and two threads would race (its issue 61)."""
    from hl7apy import load_library

    load_library(VERSION)


def validate(payload: bytes) -> list[str]:
    """Return what hl7apy says against a message: at most one thing, it stops at the first. Any bytes; never raises."""
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.exceptions import HL7apyException
    from hl7apy.parser import parse_message

    _load()
    segments, _ = read(payload)
    try:
        parse_message("\r".join(segments), validation_level=VALIDATION_LEVEL.STRICT).validate()
    except (HL7apyException, ValueError) as fault:  # ValueError: a value that is none of its data type
        return [str(fault) or type(fault).__name__]
    return []


def is_judged(plan: Plan, encoder: Encoder, done: Path) -> bool:
    """Tell whether `validate_encoder` has nothing left to do; hl7apy is not loaded for that."""
    block = _every_metric(plan)
    return not len(block) or _mark(encoder.encode(block, SPECIMEN_ID, 0), done).exists()


def validate_encoder(plan: Plan, encoder: Encoder, done: Path) -> None:
    """Have a message with every metric of a plan judged, by hl7apy and by our own checker.

    done: folder that remembers, by its digest, which message was judged before; made when missing.
    Raises: ConfigError naming the first thing that is wrong.
    """
    block = _every_metric(plan)
    if not len(block):
        return
    payload = encoder.encode(block, SPECIMEN_ID, 0)
    mark = _mark(payload, done)
    if mark.exists():
        return
    errors = [f"{f.segment} {f.index} {f.field}: {f.what}" for f in check(payload, nomenclature()) if f.severity == "E"]
    errors += validate(payload)
    if errors:
        hint = "correct the text of the configuration or the row of the profile that it names"
        raise ConfigError(f"its messages are not valid HL7: {errors[0]}", plan.profile_id, hint)
    try:
        done.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as fault:
        raise ConfigError(f"cannot be written: {fault.strerror}", str(done), "gateway.state_dir must exist") from fault


def _mark(payload: bytes, done: Path) -> Path:
    return done / hashlib.sha256(payload).hexdigest()[:32]


def _every_metric(plan: Plan) -> Block:
    """Return each numeric and enumeration twice: with a value, and a second later without."""
    sent = [metric.index for metric in plan.metrics if metric.kind in ("numeric", "enumeration")]
    block = np.zeros(2 * len(sent), SAMPLE)
    block["metric"] = [*sent, *sent]
    later = block[len(sent) :]
    later["t_ns"], later["value"], later["validity"] = 1_000_000_000, np.nan, Validity.NA
    return block
