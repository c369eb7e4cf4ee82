"""GE DRI: what is asked when, against the simulated monitor."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.ge_dri import DRIVER
from drivers.ge_dri.record import AlarmCommand, Values, alarm_request, values_request, wave_request
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Frame
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit.ge_dri_rig import Talk, active, faults, profile, readings, waves

BEGINNING = values_request(Values.DISPLAYED, 5) + values_request(Values.AUXILIARY, 5)
S5_WAVES = (1, 15, 8, 4, 9, 13, 14)  # the seven of ge/s5_dri, in the order of its rows


def build(options: dict[str, Any], name: str = "s5_dri") -> Any:
    return DRIVER.protocol([DeviceSpec(0, profile(name))], options)


def test_values_first_then_waves_and_alarms() -> None:
    talk = Talk()
    talk.until(1.0)
    assert talk.sent[0] == (0.0, BEGINNING)
    assert set(S5_WAVES) == set(talk.sent[1][1][45:52])
    assert talk.sent[1][1].endswith(alarm_request(AlarmCommand.STATUS) + alarm_request(AlarmCommand.ENTER_DIFFERENTIAL))
    assert len(talk.sent) == 2


def test_alarms_are_asked_for_again_every_ten_seconds() -> None:
    """Also from a monitor that tells no change: a lost record would otherwise leave an alarm standing."""
    talk = Talk({"waves": []})
    answer = talk.monitor._ask_alarms  # type: ignore[attr-defined]
    talk.monitor._ask_alarms = lambda command, now: command or answer(command, now)  # type: ignore[attr-defined]
    talk.until(61.0)
    refreshed = [at for at, said in talk.sent if said == alarm_request(AlarmCommand.STATUS)]
    assert refreshed == pytest.approx([10, 20, 30, 40, 50, 60], abs=0.1)
    assert faults(talk.events) == []


def test_a_monitor_below_level_10_is_not_asked_for_alarms() -> None:
    talk = Talk({"waves": []}, level=9)
    talk.until(30.0)
    assert [said for _, said in talk.sent] == [BEGINNING]
    assert faults(talk.events) == []


def test_an_old_monitor_sends_the_basic_class() -> None:
    talk = Talk({"waves": []}, level=2)
    found = readings(talk.until(1.0))
    assert "ART.sys" in found
    assert "ecg12.stI" not in found


def test_a_silent_monitor_is_asked_again_and_named_once() -> None:
    talk = Talk(off_s=(0.0, 45.0))
    talk.until(44.0)
    assert [at for at, _ in talk.sent] == pytest.approx([0, 10, 20, 30, 40], abs=0.01)
    assert {said for _, said in talk.sent} == {BEGINNING}
    assert faults(talk.events) == ["no_answer"]
    assert readings(talk.until(55.0))


def test_a_monitor_that_was_restarted_is_asked_for_everything_anew() -> None:
    talk = Talk(off_s=(20.0, 25.0))
    talk.until(20.0)
    talk.events.clear()
    after = talk.until(50.0)
    assert "no_answer" in faults(after)
    assert waves([event for event in after[-20:] if isinstance(event, Frame)])
    assert sum(wave_request(S5_WAVES)[:40] == said[:40] for _, said in talk.sent) >= 1
    assert active(after, "alarm") in ([], ["SIMULATED ALARM"])


def test_waves_that_do_not_come_are_asked_for_again_and_named() -> None:
    talk = Talk()
    talk.until(3.0)
    talk.monitor._waves = []  # type: ignore[attr-defined]  # the monitor was held back by RTS and has given up
    after = talk.until(10.0)
    assert faults(after) == ["no_waves"]
    assert waves(after)


def test_alarms_that_do_not_come_are_named() -> None:
    talk = Talk({"waves": []})
    talk.monitor._ask_alarms = lambda *_: None  # type: ignore[attr-defined]
    assert faults(talk.until(60.0)) == ["no_alarms"]


@pytest.mark.parametrize(("name", "kind"), [("trend_10s", Values.TREND_10S), ("trend_60s", Values.TREND_60S)])
def test_a_trend_is_asked_for_after_the_displayed_values_and_given_in_their_place(name: str, kind: Values) -> None:
    period = 10 if kind is Values.TREND_10S else 60
    talk = Talk({"waves": [], "values": name})
    talk.until(3.5 * period)
    assert talk.sent[0][1] == BEGINNING + values_request(kind, period)
    given = [
        event
        for event in talk.events
        if isinstance(event, Frame) and isinstance(event.payload, list) and "o2.fi" in readings([event])
    ]
    assert len(given) == 3
    assert len([e for e in talk.events if isinstance(e, Frame) and e.kind == "status"]) >= 7  # of the displayed values
    assert faults(talk.events) == []


def test_without_an_open_case_there_is_no_trend_and_that_is_said() -> None:
    talk = Talk({"waves": [], "values": "trend_10s"}, case_open=False)
    assert faults(talk.until(100.0)) == ["no_trend"]
    assert "o2.fi" not in readings(talk.events)


def test_parting_cancels_what_was_asked_for() -> None:
    talk = Talk({"values": "trend_60s"})
    talk.until(2.0)
    talk.protocol.stop(2.0)
    said = talk.protocol.data_to_send(2.0)
    assert said == b"".join(
        [
            *(values_request(kind, 0) for kind in (Values.DISPLAYED, Values.AUXILIARY, Values.TREND_60S)),
            wave_request(()),
            alarm_request(AlarmCommand.LEAVE_DIFFERENTIAL),
        ]
    )
    assert Gate(profile().transmit).allows(said)
    talk.monitor.receive_data(said, 2.0)
    assert talk.monitor.next_wake() is None
    assert talk.protocol.next_wake() is None
    assert talk.protocol.data_to_send(3.0) == b""


def test_parting_before_anything_was_asked_says_nothing() -> None:
    protocol = build({})
    protocol.start(0.0)
    protocol.stop(0.0)
    assert protocol.data_to_send(0.0) == b""


def test_waves_by_name_in_order_of_priority() -> None:
    talk = Talk({"waves": ["PLETH", "ECG1"]})
    found = waves(talk.until(5.0))
    assert wave_request((8, 1)) in talk.sent[1][1]
    assert {wave.object for wave in found} == {"PLETH", "ECG1"}
    assert sum(len(wave.samples) for wave in found if wave.object == "ECG1") == pytest.approx(1200, abs=300)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"waves": ["ECG2"]}, "not in the profile"),
        ({"interval_s": 4}, "interval_s"),
        ({"values": "all"}, "values"),
        ({"wave": []}, "unknown key"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        build(options)


def test_a_fast_line_carries_24_waves() -> None:
    talk = Talk(name="carescape_v3_dri")
    found = waves(talk.until(3.0))
    assert len({wave.object for wave in found}) == 24
    assert faults(talk.events) == []


def test_more_than_the_line_carries_is_refused() -> None:
    """The monitor would leave it out without a word."""
    slow = profile("carescape_v3_dri")
    object.__setattr__(slow, "driver_table", {})
    for waves_, hint in (
        (["ECG1", "ECG2", "PLETH"], "700 samples"),
        (["CO2", "O2", "N2O", "AA", "AWP", "FLOW", "VOL", "RESP", "PLETH"], "9 are too many"),
    ):
        with pytest.raises(ConfigError, match=hint):
            DRIVER.protocol([DeviceSpec(0, slow)], {"waves": waves_})


def test_a_profile_may_say_fast_and_nothing_else() -> None:
    strange = profile()
    object.__setattr__(strange, "driver_table", {"quick": True})
    with pytest.raises(ProfileError, match="driver"):
        DRIVER.protocol([DeviceSpec(0, strange)], {})


def test_the_simulated_monitor_leaves_out_what_exceeds_its_budget() -> None:
    talk = Talk({"waves": []}, name="carescape_v3_dri")
    talk.monitor._most = 8  # type: ignore[attr-defined]
    talk.until(1.0)
    talk.monitor.receive_data(wave_request((1, 2, 3, 8, 9)), 1.0)
    assert talk.monitor._waves == [1, 2]  # type: ignore[attr-defined]


def test_one_monitor_to_a_line() -> None:
    devices = [DeviceSpec(0, profile()), DeviceSpec(1, profile())]
    for make in (lambda: DRIVER.protocol(devices, {}), lambda: DRIVER.simulator(devices, {}, Scene())):
        with pytest.raises(ConfigError, match="2 devices"):
            make()
