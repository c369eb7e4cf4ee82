"""The conversation with a SpaceCom: one request after the other, each answered by one or more blocks.

    ADMIN:ALIVE (as bed "1") ─► the station's own bed id ─► ADMIN:VERSION ─► MEM:GET, every poll_s
         ▲                                                                     │
         └──────────────────── three requests without an answer ◄──────────────┘

Laws
  * What is read is an answer that is whole. A block that is damaged or does not come takes the whole answer with it:
    nothing of it is given out, and what is asked next begins from the first block again.
  * Each value in an answer names its pump and its parameter, so an answer that comes late or twice cannot pass for
    another, and is read whenever it comes.
  * An answer may take long (twelve pumps at 9600 Bd: 13 s), so it is overdue when the line has been still, not when
    some time has passed since it was asked for.
  * A station never says a request. One that comes is our own, given back by the line: it is no answer, and the answer
    that follows it is read.
  * Three requests can be made, and the acknowledgement of a block. What a licensed station lets itself be told beyond
    that has no function here, and the profile's transmit grammar does not let it through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.bbraun_bcc.framing import ACK, Block, BlockReader, request, usable
from drivers.bbraun_bcc.information import VERSION, Entry, entries, joined
from drivers.bbraun_bcc.options import Options, PillarOptions
from drivers.bbraun_bcc.pumps import Pumps
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Alerts, Fault, Frame, Identified
from gateway.core.framing import Noise
from gateway.core.protocol import DeviceSpec
from gateway.core.settings import build

ANONYMOUS = "1"  # bedId field 1/1/1 (protocol notes, requests)
ALIVE, ASK_VERSION, GET = REQUESTS = ("ADMIN:ALIVE", "ADMIN:VERSION", "MEM:GET")
ACK_AFTER_S = 0.1  # protocol notes, frame
PAUSE_S = 0.5  # between an answer and the next request, at least; protocol notes, requests
STILL_S = 2.0  # the line is silent so long: the answer does not come; no source says how long a station takes
LONGEST_S = 90.0  # of one answer: 72 pumps at 9600 Bd take 80 s; beyond that it is chatter
TRIES = 3  # requests in a row without an answer: lost; protocol notes, requests
MAX_ANSWER = 120_000  # characters: 72 pumps with 70 parameters of 23 each; beyond that it has no end
MAX_MAP = 256  # characters of it that are compared; three pillars of 24 positions need fewer
NEW_MAP = ("FMNOR", "FMSTAT", "FMRT")  # of the station: another text here means that pumps have come or gone


class BccProtocol(EventQueue):
    """Sans-IO client of one SpaceCom (DeviceProtocol); a device of the line is one pillar. Raises: ConfigError."""

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> None:
        self._options = build(Options, options, _at)
        self._reader = BlockReader(self._options.stuffing)
        self._pillars: dict[int, tuple[int, Pumps]] = {}
        for spec in devices:
            pillar = build(PillarOptions, spec.options, _at).pillar
            if pillar in self._pillars:
                raise ConfigError(f"pillar {pillar} is configured twice on this line", "pillar", "each pillar once")
            self._pillars[pillar] = spec.source, Pumps(spec.profile, self._options.changes_only)
        self._first = devices[0].source
        super().__init__()
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget the line and all pumps; say hello."""
        self.events.clear()
        self._reader.reset()
        for _, pumps in self._pillars.values():
            pumps.forget()
        self._bed = ANONYMOUS
        self._next = ALIVE
        self._blocks: list[str] = []
        self._waiting = ""
        self._unanswered = 0
        self._broken = True  # no answer yet, or one was lost: nothing that was said before may be held
        self._gap = False  # an answer was lost
        self._station_time = 0
        self._map: dict[str, str] = {}
        self._firmware = ""
        self._heard = self._answered = self._stopped = False
        self._ack_wanted = False
        self._ack_at: float | None = None
        self._acked = False  # the last that was written is an acknowledgement, and nothing has come since
        self._now = self._asked_at = self._ask_at = self._due = now
        self._asks = True

    def stop(self, now: float) -> None:
        """Ask nothing more. BCC has no farewell."""
        self._now, self._stopped, self._waiting = now, True, ""
        self._heard = self._answered = self._ack_wanted = False
        self._ack_at = None

    def was_sent(self, data: bytes, now: float) -> None:
        """Replay: a request begins a new answer. From then on nothing is asked but what the recording says."""
        self._now, self._asks, self._waiting = now, False, ""
        self._acked = data == ACK
        if not self._acked:
            self._blocks.clear()

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes of the line. A whole answer becomes frames at once."""
        is_echo = self._acked and data.startswith(ACK)  # no block begins so
        self._acked = False
        if is_echo:
            self._fault("echo", "acknowledgement")
            data = data[len(ACK) :]
        for found in self._reader.feed(data):
            if isinstance(found, Block) and found.information in REQUESTS:
                is_echo = True
                self._fault("echo", found.information)
            elif isinstance(found, Block):
                self.frames_ok += 1
                self._take(found, t_ns)
            elif isinstance(found, Noise):
                self._fault("noise", f"{found.length} bytes", bad_frame=True)
            else:
                self._fault(found, bad_frame=True)
                self._lose()
        self._heard = self._heard or not is_echo  # an echo is no sign of a station

    def data_to_send(self, now: float) -> bytes:
        """Return the acknowledgement or the request that is due."""
        self._now = now
        self._conclude(now)
        if self._ack_at is not None and now >= self._ack_at:
            self._ack_at = None
            self._acked = True
            return ACK
        if self._waiting and now >= self._due:
            self._overdue(now)
        if self._waiting or self._stopped or not self._asks or now < self._ask_at:
            return b""
        self._waiting = self._next
        self._blocks.clear()
        self._ack_at = None
        self._acked = False
        self._asked_at, self._due = now, now + STILL_S
        self._ask_at = now + self._options.poll_s
        bed = ANONYMOUS if self._next == ALIVE else self._bed
        return request(bed, self._next, self._options.stuffing)

    def next_wake(self) -> float | None:
        """Return when there is something to say, or an answer overdue."""
        if self._stopped or not self._asks:
            return None
        if self._heard or self._answered or self._ack_wanted:
            return self._now
        wake = self._due if self._waiting else self._ask_at
        return wake if self._ack_at is None else min(wake, self._ack_at)

    # ---- the clock

    def _conclude(self, now: float) -> None:
        """Draw from what was heard what the clock has to know."""
        if self._heard:
            self._due = min(now + STILL_S, self._asked_at + LONGEST_S)
        if self._ack_wanted:
            self._ack_at = now + ACK_AFTER_S
        if self._answered:
            self._unanswered = 0
            again = self._next == self._waiting
            self._ask_at = max(self._ask_at, now + PAUSE_S) if again else now + PAUSE_S
            self._waiting = ""
        self._heard = self._ack_wanted = self._answered = False

    def _overdue(self, now: float) -> None:
        """The answer has not come."""
        self._fault("no_answer", self._waiting)
        self._next = _after_failure(self._waiting)
        self._waiting = ""
        self._lose()
        self._unanswered += 1
        self._ask_at = max(self._ask_at, now)
        if self._unanswered == TRIES:
            self._fault("silent")
        if self._unanswered >= TRIES:
            self._next = ALIVE

    def _lose(self) -> None:
        """An answer, or part of one, is lost."""
        self._blocks.clear()
        self._broken = self._gap = True

    # ---- answers

    def _take(self, block: Block, t_ns: int) -> None:
        self._blocks.append(block.information)
        if sum(map(len, self._blocks)) > MAX_ANSWER:
            self._fault("too_long", bad_frame=True)
            self._lose()
        elif not block.last:
            self._ack_wanted = True
        else:
            found, bad = entries(joined(self._blocks))
            self._blocks.clear()
            if bad:
                self._fault("quadruple", f"{bad} in one answer")
            self._read(block.bed, found, t_ns)

    def _read(self, bed: str, found: list[Entry], t_ns: int) -> None:
        """Read a whole answer: a greeting, a version, an error, or what the pumps say."""
        station = {entry.parameter: entry.value for entry in found if not entry.pillar}
        if "GNERR" in station:
            code = station["GNERR"]
            self._fault("error", f"code {code}" if re.fullmatch("[0-9]{1,9}", code) else "")
            self._lose()
            self._end_of(self._waiting, _after_failure(self._waiting))
        elif "GNACK" in station:
            self._greeted(bed)
        elif VERSION in station:
            self._identified(station[VERSION])
        else:
            self._end_of(GET, GET)
            self._values(found, station, t_ns)

    def _end_of(self, question: str, following: str) -> None:
        """A question has its answer; `following` is asked next."""
        if question and self._waiting == question:
            self._answered, self._next = True, following

    def _greeted(self, bed: str) -> None:
        self._bed = bed if usable(bed) else ANONYMOUS
        if self._bed != bed:
            self._fault("bed_id")
        self._end_of(ALIVE, ASK_VERSION)

    def _identified(self, version: str) -> None:
        """The station tells its software and nothing else of itself."""
        self._end_of(ASK_VERSION, GET)
        if version != self._firmware and version.isascii() and version.isprintable() and len(version) < 20:
            self._firmware = version
            for source, _ in self._pillars.values():
                self.events.append(Identified("", "", version, "", source))

    def _values(self, found: list[Entry], station: Mapping[str, str], t_ns: int) -> None:
        time = max((entry.time for entry in found), default=self._station_time)
        if time < self._station_time:
            self._fault("restarted")
            self._broken = True
        self._station_time = time
        seen = {name: station[name][:MAX_MAP] for name in NEW_MAP if name in station}
        moved = any(self._map.get(name, text) != text for name, text in seen.items())
        self._map.update(seen)
        unbroken, after_gap = not (self._broken or moved), self._gap
        self._broken = self._gap = False
        for pillar, (source, pumps) in self._pillars.items():
            result = pumps.take([entry for entry in found if entry.pillar == pillar], unbroken)
            if result.readings:
                self.events.append(Frame("pump", result.readings, t_ns, source, after_gap=after_gap))
            self.events.append(Frame("alert", Alerts(tuple(result.alerts)), t_ns, source))
            for reason, count in result.faults.items():
                self._fault(reason, f"{count} times in one answer", source=source)
        strange = {entry.pillar for entry in found} - {0, *self._pillars}
        if strange:
            self._fault("pillar", ", ".join(map(str, sorted(strange))))

    def _fault(self, reason: str, detail: str = "", bad_frame: bool = False, source: int | None = None) -> None:
        self.events.append(Fault(reason, detail, self._first if source is None else source, bad_frame))


def _after_failure(question: str) -> str:
    """Return what is asked after a question that failed: values do not wait for a station to tell its version."""
    return GET if question == ASK_VERSION else question


def _at(*keys: str) -> str:
    """Where an option stands; whoever gives it knows the file."""
    return " ".join(keys)
