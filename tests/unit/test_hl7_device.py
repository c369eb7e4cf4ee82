"""What a message says of the device beside its values: alarm limits, clock, model, firmware, serial number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.hl7 import Encoder
from gateway.core.hl7_check import check
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import CLOCK_END_NS, Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import SAMPLE, Block, Validity
from kita.check import check_message
from tests.unit.hl7_rig import CONTROL_ID, COPENHAGEN, DEVICE, GOLDEN, NOW_NS, SENDER, encoder_of, plan_of

LIMITS = plan_of("limits")
INDEX = {metric.path.removeprefix("1.1.1."): metric.index for metric in LIMITS.metrics}
SPO2, PULSE, LOW, HIGH, OF_PULSE = (INDEX[n] for n in ("1", "2", "11", "12", "13"))


def rows(*samples: tuple[int, float], validity: Validity = Validity.VLD, t_ns: int = NOW_NS) -> Block:
    """(metric, value) …, all at one instant."""
    block = np.zeros(len(samples), SAMPLE)
    block["metric"], block["value"] = zip(*samples, strict=True)
    block["validity"], block["t_ns"] = validity, t_ns
    return block


def said(encoder: Encoder, block: Block) -> dict[str, str]:
    """Encode; return OBX-7 by the last number of the path, as KITA has stored it."""
    payload = encoder.encode(block, CONTROL_ID, NOW_NS)
    assert check(payload, nomenclature()) == []
    return {row[0].removeprefix("1.1.1."): row[-1] for row in check_message(payload).intake.rows}


# ---- alarm limits


def test_a_limit_stands_beside_its_metric_in_the_same_message_and_in_later_ones() -> None:
    encoder = encoder_of(LIMITS)
    assert said(encoder, rows((SPO2, 97.0), (PULSE, 72.0)))["1"] == ""
    assert said(encoder, rows((SPO2, 97.0), (PULSE, 72.0), (LOW, 90.0)))["1"] == ">90"
    later = said(encoder, rows((SPO2, 96.0), (PULSE, 72.0)))
    assert (later["1"], later["2"]) == (">90", "")
    assert said(encoder, rows((HIGH, 100.0), (SPO2, 96.0)))["1"] == "90-100"
    assert said(encoder, rows((LOW, 85.5), (SPO2, 96.0)))["1"] == "85.5-100"
    assert said(encoder, rows((SPO2, math.nan), validity=Validity.INV))["1"] == "85.5-100"  # no value now, a limit is


@pytest.mark.parametrize(
    ("value", "validity"),
    [
        (math.nan, Validity.NA),
        (math.nan, Validity.INV),
        (90.0, Validity.INV),
        (90.0, Validity.ONG),
        (math.nan, Validity.VLD),
        (math.inf, Validity.VLD),
    ],
)
def test_a_limit_that_becomes_unknown_disappears(value: float, validity: Validity) -> None:
    encoder = encoder_of(LIMITS)
    assert said(encoder, rows((SPO2, 97.0), (LOW, 90.0), (HIGH, 100.0)))["1"] == "90-100"
    assert said(encoder, rows((LOW, value), validity=validity)) == {"11": ""}
    assert said(encoder, rows((SPO2, 97.0)))["1"] == "<100"


def test_a_limit_is_of_its_own_metric_and_of_its_own_device_only() -> None:
    one, other = encoder_of(LIMITS), encoder_of(LIMITS)
    assert said(one, rows((OF_PULSE, 120.0), (SPO2, 97.0), (PULSE, 72.0))) == {"1": "", "2": "<120", "13": ""}
    assert said(other, rows((PULSE, 72.0))) == {"2": ""}


@given(st.lists(st.tuples(st.sampled_from(sorted(INDEX.values())), st.floats(-1e9, 1e9)), min_size=1, max_size=8))
def test_any_limits_make_a_message_without_findings(samples: list[tuple[int, float]]) -> None:
    encoder = encoder_of(LIMITS)
    for sample in samples:
        said(encoder, rows(sample))
        said(encoder, rows((SPO2, 97.0), (PULSE, 72.0)))


# ---- the device's clock


def test_the_clock_of_a_device_is_the_time_that_it_shows() -> None:
    plan = plan_of("device_clock")
    payload = encoder_of(plan).encode(rows((1, -3600.0)), CONTROL_ID, NOW_NS)
    ((path, _, ref_id, value, text, *_),) = check_message(payload).intake.rows
    assert (path, ref_id, value, text) == ("1.1.1.2", "MDC_ATTR_TIME_ABS", None, "20261121093001.400+0100")


@given(st.integers(0, CLOCK_END_NS - 1), st.integers(0, 4_000_000_000_000_000_000))
def test_any_time_that_the_plan_calls_a_time_is_one_that_kita_takes(device_ns: int, t_ns: int) -> None:
    offset = round((device_ns - t_ns) / 1e9, 3)
    payload = encoder_of(plan_of("device_clock")).encode(rows((1, offset), t_ns=t_ns), CONTROL_ID, NOW_NS)
    assert not check_message(payload).errors


# ---- what it is


def attributes(firmware: str, serial: str) -> dict[str, str]:
    path = GOLDEN / "device_clock" / "profile.toml"
    text = path.read_text(encoding="utf-8") + '[firmware]\nranges = [{ min = "A", max = "Z" }]\n'
    plan = Plan(parse_profile(text, "golden/clock", path.name), firmware, nomenclature())
    payload = Encoder(plan, SENDER, DEVICE, COPENHAGEN, serial).encode(rows((0, 97.0)), CONTROL_ID, NOW_NS)
    assert check(payload, nomenclature()) == []
    return dict(check_message(payload).intake.attributes)


def test_what_the_device_has_said_of_itself_travels() -> None:
    assert attributes("J.10.52", "DE|123^4&5") == {
        "MDC_ATTR_ID_MODEL": "Golden & Søn Monitor | 3",
        "MDCX_FIRMWARE": "J.10.52",
        "MDCX_SERIAL_NUMBER": "DE|123^4&5",
        "MDCX_EXPERIMENTAL": "never seen in real life",
    }


def test_what_the_device_has_not_said_is_not_made_up() -> None:
    assert attributes("", "").keys() == {"MDC_ATTR_ID_MODEL", "MDCX_EXPERIMENTAL"}


def test_attributes_stand_once_in_a_message() -> None:
    plan = plan_of("device_clock")
    block = np.concatenate([rows((0, 97.0)), rows((0, 98.0), t_ns=NOW_NS + 1_000_000_000)])
    payload = encoder_of(plan).encode(block, CONTROL_ID, NOW_NS)
    assert payload.count(b"MDCX_EXPERIMENTAL") == payload.count(b"MDC_ATTR_ID_MODEL") == 1
