"""TCP links on the loopback interface: bytes both ways, and every way in which a connection ends or never begins."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from gateway.core.errors import ConfigError, LinkError
from gateway.links.descriptor import BATCH_BYTES
from gateway.links.tcp import LINK, TcpLink, TcpSettings

PATIENCE = 1.0  # the longest a read may wait; nothing here needs it, a failing test ends by it


class Server:
    """A device server that takes one client at a time."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port: int = self.listener.getsockname()[1]
        self.client = socket.socket()

    def accept(self) -> None:
        self.client.close()
        self.client, _ = self.listener.accept()
        self.client.settimeout(10)

    def reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    def hear(self, length: int) -> bytes:
        heard = b""
        while len(heard) < length:
            heard += self.client.recv(length - len(heard))
        return heard

    def close(self) -> None:
        self.client.close()
        self.listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with contextlib.closing(Server()) as server:
        yield server


@pytest.fixture
def link(server: Server) -> Iterator[TcpLink]:
    link = TcpLink("127.0.0.1", server.port, time.time_ns)
    yield link
    link.close()


def connect(link: TcpLink, server: Server) -> None:
    link.open()
    server.accept()


def read_all(link: TcpLink, length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunks = link.read(PATIENCE)
        assert chunks, f"only {len(data)} bytes arrived"
        data += b"".join(chunk for _, chunk in chunks)
    return data


def test_bytes_pass_both_ways_unchanged(server: Server, link: TcpLink) -> None:
    connect(link, server)
    every = bytes(range(256))
    server.client.sendall(every)
    assert read_all(link, 256) == every
    link.write(every)
    assert server.hear(256) == every
    assert link.read(0.0) == []


def test_one_read_is_one_stamp_and_at_most_64_kib(server: Server) -> None:
    link = TcpLink("127.0.0.1", server.port, lambda: 77)
    connect(link, server)
    much = os.urandom(1_000_000)
    sender = threading.Thread(target=server.client.sendall, args=(much,), daemon=True)
    sender.start()
    data = b""
    while len(data) < len(much):
        [(stamp, chunk)] = link.read(PATIENCE)
        assert stamp == 77
        assert len(chunk) <= 65536
        data += chunk
    sender.join()
    assert data == much
    link.close()


def test_a_large_write_arrives_whole(server: Server, link: TcpLink) -> None:
    connect(link, server)
    much = os.urandom(5_000_000)
    heard: list[bytes] = []
    listener = threading.Thread(target=lambda: heard.append(server.hear(len(much))), daemon=True)
    listener.start()
    link.write(much)
    listener.join(10)
    assert heard == [much]


def test_the_end_comes_after_the_last_bytes(server: Server, link: TcpLink) -> None:
    connect(link, server)
    server.client.sendall(b"last words")
    server.client.close()
    assert read_all(link, 10) == b"last words"
    for _ in range(2):
        with pytest.raises(LinkError, match=f"127.0.0.1:{server.port}: the other side closed the connection"):
            link.read(PATIENCE)


def test_a_reset_is_an_error_for_reading_and_writing(server: Server, link: TcpLink) -> None:
    connect(link, server)
    server.reset()
    with pytest.raises(LinkError, match="closed the connection"):
        link.read(PATIENCE)
    with pytest.raises(LinkError, match="closed the connection"):
        link.write(b"x")


def test_it_opens_again_after_the_server_is_back(server: Server, link: TcpLink) -> None:
    for turn in (b"first", b"second", b"third"):
        connect(link, server)
        server.client.sendall(turn)
        assert read_all(link, len(turn)) == turn
        server.reset()
        with pytest.raises(LinkError):
            link.read(PATIENCE)


def test_refused(server: Server, link: TcpLink) -> None:
    server.close()
    with pytest.raises(LinkError, match=f"127.0.0.1:{server.port}: no connection: Connection refused"):
        link.open()
    with pytest.raises(LinkError, match="the link is closed"):
        link.read(0.0)


def test_a_server_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())  # fills the queue: Linux then drops every further SYN
        link = TcpLink("127.0.0.1", full.getsockname()[1], time.time_ns)
        with pytest.raises(LinkError, match="no answer within 1 s"):
            link.open()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "." * 70, "x" * 70, "256.256.256.256"])
def test_a_host_that_is_none(host: str) -> None:
    link = TcpLink(host, 1, time.time_ns)
    with pytest.raises(LinkError, match="no connection") as caught:
        link.open()
    assert "\n" not in str(caught.value)


def test_a_peer_that_takes_no_bytes_is_an_error(server: Server, link: TcpLink) -> None:
    connect(link, server)
    with pytest.raises(LinkError, match="takes no bytes for 1 s"):
        link.write(bytes(100_000_000))


def test_close_wakes_a_waiting_read(server: Server, link: TcpLink) -> None:
    connect(link, server)
    waiting = threading.Event()
    ended: list[str] = []

    def wait() -> None:
        waiting.set()
        try:
            while True:
                link.read(60.0)
        except LinkError as error:
            ended.append(error.what)

    reader = threading.Thread(target=wait, daemon=True)
    reader.start()
    assert waiting.wait(PATIENCE)
    link.close()
    link.close()
    reader.join(10)
    assert not reader.is_alive(), "a read of 60 s was not woken"
    assert ended == ["the link is closed"]
    assert server.client.recv(1) == b"", "the connection is really closed"


def test_closing_from_many_threads_while_it_opens_and_reads(server: Server, link: TcpLink) -> None:
    """Whatever the order, nothing but LinkError comes out and nothing hangs; the descriptor is never mixed up."""
    stop = threading.Event()

    def keep_closing() -> None:
        while not stop.is_set():
            link.close()

    closers = [threading.Thread(target=keep_closing) for _ in range(3)]
    for closer in closers:
        closer.start()
    opened = 0
    try:
        for _ in range(200):
            with contextlib.suppress(LinkError):
                link.open()
                opened += 1
                server.accept()
                link.read(0.001)
                link.write(b"x")
    finally:
        stop.set()
        for closer in closers:
            closer.join(10)
    assert opened == 200
    assert not any(closer.is_alive() for closer in closers)
    connect(link, server)
    server.client.sendall(b"still whole")
    assert read_all(link, 11) == b"still whole"


def test_a_dead_peer_is_looked_for(server: Server, link: TcpLink) -> None:
    connect(link, server)
    line = link._socket
    assert line is not None
    assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    idle, interval, count = (
        line.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + interval * count == 25
    assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000


def test_settings_and_kind(server: Server) -> None:
    settings = TcpSettings("127.0.0.1", server.port)
    assert LINK.describe(settings) == LINK.resource(settings) == f"127.0.0.1:{server.port}"
    link = LINK.create(settings, time.time_ns)
    link.open()
    link.close()
    for wrong in ({"port": 0}, {"port": 65536}, {"host": ""}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            TcpSettings(**{"host": "x", "port": 1, **wrong})  # type: ignore[arg-type]


def test_without_a_descriptor_left_the_line_is_not_open_and_nothing_leaks(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found with RLIMIT_NOFILE: the socket was there, what wakes its reader was not, and the error was none of ours."""
    link = TcpLink("127.0.0.1", server.port, time.time_ns)

    def none_left(_value: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as scarce:
        scarce.setattr(os, "eventfd", none_left)
        for _ in range(3):
            with pytest.raises(LinkError, match="Too many open files"):
                link.open()
            server.accept()
            assert server.client.recv(1) == b""  # closed, not left open
    link.open()
    link.close()


def test_a_busy_line_is_read_in_batches(server: Server, link: TcpLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a read that brought little it rests, so that bytes gather; behind one that brought much it does not."""
    monkeypatch.setattr("gateway.links.descriptor.BATCH_S", 3600.0)
    connect(link, server)
    server.client.sendall(b"a")
    assert read_all(link, 1) == b"a"
    assert link._rest(0.01) == 0.01
    server.client.sendall(bytes(BATCH_BYTES))
    assert len(b"".join(data for _, data in link.read(0.01))) == BATCH_BYTES
    assert link._rest(0.01) == 0.0
    server.client.sendall(b"b")
    assert read_all(link, 1) == b"b"
    assert link._rest(0.01) == 0.0
    monkeypatch.setattr(link, "_in_bulk_until", 0.0)
    server.client.sendall(b"c")
    assert read_all(link, 1) == b"c"
    assert link._rest(0.01) == 0.01
    link.close()
    with pytest.raises(LinkError, match="closed"):
        link.read(PATIENCE)
