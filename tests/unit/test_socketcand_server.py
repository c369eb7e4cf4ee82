"""The socketcand server object: its text by itself, and python-can's own client at the other end of a loopback line."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from itertools import pairwise

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.can_signals import CanSignalsSimulator
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.socketcand_server import HOLD_S, SocketcandServer
from tests.unit.can_signals_rig import drain, faults, frames, record, record_of, smartecla, started, values


class Bus:
    """A bus that says what it was told to say, once."""

    def __init__(self, said: bytes = b"") -> None:
        self.said = said
        self.heard = b""

    def receive_data(self, data: bytes, now: float) -> None:  # the contract's signature
        self.heard += data

    def data_to_send(self, now: float) -> bytes:
        said, self.said = self.said, b""
        return said

    def next_wake(self) -> float | None:
        return 0.0 if self.said else None


def opened(bus: Bus) -> SocketcandServer:
    """Return a server past the hand-shake, at time 0."""
    server = SocketcandServer(bus, "can0", utc_offset_s=1.7e9)
    assert server.data_to_send(0.0) == b"< hi >"
    server.receive_data(b"< open can0 >", 0.0)
    assert server.data_to_send(0.0) == b"< ok >"
    server.receive_data(b"< rawmode >", 0.0)
    assert server.data_to_send(0.0) == b"< ok >"
    return server


def test_frames_as_text() -> None:
    """The frame of the protocol's documentation, an extended one, an empty one and an error frame."""
    bus = Bus(
        record(0x123, bytes.fromhex("11223344"))
        + record(0x9004_0070, bytes.fromhex("E425000001000000"))
        + record(0x7FF, b"")
        + record(0x4000_0123, b"")
        + record(0x2000_0088, bytes(8))
    )
    assert opened(bus).data_to_send(0.5) == (
        b"< frame 123 1700000000.500000 11223344 >"
        b"< frame 10040070 1700000000.500000 E425000001000000 >"
        b"< frame 7FF 1700000000.500000  >"
        b"< error 088 1700000000.500000 >"
    )


def test_frames_are_held_back_so_that_the_last_ok_travels_alone() -> None:
    server = opened(Bus(record(0x123, b"")))
    assert server.next_wake() == HOLD_S
    assert server.data_to_send(HOLD_S / 2) == b""
    assert server.data_to_send(HOLD_S).startswith(b"< frame 123 ")
    assert server.next_wake() is None


def test_nothing_is_sent_before_the_bus_is_open() -> None:
    server = SocketcandServer(Bus(record(0x123, b"")))
    server.receive_data(b"< rawmode >", 0.0)
    assert server.data_to_send(9.0) == b"< hi >< error unknown command >"
    assert server.data_to_send(99.0) == b""


def test_another_bus_is_refused_and_the_line_closed() -> None:
    server = SocketcandServer(Bus())
    server.receive_data(b"< open can1 >< rawmode >", 0.0)
    assert server.data_to_send(0.0) == b"< hi >< error could not open bus >"
    assert server.closed


@pytest.mark.parametrize(
    ("command", "heard"),
    [
        (b"< send 123 0 >", record(0x123, b"")),
        (b"< send 1AAAAAAA 2 1 F1 >", record(0x9AAA_AAAA, b"\x01\xf1")),
    ],
)
def test_what_the_client_sends_reaches_the_bus(command: bytes, heard: bytes) -> None:
    bus = Bus()
    server = opened(bus)
    server.receive_data(command, 1.0)
    assert (bus.heard, server.data_to_send(1.0)) == (heard, b"")


@pytest.mark.parametrize(
    "command",
    [b"< send 123 1 >", b"< send 123 1 100 >", b"< send 800 0 >", b"< send x 0 >", b"< send 20000000 0 >", b"< fly >"],
)
def test_a_command_that_is_none_is_answered_with_an_error(command: bytes) -> None:
    bus = Bus()
    server = opened(bus)
    server.receive_data(command, 1.0)
    assert (bus.heard, server.data_to_send(1.0)) == (b"", b"< error unknown command >")


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"< open can0 >", b"< rawmode >", b"<", b" >"]))))
def test_any_text_is_survived(pieces: list[bytes]) -> None:
    server = SocketcandServer(Bus())
    for piece in pieces:
        server.receive_data(piece, 0.0)
        server.data_to_send(0.0)


@given(st.lists(st.integers(1, 40)))
def test_any_split_of_the_hand_shake(cuts: list[int]) -> None:
    text, server = b"noise < open can0 >< echo >< rawmode >", SocketcandServer(Bus())
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    out = b""
    for start, end in pairwise(edges):
        server.receive_data(text[start:end], 0.0)
        out += server.data_to_send(0.0)
    assert out == b"< hi >< ok >< echo >< ok >"


def serve(listener: socket.socket, server: SocketcandServer, stop: threading.Event) -> None:
    """Move bytes between one connection and the server object: all that a process has to do."""
    line, _ = listener.accept()
    with line, selectors.DefaultSelector() as ready:
        ready.register(line, selectors.EVENT_READ)
        line.sendall(server.data_to_send(time.monotonic()))
        while not stop.is_set() and not server.closed:
            wake = server.next_wake()
            wait = 0.2 if wake is None else min(0.2, max(0.0, wake - time.monotonic()))
            if ready.select(wait):
                data = line.recv(4096)
                if not data:
                    return
                server.receive_data(data, time.monotonic())
            line.sendall(server.data_to_send(time.monotonic()))


def test_python_can_reads_the_simulated_network() -> None:
    profile = smartecla()
    bus = CanSignalsSimulator([DeviceSpec(0, profile)], {"error_every": 50}, Scene())
    server = SocketcandServer(bus, "can0", utc_offset_s=time.time() - time.monotonic())
    stop = threading.Event()
    protocol = started([profile])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, server, stop), daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        with can.Bus(interface="socketcand", channel="can0", host="127.0.0.1", port=port) as client:
            for _ in range(120):
                received = client.recv(timeout=10)
                assert received is not None
                assert abs(received.timestamp - time.time()) < 3600  # UTC, not seconds since power-up
                protocol.receive_data(record_of(received), round(received.timestamp * 1e9))
            stop.set()
            thread.join(timeout=10)
    assert not thread.is_alive()
    events = drain(protocol)
    assert [fault.reason for fault in faults(events)] == ["error_frame"] * 2
    assert len(frames(events)) == 118
    assert set(values(events)) <= {str(m.object) for c in profile.resolve("2690") for m in c.metrics}
    assert bus.received == 0
