"""The monitor at the other end of the line, without I/O. What it measures comes from the scene, by the profile's rows.

Processed variables come once a second after they were asked for, raw EEG in packets of 16 samples (our choice: the size
is not described). Requests are found and frames are built by code of its own, so that each end is a check of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from drivers.bis_vista import messages
from drivers.bis_vista.options import Scenario
from gateway.core.profile import MetricSpec, Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

PROCESSED_S = 1.0
EEG_RATE, EEG_PACKET = 128, 16
EEG_SWING_UV = 50.0
GAIN, GAIN_DIVISOR, OFFSET, OFFSET_DIVISOR = 1, 20, 100, 1  # 0.05 uV per count, zero at 100 counts: our choice
BILATERAL_BYTES = 288  # of processed variables: a length that the driver must not take for the other one


def frame(kind: int, payload: bytes, sequence: int = 0) -> bytes:
    """Return a frame as it travels."""
    body = b"".join(number.to_bytes(2, "little") for number in (sequence, len(payload), kind)) + payload
    return b"\xba\xab" + body + (sum(body) % 65536).to_bytes(2, "little")


def message(number: int, data: bytes, sequence: int = 0) -> bytes:
    """Return a data frame with this message in it."""
    words = (4).to_bytes(4, "little") + number.to_bytes(4, "little")
    inside = sequence.to_bytes(2, "little") + len(data).to_bytes(2, "little")
    return frame(1, words + inside + data, sequence)


class BisVistaMonitor:
    """One monitor (gateway.core.protocol.Simulator)."""

    def __init__(self, profile: Profile, scenario: Scenario, scene: Scene) -> None:
        specs = [spec for channel in profile.resolve("") for spec in channel.metrics]
        self._specs: dict[tuple[int | str | None, int], MetricSpec] = {(s.object, s.instance): s for s in specs}
        self._scenario, self._scene = scenario, scene
        self._refusals = scenario.refuse
        self._heard = b""
        self._out = b""
        self._spectra = False
        self._sequence = 0
        self._processed_at = inf
        self._eeg_from = inf  # when EEG began
        self._packets = 0  # of EEG, since then

    def receive_data(self, data: bytes, now: float) -> None:
        """Take requests: whole frames of the four that exist."""
        self._heard = (self._heard + data)[-256:]
        while (at := self._heard.find(b"\xba\xab")) >= 0 and len(self._heard) >= at + 8:
            end = at + 8 + int.from_bytes(self._heard[at + 4 : at + 6], "little") + 2
            if len(self._heard) < end:
                return
            whole, self._heard = self._heard[at:end], self._heard[end:]
            if sum(whole[2:-2]) % 65536 == int.from_bytes(whole[-2:], "little"):
                self._request(whole[12], whole[20:-2], now)

    def _request(self, number: int, data: bytes, now: float) -> None:
        if self._refusals > 0:
            self._refusals -= 1
            self._out += frame(3, b"")
            return
        self._out += frame(2, b"")
        if number == 0x73:
            self._spectra = data == b"\x01"
            self._processed_at = min(self._processed_at, now)
        elif number == 0x74:
            self._processed_at = inf
        elif number == 0x6F and self._eeg_from == inf and not self._scene.nothing:
            self._eeg_from, self._packets = now, 0

    def data_to_send(self, now: float) -> bytes:
        """Return all that is due by now, in order."""
        while (at := self._next_at()) <= now:
            if at == self._processed_at:
                self._out += self._processed(at)
                self._processed_at += PROCESSED_S
            else:
                self._packets += 1
                self._out += self._eeg(at)
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Return when the next message is due."""
        at = self._next_at()
        return None if at == inf else at

    def _next_at(self) -> float:
        return min(self._processed_at, self._eeg_from + (self._packets + 1) * EEG_PACKET / EEG_RATE)

    # ---- what it says

    def _say(self, number: int, data: bytes) -> bytes:
        self._sequence = (self._sequence + 1) % 65536
        return message(number, data, self._sequence)

    def _processed(self, t: float) -> bytes:
        data = bytearray(messages.SETTINGS_BYTES)
        messages.CALIBRATION.pack_into(data, messages.CALIBRATION_AT, GAIN, GAIN_DIVISOR, OFFSET, OFFSET_DIVISOR)
        for channel in messages.CHANNELS:
            block = [0] * 10  # status and artefact bits are not described, and nothing is flagged here
            block[4] = block[5] = messages.NO_VALUE  # the alternate BIS values
            for index, name in messages.TREND_FIELDS:
                block[index] = self._raw(f"{channel} {name}", 0, t)
            data += messages.TREND.pack(*block)
            if self._scenario.extra:
                data += bytes(messages.EXTRA_TREND_BYTES)
        if self._scenario.bilateral:
            data = data.ljust(BILATERAL_BYTES, b"\0")
        if not self._spectra:
            return self._say(messages.PROCESSED, bytes(data))
        data += messages.SPECTRA_HEAD.pack(len(messages.SPECTRA_CHANNELS), messages.BINS)
        for channel in messages.SPECTRA_CHANNELS:
            bins = range(1, messages.BINS + 1)
            data += messages.SPECTRUM.pack(*(self._raw(f"{channel} power", bin_, t) for bin_ in bins))
        return self._say(messages.PROCESSED_SPECTRA, bytes(data))

    def _raw(self, name: str, instance: int, t: float) -> int:
        spec = self._specs.get((name, instance))
        raw = None if spec is None else self._scene.raw(spec, t)
        return messages.NO_VALUE if raw is None else max(messages.NO_VALUE + 1, min(round(raw), 0x7FFF))

    def _eeg(self, t: float) -> bytes:
        times = t - np.arange(EEG_PACKET - 1, -1, -1) / EEG_RATE
        microvolts = EEG_SWING_UV * self._scene.wave("MDC_EEG_ELEC_POTL_CRTX", times)
        first = np.rint(microvolts * GAIN_DIVISOR / GAIN + OFFSET / OFFSET_DIVISOR).astype("<i2")
        both = np.stack([first, first + 1], axis=1).astype("<i2")  # channel 2 lies a count higher: told apart by eye
        return self._say(messages.RAW_EEG, messages.EEG_HEAD.pack(2, EEG_RATE) + both.tobytes())


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> BisVistaMonitor:
    """Return the monitor of a line. Raises: ConfigError for an option that a scenario does not have."""
    return BisVistaMonitor(devices[0].profile, build(Scenario, options, lambda *_: "scenario"), scene)
