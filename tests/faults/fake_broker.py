"""A broker and receiver in one, over real sockets, that does what a script says: MQTT 5 by the letter, or against it.

    with FakeBroker(Script(puback=0x97)) as broker:
        sink = SINK.create(MqttSettings(host=HOST, port=broker.port), BASE)
        broker.script = HONEST          # from now on

A script may refuse the connection, the subscription, each PUBLISH, end the connection, say nothing at all, and answer a
message with any acknowledgements. Written by hand and small, because a library would not let it do wrong.
Source: OASIS MQTT 5.0, chapters 2 (packets, properties) and 3 (reason codes).
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

HOST = "127.0.0.1"
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14
STATUS = "/status"
# Sizes of the values of the properties of a PUBLISH; -1: two bytes of length and so many, -2: two of these (2.2.2.2).
_PROPERTY = {0x01: 1, 0x02: 4, 0x03: -1, 0x08: -1, 0x09: -1, 0x23: 2, 0x26: -2}
CORRELATION = 0x09


@dataclass(frozen=True, slots=True)
class Published:
    """A PUBLISH as it came. at: monotonic s."""

    topic: str
    control_id: str  # its correlation data
    payload: bytes
    at: float


def accept(message: Published) -> list[tuple[float, bytes]]:
    """Answer AA at once."""
    return [(0.0, hl7_ack("AA", message.control_id))]


@dataclass(frozen=True, slots=True)
class Script:
    """What the broker does. Codes are reason codes of MQTT 5; None: it says nothing.

    disconnect: sent instead of the PUBACK of a message, and the connection ends; close: it ends without a word
    answers: (after seconds, payload of an acknowledgement) to a message that was confirmed with 0
    """

    connack: int | None = 0
    session_present: bool = True
    suback: int | None = 1
    puback: int | None = 0
    disconnect: int | None = None
    close: bool = False
    ping: bool = True
    answers: Callable[[Published], list[tuple[float, bytes]]] = accept


HONEST = Script()


@dataclass
class FakeBroker:
    """One listening socket, a thread for each connection, and one that sends what is to be said later."""

    script: Script = HONEST
    published: list[Published] = field(default_factory=list)  # messages, not the status
    connects: list[float] = field(default_factory=list)
    port: int = 0
    ack_topic: str = ""

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._lock = threading.Lock()  # one packet at a time on a socket
        self._ends: list[socket.socket] = []
        self._listen = socket.create_server((HOST, 0))
        self.port = self._listen.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listen.close()
        self.end_all()

    def end_all(self) -> None:
        """End every connection without a word."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):  # it has ended by itself
                end.shutdown(socket.SHUT_RDWR)

    def say(self, payload: bytes, qos: int = 0) -> bool:
        """Publish on the acknowledgement topic of the newest connection; tell whether there was one."""
        try:
            self._send(self._ends[-1], publish_packet(self.ack_topic, payload, qos))
        except (OSError, IndexError):
            return False
        return True

    # ---- inside

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                end, _ = self._listen.accept()
            except OSError:
                return
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # a broker's queue is bounded
            self._ends.append(end)
            self.connects.append(time.monotonic())
            threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        try:
            with end, end.makefile("rb") as stream:
                while packet := _read(stream.read):
                    if not self._packet(end, *packet):
                        return
        except (OSError, ValueError, struct.error):
            return

    def _packet(self, end: socket.socket, kind: int, flags: int, body: bytes) -> bool:
        """Do what the script says; tell whether the connection goes on."""
        script = self.script
        if kind == CONNECT:
            if script.connack is None:
                return True
            present = int(script.session_present and not script.connack)
            self._send(end, packet(CONNACK, bytes([present, script.connack, 0])))
            return script.connack == 0
        if kind == SUBSCRIBE:
            at = 2 + _varint(body, 2)[1] + _varint(body, 2)[0]
            (size,) = struct.unpack_from(">H", body, at)
            self.ack_topic = body[at + 2 : at + 2 + size].decode()
            if script.suback is not None:
                self._send(end, packet(SUBACK, body[:2] + bytes([0, script.suback])))
        elif kind == PINGREQ and script.ping:
            self._send(end, packet(PINGRESP, b""))
        elif kind == PUBLISH:
            return self._publish(end, script, flags, body)
        return kind != DISCONNECT

    def _publish(self, end: socket.socket, script: Script, flags: int, body: bytes) -> bool:
        message, mid = _published(flags, body)
        if message.topic.endswith(STATUS):
            self._send(end, packet(PUBACK, mid))
            return True
        self.published.append(message)
        if script.close:
            return False
        if script.disconnect is not None:
            self._send(end, packet(DISCONNECT, bytes([script.disconnect, 0])))
            return False
        if script.puback is not None and mid:
            self._send(end, packet(PUBACK, mid + bytes([script.puback, 0]) if script.puback else mid))
        if script.puback == 0:
            for after, payload in script.answers(message):
                if after:
                    threading.Timer(after, self._later, (end, payload)).start()
                else:
                    self._send(end, publish_packet(self.ack_topic, payload))
        return True

    def _later(self, end: socket.socket, payload: bytes) -> None:
        try:
            self._send(end, publish_packet(self.ack_topic, payload))
        except OSError:  # the connection has ended meanwhile
            return

    def _send(self, end: socket.socket, data: bytes) -> None:
        with self._lock:
            end.sendall(data)


def hl7_ack(code: str, control_id: str) -> bytes:
    """Return an acknowledgement."""
    head = "MSH|^~\\&|KITA|RM|MDIGW|AUH|20261121093002+0000||ACK^R01^ACK|k1|P|2.6"
    return f"{head}\rMSA|{code}|{control_id}\r".encode()


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Return a packet with its fixed header."""
    size, length = len(body), bytearray()
    while True:
        length.append(size % 128 | (128 if size > 127 else 0))
        size //= 128
        if not size:
            return bytes([kind << 4 | flags]) + bytes(length) + body


def publish_packet(topic: str, payload: bytes, qos: int = 0) -> bytes:
    """Return a PUBLISH without properties; of QoS 1 with packet id 1."""
    name = topic.encode()
    mid = b"\0\1" if qos else b""
    return packet(PUBLISH, struct.pack(">H", len(name)) + name + mid + b"\0" + payload, qos << 1)


def _read(read: Callable[[int], bytes]) -> tuple[int, int, bytes] | None:
    head = read(1)
    if not head:
        return None
    size = shift = 0
    while True:
        byte = read(1)[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return head[0] >> 4, head[0] & 15, read(size)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the value and how many bytes it took."""
    value = used = 0
    while True:
        byte = data[at + used]
        value |= (byte & 127) << 7 * used
        used += 1
        if byte < 128:
            return value, used


def _published(flags: int, body: bytes) -> tuple[Published, bytes]:
    (size,) = struct.unpack_from(">H", body)
    topic, at = body[2 : 2 + size].decode(), 2 + size
    mid = body[at : at + 2] if flags & 6 else b""
    at += len(mid)
    length, used = _varint(body, at)
    at += used
    known = dict(_properties(body[at : at + length]))
    message = Published(topic, known.get(CORRELATION, b"").decode(), body[at + length :], time.monotonic())
    return message, mid


def _properties(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        name = data[at]
        at += 1
        for _ in range(max(1, -_PROPERTY[name])):
            size = _PROPERTY[name]
            if size < 0:
                (size,) = struct.unpack_from(">H", data, at)
                at += 2
            yield name, data[at : at + size]
            at += size
