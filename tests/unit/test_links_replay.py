"""Replay: a capture through the link contract, live at its own pace, or at once with its recorded times."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, LinkError
from gateway.links.loopback import LoopbackEnd, Side
from gateway.links.recorder import RecordingLink
from gateway.links.replay import LINK, EndOfRecording, ReplayLink, ReplaySettings
from gateway.record import Direction, Header, Record, RecordingWriter

PATIENCE = 1.0
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
HEADER = Header("2026-01-31T12:00:00Z", "0.1.0", "port", "driver", "link")
RECORDS = [
    Record(START - SECOND, Direction.EVENT, b"opened"),
    Record(START, Direction.FROM_DEVICE, b"one"),
    Record(START + 1, Direction.TO_DEVICE, b"poll"),
    Record(START + SECOND, Direction.FROM_DEVICE, b"two"),
    Record(START + SECOND, Direction.FROM_DEVICE, b""),
    Record(START + SECOND, Direction.FROM_DEVICE, b"three"),
    Record(START + 4 * SECOND, Direction.FROM_DEVICE, b"four"),
    Record(START + 5 * SECOND, Direction.EVENT, b"recording stopped"),
]


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 5000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def record(path: Path, records: list[Record]) -> str:
    writer = RecordingWriter(path, HEADER)
    for one in records:
        writer.append(*one)
    writer.close()
    return str(path)


def play(link: ReplayLink) -> list[tuple[int, bytes]]:
    """Read to the end."""
    played: list[tuple[int, bytes]] = []
    try:
        while True:
            played += link.read(0.0)
    except EndOfRecording:
        return played


def test_live_it_keeps_its_pace_and_is_stamped_at_arrival(tmp_path: Path, clock: Clock) -> None:
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", RECORDS)), clock)
    link.open()
    opened = clock.now
    assert link.read(0.0) == [(opened, b"one")]
    assert link.read(0.001) == []
    clock.now = opened + SECOND - 1
    assert link.read(0.0) == []
    clock.now = opened + SECOND
    assert link.read(0.0) == [(clock.now, b"two"), (clock.now, b"three")]
    clock.now = opened + 10 * SECOND
    assert link.read(0.0) == [(clock.now, b"four")]
    for _ in range(2):
        with pytest.raises(EndOfRecording, match=r"x.mdirec: the recording is at its end"):
            link.read(0.0)


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, 100.0])
def test_speed(tmp_path: Path, clock: Clock, speed: float) -> None:
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", RECORDS), speed), clock)
    link.open()
    opened = clock.now
    assert len(link.read(0.0)) == 1
    clock.now = opened + round(SECOND / speed) - 1
    assert link.read(0.0) == []
    clock.now += 1
    assert [data for _, data in link.read(0.0)] == [b"two", b"three"]


def test_a_wait_ends_when_the_bytes_are_due(tmp_path: Path) -> None:
    records = [RECORDS[1], Record(START + SECOND // 100, Direction.FROM_DEVICE, b"soon")]
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", records)), time.time_ns)
    link.open()
    first = link.read(PATIENCE)
    later: list[tuple[int, bytes]] = []
    while not later:
        later = link.read(60.0)
    assert [data for _, data in first + later] == [b"one", b"soon"]
    assert later[0][0] - first[0][0] >= 0


def test_at_once_it_keeps_its_recorded_times_every_time(tmp_path: Path, clock: Clock) -> None:
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", RECORDS), speed=0), clock)
    for _ in range(2):
        link.open()
        assert play(link) == [
            (START, b"one"),
            (START + SECOND, b"two"),
            (START + SECOND, b"three"),
            (START + 4 * SECOND, b"four"),
        ]
        clock.now += 77


def test_at_once_comes_in_bounded_reads(tmp_path: Path, clock: Clock) -> None:
    records = [Record(START + number, Direction.FROM_DEVICE, bytes(1000)) for number in range(200)]
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", records), speed=0), clock)
    link.open()
    sizes: list[int] = []
    while sum(sizes) < 200_000:
        sizes.append(sum(len(data) for _, data in link.read(0.0)))
    assert max(sizes) < 64 * 1024 + 1000
    assert len(sizes) == 4


def test_line_bytes_come_in_chunks_as_fast_as_they_are_read(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "line.bin"
    path.write_bytes(bytes(range(200)))
    for speed in (0.0, 1.0):
        link = ReplayLink(ReplaySettings(str(path), speed, chunk=44), clock)
        link.open()
        played = play(link)
        assert [len(data) for _, data in played] == [44, 44, 44, 44, 24]
        assert b"".join(data for _, data in played) == path.read_bytes()
        assert {t_ns for t_ns, _ in played} == {clock.now}


def test_a_capture_without_absolute_time_is_laid_at_the_moment_of_opening(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "bus.asc"
    path.write_text("base hex timestamps absolute\ninternal events logged\n2.5 1 123 Rx d 1 11\n4.0 1 124 Rx d 1 22\n")
    link = ReplayLink(ReplaySettings(str(path), speed=0), clock)
    link.open()
    assert [t_ns - clock.now for t_ns, _ in play(link)] == [0, SECOND * 3 // 2]


def test_what_the_gateway_writes_goes_nowhere(tmp_path: Path, clock: Clock) -> None:
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", RECORDS), speed=0), clock)
    link.open()
    link.write(b"poll")
    assert [data for _, data in play(link)] == [b"one", b"two", b"three", b"four"]
    link.close()
    with pytest.raises(LinkError, match="the link is closed"):
        link.write(b"poll")


def test_damage_is_a_fault_of_the_link_after_the_good_bytes(tmp_path: Path, clock: Clock) -> None:
    path = Path(record(tmp_path / "x.mdirec", RECORDS))
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"four")] ^= 1
    path.write_bytes(whole)
    link = ReplayLink(ReplaySettings(str(path), speed=0), clock)
    link.open()
    assert [data for _, data in link.read(0.0)] == [b"one", b"two", b"three"]
    for _ in range(2):
        with pytest.raises(LinkError, match="damaged at byte") as caught:
            link.read(0.0)
        assert not isinstance(caught.value, EndOfRecording)


def test_a_cut_recording_ends_with_its_last_whole_record(tmp_path: Path, clock: Clock) -> None:
    path = Path(record(tmp_path / "x.mdirec", RECORDS[:-1]))
    path.write_bytes(path.read_bytes()[:-1])
    link = ReplayLink(ReplaySettings(str(path), speed=0), clock)
    link.open()
    assert [data for _, data in play(link)] == [b"one", b"two", b"three"]


def test_a_recording_in_which_the_device_says_nothing_is_at_its_end(tmp_path: Path, clock: Clock) -> None:
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", RECORDS[:1])), clock)
    link.open()
    with pytest.raises(EndOfRecording):
        link.read(0.0)


def test_what_a_line_said_is_what_its_recording_plays(tmp_path: Path, clock: Clock) -> None:
    said = [bytes([number]) * (number + 1) for number in range(50)]
    device = LoopbackEnd("recorded", Side.DEVICE, clock)
    device.open()
    writer = RecordingWriter(tmp_path / "x.mdirec", HEADER)
    line = RecordingLink(LoopbackEnd("recorded", Side.GATEWAY, clock), clock, writer)
    line.open()
    seen: list[tuple[int, bytes]] = []
    clock.now = START
    for piece in said:
        device.write(piece)
        seen += line.read(PATIENCE)
        line.write(b"ok")
        clock.now += 7
    line.close()
    line.stop()
    assert [data for _, data in seen] == said
    link = ReplayLink(ReplaySettings(str(tmp_path / "x.mdirec"), speed=0), clock)
    link.open()
    assert play(link) == seen


def test_a_file_that_cannot_be_played(tmp_path: Path, clock: Clock) -> None:
    link = ReplayLink(ReplaySettings(str(tmp_path / "absent.mdirec")), clock)
    with pytest.raises(LinkError, match=r"absent.mdirec: cannot be read: No such file"):
        link.open()
    with pytest.raises(LinkError, match="the link is closed"):
        link.read(0.0)
    (tmp_path / "absent.mdirec").write_bytes(b"something else")
    with pytest.raises(LinkError, match="not a recording"):
        link.open()


def test_close_wakes_a_waiting_read(tmp_path: Path, clock: Clock) -> None:
    link = ReplayLink(ReplaySettings(record(tmp_path / "x.mdirec", RECORDS)), clock)
    link.open()
    link.read(0.0)
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
    assert not reader.is_alive()
    assert ended == ["the link is closed"]
    link.open()
    assert [data for _, data in link.read(0.0)] == [b"one"]


def test_settings_and_kind() -> None:
    settings = ReplaySettings("/data/night.mdirec", 2.0)
    assert LINK.describe(settings) == "replay of night.mdirec at speed 2"
    assert LINK.resource(settings) == "", "several ports may play one file"
    assert ReplaySettings("x", speed=1).speed == 1
    for name, wrong in (("speed", -1.0), ("speed", float("nan")), ("chunk", 0), ("path", "")):
        with pytest.raises(ConfigError, match=f"{name} = "):
            ReplaySettings(**{"path": "x", name: wrong})  # type: ignore[arg-type]
