"""The analyser at the other end: the sending side of E1381, with a message of results every few seconds.

It waits for an answer after each ENQ and each frame, sends a frame again when it was refused, gives a message up after
six refusals or 15 s of silence, and begins it again later. What it measures comes from the scene, what it calls things
from the rows of the profile; frames and records are put together here without the driver's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from drivers.astm_e1381.options import Scenario, table_of
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

ENQ, EOT = b"\x05", b"\x04"
ACK, NAK = 0x06, 0x15
FIRST_S = 1.0
MEASURED_BEFORE_S = 13.0  # from the result to its message, as in the cobas c111 recording of the notes
ANSWER_S, BUSY_S, TRIES = 15.0, 10.0, 6  # notes, "Timers"
TEXT = 240  # bytes of text in a frame, E1381


class AnalyserSimulator:
    """One analyser (gateway.core.protocol.Simulator)."""

    def __init__(self, spec: DeviceSpec, scenario: Scenario, scene: Scene) -> None:
        self._profile = spec.profile
        self._rows = [row for channel in spec.profile.channels for row in channel.metrics]
        self._scenario = scenario
        self._scene = scene
        self._count = 0  # messages so far
        self._at = -1.0  # when to begin the next message, or when the answer is overdue
        self._frames: list[bytes] = []  # of the message under way: ENQ first, EOT last
        self._next = 0  # the frame that waits for its answer
        self._refused = 0
        self._out = b""

    def receive_data(self, data: bytes, now: float) -> None:
        """Take answers."""
        for answer in data:
            if self._waiting and answer == ACK:
                self._say(self._next + 1, now)
            elif self._waiting and answer == NAK:
                self._refusal(now)

    def data_to_send(self, now: float) -> bytes:
        """Return what the analyser says by now."""
        if self._at < 0:
            self._at = now + FIRST_S
        if now >= self._at:
            if self._waiting:
                self._give_up(now + BUSY_S)
            else:
                if self._next == 0:  # else the message before was given up, and is begun again
                    self._frames = [ENQ, *_frames(self._message(now), self._scenario.packing), EOT]
                    self._count += 1
                self._say(0, now)
        said, self._out = self._out, b""
        return said

    def next_wake(self) -> float | None:
        """Return when a message begins, or an answer is overdue."""
        return None if self._at < 0 else 0.0 if self._out else self._at

    @property
    def _waiting(self) -> bool:
        return bool(self._frames) and self._next >= 0

    def _say(self, number: int, now: float) -> None:
        self._next, self._refused = number, 0
        self._out += self._frames[number]
        self._at = now + ANSWER_S
        if number == len(self._frames) - 1:  # EOT is not answered
            self._frames, self._next = [], 0
            self._at = now + self._scenario.period_s

    def _refusal(self, now: float) -> None:
        self._refused += 1
        if self._next == 0:  # busy: the receiver takes no message now
            self._next, self._at = -1, now + BUSY_S
        elif self._refused == TRIES:
            self._give_up(now + BUSY_S)
        else:
            self._out += self._frames[self._next]
            self._at = now + ANSWER_S

    def _give_up(self, again_at: float) -> None:
        self._out += EOT
        self._next, self._refused, self._at = -1, 0, again_at

    def _message(self, now: float) -> list[str]:
        field, repeat, component, escape = list(self._scenario.delimiters)
        t = now - MEASURED_BEFORE_S
        named, sample = self._word("patient"), self._word("sample_type")
        order = {3: f"SIM{self._count:05d}", 12: "N", table_of(self._profile.driver_table, "").sample_type: sample}
        header = {2: repeat + component + escape, 5: self._sender(component), 12: "P", 14: self._time(now)}
        records = [
            _record(field, "H", header),
            _record(field, "P", {2: "1", 3: "SIMULATED" if named == "yes" else ""}),
            _record(field, "O", {2: "1", **order}),
        ]
        for row in self._rows:
            if row.kind == "numeric":
                result = self._result(row, t, component)
                records.append(_record(field, "R", {2: str(len(records) - 2), **result, 13: self._time(t)}))
        return [*records, _record(field, "L", {2: "1", 3: "N"})]

    def _sender(self, component: str) -> str:
        known = {"vendor": self._profile.vendor, "model": self._profile.model, "firmware": "1.0", "serial": "00001"}
        return component.join(known.get(part, "SIM") for part in table_of(self._profile.driver_table, "").sender)

    def _result(self, row: MetricSpec, t: float, component: str) -> dict[int, str]:
        number = self._scene.raw(row, t)
        words = {name: str(word) for word, name in self._profile.units.items()}
        value, status = ("", "X") if number is None else (f"{number:.2f}", "F")
        flag = self._word(f"{row.object} abnormal")
        return {3: 3 * component + str(row.object), 4: value, 5: words.get(row.unit, ""), 7: flag, 9: status}

    def _word(self, object_: str) -> str:
        """Return one state after the other of an enumeration, "" when there is no such row."""
        row = next((row for row in self._rows if row.object == object_ and row.kind == "enumeration"), None)
        # The scene changes states every 2 s: each message has the one after that of the message before.
        return "" if row is None else self._scene.word(row, 2.0 * self._count) or ""

    def _time(self, t: float) -> str:
        return f"{datetime.fromtimestamp(self._scene.utc_ns(t) // 1_000_000_000, UTC):%Y%m%d%H%M%S}"


def _record(field: str, kind: str, fields: Mapping[int, str]) -> str:
    """Return a record; fields are numbered as in E1394, the type of the record is field 1."""
    return field.join([kind, *(fields.get(number, "") for number in range(2, max(fields) + 1))])


def _frames(records: Sequence[str], packing: str) -> list[bytes]:
    texts = [f"{record}\r".encode("latin-1") for record in records]
    if packing == "message":
        whole = b"".join(texts)
        texts = [whole[at : at + TEXT] for at in range(0, len(whole), TEXT)]
    return [_frame(n, text, last=n == len(texts)) for n, text in enumerate(texts, 1)]


def _frame(number: int, text: bytes, last: bool) -> bytes:
    """Return STX FN text ETX|ETB C1 C2 CR LF."""
    body = b"%d" % (number % 8) + text + (b"\x03" if last else b"\x17")
    return b"\x02" + body + b"%02X\r\n" % (sum(body) % 256)


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> AnalyserSimulator:
    """Build the analyser of one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="an analyser is alone on its line")
    return AnalyserSimulator(devices[0], build(Scenario, options, lambda *_: ""), scene)
