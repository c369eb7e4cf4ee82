"""CAN links: python-can's virtual bus, a socketcand daemon of our own, and log files. All of it only listens."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import can
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway.links.bus_time
import gateway.links.can
import gateway.links.descriptor
import gateway.links.socketcand
import gateway.links.tcp
from gateway.can_log import read_log
from gateway.core.can_frame import can_frame
from gateway.core.errors import ConfigError, LinkError
from gateway.links.base import Link
from gateway.links.bus_time import BUS_TIME_TOLERANCE_NS, BusTime
from gateway.links.can import LINK, CanSettings
from gateway.record import Direction, open_capture

PATIENCE = 1.0  # the longest a read may wait; nothing here needs it, a failing test ends by it
SECOND = 1_000_000_000
EXTENDED, REMOTE, ERROR = 1 << 31, 1 << 30, 1 << 29  # gateway.core.protocol


def record(word: int, data: bytes = b"", length: int | None = None) -> bytes:
    """A can_frame once more, from gateway.core.protocol."""
    return struct.pack("<IBBBB", word, len(data) if length is None else length, 0, 0, 0) + data.ljust(8, b"\0")


def read_some(link: Link, count: int) -> list[tuple[int, bytes]]:
    """Read until `count` frames are there; a read may come back early with nothing."""
    frames: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + 10
    while len(frames) < count:
        assert time.monotonic() < deadline, f"only {frames} arrived"
        frames += link.read(PATIENCE)
    return frames


# --- the record ------------------------------------------------------------------------------------------------------


@given(
    st.integers(0, (1 << 29) - 1),
    st.binary(max_size=8),
    st.booleans(),
    st.none() | st.integers(0, 15),
    st.booleans(),
)
def test_a_record_says_what_the_frame_said(
    arbitration_id: int, data: bytes, extended: bool, remote: int | None, error: bool
) -> None:
    if not extended and not error:
        arbitration_id %= 0x800
    packed = can_frame(arbitration_id, data, extended=extended, remote=remote, error=error)
    word, length = struct.unpack_from("<IB", packed)
    assert len(packed) == 16
    assert packed[5:8] == bytes(3)
    assert bool(word & EXTENDED) == (extended and not error)
    assert bool(word & REMOTE) == (remote is not None)
    assert bool(word & ERROR) == error
    assert word & 0x1FFF_FFFF == arbitration_id
    if remote is None:
        assert packed[8 : 8 + length] == data
        assert not any(packed[8 + length :])
    else:
        assert length == min(remote, 8)
        assert packed[8:] == bytes(8), "a remote frame has no data"


def test_what_no_can_frame_can_be_is_refused_not_shortened() -> None:
    with pytest.raises(ValueError, match="9 bytes"):
        can_frame(1, bytes(9), extended=False)
    for arbitration_id, extended in ((0x800, False), (1 << 29, True), (-1, True)):
        with pytest.raises(ValueError, match="arbitration id"):
            can_frame(arbitration_id, b"", extended=extended)


@pytest.mark.parametrize("off_s", [-1_700_000_000, -3600, -2.001, 2.001, 3600])
def test_a_bus_time_that_is_not_ours_is_not_believed_and_said_once(
    off_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_700_000_000 * SECOND
    bus_time = BusTime("can0", lambda: now)
    for _ in range(3):
        assert bus_time.stamp(now + int(off_s * SECOND)) == now
    assert caplog.text.count("stamped at arrival") == 1
    for near in (-BUS_TIME_TOLERANCE_NS, -1, 0, 1, BUS_TIME_TOLERANCE_NS):
        assert bus_time.stamp(now + near) == now + near


# --- the virtual bus -------------------------------------------------------------------------------------------------


@pytest.fixture
def device() -> Iterator[can.BusABC]:
    with can.Bus(interface="virtual", channel="ward", preserve_timestamps=True, ignore_config=True) as bus:
        yield bus


@pytest.fixture
def link() -> Iterator[Link]:
    link = LINK.create(CanSettings("ward", "virtual"), lambda: 1_700_000_000 * SECOND)
    link.open()
    yield link
    link.close()


def test_frames_of_every_kind_arrive_in_order_with_their_time(device: can.BusABC, link: Link) -> None:
    messages = [
        can.Message(arbitration_id=0x7FF, is_extended_id=False, data=b"\x01\x02\x03"),
        can.Message(arbitration_id=0x1ABCDEF0, is_extended_id=True, data=bytes(range(8))),
        can.Message(arbitration_id=0x123, is_extended_id=False, is_remote_frame=True, dlc=5),
        can.Message(arbitration_id=0x000, is_extended_id=True, data=b""),
        can.Message(arbitration_id=0x020, is_error_frame=True, data=bytes([0, 0, 8, 0, 0, 0, 0, 0])),
    ]
    for number, message in enumerate(messages):
        message.timestamp = 1_700_000_000 + number / 4  # a float holds quarters exactly
        device.send(message)
    start = 1_700_000_000 * SECOND
    assert read_some(link, 5) == [
        (start, record(0x7FF, b"\x01\x02\x03")),
        (start + SECOND // 4, record(0x1ABCDEF0 | EXTENDED, bytes(range(8)))),
        (start + SECOND // 2, record(0x123 | REMOTE, length=5)),
        (start + SECOND * 3 // 4, record(EXTENDED)),
        (start + SECOND, record(0x020 | ERROR, bytes([0, 0, 8, 0, 0, 0, 0, 0]))),
    ]
    assert link.read(0.0) == []


def test_a_bus_that_counts_from_its_power_up_is_stamped_at_arrival(device: can.BusABC, link: Link) -> None:
    device.send(can.Message(arbitration_id=1, timestamp=12.5))
    assert read_some(link, 1) == [(1_700_000_000 * SECOND, record(1 | EXTENDED))]


def test_can_fd_frames_are_left_out_and_that_is_said_once(
    device: can.BusABC, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (bytes(64), bytes(3)):
        device.send(can.Message(arbitration_id=1, is_fd=True, data=data))
    device.send(can.Message(arbitration_id=0x800, is_extended_id=False))
    device.send(can.Message(arbitration_id=2, is_extended_id=False))
    assert [frame for _, frame in read_some(link, 1)] == [record(2)]
    assert caplog.text.count("not CAN 2.0 (CAN FD?) are left out") == 1


def test_a_burst_arrives_whole(device: can.BusABC, link: Link) -> None:
    for number in range(2000):
        device.send(can.Message(arbitration_id=number, is_extended_id=False))
    assert [frame for _, frame in read_some(link, 2000)] == [record(number) for number in range(2000)]


def test_it_opens_again(device: can.BusABC, link: Link) -> None:
    link.close()
    link.close()
    device.send(can.Message(arbitration_id=1))
    with pytest.raises(LinkError, match="the link is closed"):
        link.read(0.0)
    link.open()
    device.send(can.Message(arbitration_id=2))
    assert [frame for _, frame in read_some(link, 1)] == [record(2 | EXTENDED)]


def test_close_wakes_a_waiting_read(link: Link) -> None:
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
    reader.join(10)
    assert not reader.is_alive(), "a read of 60 s was not woken"
    assert ended == ["the link is closed"]


@pytest.mark.parametrize("frames_before", [0, 1])
def test_a_bus_that_fails_delivers_first_and_fails_then(
    device: can.BusABC, link: Link, monkeypatch: pytest.MonkeyPatch, frames_before: int
) -> None:
    """SocketCAN reports a bus that went down once only, perhaps behind frames that are still to be delivered."""
    message = can.Message(arbitration_id=1, timestamp=1_700_000_000.0)
    taken = iter([message] * frames_before)

    def recv(timeout: float) -> can.Message:
        del timeout
        for message in taken:
            return message
        raise can.CanOperationError("Error receiving: Network is down", 100)

    monkeypatch.setattr(link._bus, "recv", recv)  # type: ignore[attr-defined]
    if frames_before:
        assert read_some(link, 1) == [(1_700_000_000 * SECOND, record(1 | EXTENDED))]
    for _ in range(2):
        with pytest.raises(LinkError, match=r"virtual ward: the bus is gone \(Error receiving: Network is down"):
            link.read(PATIENCE)
        monkeypatch.undo()
    link.open()
    device.send(can.Message(arbitration_id=2))
    assert read_some(link, 1)[0][1] == record(2 | EXTENDED)


def test_a_bus_that_is_not_there() -> None:
    link = LINK.create(CanSettings("nosuchcan0", "socketcan"), time.time_ns)
    with pytest.raises(LinkError, match="socketcan nosuchcan0: cannot be opened: ") as caught:
        link.open()
    assert "\n" not in str(caught.value)


# --- listen-only -----------------------------------------------------------------------------------------------------


def test_writing_is_refused_and_nothing_reaches_the_bus(device: can.BusABC, link: Link) -> None:
    with pytest.raises(LinkError, match="only listens"):
        link.write(record(1))
    assert device.recv(0.0) is None


SENDING = {"send", "send_periodic", "sendall", "sendto", "sendmsg", "write", "writelines", "flush_tx_buffer"}


def test_no_code_here_can_send() -> None:
    """What is called `send…` or `write` in these modules: only the constant commands that open a socketcand bus."""
    calls = [
        (module.__name__, ast.unparse(node))
        for module in (gateway.links.can, gateway.links.bus_time, gateway.links.socketcand)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SENDING
    ]
    assert calls == [("gateway.links.socketcand", "os.write(line, command.encode())")]


# --- socketcand ------------------------------------------------------------------------------------------------------


class Daemon:
    """As much of socketcand as a listener sees, from its doc/protocol.md."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port: int = self.listener.getsockname()[1]
        self.answers = [b"< hi >", b"< ok >", b"< ok >"]
        self.heard: list[bytes] = []
        self.client = socket.socket()
        self.thread = threading.Thread()

    def serve(self) -> None:
        """Accept one client and shake hands, in the background."""
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        self.client.close()
        self.client, _ = self.listener.accept()
        self.client.settimeout(10)
        self.client.sendall(self.answers[0])
        for answer in self.answers[1:]:
            command = self.client.recv(100)
            if not command:
                return
            self.heard.append(command)
            self.client.sendall(answer)

    def say(self, text: bytes) -> None:
        self.thread.join(10)
        self.client.sendall(text)

    def hang_up(self) -> None:
        if self.thread.ident:
            self.thread.join(10)
        self.client.close()

    def close(self) -> None:
        self.hang_up()
        self.listener.close()


NOW = 1_700_000_000 * SECOND


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with contextlib.closing(Daemon()) as daemon:
        yield daemon


@pytest.fixture
def remote(daemon: Daemon) -> Iterator[Link]:
    remote = LINK.create(CanSettings("can0", "socketcand", "127.0.0.1", daemon.port), lambda: NOW)
    yield remote
    remote.close()


def test_socketcand_frames_in_any_split(daemon: Daemon, remote: Link) -> None:
    daemon.serve()
    remote.open()
    assert daemon.heard == [b"< open can0 >", b"< rawmode >"]
    text = (
        b"< frame 123 1700000000.000001 11223344 >"
        b"< frame 00000123 1700000000.5 11 22 >\n< frame 7FF 1700000001.999999  >"
        b"< rtr 1abcdef0 1700000000.000000 4 >< error 020 1700000000.000000 >"
        b"< frame 1 1700000000.000000 0102030405060708 >"
    )
    expected = [
        (NOW + 1000, record(0x123, b"\x11\x22\x33\x44")),
        (NOW + SECOND // 2, record(0x123 | EXTENDED, b"\x11\x22")),
        (NOW + SECOND + 999_999_000, record(0x7FF)),
        (NOW, record(0x1ABCDEF0 | EXTENDED | REMOTE, length=4)),
        (NOW, record(0x020 | ERROR)),
        (NOW, record(0x001, bytes(range(1, 9)))),
    ]
    daemon.say(text)
    assert read_some(remote, 6) == expected
    for position in range(len(text)):
        daemon.say(text[position : position + 1])
        got = remote.read(0.0)
        assert got == [] or got[0] in expected
        expected += got
    while len(expected) < 12:
        expected += remote.read(PATIENCE)
    assert expected[6:] == expected[:6]


def test_frames_right_behind_the_handshake_are_not_lost(daemon: Daemon, remote: Link) -> None:
    daemon.answers[2] = b"< ok >< frame 1 1700000000.0 AA >< frame 2 1700000000.0 B"
    daemon.serve()
    remote.open()
    daemon.say(b"B >")
    assert [frame for _, frame in read_some(remote, 2)] == [record(1, b"\xaa"), record(2, b"\xbb")]


def test_a_burst_of_socketcand_frames_arrives_whole(daemon: Daemon, remote: Link) -> None:
    daemon.serve()
    remote.open()
    text = b"".join(b"< frame %03X 1700000000.0 %04X >" % (number % 0x800, number) for number in range(20_000))
    sender = threading.Thread(target=daemon.say, args=(text,), daemon=True)
    sender.start()
    frames = [frame for _, frame in read_some(remote, 20_000)]
    sender.join()
    assert frames == [record(number % 0x800, number.to_bytes(2, "big")) for number in range(20_000)]


def test_a_daemon_that_goes_is_an_error_after_its_last_frames(daemon: Daemon, remote: Link) -> None:
    for turn in (1, 2):
        daemon.serve()
        remote.open()
        daemon.say(b"< frame %d 1700000000.0 AA >< frame 7" % turn)
        daemon.hang_up()
        assert read_some(remote, 1) == [(NOW, record(turn, b"\xaa"))]
        for _ in range(2):
            with pytest.raises(LinkError, match=r"can0 at socketcand 127.0.0.1:.*the socketcand daemon closed"):
                remote.read(PATIENCE)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n"], "this is not socketcand → check host and port"),
        ([b"<" * 1000], "this is not socketcand"),
        ([b"< hi >", b"< error could not open bus >"], "'error could not open bus', not 'ok' → is the bus name right"),
        ([b"< hi >", b"< ok >"], "no answer within 1 s"),
        ([b"< MRN 12345 >"], "the daemon says something else, not 'hi'"),
    ],
)
def test_a_handshake_that_fails(daemon: Daemon, remote: Link, answers: list[bytes], reason: str) -> None:
    daemon.answers = answers
    daemon.serve()
    with pytest.raises(LinkError, match=reason) as caught:
        remote.open()
    assert "\n" not in str(caught.value)
    with pytest.raises(LinkError, match="the link is closed"):
        remote.read(0.0)
    daemon.thread.join(10)
    with contextlib.suppress(ConnectionResetError):
        while daemon.client.recv(100):
            pass  # its connection is closed, too: this ends


def test_a_daemon_that_is_not_there(daemon: Daemon, remote: Link) -> None:
    daemon.listener.close()
    with pytest.raises(LinkError, match="no connection: Connection refused"):
        remote.open()


@pytest.mark.parametrize(
    "text",
    [
        b"< frame 123 1700000000.0 1 >",
        b"< frame 123 1700000000.0 112233445566778899 >",
        b"< frame 123456789 1700000000.0 11 >",
        b"< frame 123 11 22 >",
        b"< frame XYZ 1700000000.0 11 >",
        b"< rtr 123 1700000000.0 >",
        b"frame 123",
        b"\xff\xfe",
    ],
)
def test_text_that_is_no_frame_is_an_error_after_the_good_ones(daemon: Daemon, remote: Link, text: bytes) -> None:
    daemon.serve()
    remote.open()
    daemon.say(b"< frame 1 1700000000.0 AA >" + text + b"< frame 2 1700000000.0 BB >")
    assert read_some(remote, 1) == [(NOW, record(1, b"\xaa"))]
    for _ in range(2):
        with pytest.raises(LinkError, match=r"a frame that is none|this is not socketcand"):
            remote.read(PATIENCE)


def test_other_elements_are_left_out_and_that_is_said_once(
    daemon: Daemon, remote: Link, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.serve()
    remote.open()
    fd = b"< fdframe 123 00 1700000000.0 " + bytes(64).hex().encode() + b" >"
    daemon.say(fd + b"< echo >" + fd + b"< frame 1 1700000000.0 AA >")
    assert read_some(remote, 1) == [(NOW, record(1, b"\xaa"))]
    assert caplog.text.count("'fdframe' elements are left out") == 1
    assert caplog.text.count("'echo' elements are left out") == 1


def test_a_daemon_on_a_box_with_another_time_is_stamped_at_arrival(daemon: Daemon, remote: Link) -> None:
    daemon.serve()
    remote.open()
    daemon.say(b"< frame 1 1700000060.0 AA >")
    assert read_some(remote, 1) == [(NOW, record(1, b"\xaa"))]


def test_socketcand_hears_nothing_after_the_handshake(daemon: Daemon, remote: Link) -> None:
    daemon.serve()
    remote.open()
    with pytest.raises(LinkError, match="only listens"):
        remote.write(b"< send 123 1 11 >")
    daemon.thread.join(10)
    remote.close()
    assert daemon.client.recv(100) == b""


# --- log files -------------------------------------------------------------------------------------------------------


def write_log(path: Path) -> list[tuple[int, bytes]]:
    """Write a log with python-can's writer; return what it must read as."""
    start = 1_700_000_000
    messages = [
        can.Message(start, 0x123, is_extended_id=False, data=b"\x01\x02\x03", channel=1),
        can.Message(start + 0.25, 0x1ABCDEF0, data=bytes(range(8)), channel=1),
        can.Message(start + 0.5, 0x7FF, is_extended_id=False, data=b"", channel=1),
        can.Message(start + 1.5, 0x100, is_extended_id=False, is_rx=False, data=b"\xff", channel=1),
    ]
    with can.Logger(path) as logger:
        for message in messages:
            logger(message)
    offset = start if path.suffix == ".asc" else 0
    return [
        (round((message.timestamp - offset) * SECOND), record(word, bytes(message.data)))
        for message, word in zip(messages, (0x123, 0x1ABCDEF0 | EXTENDED, 0x7FF, 0x100), strict=True)
    ]


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc", ".log", ".ASC", ".Log"])
def test_a_log_of_each_kind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bus{suffix.lower()}"
    expected = write_log(path)
    path = path.rename(tmp_path / f"bus{suffix}")
    got = list(read_log(path))
    assert [frame for _, frame in got] == [frame for _, frame in expected]
    for (t_ns, _), (expected_ns, _) in zip(got, expected, strict=True):
        assert abs(t_ns - expected_ns) <= 1_000_000  # TRC and BLF keep the start to the millisecond
    assert list(open_capture(path)) == [(t_ns, Direction.FROM_DEVICE, frame) for t_ns, frame in got]


def test_remote_error_and_fd_frames_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_text(
        "(1700000000.500000) can0 123#R4\n"
        "(1700000000.750000) can0 20000080#0000000000000000\n"
        "(1700000001.000000) can0 123##1" + "00" * 64 + "\n"
        "(1700000001.250000) can0 123#112233\n"
    )
    at = [1_700_000_000 * SECOND + SECOND // 4 * quarter for quarter in (2, 3, 4, 5)]
    assert list(open_capture(path)) == [
        (at[0], Direction.FROM_DEVICE, record(0x123 | REMOTE, length=4)),
        (at[1], Direction.FROM_DEVICE, record(ERROR)),
        (at[2], Direction.EVENT, b"left out: a frame that is not CAN 2.0"),
        (at[3], Direction.FROM_DEVICE, record(0x123, b"\x11\x22\x33")),
    ]


def test_a_frame_cut_short_in_a_log_is_never_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "bus.asc"
    path.write_text("base hex timestamps absolute\ninternal events logged\n0.5 1 123 Rx d 8 11 22\n")
    assert list(read_log(path)) == [(SECOND // 2, record(0x123, b"\x11\x22"))]


@functools.cache
def a_log(suffix: str) -> bytes:
    """The bytes of one log: python-can puts the present time into some."""
    with tempfile.TemporaryDirectory() as folder:
        write_log(Path(folder) / f"bus{suffix}")
        return (Path(folder) / f"bus{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc", ".log"])
@settings(max_examples=60)
@given(st.data())
def test_a_damaged_log_is_one_line_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / f"bus{suffix}"
    damaged = bytearray(a_log(suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        length = data.draw(st.integers(0, 9))
        damaged[start : start + length] = data.draw(st.binary(max_size=6) | st.sampled_from([b" ", b"x", b"#", b"\n"]))
    path.write_bytes(damaged)
    frames: list[tuple[int, bytes]] = []
    fault = f"{path}: not damaged"
    try:
        frames.extend(read_log(path))
    except ConfigError as error:
        fault = str(error)
    assert {len(frame) for _, frame in frames} <= {0, 16}
    assert fault.startswith(
        (f"{path}: not damaged", f"{path}: damaged after {len(frames)} fr", f"{path}: no CAN frame")
    )
    assert "\n" not in fault


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc", ".log"])
@pytest.mark.parametrize("content", [b"", b"\x1bVUE-DATA\r\n" * 20])
def test_line_bytes_under_the_name_of_a_log_are_not_silence(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bus{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"→ line bytes in a file of this name\? give it the suffix .bin"):
        list(open_capture(path))


@pytest.fixture
def logs(shared: Path) -> Path:
    return shared / "captures" / "can_logs"


@pytest.mark.parametrize("suffix", ["asc", "trc"])
def test_the_same_frames_in_two_formats(logs: Path, suffix: str) -> None:
    got = list(read_log(logs / f"test_CanMessage.{suffix}"))
    assert [frame for _, frame in got] == [
        record(0xC8, bytes([9, 8, 7, 6, 5, 4, 3, 2])),
        record(0x6F9, bytes([5, 0x0C, 0, 0, 0, 0, 0, 0])),
    ]
    assert abs(got[1][0] - got[0][0] - 15_375_708_000) <= 1_000_000  # 17.876708 s - 2.501 s, TRC has only ms


def test_a_log_with_ids_that_no_bus_has_yields_no_frame_of_another_id(logs: Path) -> None:
    """This BLF holds two made-up messages: id 4444444h without the mark of a 29-bit id."""
    assert [frame for _, frame in read_log(logs / "test_CanMessage.blf")] == [b"", b""]


def test_a_log_with_everything_in_it(logs: Path) -> None:
    everything = list(read_log(logs / "logfile.asc"))
    got = [(t_ns, frame) for t_ns, frame in everything if frame]
    assert len(everything) - len(got) == 4, "the CANFD lines"
    words = [struct.unpack_from("<IB", frame) for _, frame in got]
    assert words[:6] == [
        (ERROR, 0),
        (ERROR, 0),
        (ERROR, 0),
        (0x100 | REMOTE, 0),
        (0x200 | REMOTE, 0),
        (0x300 | REMOTE, 8),
    ]
    assert got[6] == (3_098_426_000, record(0x18EBFF00 | EXTENDED, bytes.fromhex("01A00FA6603BD140")))
    assert [t_ns for t_ns, _ in got] == sorted(t_ns for t_ns, _ in got)


# --- the kind --------------------------------------------------------------------------------------------------------


def test_settings_and_kind() -> None:
    assert LINK.describe(CanSettings()) == "can0 (socketcan, listen only)"
    assert LINK.resource(CanSettings()) == "can0"
    remote = CanSettings("can1", "socketcand", "10.0.0.7")
    assert LINK.describe(remote) == "10.0.0.7:29536 can1 (socketcand, listen only)"
    assert LINK.resource(remote) == "10.0.0.7:29536 can1"
    with pytest.raises(ConfigError, match="interface = 'pcan': must be one of 'socketcan'"):
        CanSettings(interface="pcan")


NAMESPACE = """
set -e
ip link set lo up
ip link set lo multicast on
ip route add 239.0.0.0/8 dev lo
exec "$@"
"""
MULTICAST = """
import time
import can
from gateway.links.can import LINK, CanSettings

link = LINK.create(CanSettings(channel="239.74.163.2", interface="udp_multicast"), time.time_ns)
link.open()
with can.Bus(interface="udp_multicast", channel="239.74.163.2") as bus:
    bus.send(can.Message(arbitration_id=0x10040070, is_extended_id=True, data=bytes.fromhex("E425000001000000")))
    received = []
    while not received:
        received = link.read(1.0)
link.close()
print(received[0][1].hex())
"""


def test_udp_multicast_in_a_network_of_its_own() -> None:
    """In a network namespace whose one interface is loopback: nothing of it can reach another machine."""
    command = ["unshare", "-n", "sh", "-c", NAMESPACE, "sh", sys.executable, "-c", MULTICAST]
    try:
        allowed = subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare or ip is not installed")
    if allowed.returncode:
        pytest.skip("no right to make a network namespace")
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "700004900800" + "0000" + "e425000001000000"
