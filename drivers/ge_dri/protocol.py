"""The driver: bytes to checked records (framing), records to frames (decoder), and what to say meanwhile (session).

One monitor to a line. Records are decoded whoever asked for them; the session decides only what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.ge_dri import layout
from drivers.ge_dri.decoder import Decoder
from drivers.ge_dri.framing import RecordReader
from drivers.ge_dri.options import ALL_WAVES, VALUES, Options
from drivers.ge_dri.record import ALL_WAVE_TYPES, FIRST_WAVE_TYPES, Main, Record, Values, parse
from drivers.ge_dri.session import Session
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault
from gateway.core.profile import MetricSpec, Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.settings import build

SAMPLES_PER_S = 600  # section 5.1: of all waves together, at 19200 Bd


class DriProtocol(EventQueue):
    """One monitor on a serial line (gateway.core.protocol.DeviceProtocol).

    source: number of the device in its port; options: of the port; waves: types to ask for, in order of priority;
    with_alarms: whether the profile reads alarms
    """

    def __init__(self, source: int, options: Options, waves: Sequence[int], with_alarms: bool) -> None:
        super().__init__()
        self._source = source
        self._shown = VALUES[options.values]
        self._session = Session(self._shown, options.interval_s, waves, with_alarms, self._fault)
        self._forget()

    def start(self, now: float) -> None:
        """The link is up: forget everything that was true of the line before."""
        self._forget()
        self._session.start(now)

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        for found in self._reader.feed(data):
            if isinstance(found, Fault):
                self._fault(found.reason, found.detail, bad_frame=True)
                continue
            record = parse(found)
            if record is None:
                self._fault("layout", "a subrecord outside of its record")
                continue
            self.frames_ok += 1
            self._tell_session(record)
            self.events.extend(self._decoder.decode(record, t_ns))

    def data_to_send(self, now: float) -> bytes:
        """Return the requests that are due."""
        return self._session.data_to_send(now)

    def next_wake(self) -> float | None:
        """Return when data_to_send wants to be asked again."""
        return self._session.next_wake()

    def stop(self, now: float) -> None:
        """Cancel what was asked for."""
        self._session.stop(now)

    def _forget(self) -> None:
        self.events.clear()
        self._reader = RecordReader()
        self._decoder = Decoder(self._shown, self._source)

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))

    def _tell_session(self, record: Record) -> None:
        session = self._session
        session.level = record.level
        kinds = {kind for kind, _ in record.parts}
        if record.main == Main.PHYSIOLOGICAL:
            session.values.heard |= Values.DISPLAYED in kinds
            session.trend.heard |= self._shown in kinds and self._shown != Values.DISPLAYED
        elif record.main == Main.WAVE:
            session.waves.heard = True
        elif record.main == Main.ALARM:
            session.alarms.heard = True


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> DriProtocol:
    """Build the driver for one line. Raises: ConfigError when options, waves or the number of devices do not fit."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a serial port of a monitor serves one gateway")
    settings = build(Options, options, lambda *_: "")
    profile = devices[0].profile
    metrics = [metric for channel in profile.channels for metric in channel.metrics]
    names = chosen_waves(settings.waves, metrics)
    _check_room(names, profile)
    alarms = any(metric.frame == "alarm" for metric in metrics)
    types = [layout.WAVES[name].code for name in names]
    return DriProtocol(devices[0].source, settings, types, alarms)


def chosen_waves(wanted: Sequence[str], metrics: Sequence[MetricSpec]) -> list[str]:
    """Return the names of the waves to ask for. Raises: ConfigError for one that the profile does not read."""
    known = [str(metric.object) for metric in metrics if metric.kind == "waveform" and metric.object in layout.WAVES]
    names = known if ALL_WAVES in wanted else list(dict.fromkeys(wanted))
    for name in names:
        if name not in known:
            raise ConfigError(f"waves: {name!r} is not in the profile", hint="it has " + ", ".join(known))
    return names


def most_waves(profile: Profile) -> int:
    """Return how many waves the monitor sends at once: 8 at 19200 Bd; the profile says when it is 24.

    Raises: ProfileError for anything else in [driver].
    """
    if profile.driver_table not in ({}, {"fast": True}, {"fast": False}):
        raise ProfileError("[driver] is not understood", profile.where, "it may say fast = true, and nothing else")
    return ALL_WAVE_TYPES if profile.driver_table.get("fast") else FIRST_WAVE_TYPES


def _check_room(names: Sequence[str], profile: Profile) -> None:
    """Refuse what the monitor would leave out without a word (section 5.1). Raises: ConfigError."""
    most = most_waves(profile)
    if len(names) > most:
        raise ConfigError(f"waves: {len(names)} are too many", hint=f"this monitor sends {most} at once")
    total = sum(layout.WAVES[name].rate for name in names)
    if most == FIRST_WAVE_TYPES and total > SAMPLES_PER_S:
        hint = f"a line at 19200 Bd carries {SAMPLES_PER_S}; an ECG takes 300, a pressure or pleth 100, others 25"
        raise ConfigError(f"waves: {total} samples per second are too many", hint=hint)
