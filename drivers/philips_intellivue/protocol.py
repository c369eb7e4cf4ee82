"""The driver: bytes to checked PDUs (transport), PDUs to frames (decoder), and what to say meanwhile (session).

One monitor to a line. Results are decoded whatever state the session is in; the session decides only what is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.beacon import beacon
from drivers.philips_intellivue.decoder import Decoder
from drivers.philips_intellivue.options import OWN_WAVES, port_options
from drivers.philips_intellivue.session import Session, State
from drivers.philips_intellivue.transport import transport
from gateway.core.errors import ConfigError
from gateway.core.frame import NEED_DATA, Event, Fault
from gateway.core.profile import MetricSpec, Profile
from gateway.core.protocol import DeviceSpec

MAX_WAVES = 12
LABEL_PARTITION = 0x0002_0000  # TextId of a wave = this + physio id, section 12


class IntellivueProtocol:
    """One IntelliVue monitor (gateway.core.protocol.DeviceProtocol).

    source: number of the device in its port; waves: TextIds, None: the monitor's own list; poll_s: period of the
    extended polls; carrier: "serial" or "udp"
    frames_ok: frames with a right checksum, or datagrams that are PDUs, so far, over all restarts of the line
    """

    def __init__(self, source: int, waves: tuple[int, ...] | None, poll_s: int, carrier: str = "serial") -> None:
        self.frames_ok = 0
        self._source = source
        self._carrier = carrier
        self._events: deque[Event] = deque()
        self._out: deque[bytes] = deque()  # PDUs that wait for a datagram of their own
        self._now = 0.0
        self._session = Session(waves, poll_s, self._fault)
        self._forget()

    def start(self, now: float) -> None:
        """The link is up: forget everything that was true of the line before."""
        self._forget()
        self._session.start(now)

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage; on the LAN one datagram."""
        for item in self._transport.read(data):
            if isinstance(item, Fault):
                self._events.append(Fault(item.reason, item.detail, self._source, item.bad_frame))
                self._decoder.interrupted()
                continue
            self.frames_ok += 1
            try:
                self._events.extend(self._pdu(item, t_ns))
            except layout.BROKEN as error:
                self._fault("pdu", str(error))

    def next_event(self) -> Event:
        """Return the next event, in order, or NEED_DATA."""
        return self._events.popleft() if self._events else NEED_DATA

    def data_to_send(self, now: float) -> bytes:
        """Return polls, keep-alives and what the association needs; on the LAN one datagram of it."""
        self._now = now
        self._out.extend(self._session.due(now))
        return self._transport.write(self._out)

    def next_wake(self) -> float | None:
        """Return when data_to_send wants to be asked again: at once while datagrams wait."""
        return self._now if self._out else self._session.next_wake()

    def stop(self, now: float) -> None:
        """Release the association."""
        self._out.clear()
        self._session.stop(now)

    def _forget(self) -> None:
        self._events.clear()
        self._out.clear()
        self._transport = transport(self._carrier)
        self._decoder = Decoder(self._source)

    def _fault(self, reason: str, detail: str) -> None:
        self._events.append(Fault(reason, detail, self._source))

    def _pdu(self, pdu: bytes, t_ns: int) -> list[Event]:
        """Take one PDU by its family."""
        family = pdu[0] if pdu else 0xFF
        session = self._session
        if family == layout.CONNECT_INDICATION:
            announced = beacon(pdu)
            session.announced(announced.where())
            return self._decoder.announced(pdu, announced.attributes)
        session.heard()
        if family == layout.DATA:
            return self._data(pdu, t_ns)
        if family == layout.ASSOCIATE_ACCEPT:
            self._decoder.reset()
            session.accepted(self._granted(pdu))
        elif family == layout.ASSOCIATE_REFUSE:
            session.refused(layout.refuse_reason(pdu))
        elif family == layout.RELEASE_REQUESTED:
            session.release_asked()
        elif family == layout.RELEASE_DONE:
            session.released()
        elif family == layout.ABORTED:
            session.ended("the monitor aborted the association")
        else:
            raise layout.Malformed(f"PDU of unknown family 0x{family:02X}")
        return []

    def _granted(self, pdu: bytes) -> layout.Accept:
        """Read the terms; an accept that cannot be read is still an accept, then the usual terms hold."""
        try:
            return layout.accept(pdu)
        except layout.BROKEN as error:
            self._fault("pdu", f"accept: {error}")
            return layout.USUAL_TERMS

    def _data(self, pdu: bytes, t_ns: int) -> list[Event]:
        kind = layout.operation(pdu)
        if kind in {layout.RORS, layout.ROLRS}:
            return self._result(pdu, t_ns)
        if kind == layout.ROER:
            self._session.error(*layout.error(pdu))
        elif kind == layout.ROIV:
            event = layout.event(pdu)
            if event is not None and event.type == layout.MDS_CREATE:
                if event.object[0] != layout.MDS:  # its answer would name an object that [transmit] does not
                    raise layout.Malformed(f"MDS Create Event of object class 0x{event.object[0]:04X}")
                if self._session.state is not State.OPERATING:
                    self._decoder.reset()
                self._session.created(event)
                return self._decoder.mds(pdu, event.attributes)
        return []

    def _result(self, pdu: bytes, t_ns: int) -> list[Event]:
        if layout.confirms_set(pdu):
            self._session.wave_list_set()
            return []
        found = layout.poll_result(pdu)
        if found is None:
            return []
        events = self._decoder.result(pdu, found, t_ns)
        self._session.result(found.polled, found.polled in self._decoder.incomplete)
        self._decoder.incomplete.clear()
        return events


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> IntellivueProtocol:
    """Build the driver for one line. Raises ConfigError when the options or the number of devices do not fit."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="an IntelliVue port serves exactly one monitor")
    settings = port_options(options)
    return IntellivueProtocol(
        devices[0].source, _waves(settings.waves, devices[0].profile), settings.poll_s, settings.transport
    )


def _waves(wanted: Sequence[Any], profile: Profile) -> tuple[int, ...] | None:
    """Return the TextIds of the waves to ask for, None for the monitor's own list. Raises: ConfigError."""
    if list(wanted) == [OWN_WAVES]:
        return None
    if len(wanted) > MAX_WAVES:
        hint = f"a serial port carries about three, never more than {MAX_WAVES}"
        raise ConfigError(f"waves: {len(wanted)} are too many", hint=hint)
    return tuple(_wave_label(wave, profile) for wave in wanted)


def _wave_label(wave: Any, profile: Profile) -> int:
    """Return the TextId of a wave given as TextId, or as the id of a waveform metric of the profile."""
    if type(wave) is int and 0 < wave <= 0xFFFF_FFFF:  # not isinstance: True is no number here
        return wave
    metrics = [metric for channel in profile.channels for metric in channel.metrics if metric.kind == "waveform"]
    known: dict[Any, MetricSpec] = {metric.id: metric for metric in metrics}
    metric = known.get(wave)
    if metric is None or not isinstance(metric.object, int):
        raise ConfigError(f"wave {wave!r} is not known", hint=f"{profile.id} has " + (", ".join(known) or "no waves"))
    return metric.instance or LABEL_PARTITION + metric.object
