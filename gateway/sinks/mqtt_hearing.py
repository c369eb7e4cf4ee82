"""Whether somebody listens: which topics have a subscriber, as far as the broker has said in this session.

MQTT 5 says with each PUBACK whether the message had a subscriber (3.4.2.1, reason 0x10). A receiver that comes back
while twenty messages are under way would get the last ten of them first, and the first ten in a minute. So as long as
it is not known that a topic is heard, one message of it goes first, and what comes after waits behind it.

Pure: no message is sent here. MQTT 3.1.1 cannot say whether anybody listens; then nothing waits.
"""

from __future__ import annotations

from gateway.core.message import Message


class Hearing:
    """The topics of one session."""

    def __init__(self) -> None:
        self._heard: set[str] = set()
        self._first: dict[str, str] = {}  # topic -> control id of the message that went first
        self._behind: dict[str, dict[str, Message]] = {}  # topic -> what waits behind it, in order

    def __contains__(self, control_id: str) -> bool:
        """Tell whether a message waits behind another one."""
        return any(control_id in waiting for waiting in self._behind.values())

    def begin(self) -> None:
        """A new session, or none: nothing is known, and nothing waits."""
        self._heard.clear()
        self._first.clear()
        self._behind.clear()

    def may_go(self, message: Message) -> bool:
        """Tell whether a message may be published now; otherwise it is kept here until `heard` or `unheard`."""
        if message.topic in self._heard:
            return True
        if self._first.setdefault(message.topic, message.control_id) == message.control_id:
            return True
        self._behind.setdefault(message.topic, {})[message.control_id] = message
        return False

    def heard(self, topic: str) -> list[Message]:
        """A message of the topic had a subscriber: return what may go now, in order."""
        self._heard.add(topic)
        self._first.pop(topic, None)
        return list(self._behind.pop(topic, {}).values())

    def unheard(self, topic: str) -> list[str]:
        """A message of the topic had none, or was refused: return the control ids that waited behind it, in order."""
        self._heard.discard(topic)
        self._first.pop(topic, None)
        return list(self._behind.pop(topic, {}))

    def forget(self, control_id: str) -> None:
        """A message was given up."""
        for waiting in self._behind.values():
            waiting.pop(control_id, None)
