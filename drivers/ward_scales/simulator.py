"""The scale at the other end: somebody is weighed every few seconds, as the scene says.

Which fields a line has follows from the rows of the profile. Lines are put together here without the driver's tables,
so that each checks the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any

from drivers.ward_scales.options import Scenario
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

FIRST_S = 1.0
SETTLE_S = 0.5  # from the first, unstable line to the stable one
Values = Mapping[str, float]
"""Object -> number in the unit of the profile's row; what has no value is missing."""


class ScaleSimulator:
    """One ward scale (gateway.core.protocol.Simulator)."""

    def __init__(self, spec: DeviceSpec, scenario: Scenario, scene: Scene) -> None:
        self._rows = [row for channel in spec.profile.channels for row in channel.metrics if row.kind == "numeric"]
        self._profile = spec.profile
        self._dialect = str(spec.profile.driver_table["dialect"])
        self._scenario = scenario
        self._scene = scene
        self._asked = b""
        self._questions = 0
        self._zero: float | None = None  # `now` of the first call
        self._at = inf
        self._settled = False

    def receive_data(self, data: bytes, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Take a question; only the Adam dialect has one that is answered."""
        self._asked += data
        *questions, self._asked = self._asked.split(b"\r")
        self._questions += len(questions)

    def data_to_send(self, now: float) -> bytes:
        """Return what the scale says by now."""
        if self._zero is None:
            self._zero, self._at = now, now + FIRST_S
        if self._dialect == "adam":
            questions, self._questions = self._questions, 0
            return _adam(self._values(now), _place(now - self._zero, self._scenario.period_s)) * questions
        said = b""
        while self._at <= now:
            said += self._line(self._at)
            self._at += self._scenario.period_s - SETTLE_S if self._settled else SETTLE_S
            self._settled = not self._settled
        return said

    def next_wake(self) -> float | None:
        """Return when somebody is weighed next."""
        if self._dialect == "adam":
            return self._zero if self._questions else None
        return self._at if self._zero is not None else None

    def _line(self, t: float) -> bytes:
        values = self._values(t)
        if self._dialect == "and":
            return _and(values, self._settled)
        if not self._settled or not values:  # these speak when they have settled, and not of nothing
            return b""
        if self._dialect == "tanita":
            return _tanita(values, self._rows, self._profile.model, bool(self._profile.driver_table.get("checked", 1)))
        if self._dialect == "detecto":
            return _detecto(values, datetime.fromtimestamp(self._scene.utc_ns(t) // 1_000_000_000, UTC))
        return _esc(values)

    def _values(self, t: float) -> Values:
        found = ((str(row.object), _number(self._scene, row, t)) for row in self._rows)
        return {object_: number for object_, number in found if number is not None}


def _number(scene: Scene, row: MetricSpec, t: float) -> float | None:
    """Return the number of a row. The scene's patient is grown up: on a scale for babies lies a baby instead."""
    number = scene.raw(row, t)
    if number is None or row.range is None or row.range[0] <= number <= row.range[1]:
        return number
    return row.range[0] + 0.2 * (row.range[1] - row.range[0])


def _place(t: float, period_s: float) -> str:
    """Return what happens on a scale that is asked all the time: it is empty, somebody steps on it, it settles."""
    place = t % period_s
    return "empty" if place < period_s / 4 else "unstable" if place < period_s / 2 else "stable"


def _and(values: Values, settled: bool) -> bytes:
    if "weight" not in values:
        return b"OL,+999999.9 kg\r\n"
    return f"{'ST' if settled else 'US'},{values['weight']:+09.2f} kg\r\n".encode()


def _esc(values: Values) -> bytes:
    fields = {"weight": "W{:06.2f}", "height": "H{:06.2f}", "tare": "T{:05.1f}", "bmi": "B{:04.1f}"}
    body = "".join(f"\x1b{fields[object_]}".format(number) for object_, number in values.items())
    return f"\x1bR\x1bI0000000000{body}\x1bNm\x1bE".encode()


_TANITA_KEYS = {
    "height": "Hm",
    "tare": "Pt",
    "fat": "FW",
    "fat_mass": "fW",
    "fat_free_mass": "MW",
    "muscle_mass": "mW",
    "muscle_score": "sW",
    "bone_mass": "bW",
    "water_mass": "wW",
    "water": "ww",
    "bmi": "MI",
    "impedance": "ZF",
    "gain": "Gg",
}


def _tanita(values: Values, rows: Sequence[MetricSpec], model: str, checked: bool) -> bytes:
    key = "Wg" if any(row.object == "weight" and row.unit == "g" for row in rows) else "Wk"
    digits = 0 if key == "Wg" else 1
    pairs = [f"{_TANITA_KEYS.get(object_, key)},{number:.{digits}f}" for object_, number in values.items()]
    line = ",".join(["{0,16,~0,1,~1,1,~2,1", f'MO,"{model}"', 'SN,"00000001"', "Bt,0,GE,2,AG,40", *pairs])
    return (line + (",CS,00" if checked else "") + "\r\n").encode()


def _detecto(values: Values, clock: datetime) -> bytes:
    inches = round(values["height"] / 2.54, 1)  # an inch is 2.54 cm, a pound 0.45359237 kg
    pounds = values["weight"] / 0.45359237
    height = f"{int(inches // 12)}'{inches % 12:04.1f}\""
    return f"{clock:%H:%M,%m/%d/%y},{values['bmi']:.1f},{height},{pounds:.1f}lb\r".encode()


def _adam(values: Values, place: str) -> bytes:
    """Return a weight in six digits, a point and one; status: H1 b0 unstable, b1 at zero; H2 b1 over; H3 normal."""
    weight = "^" * 9 if "weight" not in values else f" {0.0 if place == 'empty' else values['weight']:08.1f}"
    first = 0x30 | {"empty": 0x02, "unstable": 0x01, "stable": 0}[place]
    second = 0x70 | (0 if "weight" in values else 0x02)
    return b"\n" + f"{weight} kg\r\n".encode() + bytes((first, second, 0x31)) + b"\r\x03"


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> ScaleSimulator:
    """Build the scale of one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a scale is alone on its line")
    return ScaleSimulator(devices[0], build(Scenario, options, lambda *_: "", ignore=["poll_s"]), scene)
