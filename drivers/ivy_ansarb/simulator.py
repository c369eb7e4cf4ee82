"""The monitor at the other end of the line, without I/O: one message a second. What it measures comes from the scene.

It changes its ECG lead every four seconds, has a CO2 module every other ten seconds, and alarms on each line at the
times of the scene, with a text of our own: no alarm text of the device is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.ivy_ansarb.text import VALUES
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec, Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

PERIOD_S = 1.0
NO_SIGNAL = 0xFB
LEAD_S, CO2_S = 4, 10
ALARM_TEXT = "SIMULATED ALARM"
_LEADS = ("ECG-I", "ECG-II", "ECG-III", "ECG")


class IvyMonitor:
    """One monitor (gateway.core.protocol.Simulator)."""

    def __init__(self, profile: Profile, scene: Scene) -> None:
        specs = [spec for channel in profile.resolve("") for spec in channel.metrics]
        self._specs: dict[tuple[str, int | str | None], MetricSpec] = {(s.frame, s.object): s for s in specs}
        self._scene = scene
        self._next_at: float | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        """Take nothing: the monitor does not listen."""

    def data_to_send(self, now: float) -> bytes:
        """Return the messages that are due."""
        if self._next_at is None:
            self._next_at = now
        out = b""
        while self._next_at <= now:
            out += self.message(self._next_at)
            self._next_at += PERIOD_S
        return out

    def next_wake(self) -> float | None:
        """Return when the next message is due."""
        return self._next_at

    def message(self, t: float) -> bytes:
        """Return the message of the second that ends at `t`."""
        co2 = int(t) // CO2_S % 2 == 1
        lead = _LEADS[int(t) // LEAD_S % len(_LEADS)]
        text = "".join(self._line(name, lead, co2, t) + "\r" for name in VALUES)
        return b"\xffANSAR-B " + self._waves(lead, co2, t) + text.encode("ascii") + b"\xfe"

    def _line(self, name: str, lead: str, co2: bool, t: float) -> str:
        values = [self._value(_spec_name(object_, co2), t) for object_ in VALUES[name]]
        if name == "ETCO2" and not co2:
            values = [""]
        label = ""
        if name == "HR" and lead != "ECG":
            label = f"{lead}-DIAG"
        elif name == "RR" and (seconds := self._value("APNEA", t)):
            label = f"APNEA: {seconds} SEC"
        elif name == "SPO2" and (rate := self._value("PR", t)):
            label = f"PR={rate} "
        elif name in ("P1", "P2") and not any(values):
            label = "NO TRANSDUCER"
        spec = self._specs.get(("alert", name))
        alarm = ALARM_TEXT if spec is not None and self._scene.alert(spec.id, t) else ""
        return f"{name}={len(values)};" + "".join(f"{value};" for value in values) + f"{label};{alarm}"

    def _value(self, object_: str, t: float) -> str:
        spec = self._specs.get(("numeric", object_))
        if spec is None:
            return ""
        at: float | None = t
        if object_.startswith("NIBP"):  # the last measurement, repeated; all four are of one time
            at = self._scene.measured_at("MDC_PRESS_BLD_NONINV_SYS", t)
        raw = None if at is None else self._scene.raw(spec, at)
        if raw is None:
            return ""
        return f"{raw:.1f}" if object_ in ("T1", "T2") else f"{max(0, round(raw))}"

    def _waves(self, lead: str, co2: bool, t: float) -> bytes:
        parts = [(lead, 200), ("RESP CO2" if co2 else "RESP", 50), ("PLETH", 50), ("P1", 50), ("P2", 50)]
        return b"".join(self._wave(name, count, t) for name, count in parts)

    def _wave(self, name: str, count: int, t: float) -> bytes:
        spec = self._specs.get(("wave", name))
        if spec is None:
            return bytes([NO_SIGNAL]) * count
        times = t - PERIOD_S + (np.arange(count) + 1) * PERIOD_S / count
        raw = _counts(name, self._scene.wave("MDC_PRESS_BLD_ART" if name in ("P1", "P2") else spec.id, times))
        return np.where(np.isnan(raw), NO_SIGNAL, np.clip(np.rint(raw), 0, 250)).astype(np.uint8).tobytes()


def _spec_name(object_: str, co2: bool) -> str:
    return "RR CO2" if object_ == "RR" and co2 else object_


def _counts(name: str, wave: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what the monitor sends for physical values: pressures as they are, an ECG in 0.02 mV around 100."""
    if name in ("P1", "P2"):
        return wave
    if name.startswith("ECG"):
        return wave / 0.02 + 100
    if name == "PLETH":
        return 117 + 60 * wave
    return 125 + 4 * wave


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> IvyMonitor:
    """Return the monitor of a line. Raises: ConfigError: it has no scenario."""
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this simulator has none")
    return IvyMonitor(devices[0].profile, scene)
