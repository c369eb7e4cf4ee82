"""Asking a Dash, Solar or Eagle monitor for its parameters: one request, one answer.

The line has neither a first byte nor a checksum that anybody could reproduce. An answer is found by where it stands:
behind a request or behind silence. What does not begin as an answer is thrown away until the line has been silent, or
until the next request. Two forms of the request are known, from one program each; while one is not answered three times
in a row, the other is tried.

Source: protocol notes, "Line settings", "Requests on the wire", "Resynchronisation".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.ge_dash import message as layout
from drivers.ge_dash.decoder import Decoder, alerts
from drivers.ge_dash.options import Options
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Alerts, Fault, Frame, Reading
from gateway.core.polling import Poller
from gateway.core.protocol import DeviceSpec
from gateway.core.settings import build

TIMEOUT_S = 3.0  # link lost after 3 s of silence (notes)
TRIES = 3  # unanswered requests before the other form is tried (notes)
SILENCE_NS = 200_000_000  # notes, "Resynchronisation"
REQUESTS = (layout.REQUEST_WITH_CRC, layout.REQUEST_PLAIN)


class DashProtocol(EventQueue):
    """Polls one monitor (gateway.core.protocol.DeviceProtocol). source: number of the device in its port."""

    def __init__(self, source: int, period_s: float) -> None:
        super().__init__()
        self._source = source
        self._poller = Poller(REQUESTS[:1], period_s, TIMEOUT_S)
        self.start(0.0)

    def start(self, now: float) -> None:
        """The link is up: forget everything that was true of the line before."""
        self.events.clear()
        self._form = 0
        self._poller.replace(REQUESTS[:1])
        self._poller.start(now)
        self._now = now
        self._decoder = Decoder()
        self._listen()

    def _listen(self) -> None:
        self._held = b""
        self._heard_ns = 0
        self._is_deaf = False  # until silence, or the next request

    def stop(self, now: float) -> None:
        """Ask nothing more. The protocol has no release."""
        self._now = now
        self._poller.stop()

    def next_wake(self) -> float | None:
        """Return when to ask, or when an answer is overdue."""
        return self._poller.next_wake()

    def data_to_send(self, now: float) -> bytes:
        """Return the next request when it is due."""
        self._now = now
        if self._poller.overdue(now) is not None and self._poller.unanswered % TRIES == 0:
            if self._poller.unanswered == TRIES * len(REQUESTS):
                self._fault("no_answer", "")
            self._form = 1 - self._form
            self._poller.replace(REQUESTS[self._form : self._form + 1])
        request = self._poller.ask(now)
        if request is None:
            return b""
        self._give_up()
        return request

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes; an answer is complete when it is as long as it says."""
        if abs(t_ns - self._heard_ns) > SILENCE_NS:  # also when our clock was set back
            self._give_up()
        self._heard_ns = t_ns
        if self._is_deaf:
            return
        self._held += data
        while self._held and not self._is_deaf and self._take(t_ns):
            pass

    def _give_up(self) -> None:
        """What was held goes no further: an answer can only begin here."""
        if self._held:
            self._fault("cut", f"{len(self._held)} bytes", bad_frame=True)
        self._listen()

    def _take(self, t_ns: int) -> bool:
        """Take the first message off what is held; tell whether there was one."""
        if layout.is_request(self._held):
            request = REQUESTS[self._form]
            if len(self._held) < len(request):
                return False
            self._fault("echo", "")
            self._held = self._held[len(request) :]
            return True
        size = layout.length(self._held)
        if size is None:
            self._fault("header", f"{self._held[12:16].hex()}", bad_frame=True)
            self._held, self._is_deaf = b"", True
            return False
        if not size or len(self._held) < size:
            return False
        found, self._held = layout.parse(self._held[:size]), self._held[size:]
        if isinstance(found, str):
            self._fault("records", found, bad_frame=True)
            self._held, self._is_deaf = b"", True
            return False
        self._poller.answered(self._now)
        self.frames_ok += 1
        self._frame("parameter", self._decoder.readings(found), t_ns)
        active = alerts(found)
        if active is not None:
            self._frame("alarm", active, t_ns)
        return True

    def _frame(self, kind: str, payload: list[Reading] | Alerts, t_ns: int) -> None:
        self.events.append(Frame(kind, payload, t_ns, self._source))

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> DashProtocol:
    """Build the driver for one line. Raises: ConfigError when options or the number of devices do not fit."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a serial port of a monitor serves one gateway")
    return DashProtocol(devices[0].source, build(Options, options, lambda *_: "").period_s)
