"""The MQTT sink against random wires: a small model says what must hold whatever broker and receiver do.

Outcomes are for open messages only, final ones come once; nothing is published beyond the window and the broker's
Receive Maximum, nor a second time before its PUBACK.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.message import Verdict
from gateway.sinks.mqtt_connection import Closed, Incoming, Puback
from tests.parts.sink_rig import VERDICTS, WINDOW, Rig, message


class SinkModel(RuleBasedStateMachine):
    """A random wire against two sets: outcomes for open messages only, final ones once, never beyond the window."""

    @initialize()
    def begin(self) -> None:
        self.rig = Rig()
        self.connected = False
        self.open: set[str] = set()  # handed to a client, not answered for good
        self.final: list[str] = []
        self.mids: dict[int, str] = {}

    @rule(session_present=st.booleans(), receive_max=st.sampled_from([1, 2, 65535]))
    def connect(self, session_present: bool, receive_max: int) -> None:
        self.rig.put(Closed())
        self.rig.connect(receive_max, session_present=session_present)
        self.quota = min(WINDOW, receive_max)
        self.connected = True
        self.mids = {}

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.rig.put(Closed())
        self.connected = False

    @rule(n=st.integers(1, 6))
    def send(self, n: int) -> None:
        self.take()  # the sink looks at the wire first
        room, before = self.rig.sink.room(), len(self.rig.client.published)
        self.rig.sink.send(message(n))
        control_id = message(n).control_id
        may = self.connected and control_id not in self.mids.values() and len(self.mids) < self.quota
        may = may and (control_id in self.open or len(self.open) < WINDOW)
        if room and control_id not in {*self.open, *self.mids.values()}:
            assert may  # room is a promise
        assert (len(self.rig.client.published) - before == 1) == may
        if may:
            self.open.add(control_id)
            self.mids[len(self.rig.client.published)] = control_id
        elif self.connected and control_id not in self.mids.values():
            (outcome,) = self.rig.sink.outcomes()  # not sent and not forgotten
            assert (outcome.control_id, outcome.verdict) == (control_id, Verdict.KEEP)

    @precondition(lambda self: self.connected and self.mids)
    @rule(data=st.data(), code=st.sampled_from([0, 0, 0x10, 0x80, 0x97]))
    def puback(self, data: st.DataObject, code: int) -> None:
        mid = data.draw(st.sampled_from(sorted(self.mids)))
        del self.mids[mid]
        self.rig.put(Puback(mid, code, "said"))
        self.take()

    @rule(
        n=st.integers(1, 8),
        code=st.sampled_from(sorted(VERDICTS)),
        correlation=st.sampled_from(["none", "same", "other"]),
    )
    def ack(self, n: int, code: str, correlation: str) -> None:
        control_id = message(n).control_id
        self.rig.ack(code, control_id, {"none": None, "same": control_id.encode(), "other": b"gw-1.1.0"}[correlation])
        believed = control_id in self.open and correlation != "other"
        expected = VERDICTS[code] if believed else None
        self.take(control_id, expected)

    @rule(n=st.integers(1, 6))
    def forget(self, n: int) -> None:
        self.take()
        self.rig.sink.forget(message(n).control_id)
        self.open.discard(message(n).control_id)

    @rule(junk=st.binary(max_size=30))
    def junk(self, junk: bytes) -> None:
        self.rig.put(Incoming(junk, None))
        self.take()

    def take(self, control_id: str = "", expected: Verdict | None = None) -> None:
        """Take the outcomes: the expected one, and else only keeps of what is open in this session."""
        finals = []
        for outcome in self.rig.sink.outcomes():
            assert outcome.control_id in self.open
            if outcome.verdict is not Verdict.KEEP:
                finals.append((outcome.control_id, outcome.verdict))
        if expected in (Verdict.ACCEPT, Verdict.REJECT):
            assert finals == [(control_id, expected)]
            self.open.discard(control_id)
        else:
            assert finals == []

    @invariant()
    def room_is_what_is_left_of_the_window(self) -> None:
        if hasattr(self, "rig"):
            room = min(WINDOW - len(self.open), self.quota - len(self.mids)) if self.connected else 0
            assert self.rig.sink.room() == max(0, room)


TestSinkModel = SinkModel.TestCase
TestSinkModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
