"""The driver: the receiving end of an E1381 line. It answers ENQ and frames with ACK or NAK, and says nothing else.

A transmission is ENQ, frames numbered 1 2 … 7 0 1 …, EOT. The texts of its frames together are the message (some
analysers put a record into each frame, some all into one). It counts when its last record, L, has come; what ended
before it, is thrown away, and the analyser, whose frame was not answered, sends it again.

Time-outs of the notes: the sender waits 15 s for an answer, the receiver 30 s for a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.astm_e1381.frames import ACK, NAK, Damaged, FrameReader, Item, Noise, Sign, Text
from drivers.astm_e1381.options import BAD_FRAMES, Table, table_of
from drivers.astm_e1381.results import Results
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault
from gateway.core.protocol import DeviceSpec

SILENCE_S = 2.0
"""A frame that stands still for so long is damaged: its bytes come one after the other, and 15 s are the sender's."""
RECEIVE_S = 30.0  # without a frame or EOT: back to neutral
MAX_ANSWERS = 1024  # not yet sent: a recording comes faster than it is answered
MAX_MESSAGE = 512 * 1024  # bytes; a message of the longest frames known would have eight


class AstmProtocol(EventQueue):
    """One analyser on a line (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, spec: DeviceSpec, table: Table) -> None:
        super().__init__()
        self._source = spec.source
        self._reader = FrameReader()
        self._results = Results(spec.profile, table, spec.source, self._fault)
        self._forget(0.0)

    def start(self, now: float) -> None:
        """The link is up: forget everything that was true of the line before."""
        self.events.clear()
        self._reader.reset()
        self._results.forget()
        self._forget(now)

    def _forget(self, now: float) -> None:
        self._out = bytearray()
        self._now = self._heard_at = now
        self._heard = False  # bytes have come since data_to_send was last asked
        self._t_ns = 0  # when the last bytes came
        self._neutral()

    def _neutral(self) -> None:
        self._receiving = False
        self._last: Text | None = None  # the last frame that was accepted
        self._texts: list[bytes] = []
        self._size = 0
        self._began_ns = 0  # when the first frame came, with the header and its clock

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        self._heard = self._heard or bool(data)
        self._t_ns = t_ns
        self._take(self._reader.feed(data))

    def data_to_send(self, now: float) -> bytes:
        """Return the answers that the analyser waits for."""
        self._now = now
        if self._heard:
            self._heard, self._heard_at = False, now
        elif self._reader.unfinished and now >= self._heard_at + SILENCE_S:
            self._take(self._reader.settle())
        elif self._receiving and now >= self._heard_at + RECEIVE_S:
            self._end()
        said, self._out = bytes(self._out), bytearray()
        return said

    def next_wake(self) -> float | None:
        """Return when an answer is due, or a silence has lasted too long."""
        if self._out or (self._heard and (self._receiving or self._reader.unfinished)):
            return self._now
        if self._reader.unfinished:
            return self._heard_at + SILENCE_S
        return self._heard_at + RECEIVE_S if self._receiving else None

    def stop(self, now: float) -> None:
        """Answer nothing more: an analyser in the middle of a message keeps it and sends it again."""
        self._reader.reset()
        self._forget(now)

    def _take(self, items: list[Item]) -> None:
        for item in items:
            if isinstance(item, Noise):
                self._fault("garbage", f"{item.length} bytes")
            elif item is Sign.ENQ:
                self._end()
                self._receiving = True
                self._answer(ACK)
            elif item is Sign.EOT:
                self._end()
            elif isinstance(item, Damaged):
                self._fault(item.reason, f"{item.length} bytes")
                self._answer(NAK)
            elif isinstance(item, Text):
                self._frame(item)

    def _frame(self, frame: Text) -> None:
        if not self._receiving:
            self._fault("unasked", f"frame {frame.number}")
            return
        expected = 1 if self._last is None else (self._last.number + 1) % 8
        if frame == self._last:  # the analyser did not hear the answer
            self._answer(ACK)
        elif frame.number != expected:
            self._fault("sequence", f"frame {frame.number} in place of {expected}")
            self._answer(NAK)
        elif self._size + len(frame.text) > MAX_MESSAGE:
            self._fault("too_long", f"a message of more than {MAX_MESSAGE} bytes")
            self._answer(NAK)
        else:
            self.frames_ok += 1
            self._began_ns = self._began_ns if self._texts else self._t_ns
            self._last = frame
            self._texts.append(frame.text)
            self._size += len(frame.text)
            self._answer(ACK)

    def _answer(self, sign: int) -> None:
        """Answer; outside of a transmission nobody waits for it. The sender waits after each frame: one is enough."""
        if self._receiving and len(self._out) < MAX_ANSWERS:
            self._out.append(sign)

    def _end(self) -> None:
        """The transmission has ended, in order or not: what it holds counts when it is complete."""
        text, t_ns = b"".join(self._texts), self._began_ns
        self._neutral()
        if text:
            self.events.extend(self._results.read(text, t_ns))

    def _fault(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._source, reason in BAD_FRAMES))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> AstmProtocol:
    """Build the driver for one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="an analyser is alone on its line")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    profile = devices[0].profile
    return AstmProtocol(devices[0], table_of(profile.driver_table, profile.where))
