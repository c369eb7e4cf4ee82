"""Which waves the driver asks for: those that are configured, those that the monitor chooses, or none."""

from __future__ import annotations

import math
from itertools import pairwise

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.modules import Modules, number
from drivers.philips_intellivue.record import WAVES
from gateway.core.frame import Fault
from tests.unit.intellivue_rig import PROFILE, Talk, faults, pdus, polls, readings_of, waves_of


def test_waves_are_asked_for_only_when_configured_and_come_scaled() -> None:
    assert polls_waves(Talk()) == 0
    talk = Talk(waves=WAVES)
    events = talk.until(20.0)
    waves = waves_of(events)
    ecg = [wave for wave in waves if wave.object == 0x0102]
    pleth = [wave for wave in waves if wave.object == 0x4BB4]
    assert {(w.instance, w.unit, w.period_ns, len(w.samples)) for w in ecg} == {(0x0002_0102, 0x10B2, 2_000_000, 128)}
    assert {(w.instance, w.unit, w.period_ns, len(w.samples)) for w in pleth} == {(0x0002_4BB4, 0x0200, 8_000_000, 32)}
    assert len(ecg) == len(pleth) == 78  # every 256 ms of 19.9 s
    peaks = [wave.samples.max() for wave in ecg]
    assert 1.0 < max(peaks) < 1.2  # the R wave of the model, in mV
    assert all(((wave.samples >= 0) & (wave.samples <= 1)).all() for wave in pleth)


def test_the_waves_of_the_monitors_own_list_are_asked_for_without_setting_one() -> None:
    talk = Talk(waves=None)
    events = talk.until(50.0)
    assert faults(events) == []
    assert not [pdu for _, pdu in pdus(talk.sent, layout.DATA) if pdu[10:12] == b"\x00\x05"]  # CONFIRMED_SET
    assert {wave.object for wave in waves_of(events)} == {number(wave.row) for wave in Modules(PROFILE, "").waves}
    assert not any(math.isnan(sample) for wave in waves_of(events) for sample in wave.samples)


def test_a_monitor_without_waves_of_its_own_is_asked_less_and_less_and_that_is_no_fault() -> None:
    talk = Talk(waves=None)
    talk.monitor._bedside.modules.waves = ()
    poll = talk.monitor._poll
    talk.monitor._poll = lambda pdu, invoke: None if pdu[33] == 0x09 else poll(pdu, invoke)  # type: ignore[method-assign]
    assert faults(talk.until(200.0)) == []
    assert [round(b - a) for a, b in pairwise(polls(talk, layout.WAVES))] == [8, 16, 32, 64]
    assert faults(Talk(waves=None, extended=False).until(5.0)) == []  # nobody asked for waves in particular


def polls_waves(talk: Talk) -> int:
    talk.until(20.0)
    return len(polls(talk, layout.WAVES))


def test_an_unanswered_wave_list_is_sent_again_a_refused_one_is_not() -> None:
    talk = Talk(waves=WAVES)
    monitor = talk.monitor
    take, monitor._set = monitor._set, lambda *_: None  # type: ignore[method-assign]
    assert faults(talk.until(6.0)) == ["silence"]
    monitor._set = take  # type: ignore[method-assign]
    assert waves_of(talk.until(12.0))

    talk = Talk(waves=WAVES)
    monitor = talk.monitor
    monitor._set = lambda *asked: monitor._refuse(asked[1], 2)  # type: ignore[method-assign]
    events = talk.until(30.0)
    assert [e.detail for e in events if isinstance(e, Fault)] == ["wave list: error 2, access denied"]
    assert readings_of(events)
