"""Whether somebody listens: which topics have a subscriber, as far as the broker has said in this session.

MQTT 5 says with each PUBACK whether the message had a subscriber (3.4.2.1, reason 0x10). A receiver that comes back
while twenty messages are under way would get the last ten of them first, and the first ten in a minute. So as long as
it is not known that a topic is heard, the oldest message of it goes alone, and all others wait here, in order.

Pure: no message is sent here. MQTT 3.1.1 cannot say whether anybody listens; then nothing waits.
"""

from __future__ import annotations

from gateway.core.message import Message


class Hearing:
    """The topics of one session."""

    def __init__(self) -> None:
        self._heard: set[str] = set()
        self._waiting: dict[str, dict[int, Message]] = {}  # topic -> seq -> what nobody has heard yet
        self._first: dict[str, str] = {}  # topic -> control id of the one that is under way alone

    def begin(self) -> None:
        """A new session, or none: nothing is known, and nothing waits."""
        self._heard.clear()
        self._waiting.clear()
        self._first.clear()

    def __len__(self) -> int:
        """How many messages wait here, without those that are under way alone."""
        return sum(map(len, self._waiting.values())) - len(self._first)

    def holds(self, message: Message) -> bool:
        """Tell whether a message waits here, and goes when it is released, not when it is sent again."""
        waiting = self._waiting.get(message.topic, {})
        return message.seq in waiting and (message.topic in self._heard or message.seq != min(waiting))

    def may_go(self, message: Message) -> bool:
        """Tell whether a message may be published now; otherwise it is kept here until it is released."""
        topic = message.topic
        waiting = self._waiting.setdefault(topic, {})
        if topic in self._heard:
            if waiting:
                waiting[message.seq] = message
            return not waiting
        waiting[message.seq] = message
        if self._first.get(topic, message.control_id) != message.control_id or message.seq != min(waiting):
            return False
        self._first[topic] = message.control_id
        return True

    def heard(self, message: Message) -> None:
        """The message had a subscriber, or was refused for itself: what waits for that may be released."""
        self._heard.add(message.topic)
        self._first.pop(message.topic, None)
        self._waiting.get(message.topic, {}).pop(message.seq, None)

    def release(self, most: int) -> list[Message]:
        """Return and forget up to `most` messages of topics that are heard, in order."""
        ready = [m for topic in self._heard for m in self._waiting.get(topic, {}).values()]
        ready = sorted(ready, key=lambda m: m.seq)[: max(0, most)]
        for m in ready:
            del self._waiting[m.topic][m.seq]
        return ready

    def unheard(self, message: Message) -> None:
        """The message had none: it is the next to go, when it is sent again, unless an older one waits."""
        self._heard.discard(message.topic)
        self._first.pop(message.topic, None)
        self._waiting.setdefault(message.topic, {})[message.seq] = message

    def forget(self, control_id: str) -> None:
        """A message was given up."""
        for topic, waiting in self._waiting.items():
            self._waiting[topic] = {seq: m for seq, m in waiting.items() if m.control_id != control_id}
        self._first = {topic: first for topic, first in self._first.items() if first != control_id}
