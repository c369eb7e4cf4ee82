"""The MEDIBUS protocol of one line (gateway.core.protocol.DeviceProtocol): frames, session, meaning put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from drivers.draeger_medibus import slow
from drivers.draeger_medibus.contents import DATA, WAVE, Contents, contents
from drivers.draeger_medibus.decoder import Decoder
from drivers.draeger_medibus.echo import Echo
from drivers.draeger_medibus.framing import Control, Damaged, FrameReader, Message
from drivers.draeger_medibus.options import ALL, Options, port_options
from drivers.draeger_medibus.session import IDENTIFY, Session
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Identified
from gateway.core.protocol import DeviceProtocol, DeviceSpec

VENDOR = "Dräger"
_REALTIME = bytes(range(0x80, 0x100))
_KIND = {True: "command", False: "response"}


class MedibusProtocol(EventQueue):
    """One device on one line. MEDIBUS has no addresses: all that comes is from it."""

    def __init__(self, contents: Contents, options: Options, source: int) -> None:
        super().__init__()
        self._contents = contents
        self._source = source
        waves = [code for ref_id, code in contents.waves if ref_id in options.waves or ALL in options.waves]
        self._session = Session(contents, waves, ALL not in options.waves, options.poll_s, self.events.append)
        self.start(0.0)

    def start(self, now: float) -> None:
        """The line is up: forget everything."""
        self.events.clear()
        self._reader = FrameReader()
        self._echo = Echo()
        self._decoder = Decoder(self._contents, self._source)
        self._foreign = False
        self._session.start(now)

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes of the device."""
        is_alive = is_back = False
        for item in self._reader.feed(data):
            if isinstance(item, bytes):
                self._curves(item, t_ns)
            elif isinstance(item, Message | Control) and self._echo.is_back(item):
                is_back = True
                what = "refusal" if isinstance(item, Control) else f"{_KIND[item.command]} 0x{item.code:02X}"
                self.events.append(Fault("echo", what, self._source))
            else:
                is_alive = True
                self._take(item, t_ns)
        is_echo = is_back or self._echo.may_be(self._reader.begun)
        if is_alive or (not is_echo and data.translate(None, _REALTIME)):
            self._session.heard()

    def data_to_send(self, now: float) -> bytes:
        """Return answers to the device, data requests, and what keeps the line alive."""
        out = self._session.data_to_send(now)
        self._echo.wrote(out, now)
        return out

    def next_wake(self) -> float | None:
        """Return when the session wants to say something."""
        return self._session.next_wake()

    def stop(self, now: float) -> None:
        """Part with STOP."""
        self._session.stop(now)

    def was_sent(self, data: bytes, now: float) -> None:
        """Take what a recording says was asked: the order of the curves is in the question, not in the answer."""
        self._session.was_sent(data, now)
        self._echo.wrote(data, now)

    def _take(self, item: Message | Control | Damaged, t_ns: int) -> None:
        if isinstance(item, Message):
            self._message(item, t_ns)
        elif isinstance(item, Control):
            self._session.control(item.code)
        else:
            self._damaged(item)

    def _message(self, message: Message, t_ns: int) -> None:
        self.frames_ok += 1
        if message.command:
            self._session.command(message.code)
            return
        if message.code == IDENTIFY and message.data:
            self._identify(message.data)
        elif message.code in DATA and not self._foreign:
            self.events.extend(self._decoder.read(message.code, message.data, t_ns))
        self._session.response(message.code, message.data)

    def _identify(self, data: bytes) -> None:
        identity = slow.identity(data)
        if identity is None:
            self.events.append(Fault("layout", "identification: not built as the protocol says", self._source, True))
            return
        known = self._contents.ids
        self._foreign = bool(known) and identity.number not in known
        self.events.append(Identified(VENDOR, identity.name, identity.revision, source=self._source))
        if self._foreign:
            detail = f"it says {identity.number} ({identity.name}), the profile is for {', '.join(known)}"
            self.events.append(Fault("other_device", detail, self._source))

    def _damaged(self, item: Damaged) -> None:
        self.events.append(Fault(item.reason, item.detail, self._source, bad_frame=True))
        self._session.damaged(item)

    def _curves(self, data: bytes, t_ns: int) -> None:
        """Read realtime bytes; what flows before it was configured belongs to a session before and means nothing."""
        records = self._session.records
        if records is None or self._foreign:
            return
        before = records.good
        for found in records.feed(data):
            if isinstance(found, Fault):
                self.events.append(found)
            else:
                wave, gap = found
                wave = replace(wave, flags=self._decoder.flags)
                self.events.append(Frame(WAVE, wave, t_ns, self._source, after_gap=gap))
        self.frames_ok += records.good - before
        if records.lost:
            self._session.reconfigure()


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> DeviceProtocol:
    """Return the protocol of a line. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", "devices", "MEDIBUS has no addresses: one to a port")
    found = contents(devices[0].profile)
    chosen = port_options(options)
    known = [ref_id for ref_id, _ in found.waves]
    for name in chosen.waves:
        if name != ALL and name not in known:
            raise ConfigError(f"waves: {name!r} is no curve of the profile", "waves", "known: " + ", ".join(known))
    return MedibusProtocol(found, chosen, devices[0].source)
