"""What the world outside has seen of one spool, over all its lives, and the one checker of what that obliges it to.

The world knows nothing of files. It knows which ids were given to which bytes, which messages were accepted (a sync has
returned, or they could be read), sent, answered, and which losses were declared. From that follow six promises:

    I1 kept      an accepted message is delivered, waits unchanged, is rejected (side file) or is declared lost
    I2 ids       an id stands for the same bytes for ever, a number of an accepted message for the same message
    I3 order     messages come in the order of their numbers; so does each one's first delivery
    I4 account   recovered + appended = acknowledged + rejected + lost + waiting, at every step, in messages and in
                 samples of each device
    I5 settled   what was answered before a checkpoint, or declared lost, never comes back; a loss stays declared
                 (when a damaged sector held the record of a loss that no checkpoint has seen, the message comes back)
    I6 intact    no bytes are delivered that nobody appended
"""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path

from gateway.core.message import Message
from gateway.spool import Extent, Loss, Spool

KEPT, IDS, ORDER, ACCOUNT, SETTLED, INTACT = "I1 kept", "I2 ids", "I3 order", "I4 account", "I5 settled", "I6 intact"
ROOT = Path("/spool")
REJECTED = ROOT / "rejected" / "messages.jsonl"
EVERY = 10**6  # more than ever wait
DEVICES = 3
OF_A_MESSAGE = 10  # samples


class Broken(AssertionError):
    """A promise is broken."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise


def hold(promise: str, held: object, what: str) -> None:
    """Raise Broken unless `held`."""
    if not held:
        raise Broken(promise, what)


def extent(seq: int) -> Extent:
    """Return what the message of this number is said to hold."""
    first = seq * OF_A_MESSAGE
    return Extent(f"bed-{seq % DEVICES}", first, first + OF_A_MESSAGE - 1, OF_A_MESSAGE, seq, seq)


class World:
    """See the module text. fragile: messages whose bytes a test may have destroyed; full_allowed: whether the limit
    can be reached; owing: a loss may not be declared yet, the disk being full."""

    def __init__(self, full_allowed: bool) -> None:
        self.ids: dict[str, bytes] = {}
        self.payloads: set[bytes] = set()
        self.accepted: dict[int, Message] = {}
        self.acked: set[int] = set()
        self.rejected: dict[int, str] = {}  # number, id: `reject` has returned True
        self.settled: set[int] = set()
        self.losses: dict[tuple[int, int], Loss] = {}
        self.lost: set[int] = set()
        self.expired: set[int] = set()
        self.declared = 0  # losses of samples that never became a message
        self.fragile: set[int] = set()
        self.full_allowed = full_allowed
        self.owing = False
        self.newest_sent = 0
        self.sent_before: set[int] = set()
        self.born()

    def born(self) -> None:
        """A life begins: what was not accepted may be gone, what was answered and not saved may be forgotten."""
        self.mine: dict[int, Message] = {}
        self.answered_now: set[int] = set()
        self.tally = [0, 0, 0]  # appended, acknowledged, rejected
        self.checkpoints = 0

    def copy(self) -> World:
        """Return a world that has seen the same and goes its own way."""
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, set | dict | list):
                setattr(twin, name, value.copy())
        return twin

    # ---- what happens

    def appending(self, message: Message) -> None:
        """An append is about to be called: from here on the id may stand on the disk."""
        hold(IDS, message.control_id not in self.ids, f"{message.control_id} was given before")
        if message.seq in self.accepted:
            hold(IDS, message.seq in self.fragile, f"number {message.seq} is given again")
            del self.accepted[message.seq]  # destroyed at the very end, where nothing tells that it was ever there
        self.ids[message.control_id] = message.payload
        self.payloads.add(message.payload)

    def appended(self, message: Message) -> None:
        """It has returned."""
        self.mine[message.seq] = message
        self.tally[0] += 1

    def synced(self, durable: int) -> None:
        """A sync has returned this number."""
        hold(KEPT, durable == max(self.mine, default=durable), f"sync says {durable}, not what was appended last")
        self.accepted |= self.mine

    def seen(self, messages: list[Message]) -> None:
        """Messages could be read: so they are accepted, and must be what was appended."""
        before = 0
        for message in messages:
            seq = message.seq
            if seq <= before:
                raise Broken(ORDER, f"{seq} comes behind {before}")
            before = seq
            payload = self.ids.get(message.control_id)
            if payload != message.payload:
                hold(IDS, message.payload not in self.payloads, f"{message.control_id} has the bytes of another one")
                raise Broken(INTACT, f"{message.control_id} has bytes that nobody appended")
            known = self.accepted.setdefault(seq, message)
            if known != message:
                raise Broken(IDS, f"number {seq} was {known.control_id}, is {message.control_id}")
            if seq in self.settled or (seq in self.lost and not self.fragile):
                raise Broken(SETTLED, f"{message.control_id} was answered and saved, or declared lost, and is back")
            self.lost.discard(seq)

    def sent(self, messages: list[Message]) -> None:
        """Messages were read in order and given to the receiver."""
        self.seen(messages)
        for message in messages:
            again = message.seq in self.sent_before
            late = again or self.fragile  # damage can bring back what was declared lost
            hold(ORDER, late or message.seq > self.newest_sent, f"{message.seq} is first sent behind a later one")
            self.newest_sent = max(self.newest_sent, message.seq)
            self.sent_before.add(message.seq)

    def acking(self, seq: int) -> None:
        """The receiver has it, whatever the spool makes of that."""
        self.acked.add(seq)

    def answered(self, seq: int, rejected: str = "") -> None:
        """`ack` or `reject` (with the id) has returned True."""
        self.answered_now.add(seq)
        self.tally[2 if rejected else 1] += 1
        if rejected:
            self.rejected[seq] = rejected

    def lose(self, losses: list[Loss]) -> None:
        """These losses are declared: they are never undone, and what they name never comes back."""
        found = {(loss.epoch, loss.number): loss for loss in losses}
        hold(IDS, len(found) == len(losses), "two losses have one number")
        for key, loss in self.losses.items():
            hold(SETTLED, found.get(key) == loss, f"the loss {key} ({loss.reason}) is gone or has changed")
        for key, loss in found.items():
            if key not in self.losses:
                self._lose(loss)
        self.losses = found

    def _lose(self, loss: Loss) -> None:
        if not loss.messages:
            return
        span = {seq for first, last in loss.spans for seq in range(first, last + 1)}
        surprised = (span & self.accepted.keys()) - self.fragile
        hold(KEPT, loss.messages == len(span), f"{loss.messages} messages are lost, and {len(span)} are named")
        if loss.reason == "damaged":
            hold(KEPT, not surprised, f"{sorted(surprised)} are lost, and nobody has damaged them")
        elif loss.reason == "expired":
            hold(KEPT, span <= self.expired, f"{sorted(span)} have expired, and nobody asked for it")
        else:
            hold(KEPT, loss.reason == "full" and self.full_allowed, f"lost for no reason: {loss.reason}")
        for seq in surprised - self.acked - self.rejected.keys() - self.lost:
            held, known = extent(seq), [e for e in loss.extents if e.device == extent(seq).device]
            covered = any(e.first_seq <= held.first_seq and e.last_seq >= held.last_seq for e in known)
            hold(KEPT, covered, f"the loss of {seq} does not say which samples are missing")
        self.lost |= span

    # ---- what must be so

    def step(self, spool: Spool) -> None:
        """After every call: the account, and what a checkpoint has settled."""
        counters = spool.counters
        gone = counters.acked + counters.rejected + counters.lost
        if counters.recovered + counters.appended != gone + spool.waiting:
            raise Broken(ACCOUNT, f"{counters}, waiting {spool.waiting}")
        for device, s in spool.samples.items():
            if s.recovered + s.appended != s.acked + s.rejected + s.lost + s.waiting:
                raise Broken(ACCOUNT, f"samples of {device}: {s}")
        if [counters.appended, counters.acked, counters.rejected] != self.tally:
            raise Broken(ACCOUNT, f"{counters}, appended, acknowledged and rejected were {self.tally}")
        if counters.checkpoints > self.checkpoints:
            self.checkpoints = counters.checkpoints
            self.settled |= self.answered_now | self.lost

    def check(self, spool: Spool, side_file: bytes) -> None:
        """Everything, at rest: nothing appended is unsynced. side_file: the contents of rejected/messages.jsonl."""
        self.lose(spool.losses())
        waiting = spool.unacknowledged(0, EVERY)
        self.lose(spool.losses())  # one found damaged just now
        self.seen(waiting)
        there = {message.seq for message in waiting}
        hold(ACCOUNT, self.owing or len(there) == spool.waiting, f"{spool.waiting} wait, {len(there)} can be read")
        for seq, control_id in self.rejected.items():
            hold(KEPT, f'"{control_id}"'.encode() in side_file, f"{seq} was rejected and is not in the side file")
        gone = self.accepted.keys() - there - self.acked - self.lost
        if gone:
            gone -= _rejected(side_file, self.accepted)
            whole = self.accepted.keys() - self.fragile
            gone -= {seq for seq in gone if seq in self.fragile and (self.owing or seq > max(whole, default=0))}
            hold(KEPT, not gone, f"{sorted(gone)} are neither delivered nor waiting nor rejected nor declared lost")
        samples = sum(not loss.messages for loss in self.losses.values())
        hold(KEPT, samples >= self.declared, f"{self.declared} losses of samples were declared, {samples} are known")
        self.step(spool)  # last: only what is not back may count as settled by the checkpoints of an open


def _rejected(side_file: bytes, accepted: dict[int, Message]) -> set[int]:
    """Return the numbers of messages that stand whole in the side file."""
    known: set[str] = set()
    for line in side_file.split(b"\n"):
        with suppress(ValueError):  # half a line, never promised
            known.add(json.loads(line)["control_id"])
    return {seq for seq, message in accepted.items() if message.control_id in known}
