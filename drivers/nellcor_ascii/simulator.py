"""The oximeter at the other end, without I/O: what it prints or sends, as the rows of its profile ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from drivers.nellcor_ascii.options import output_of
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

LINE_S, PACKET_S = 2.0, 10.0
HEADING_EVERY = 25  # lines; also when something in it changes
CATCH_UP = 10  # lines or packets; after a longer pause what is older is gone, as on a real line
NO_VALUES = {"SD", "SO", "PS", "LP", "LM"}
NO_VALUES_S = 2.0
SAT_SECONDS = (0, 10, 25, 50, 100)
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


class NellcorOximeter:
    """One oximeter with the printout (gateway.core.protocol.Simulator). It hears nothing."""

    every_s = LINE_S

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self._scene = scene
        self._model = device.profile.model.split(",")[0]
        self._rows: dict[Any, MetricSpec] = {
            metric.object: metric for channel in device.profile.channels for metric in channel.metrics
        }
        self._next: int | None = None
        self._printed = 0
        self._heading = ""

    def receive_data(self, data: bytes, now: float) -> None:
        """Nothing that is written to it changes what it sends."""

    def data_to_send(self, now: float) -> bytes:
        """Return what it has sent since the last call; the first call gives one line or packet."""
        due = math.floor(now / self.every_s + 1e-6)
        first = due if self._next is None else max(self._next, due - CATCH_UP)
        self._next = due + 1
        return b"".join(self._say(number * self.every_s) for number in range(first, due + 1))

    def next_wake(self) -> float | None:
        """Return when the next line or packet is due."""
        return None if self._next is None else self._next * self.every_s

    def _say(self, t: float) -> bytes:
        heading = self._head(t)
        lines = [heading] if heading != self._heading or self._printed % HEADING_EVERY == 0 else []
        self._heading = heading
        self._printed += 1
        moment = datetime.fromtimestamp(self._scene.utc_ns(t) // 1_000_000_000, UTC)
        stamp = moment.strftime("%d-{}-%y %H:%M:%S").format(MONTHS[moment.month - 1])
        known = [row.object for row in self._rows.values() if row.kind == "alert" and row.object != "*"]
        codes = [str(code) for code in known if self._alarms(code, t)]
        codes += ["BU"] if self._alarms("*", t) else []  # on battery: seen in manuals, in no row
        codes += ["SO"] if self._scene.nothing else []
        saturation = self._column("%SPO2", t, 6, bool({"SH", "SL"} & set(codes)))
        rate = self._column("BPM", t, 5, bool({"PH", "PL"} & set(codes)))
        amplitude = self._column("PA", t, 5, False)
        lines.append(f"{stamp}{saturation}{rate}{amplitude}   {' '.join(codes)}".rstrip() + "\r\n")
        return "".join(lines).encode()

    def _head(self, t: float) -> str:
        limits = [self._number(name, t, 0) for name in ("SpO2 low", "SpO2 high", "PR low", "PR high")]
        saturation, rate = f"{limits[0]}-{limits[1]}", f"{limits[2]}-{limits[3]}"
        head = f"{self._model} VERSION 1.00.00 CRC:ABCD SpO2 Limit: {saturation}% PR Limit: {rate}BPM\r\n"
        if "SAT-S" in self._rows:
            seconds = min(SAT_SECONDS, key=lambda known: abs(known - self._number("SAT-S", t, 0)))
            patient, response = self._word("patient", t, "ADULT"), self._word("RESP MODE", t, "NORMAL")
            head += f"{patient} {seconds}SAT-S SPO2 RESP MODE: {response}\r\n"
        return head + "TIME             %SPO2  BPM  PA  Status\r\n"

    def _column(self, name: str, t: float, width: int, in_alarm: bool) -> str:
        number = self._number(name, t, -1)
        text = "---" if number < 0 else str(number)
        return f"{text:>{width}}" + ("*" if in_alarm else " ")

    def _word(self, name: str, t: float, usual: str) -> str:
        return (name in self._rows and self._scene.word(self._rows[name], t)) or usual

    def _number(self, name: str, t: float, none: int) -> int:
        raw = self._scene.raw(self._rows[name], t) if name in self._rows else None
        return none if raw is None else round(raw)

    def _alarms(self, name: int | str | None, t: float) -> bool:
        """Tell whether an alert is on. One that takes the values away is short, so that there are values to see."""
        if name not in self._rows or not self._scene.alert(self._rows[name].id, t):
            return False
        return name not in NO_VALUES or not self._scene.alert(self._rows[name].id, t - NO_VALUES_S)


class N200Oximeter(NellcorOximeter):
    """One N-200. Its checksum is not known: a question mark stands in its place."""

    every_s = PACKET_S

    def _say(self, t: float) -> bytes:
        numbers = {name: self._number(name, t, 0) for name in "RSPLHO"}
        numbers["A"] = sum(self._alarms(f"A{bit}", t) << bit for bit in range(4)) | self._alarms("*", t) << 4
        off = self._scene.nothing
        locked = not (off or self._alarms("not locked", t))
        attached = not (off or self._alarms("not attached", t))
        numbers["M"] = locked | attached << 1 | 0x0C | self._alarms("monitor lost", t) << 7
        text = "".join(f"{name}{number:03d}" for name, number in numbers.items())
        return f"\x02{text}T000000Q000\r\n?\x03".encode()


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> NellcorOximeter:
    """Build the oximeter of one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a Nellcor oximeter has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this simulator has none")
    device = devices[0]
    lines = output_of(device.profile.driver_table) == "lines"
    return (NellcorOximeter if lines else N200Oximeter)(device, scene)
