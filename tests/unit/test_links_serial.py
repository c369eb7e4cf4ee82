"""Serial links on ptys: open, read, write, unplug, replug, and every way in which a port does not open."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from gateway.core.errors import ConfigError, LinkError
from gateway.links.serial import LINK, SerialLink, SerialSettings

PATIENCE = 1.0  # the longest a read may wait; nothing here needs it, a failing test ends by it
TTY_IFLAG, TTY_CFLAG, TTY_LFLAG, TTY_ISPEED = 0, 2, 3, 4  # places in what tcgetattr returns


class Device:
    """The other side of a serial cable: a pty master, plugged in at a path that stays the same over a replug."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.plug()

    def plug(self) -> None:
        self.master, slave = pty.openpty()
        name = os.ttyname(slave)
        os.close(slave)
        self.path.symlink_to(name)

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self.master)
        self.master = -1

    def say(self, data: bytes) -> None:
        assert os.write(self.master, data) == len(data)

    def hear(self, length: int) -> bytes:
        heard = b""
        while len(heard) < length:
            assert select.select([self.master], [], [], PATIENCE)[0], f"only {heard!r} arrived"
            heard += os.read(self.master, length - len(heard))
        return heard


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "port")
    yield device
    if device.master >= 0:
        device.unplug()


@pytest.fixture
def link(device: Device) -> Iterator[SerialLink]:
    link = SerialLink(SerialSettings(str(device.path)), time.time_ns)
    yield link
    link.close()


def read_all(link: SerialLink, length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunks = link.read(PATIENCE)
        assert chunks, f"only {len(data)} bytes arrived"
        data += b"".join(chunk for _, chunk in chunks)
    return data


def read_to_the_end(link: SerialLink) -> tuple[bytes, str]:
    """Return what was still said, and the fault that ended it."""
    data = b""
    try:
        while True:
            data += b"".join(chunk for _, chunk in link.read(PATIENCE))
    except LinkError as error:
        return data, str(error)


def test_bytes_of_every_value_pass_both_ways_unchanged(device: Device, link: SerialLink) -> None:
    link.open()
    every = bytes(range(256))
    device.say(every)
    assert read_all(link, 256) == every
    link.write(every)
    assert device.hear(256) == every


def test_a_chunk_has_one_stamp_not_before_its_arrival(device: Device) -> None:
    ticks = iter([111, 222])
    link = SerialLink(SerialSettings(str(device.path)), lambda: next(ticks))
    link.open()
    device.say(b"abc")
    assert link.read(PATIENCE) == [(111, b"abc")]
    assert link.read(0.0) == []
    device.say(b"g")
    assert link.read(PATIENCE) == [(222, b"g")]
    link.close()


def test_more_than_a_pty_holds_passes_both_ways(device: Device, link: SerialLink) -> None:
    link.open()
    much = os.urandom(200_000)
    with contextlib.closing(_Background(lambda: _say_all(device, much))):
        assert read_all(link, len(much)) == much
    heard: list[bytes] = []
    with contextlib.closing(_Background(lambda: heard.append(device.hear(len(much))))):
        link.write(much)
    assert heard == [much]


def _say_all(device: Device, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(device.master, left) :]


class _Background(threading.Thread):
    """Runs `work` in a thread; closing joins it and raises what it raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def close(self) -> None:
        self.join(10)
        assert not self.is_alive()
        if self._error:
            raise self._error


def test_unplugged_is_an_error_after_the_last_bytes(device: Device, link: SerialLink) -> None:
    link.open()
    device.say(b"last words")
    device.unplug()
    said, fault = read_to_the_end(link)
    # A pty may throw the last bytes away on hang-up; it never changes them.
    assert said in (b"", b"last words")
    assert fault.startswith(f"{device.path}: the port is gone, unplugged?")
    with pytest.raises(LinkError, match="unplugged"):
        link.read(PATIENCE)
    with pytest.raises(LinkError, match="unplugged"):
        link.write(b"x")


def test_unplugging_wakes_a_waiting_read(device: Device, link: SerialLink) -> None:
    link.open()
    with contextlib.closing(_Background(device.unplug)):
        assert "unplugged" in read_to_the_end(link)[1]


def test_replugged_it_opens_again(device: Device, link: SerialLink) -> None:
    for turn in (b"first", b"second", b"third"):
        link.open()
        device.say(turn)
        assert read_all(link, len(turn)) == turn
        device.unplug()
        assert "unplugged" in read_to_the_end(link)[1]
        with pytest.raises(LinkError, match="no such port"):
            link.open()
        device.plug()


def test_what_waited_before_the_open_is_not_stamped_as_new(device: Device, link: SerialLink) -> None:
    with serial.Serial(str(device.path)) as other:
        device.say(b"old")
        assert select.select([other.fd], [], [], PATIENCE)[0]
    link.open()
    device.say(b"new")
    assert link.read(PATIENCE)[0][1] == b"new"


def test_close_wakes_a_waiting_read_and_is_idempotent(device: Device) -> None:
    link = SerialLink(SerialSettings(str(device.path)), time.time_ns)
    link.close()
    link.open()
    waiting = threading.Event()
    ended: list[str] = []

    def wait() -> None:
        waiting.set()
        try:
            while True:
                link.read(60.0)
        except LinkError as error:
            ended.append(str(error))

    reader = threading.Thread(target=wait, daemon=True)
    reader.start()
    assert waiting.wait(PATIENCE)
    link.close()
    reader.join(10)
    assert not reader.is_alive(), "a read of 60 s was not woken"
    assert ended == [f"{device.path}: the link is closed"]
    link.close()
    with pytest.raises(LinkError, match="closed"):
        link.read(0.0)
    with pytest.raises(LinkError, match="closed"):
        link.write(b"x")


def test_no_descriptor_is_left_behind(device: Device, link: SerialLink) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    link.open()
    link.close()
    before = count()
    for _ in range(20):
        link.open()
        link.open()
        link.close()
    assert count() <= before
    missing = SerialLink(SerialSettings(str(device.path) + "x"), time.time_ns)
    no_tty = SerialLink(SerialSettings(__file__), time.time_ns)
    for broken in (missing, no_tty):
        for _ in range(20):
            with pytest.raises(LinkError):
                broken.open()
    assert count() <= before


def test_a_device_that_takes_no_bytes_is_an_error(link: SerialLink) -> None:
    link.open()
    with pytest.raises(LinkError, match=r"takes no bytes for 1 s.*flow control"):
        link.write(bytes(1_000_000))  # nobody reads the master: a pty holds some ten thousand


def test_missing(tmp_path: Path) -> None:
    link = SerialLink(SerialSettings(str(tmp_path / "ttyUSB9")), time.time_ns)
    with pytest.raises(LinkError, match="ttyUSB9: no such port → plug it in"):
        link.open()


def test_busy_for_our_own_kind(device: Device, link: SerialLink) -> None:
    link.open()
    other = SerialLink(SerialSettings(str(device.path)), time.time_ns)
    with pytest.raises(LinkError, match="in use by another program → find it with: fuser"):
        other.open()
    link.close()
    other.open()
    other.close()


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may open everything: for a moment, be somebody else."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)  # nobody
    try:
        yield
    finally:
        os.seteuid(was)


def test_busy_for_every_other_program(device: Device, link: SerialLink) -> None:
    real = os.path.realpath(device.path)
    os.chmod(real, 0o666)
    link.open()
    with ordinary_user(), pytest.raises(OSError, match="resource busy"):
        os.open(real, os.O_RDWR | os.O_NOCTTY)
    other = SerialLink(SerialSettings(real), time.time_ns)
    with ordinary_user(), pytest.raises(LinkError, match="in use by another program"):
        other.open()
    link.close()
    with ordinary_user():
        other.open()
    other.close()


def test_permission(device: Device) -> None:
    real = os.path.realpath(device.path)
    os.chmod(real, 0o000)
    link = SerialLink(SerialSettings(real), time.time_ns)
    with ordinary_user(), pytest.raises(LinkError, match=r"permission denied → let the gateway's user .* dialout"):
        link.open()


def test_not_a_serial_port() -> None:
    link = SerialLink(SerialSettings(__file__), time.time_ns)
    with pytest.raises(LinkError, match="cannot be opened") as caught:
        link.open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("baud", [50, 1200, 9600, 19200, 115200, 4_000_000])
def test_standard_speeds(device: Device, baud: int) -> None:
    link = SerialLink(SerialSettings(str(device.path), baud=baud), time.time_ns)
    link.open()
    assert termios.tcgetattr(device.master)[TTY_ISPEED] == getattr(termios, f"B{baud}")
    link.close()


@pytest.mark.parametrize("baud", [10_400, 31_250, 250_000])
def test_other_speeds_carry_bytes_too(device: Device, baud: int) -> None:
    link = SerialLink(SerialSettings(str(device.path), baud=baud), time.time_ns)
    link.open()
    device.say(b"abc")
    assert link.read(PATIENCE)[0][1] == b"abc"
    link.close()


def test_the_line_is_set_as_the_manual_says(device: Device) -> None:
    held = os.open(device.path, os.O_RDWR | os.O_NOCTTY)  # keeps what somebody else has left set
    left = termios.tcgetattr(held)
    left[TTY_IFLAG] |= termios.BRKINT | termios.IGNPAR | termios.ISTRIP | termios.ICRNL
    termios.tcsetattr(held, termios.TCSANOW, left)
    settings = SerialSettings(str(device.path), 1200, 7, "even", 2, "rts_cts")
    link = SerialLink(settings, time.time_ns)
    link.open()
    iflag, _, cflag, lflag = termios.tcgetattr(device.master)[:4]
    # A pty keeps what is asked for, except CSIZE and PARENB, which it forces to 8 bits without parity (pty.c).
    assert cflag & termios.CSTOPB
    assert cflag & termios.PARODD == 0
    assert cflag & termios.CRTSCTS
    assert not lflag & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert iflag & termios.INPCK, "a byte with a parity error must not pass as good"
    assert not iflag & (termios.BRKINT | termios.IGNPAR | termios.ICRNL | termios.IXON | termios.ISTRIP)
    link.close()
    os.close(held)


def test_flow_control_by_characters(device: Device) -> None:
    link = SerialLink(SerialSettings(str(device.path), flow_control="xon_xoff"), time.time_ns)
    link.open()
    assert termios.tcgetattr(device.master)[TTY_IFLAG] & termios.IXON
    link.close()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"baud": 0}, r"baud = 0: must be 50 to 4000000 bit/s"),
        ({"baud": 9600.0}, r"baud = 9600.0: must be a whole number"),
        ({"baud": True}, r"baud = True: must be a whole number"),
        ({"data_bits": 9}, r"data_bits = 9: must be one of 5, 6, 7, 8"),
        ({"parity": "E"}, r"parity = 'E': must be one of 'none', 'even'"),
        ({"stop_bits": 3}, r"stop_bits = 3: must be one of 1, 2"),
        ({"flow_control": ""}, r"flow_control = '': must be one of"),
        ({"device": " "}, r"device = ' ': must not be empty"),
        ({"device": 5}, r"device = 5: must be a text"),
    ],
)
def test_settings_cannot_hold_a_wrong_value(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        SerialSettings(**{"device": "/dev/ttyUSB0", **wrong})  # type: ignore[arg-type]


def test_the_kind(device: Device) -> None:
    settings = SerialSettings(str(device.path), 19200, 8, "even", 1, "xon_xoff")
    assert LINK.describe(settings) == f"{device.path} 19200 8E1 xon_xoff"
    assert LINK.resource(settings) == os.path.realpath(device.path)
    assert LINK.resource(settings).startswith("/dev/pts/")
    assert LINK.describe(SerialSettings("/dev/ttyUSB0")) == "/dev/ttyUSB0 9600 8N1"
    link = LINK.create(settings, time.time_ns)
    link.open()
    link.close()
