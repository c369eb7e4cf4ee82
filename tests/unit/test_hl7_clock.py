"""What messages say of the clock of the gateway: how it is kept, how far it can be relied on, and that it was set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alert import pack_count
from gateway.core.clock import ClockQuality, ClockState
from gateway.core.hl7_alert import AlertEncoder
from gateway.core.hl7_check import check, parse_oru
from gateway.core.hl7_wave import WaveEncoder
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import SAMPLE, Block
from gateway.hl7_validate import validate
from tests.unit.hl7_rig import CONTROL_ID, COPENHAGEN, DEVICE, NOW_NS, SENDER, encoder_of, plan_of
from tests.unit.test_plan import HEAD

S = 1_000_000_000
MONITOR = plan_of("vitals")
NONE, NTP = "MDC_TIME_SYNC_NONE", "MDC_TIME_SYNC_NTPV4"
MORE = Plan(
    parse_profile(
        HEAD
        + '{ n = 1, id = "MDC_ECG_ELEC_POTL_II", unit = "uV", frame = "w", object = 1, kind = "waveform" },\n'
        + '{ n = 2, id = "MDC_EVT_ALARM", frame = "a", object = 2, kind = "alert", alert = "technical" },\n]\n',
        "test/more",
        "more.toml",
    ),
    "",
    nomenclature(),
)


def block(*times_ns: int) -> Block:
    made = np.zeros(len(times_ns), SAMPLE)
    made["t_ns"], made["value"], made["seq"] = times_ns, 80.0, range(len(times_ns))
    return made


@pytest.mark.parametrize("quality", list(ClockQuality))
@pytest.mark.parametrize("step_s", [0.0, 3600.0, -31536000.0, 0.251])
def test_a_message_says_how_its_clock_is_kept(quality: ClockQuality, step_s: float) -> None:
    state = ClockState(quality, round(step_s * S))
    payload = encoder_of(MONITOR).encode(block(NOW_NS, NOW_NS + S), CONTROL_ID, NOW_NS, state)
    assert check(payload, nomenclature()) == []
    assert validate(payload) == []
    oru = parse_oru(payload)
    kept = quality in (ClockQuality.SYNCHRONISED, ClockQuality.NOT_KNOWN)
    assert oru.time_sync == (NTP if kept else NONE)
    assert oru.clock == ("" if quality is ClockQuality.NOT_KNOWN else quality.word)
    assert oru.clock_step_s == step_s
    assert sum(len(group.observations) for group in oru.groups) == 2  # what is said of the clock is no observation


def waves_and_alerts() -> list[tuple[WaveEncoder | AlertEncoder, Block]]:
    wave = np.zeros(10, SAMPLE)
    wave["t_ns"] = NOW_NS + np.arange(10) * 10_000_000
    life = np.zeros(1, SAMPLE)
    life["t_ns"], life["metric"], life["value"] = NOW_NS, 1, pack_count(0)
    of_waves = WaveEncoder(MORE, SENDER, DEVICE, COPENHAGEN, lambda _: "10000000")
    of_alerts = AlertEncoder(MORE, SENDER, DEVICE, COPENHAGEN, lambda _: "", 30.0)
    return [(of_waves, wave), (of_alerts, life)]


@pytest.mark.parametrize("quality", list(ClockQuality))
@pytest.mark.parametrize("which", [0, 1])
def test_waves_and_alerts_say_it_too(quality: ClockQuality, which: int) -> None:
    encoder, rows = waves_and_alerts()[which]
    payload = encoder.encode(rows, CONTROL_ID, NOW_NS, ClockState(quality))
    assert check(payload, nomenclature()) == []
    assert which or validate(payload) == []  # hl7apy does not know ORU^R40
    oru = parse_oru(payload)
    assert oru.clock == ("" if quality is ClockQuality.NOT_KNOWN else quality.word)
    if quality is not ClockQuality.NOT_KNOWN:
        assert oru.time_sync == (NTP if quality is ClockQuality.SYNCHRONISED else NONE)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_a_message_keeps_the_order_of_the_samples_when_the_clock_goes_back(seconds: list[int]) -> None:
    """Values of one instant stand together; instants stand as their first samples do, never sorted."""
    rows = block(*(NOW_NS + s * S for s in seconds))
    rows["value"] = range(len(rows))
    oru = parse_oru(encoder_of(MONITOR).encode(rows, CONTROL_ID, NOW_NS))
    told = [(o.t_ns, o.value) for group in oru.groups for o in group.observations]
    first = {t: n for n, t in reversed(list(enumerate(rows["t_ns"].tolist())))}
    wanted = sorted(
        zip(rows["t_ns"].tolist(), rows["value"].tolist(), strict=True), key=lambda row: (first[row[0]], row[1])
    )
    assert told == wanted


def test_times_of_1970_go_out_as_they_are_and_marked() -> None:
    payload = encoder_of(MONITOR).encode(block(40 * S), CONTROL_ID, 41 * S, ClockState(ClockQuality.UNSET))
    assert b"19700101010040.000+0100" in payload
    oru = parse_oru(payload)
    assert (oru.clock, oru.groups[0].t_ns) == ("unset", 40 * S)
    assert not math.isnan(float(oru.groups[0].observations[0].value or math.nan))
