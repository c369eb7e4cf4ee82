"""What is asked of one node by SDO, when, and what its answers mean. Uploads only.

Once, and again after each boot-up: who the node is (1018h, and the texts 1008h and 100Ah where the EDS has them), and
how its PDOs are mapped (1800h, 1A00h …). A node that is another device, or that has another mapping than the EDS, gives
no value from then on: the bytes would be read wrongly. After that the objects of `[driver] read`, every `poll_s`.
"""

from __future__ import annotations

from drivers.canopen.dictionary import MAPPING, NO_REMOTE, TPDO_FIRST, object_name
from drivers.canopen.node import Node, Say
from drivers.canopen.sdo import Answer, Upload
from gateway.core.frame import Fault, Identified
from gateway.core.polling import Poller

IDENTITY, DEVICE_NAME, SOFTWARE_VERSION = 0x1018, 0x1008, 0x100A
VENDOR, PRODUCT, SERIAL = (IDENTITY, 1), (IDENTITY, 2), (IDENTITY, 4)
TIMEOUT_S = 1.0  # for a whole upload. CiA 301 states none; a node answers within a few ms
MAX_TEXT = 40  # characters of a device name that are kept

Question = tuple[int, int]


class Asking:
    """See the module text. Nothing is asked unless `active`; requests of others are followed in either mode."""

    def __init__(self, node: Node, say: Say, active: bool, poll_s: float) -> None:
        self._node, self._say, self._may_ask, self._poll_s = node, say, active, poll_s
        self._upload = Upload()
        dictionary = node.dictionary
        self._expected: dict[Question, int] = {}
        for tpdo in dictionary.tpdos:
            record = TPDO_FIRST + tpdo.number - 1
            self._expected[record, 1] = tpdo.cob_id
            self._expected[record + MAPPING, 0] = len(tpdo.entries)
            self._expected |= {(record + MAPPING, sub): entry for sub, entry in enumerate(tpdo.entries, 1)}
        texts = [(index, 0) for index in (DEVICE_NAME, SOFTWARE_VERSION) if index in dictionary.described]
        self._first: list[Question] = [VENDOR, PRODUCT, SERIAL, *texts, *self._expected]
        self._ours = frozenset((*self._first, *dictionary.read))
        self.clear(0.0)

    def clear(self, now: float) -> None:
        """Forget everything: the line is new."""
        self._active = self._may_ask
        self._now = now
        self.boot_up()

    def boot_up(self) -> None:
        """Begin again with who the node is: it has started anew, or is another."""
        self._upload.drop()
        self._poller = Poller(self._first, self._poll_s, TIMEOUT_S)
        self._poller.start(self._now)
        self._left = len(self._first)
        self._found: dict[Question, str] = {}
        self._differs = False

    def request(self, now: float) -> bytes:
        """Return the request that is due, 8 bytes, or b""."""
        self._now = now
        if not self._active:
            return b""
        late = self._poller.overdue(now)
        if late is not None:
            self._upload.drop()
            self._say(Fault("sdo_timeout", object_name(*late), self._node.source))
            self._done()
        if self._upload.out:
            request, self._upload.out = self._upload.out, b""
            return request
        question = self._poller.ask(now)
        return b"" if question is None else self._upload.ask(*question)

    def next_wake(self) -> float | None:
        """Return when `request` has something to do."""
        if not self._active:
            return None
        return self._now if self._upload.out else self._poller.next_wake()

    def was_sent(self, data: bytes) -> None:
        """Follow a request of ours that a recording holds."""
        self._upload.sent(data)

    def overheard(self, data: bytes, t_ns: int) -> bool:  # noqa: ARG002  # as all that takes a frame
        """Take a request of another client. Two on one channel would read each other's segments: ours gives way."""
        if self._active:
            self._active = False
            self._say(Fault("other_client", "", self._node.source))
        self._upload.sent(data)
        return True

    def reply(self, data: bytes, t_ns: int) -> bool:
        """Take a reply of the node."""
        if len(data) < 8:
            return True  # nothing that is read here
        answer = self._upload.reply(data)
        if answer is not None:
            question = (answer.index, answer.sub)
            if answer.fault is None:
                self._take(question, answer, t_ns)
            elif question in self._ours:  # what another client fails to read is not our trouble
                reason, detail = answer.fault
                self._say(Fault(reason, f"{object_name(*question)}: {detail}", self._node.source))
            if self._poller.waiting == question:
                self._poller.answered(self._now)
                self._done()
        return True

    def _take(self, question: Question, answer: Answer, t_ns: int) -> None:
        number = int.from_bytes(answer.data[:8], "little")
        dictionary = self._node.dictionary
        if question in self._expected:
            number &= ~NO_REMOTE if question[0] < TPDO_FIRST + MAPPING else -1
            if number != self._expected[question]:
                detail = f"{object_name(*question)} is {number:X}, the EDS says {self._expected[question]:X}"
                self._refuse("mapping_differs", detail, t_ns)
        elif question in (VENDOR, PRODUCT):
            expected = dictionary.identity[question[1] - 1]
            if expected and number != expected:
                detail = f"{object_name(*question)} is {number:X}, the EDS says {expected:X}"
                self._refuse("wrong_device", detail, t_ns)
            self._found[question] = f"{number:X}"
        elif question == SERIAL:
            self._found[question] = str(number)
        elif question[0] in (DEVICE_NAME, SOFTWARE_VERSION):
            text = answer.data.split(b"\0")[0].decode("ascii", "replace")
            self._found[question] = "".join(c for c in text if c.isprintable()).strip()[:MAX_TEXT]
        elif question in dictionary.read:
            self._value(question, answer, number, t_ns)

    def _refuse(self, reason: str, detail: str, t_ns: int) -> None:
        self._differs = True
        self._node.refuse(reason, detail, t_ns)

    def _value(self, question: Question, answer: Answer, word: int, t_ns: int) -> None:
        found = self._node.dictionary.read[question]
        if len(answer.data) != found.length and (answer.sized or len(answer.data) < found.length):
            detail = f"{object_name(*question)}: {len(answer.data)} bytes, not {found.length}"
            self._say(Fault("sdo_length", detail, self._node.source))
            return
        self._node.values([(part.name, part.value(word)) for part in found.parts], t_ns)

    def _done(self) -> None:
        """Go on after an answer, or after none. After the first round, ask what `[driver] read` names."""
        if not self._left:
            return
        self._left -= 1
        if self._left:
            return
        if VENDOR in self._found and not self._differs:
            self._node.accept()
            stated = self._node.dictionary.identity[0]  # the name in the EDS is that of this number
            vendor = self._node.dictionary.vendor if stated else ""
            model = self._found.get((DEVICE_NAME, 0), "")
            firmware, serial = self._found.get((SOFTWARE_VERSION, 0), ""), self._found.get(SERIAL, "")
            self._say(Identified(vendor or self._found[VENDOR], model, firmware, serial, self._node.source))
        self._poller = Poller(list(self._node.dictionary.read), self._poll_s, TIMEOUT_S)
        self._poller.start(self._now)
