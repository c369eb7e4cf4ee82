"""The devices of a CAN bus, simulated from the same DBC and profile that the driver reads.

Two attributes of the DBC say what is sent: GenMsgCycleTime (ms between two frames of a message) and GenSigStartValue
(the raw number a signal starts from). A message is sent when at least one of its signals is a metric of the profile,
for whatever firmware. Values sway by SWAY around their start, each with a period and phase of its own.

Deterministic: what is on the bus at a time depends on (seed, scene, time) alone. A message has time slots,
`phase + k x cycle` on the clock of `now`; the content of slot k is a function of seed, scene, signal and k. Asking
more or less often, or starting later, changes nothing of it.

A signal whose metric the scene knows by its 11073 term has the number of the scene, scale and offset of profile and DBC
undone; so the bus shows the same patient as every other simulated device of the bed. All others sway. What is not
measured is sent as the signal's first number for "no value"; a message with a metric without such a number is not sent.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cantools.database.can import Signal

from drivers.can_signals.database import CompiledMessage, load_messages, metrics
from gateway.core.can_frame import ERROR, pack
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

CYCLE_MS = 1000  # for messages whose DBC gives no GenMsgCycleTime
SWAY = 0.01  # amplitude as a part of the start value
EPISODE_S = 300  # an episodic value is measured every five minutes, and sent again every cycle in between
CATCH_UP_NS = 10_000_000_000  # after a longer pause the older frames are gone, as on a real bus
BUS_ERROR = (0x08C, bytes(8))  # protocol violation, bus error, controller: as a wrong bit rate shows (error.h)

Said = Callable[[str, float], None]

# scenario option: (type, default, meaning)
OPTIONS: dict[str, tuple[type, Any, str]] = {
    "seed": (int, 1, "Another seed gives other phases."),
    "leave_out": (list, [], "Nodes of the DBC that are switched off."),
    "error_every": (int, 0, "An error frame after every so many frames; 0 = none."),
    "out_of_range": (list, [], 'Signals ("Message.Signal") that send the largest raw number they have.'),
    "invalid": (list, [], 'Signals ("Message.Signal") that send their first raw number for "no value".'),
}


@dataclass(frozen=True, slots=True)
class _Sway:
    """One signal of one message: its raw number as a function of time, or a constant one.

    spec: the metric that it carries, None when the profile does not name it; no_value: its number for "no value"
    """

    signal: Signal
    start: float
    period_s: float
    phase: float
    hold_s: int = 0
    constant: float | None = None
    spec: MetricSpec | None = None
    no_value: float | None = None

    def raw(self, t: float, scene: Scene) -> float | None:
        """Return the raw number to send at `t`; None: nothing is measured, and there is no number that says so."""
        if self.constant is not None:
            return self.constant
        if self.spec is None:
            return self._sway(t)
        if scene.nothing:
            return self.no_value
        t = 0.0 if scene.still else t
        known, number = _known(self.spec, scene, t)
        if not known:
            return self._sway(t)
        if number is None:
            return self.no_value
        raw = (number - self.signal.offset) / self.signal.scale
        return raw if self.signal.is_float else min(max(round(raw), _least(self.signal)), _largest(self.signal))

    def _sway(self, t: float) -> float:
        if self.hold_s:
            t -= t % self.hold_s
        value = self.start * (1 + SWAY * math.sin(2 * math.pi * (t / self.period_s + self.phase)))
        return value if self.signal.is_float else round(value)


def _known(spec: MetricSpec, scene: Scene, t: float) -> tuple[bool, float | None]:
    """Return (whether the scene knows the metric, the number that a frame shows, before the profile's scale)."""
    if spec.kind == "enumeration":
        return True, scene.raw(spec, t)
    if spec.episodic:  # sent all the time, measured now and then; before the first time: an old result
        t = scene.measured_at(spec.id, t) or 0.0
    try:
        number = scene.value(spec.id, t, spec.raw_unit or spec.unit)
    except (KeyError, ValueError):  # not a term of the scene, or not in this kind of unit
        return False, None
    return True, None if number is None else (number - spec.offset) / spec.scale


class CanSignalsSimulator:
    """What the devices of the bus send. Fulfils gateway.core.protocol.Simulator.

    received: bytes that came from the gateway. A listen-only gateway leaves it at 0.
    """

    def __init__(
        self, devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene, said: Said | None = None
    ) -> None:
        """Plan the messages. `said` is told (object, physical value) of every signal sent. Raises: ConfigError."""
        scenario = _scenario(options)
        self._said = said
        self._scene = scene
        self._error_every: int = scenario["error_every"]
        loaded = [
            # where firmware changes what a number means, the newest is simulated
            (device, load_messages(device.profile, device.source), {m.object: m for m in metrics(device.profile)})
            for device in devices
        ]
        _check_names(scenario, [message for _, messages, _ in loaded for message in messages])
        self._messages = [
            (message, _ways(message, device, specs, scenario))
            for device, messages, specs in loaded
            for message in _sent(messages, device, scenario["leave_out"])
        ]
        self._until: int | None = None  # ns on the clock of `now`
        self._slots: list[tuple[int, int]] = []  # heap of (next slot in ns, number of the message)
        self._sent = 0
        self.received = 0

    def receive_data(self, data: bytes, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Count what nobody should send."""
        self.received += len(data)

    def data_to_send(self, now: float) -> bytes:
        """Return the can_frame records of all time slots since the last call; the first call only sets the clock."""
        until = round(now * 1e9)
        if self._until is None:
            self._slots = [(self._slot_after(until, number), number) for number in range(len(self._messages))]
            heapq.heapify(self._slots)
        since = until - CATCH_UP_NS
        self._until = until
        said = []
        while self._slots and self._slots[0][0] <= until:
            t, number = self._slots[0]
            if t > since:
                said.append(self._frame(t, number))
            heapq.heapreplace(self._slots, (self._slot_after(max(t, since), number), number))
        return b"".join(said)

    def next_wake(self) -> float | None:
        """Return the time of the next slot of any message; before the clock is set, a time that is past."""
        if not self._messages:
            return None
        return 0.0 if self._until is None else self._slots[0][0] / 1e9

    def _slot_after(self, t: int, number: int) -> int:
        """Return the first slot of a message after `t`, ns. Phases spread the messages evenly over a cycle."""
        cycle = _cycle(self._messages[number][0])
        phase = number * cycle // len(self._messages)
        return phase + ((t - phase) // cycle + 1) * cycle

    def _frame(self, t: int, number: int) -> bytes:
        message, ways = self._messages[number]
        numbers: dict[str, float] = {}
        for way in ways:
            raw = way.raw(t / 1e9, self._scene)
            if raw is None:
                return b""
            numbers[way.signal.name] = raw
        data = message.dbc.encode(numbers, scaling=False, padding=False, strict=False)
        if self._said is not None:
            mute = {way.signal.name for way in ways if way.no_value == numbers[way.signal.name]}
            for name, value in message.dbc.decode_simple(data, decode_choices=False).items():
                self._said(f"{message.name}.{name}", math.nan if name in mute else float(value))  # type: ignore[arg-type]
        self._sent += 1
        record = pack(message.can_id, data)
        if self._error_every and self._sent % self._error_every == 0:
            record += pack(BUS_ERROR[0] | ERROR, BUS_ERROR[1])
        return record


def _cycle(message: CompiledMessage) -> int:
    """Return the ns between two frames of a message."""
    return (message.dbc.cycle_time or CYCLE_MS) * 1_000_000


def _sent(messages: list[CompiledMessage], device: DeviceSpec, leave_out: Sequence[str]) -> list[CompiledMessage]:
    """Return the messages that carry a metric of the profile and whose node is switched on."""
    wanted = {metric.object for metric in metrics(device.profile)}
    return [
        message
        for message in messages
        if not any(sender in leave_out for sender in message.dbc.senders)
        and any(f"{message.name}.{signal.name}" in wanted for signal in message.dbc.signals)
    ]


def _ways(
    message: CompiledMessage, device: DeviceSpec, specs: Mapping[Any, MetricSpec], scenario: Mapping[str, Any]
) -> list[_Sway]:
    ways = []
    for signal in message.dbc.signals:
        name = f"{message.name}.{signal.name}"
        ways.append(_scripted(name, _way(name, signal, message, device, specs.get(name), scenario["seed"]), scenario))
    return ways


def _way(
    name: str, signal: Signal, message: CompiledMessage, device: DeviceSpec, spec: MetricSpec | None, seed: int
) -> _Sway:
    chance = random.Random(f"{seed} {name}")
    table = device.profile.driver_table.get("invalid", {})
    return _Sway(
        signal,
        start=float(signal.raw_initial or 0),
        period_s=chance.uniform(40, 300),
        phase=chance.random(),
        hold_s=EPISODE_S if name in message.episodic else 0,
        spec=spec,
        no_value=next((float(number) for key in (name, *message.dbc.senders) for number in table.get(key, [])), None),
    )


def _scripted(name: str, way: _Sway, scenario: Mapping[str, Any]) -> _Sway:
    """Return what the scenario makes of a signal."""
    if name in scenario["out_of_range"]:
        return replace(way, constant=_largest(way.signal))
    if name in scenario["invalid"]:
        if way.no_value is None:
            raise ConfigError(f"invalid: {name!r} has no number for it in the profile", hint="see [driver] invalid")
        return replace(way, constant=way.no_value)
    return way


def _largest(signal: Signal) -> float:
    if signal.is_float:
        return 3.0e38  # near the largest binary32
    return float(2 ** (signal.length - (1 if signal.is_signed else 0)) - 1)


def _least(signal: Signal) -> float:
    return -float(2 ** (signal.length - 1)) if signal.is_signed else 0.0


def _scenario(options: Mapping[str, Any]) -> dict[str, Any]:
    scenario = {name: default for name, (_, default, _) in OPTIONS.items()}
    for name, value in options.items():
        if name not in OPTIONS:
            raise ConfigError(f"scenario option {name!r} is not known", hint="use " + ", ".join(OPTIONS))
        if type(value) is not OPTIONS[name][0]:
            raise ConfigError(f"scenario option {name} = {value!r}", hint=OPTIONS[name][2])
        scenario[name] = value
    return scenario


def _check_names(scenario: Mapping[str, Any], messages: list[CompiledMessage]) -> None:
    """A misspelt name in a scenario would test nothing: refuse it."""
    senders = {sender for message in messages for sender in message.dbc.senders}
    signals = {f"{message.name}.{signal.name}" for message in messages for signal in message.dbc.signals}
    for option, known in (("leave_out", senders), ("out_of_range", signals), ("invalid", signals)):
        for name in scenario[option]:
            if name not in known:
                raise ConfigError(f"{option}: {name!r} is not in the DBC", hint=OPTIONS[option][2])
