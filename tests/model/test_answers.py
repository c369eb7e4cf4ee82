"""Whatever answers come back, the promises hold: the real forwarder, spool and MQTT sink against a receiver that lies.

The wire is random: PUBACKs of every code, acknowledgements for messages under way, answered, not yet sent, of other
gateways, twice, contradictory, with a foreign correlation, malformed; connections that end, sessions that are lost, and
a gateway that is killed and comes back. Of the invariants of the design (guarantees, 4.1)

    I1  a message is let go of only by an answer of its own that came after it was sent, or goes to the side file
    I2  the same id is the same bytes, over sessions and restarts
    I3  messages are first sent in the order of their numbers
    I7  when the receiver is honest again, everything is answered

and each answer is counted once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sinks.mqtt_connection import MAX_ACK_BYTES, Closed, Incoming, Puback
from tests.faults.evidence import scaled
from tests.model.spool_disk import MemoryDisk
from tests.parts import sink_rig
from tests.unit import forward_rig

FINAL = ("AA", "CA", "AE", "AR", "CR")
CODES = (*FINAL, "CE")
PUBACKS = (0, 0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x97, 0x99)
PATH = Path("/")

own = st.tuples(st.just("own"), st.integers(0, 30), st.sampled_from(CODES), st.sampled_from(["none", "same", "other"]))
future = st.tuples(st.just("future"), st.integers(1, 5), st.sampled_from(CODES))
foreign = st.tuples(st.just("foreign"), st.sampled_from(["gw-2-1-1", "gw-1", "", "gw-99-1", "x" * 199]))
junk = st.tuples(st.just("junk"), st.binary(max_size=60) | st.just(b"MSH|" + b"x" * MAX_ACK_BYTES))
ACTIONS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 4)),
    st.tuples(st.just("step"), st.sampled_from([0.1, 0.1, 6.0, 31.0, 120.0])),
    st.tuples(st.just("puback"), st.integers(0, 5), st.sampled_from(PUBACKS)),
    own,
    own,
    future,
    foreign,
    junk,
    st.tuples(st.just("close")),
    st.tuples(st.just("connect"), st.booleans()),
    st.tuples(st.just("restart")),
)


class Wire:
    """The chain, and what the receiver has said to whom."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.wire = sink_rig.Rig(window=4)
        self.rig = forward_rig.Rig(PATH, rows_per_message=1, sink=self.wire.sink, files=self.disk)
        self.bytes: dict[str, bytes] = {}  # control id -> what was first sent
        self.order: list[int] = []
        self.finals: dict[str, list[str]] = {}  # final codes said of a message that had been sent
        self.values = 0
        self.given_up = 0
        self.acks = 0
        self.clients: list[sink_rig.FakeClient] = []
        self.connect(True)

    # ---- actions

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.values += 1
            self.rig.publish(float(self.values))

    def step(self, seconds: float) -> None:
        self.rig.step(seconds)
        self.look()

    def puback(self, which: int, code: int) -> None:
        if self.clients and self.clients[-1].published:
            mid = len(self.clients[-1].published) - which % len(self.clients[-1].published)
            self.wire.put(Puback(mid, code, "said"))

    def own(self, which: int, code: str, correlation: str) -> None:
        if not self.bytes:
            return
        control_id = list(self.bytes)[which % len(self.bytes)]
        said = {"none": None, "same": control_id.encode(), "other": b"gw-1-999"}[correlation]
        self.ack(code, control_id, said)
        if code in FINAL and correlation != "other":
            self.finals.setdefault(control_id, []).append(code)

    def future(self, ahead: int, code: str) -> None:
        seq, control_id = self.rig.spool.next_control_id()
        self.ack(code, control_id.removesuffix(str(seq)) + str(seq + ahead - 1))

    def foreign(self, control_id: str) -> None:
        self.ack("AA", control_id)

    def junk(self, payload: bytes) -> None:
        self.acks += 1
        self.wire.put(Incoming(payload, None))

    def close(self) -> None:
        self.wire.put(Closed())

    def connect(self, present: bool) -> None:
        self.wire.put(Closed())
        self.wire.connect(session_present=present)
        self.clients.append(self.wire.client)

    def restart(self) -> None:
        """kill -9 and a new start: the wire forgets, the disk does not."""
        self.step(0.1)
        self.given_up += self.rig.forwarder.counters.given_up
        self.counted()
        self.disk.kill()
        self.wire = sink_rig.Rig(window=4)
        self.rig.sink = self.wire.sink
        self.rig.start()
        self.clients.clear()
        self.connect(True)

    def ack(self, code: str, control_id: str, correlation: bytes | None = None) -> None:
        self.acks += 1
        self.wire.ack(code, control_id, correlation)

    # ---- what must hold

    def look(self) -> None:
        for client in self.clients:
            for _, payload, properties in client.published:
                control_id = properties.CorrelationData.decode()
                if control_id not in self.bytes:
                    self.order.append(int(control_id.rsplit("-", 1)[1]))
                assert self.bytes.setdefault(control_id, payload) == payload  # I2
        assert self.order == sorted(self.order)  # I3
        waiting = {message.control_id for message in self.rig.spool.unacknowledged(0, 10_000)}
        given_up = {line["control_id"] for line in self.rejected() if line["reason"].startswith("no answer")}
        for control_id in self.bytes.keys() - waiting:  # I1
            assert control_id in self.finals or control_id in given_up, control_id
        for line in self.rejected():
            said = self.finals.get(line["control_id"], [])
            assert line["control_id"] in given_up or set(said) & {"AE", "AR", "CR"}, line

    def rejected(self) -> list[dict[str, Any]]:
        files = self.disk.paths("*/rejected/messages.jsonl")
        return [json.loads(line) for file in files for line in bytes(self.disk.content(file)).splitlines()]

    def counted(self) -> None:
        """Each answer that was taken from the wire stands in one counter."""
        c = self.wire.sink.counters
        taken = c.acks_accept + c.acks_reject + c.acks_keep + c.acks_foreign + c.acks_mismatch + c.acks_malformed
        assert taken == self.acks
        self.acks = 0

    def honest(self) -> None:
        """From now on each message is accepted when it has come."""
        self.connect(False)
        for _ in range(2000):
            self.step(1.0)
            if not self.rig.forwarder.waiting:
                break
            for mid, (_, _, properties) in enumerate(self.clients[-1].published, 1):
                self.wire.put(Puback(mid, 0, "Success"))
                control_id = properties.CorrelationData.decode()
                self.finals.setdefault(control_id, []).append("AA")
                self.ack("AA", control_id)
        assert self.rig.forwarder.waiting == 0  # I7
        assert len(self.bytes) == self.values  # each sample has been sent: none was let go of unsent
        self.counted()


@settings(max_examples=scaled(250, 10_000), deadline=None)
@given(st.lists(ACTIONS, min_size=5, max_size=60))
def test_no_answer_breaks_a_promise(actions: list[tuple[Any, ...]]) -> None:
    wire = Wire()
    for name, *arguments in actions:
        getattr(wire, name)(*arguments)
    wire.step(0.1)
    wire.honest()
