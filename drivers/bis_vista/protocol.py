"""The gateway's end of the line: asks once, then reads what streams.

Three requests are known byte by byte and no other is made: begin processed variables (with or without spectra), begin
raw EEG, end processed variables. Nothing of the monitor is set by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from drivers.bis_vista import messages
from drivers.bis_vista.framing import ACK, NAK, FrameReader, Message
from drivers.bis_vista.options import Requests
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Reading, Wave
from gateway.core.framing import Bad
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.settings import build

# Requests as the protocol notes give them, computed there from the implementation's construction.
START_PROCESSED = bytes.fromhex("BAAB 0000 0D00 0100 04000000 73000000 0000 0100 00 8600")
START_PROCESSED_SPECTRA = bytes.fromhex("BAAB 0000 0D00 0100 04000000 73000000 0000 0100 01 8700")
STOP_PROCESSED = bytes.fromhex("BAAB 0000 0C00 0100 04000000 74000000 0000 0000 8500")
START_EEG = bytes.fromhex("BAAB 0000 0E00 0100 04000000 6F000000 0000 0200 8000 0401")
SILENCE_S = 5.0  # notes: no data for 5 s, then send the start again (suggested)
MAX_NUMBERS = 16  # unknown messages are told once per number, so many


class BisVistaProtocol(EventQueue):
    """One monitor on one line (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget everything, and ask at once."""
        self.events.clear()
        self._reader = FrameReader()
        self._calibration: messages.Calibration | None = None
        self._unscaled = False
        self._numbers: set[int] = set()
        self._processed_came = self._eeg_came = False  # since the last data_to_send
        self._ask_at = now  # when to ask for processed variables (again)
        self._ask_eeg_at = inf  # once they come, and the calibration of the EEG with them
        self._asked = self._asked_eeg = False
        self._parting = b""
        self._stopped = False

    # ---- what comes

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """See DeviceProtocol."""
        for item in self._reader.feed(data):
            if isinstance(item, Bad):
                self._fault(item.reason, item.detail, bad_frame=True)
            else:
                self.frames_ok += 1
                self._message(item, t_ns)

    def _message(self, message: Message, t_ns: int) -> None:
        if message.type == NAK:
            self._fault("refused", f"{len(message.data)} bytes of reason")
        elif message.type == ACK:
            return
        elif message.number == messages.PROCESSED:
            self._processed(message.data, t_ns)
        elif message.number == messages.PROCESSED_SPECTRA:
            self._processed(message.data[: -messages.SPECTRA_BYTES], t_ns)
            self._spectra(message.data[-messages.SPECTRA_BYTES :], t_ns)
        elif message.number == messages.RAW_EEG:
            self._eeg(message.data, t_ns)
        elif message.number not in self._numbers and len(self._numbers) < MAX_NUMBERS:
            self._numbers.add(message.number)
            self._fault("unknown_message", f"message {message.number:#04x}, {len(message.data)} bytes")

    def _processed(self, data: bytes, t_ns: int) -> None:
        self._processed_came = True
        found = messages.trends(data)
        if found is not None:
            self._calibration = messages.calibration(data)
        self._give("processed", found, f"processed variables of {len(data)} bytes", t_ns)

    def _spectra(self, data: bytes, t_ns: int) -> None:
        self._give("spectrum", messages.spectra(data), f"spectra of {len(data)} bytes", t_ns)

    def _give(self, kind: str, found: list[Reading] | None, what: str, t_ns: int) -> None:
        if found is None:
            self._fault("unsupported", what)
        else:
            self.events.append(Frame(kind, found, t_ns))

    def _eeg(self, data: bytes, t_ns: int) -> None:
        self._eeg_came = True
        found = messages.eeg(data)
        if found is None:
            self._fault("unsupported", f"raw EEG of {len(data)} bytes")
            return
        rate, raw = found
        scale, validity = self._calibration, Validity.VLD
        if scale is None:  # a raw count is never given as if it were microvolts
            scale, validity = messages.Calibration(np.nan, 0.0), Validity.INV
            if not self._unscaled:
                self._unscaled = True
                self._fault("unscaled", "no calibration yet")
        for channel, counts in zip(messages.EEG_CHANNELS, raw, strict=False):
            samples = scale.gain * (counts - scale.offset)
            wave = Wave(f"{channel} EEG", 0, 0, samples, round(1e9 / rate), int(validity))
            self.events.append(Frame("wave", wave, t_ns))

    # ---- what is said

    def data_to_send(self, now: float) -> bytes:
        """Return the requests that are due."""
        if self._stopped:
            parting, self._parting = self._parting, b""
            return parting
        if self._processed_came:
            self._ask_at = now + SILENCE_S
            if self._requests.eeg and not self._asked_eeg and self._calibration:
                self._ask_eeg_at = now
        if self._eeg_came:
            self._ask_eeg_at = now + SILENCE_S
        self._processed_came = self._eeg_came = False
        out = b""
        if now >= self._ask_at:
            if self._asked:
                self._fault("silent", f"nothing for {SILENCE_S:g} s")
            self._asked, self._ask_at = True, now + SILENCE_S
            out += START_PROCESSED_SPECTRA if self._requests.spectra else START_PROCESSED
        if now >= self._ask_eeg_at:
            if self._asked_eeg:
                self._fault("no_eeg", f"none for {SILENCE_S:g} s")
            self._asked_eeg, self._ask_eeg_at = True, now + SILENCE_S
            out += START_EEG
        return out

    def next_wake(self) -> float | None:
        """Return when the next request is due."""
        if self._stopped:
            return self._ask_at if self._parting else None
        return min(self._ask_at, self._ask_eeg_at)

    def stop(self, now: float) -> None:
        """End the processed variables. How raw EEG is ended is not described."""
        if not self._stopped:
            self._stopped, self._ask_at = True, now
            self._parting = STOP_PROCESSED

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, bad_frame=bad_frame))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> BisVistaProtocol:
    """Return the protocol of a line. Raises: ConfigError; ProfileError when [driver] is not as it should be."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a BIS monitor has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    profile = devices[0].profile
    try:
        requests = build(Requests, profile.driver_table, lambda *_: profile.where)
    except ConfigError as fault:
        raise ProfileError(fault.what, profile.where, fault.hint) from fault
    return BisVistaProtocol(requests)
