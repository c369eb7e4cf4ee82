"""The recording format: what is written is read back, a crash costs the last record at most, damage is an error."""

from __future__ import annotations

import contextlib
import resource
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, LinkError
from gateway.links.recorder import RecordingLink
from gateway.record import (
    HEADER_MAX,
    MAGIC,
    RECORD_MAX,
    SEALED_VERSION,
    VERSION,
    Direction,
    Header,
    Record,
    Recording,
    RecordingWriter,
    open_capture,
    read_recording,
    utc_text,
)

HEADER = Header(
    created="2026-01-31T12:00:00Z",
    gateway="0.1.0",
    port="bed-12-monitor",
    driver="philips_intellivue",
    link="/dev/ttyUSB0 115200 8N1",
    profiles=(("philips/mp90", "sha256:00"), ("philips/mp50", "sha256:01")),
    note="Prüfung: æøå",
)
RECORDS = [
    Record(1_700_000_000_000_000_000, Direction.TO_DEVICE, b"poll"),
    Record(1_700_000_000_010_000_000, Direction.FROM_DEVICE, bytes(range(256))),
    Record(1_700_000_000_000_000_000, Direction.FROM_DEVICE, b""),
    Record(1_700_000_001_000_000_000, Direction.EVENT, "unplugged: æ".encode()),
]
FIXED = struct.Struct("<8sHII")  # as docs/recordings.md has it, not as the code has it
HEAD = struct.Struct("<qBII")


def recorded(path: Path, records: list[Record], header: Header = HEADER) -> Path:
    writer = RecordingWriter(path, header)
    for record in records:
        writer.append(*record)
    writer.close()
    return path


def built(records: list[Record], header: bytes) -> bytes:
    """The format once more, from docs/recordings.md."""
    file = FIXED.pack(b"MDIREC\x1a\n", 1, len(header), zlib.crc32(header)) + header
    for t_ns, direction, data in records:
        checked = struct.pack("<qBI", t_ns, direction, len(data))
        file += HEAD.pack(t_ns, direction, len(data), zlib.crc32(checked + data)) + data
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "line.mdirec"


any_record = st.builds(
    Record,
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from(list(Direction)),
    st.binary(max_size=300),
)


@given(st.lists(any_record, max_size=20), st.text(max_size=50))
def test_what_is_written_is_read_back(records: list[Record], note: str) -> None:
    header = Header("2026-01-31T12:00:00Z", "0.1.0", "port", "driver", "link", note=note)
    with tempfile.TemporaryDirectory() as folder:
        recording = read_recording(recorded(Path(folder) / "x.mdirec", records, header))
        assert recording.header == header
        assert list(recording) == records
        assert list(recording) == records, "a recording can be read again"
        assert recording.cut == 0


def test_the_file_is_what_the_document_says(path: Path) -> None:
    data = recorded(path, RECORDS).read_bytes()
    length = FIXED.unpack_from(data)[2]
    assert data == built(RECORDS, data[FIXED.size : FIXED.size + length])


def test_a_cut_at_every_byte_costs_the_cut_record_only(path: Path) -> None:
    whole = recorded(path, RECORDS).read_bytes()
    header_end = FIXED.size + FIXED.unpack_from(whole)[2]
    ends = [header_end]
    for record in RECORDS:
        ends.append(ends[-1] + HEAD.size + len(record.data))
    assert ends[-1] == len(whole)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size < header_end:
            with pytest.raises(ConfigError, match=r"cut inside the header|not a recording"):
                read_recording(path)
            continue
        recording = read_recording(path)
        kept = sum(end <= size for end in ends) - 1
        assert list(recording) == RECORDS[:kept]
        assert recording.cut == size - ends[kept]


def test_a_cut_is_reported_in_the_stream(path: Path) -> None:
    whole = recorded(path, RECORDS).read_bytes()
    path.write_bytes(whole[:-1])
    records = list(open_capture(path))
    assert records[:-1] == RECORDS[:-1]
    last = records[-1]
    assert last.direction is Direction.EVENT
    assert b"left out: %d bytes" % (HEAD.size + len(RECORDS[-1].data) - 1) in last.data


@pytest.mark.parametrize("zeros", [1, 13, 17, 4096, 200_000])
def test_zeros_of_a_power_cut_are_a_cut(path: Path, zeros: int) -> None:
    path.write_bytes(recorded(path, RECORDS).read_bytes() + bytes(zeros))
    recording = read_recording(path)
    assert list(recording) == RECORDS
    assert recording.cut == zeros


def test_blocks_that_were_never_written_are_a_cut(path: Path) -> None:
    whole = recorded(path, RECORDS).read_bytes()
    last = HEAD.size + len(RECORDS[-1].data)
    path.write_bytes(whole[:-3] + bytes(3 + 5000))
    recording = read_recording(path)
    assert list(recording) == RECORDS[:-1]
    assert recording.cut == last + 5000


def test_every_flipped_bit_is_found(path: Path) -> None:
    whole = recorded(path, RECORDS[:2]).read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                recording = read_recording(path)
                records = list(recording)
            except ConfigError:
                continue
            assert recording.cut > 0, (position, bit)
            assert records == RECORDS[: len(records)], (position, bit)


def test_damage_in_the_middle_is_an_error_after_the_good_records(path: Path) -> None:
    whole = bytearray(recorded(path, RECORDS).read_bytes())
    start = whole.index(bytes(range(256)))
    whole[start + 7] ^= 0x10
    path.write_bytes(whole)
    records: list[Record] = []
    with pytest.raises(ConfigError, match=f"damaged at byte {start - HEAD.size}$"):
        records.extend(read_recording(path))
    assert records == RECORDS[:1]


def test_a_length_that_no_record_has_is_damage(path: Path) -> None:
    whole = bytearray(recorded(path, RECORDS).read_bytes())
    start = whole.index(b"poll") - HEAD.size
    struct.pack_into("<I", whole, start + 9, RECORD_MAX + 1)
    path.write_bytes(whole)
    with pytest.raises(ConfigError, match=f"damaged at byte {start}$"):
        list(read_recording(path))


@given(st.binary(max_size=400))
def test_a_foreign_file_is_refused_in_one_line(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.mdirec"
        path.write_bytes(data)
        for read in (read_recording, open_capture):
            with pytest.raises(ConfigError) as caught:
                read(path)
            assert "\n" not in str(caught.value)
            assert str(path) in str(caught.value)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_garbage_behind_a_good_header_never_makes_a_record(garbage: bytes, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = recorded(Path(folder) / "x.mdirec", [])
        with path.open("ab") as file:
            file.write(garbage[:length])
        records: list[Record] = []
        with contextlib.suppress(ConfigError):
            records.extend(read_recording(path))
        assert records == []


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "the header is not one"),
        (b"[]", "its keys must be created"),
        (b"{}", "its keys must be created"),
        (b"nul", "the header is not one"),
        (b"[" * 5000, "the header is not one"),
        (b'{"created":1,"gateway":"","port":"","driver":"","link":"","profiles":[],"note":""}', "must be text"),
        (b'{"created":"","gateway":"","port":"","driver":"","link":"","profiles":[[1,2]],"note":""}', "must be text"),
        (b'{"created":"","gateway":"","port":"","driver":"","link":"","profiles":3,"note":""}', "the header is not"),
        (
            b'{"created":"","gateway":"","port":"","driver":"","link":"","profiles":[],"note":"","patient":"x"}',
            "its keys must be created",
        ),
    ],
)
def test_a_header_has_exactly_our_keys(path: Path, header: bytes, reason: str) -> None:
    path.write_bytes(built([], header))
    with pytest.raises(ConfigError, match=reason) as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


def test_another_version_and_an_endless_header_are_refused(path: Path) -> None:
    path.write_bytes(FIXED.pack(MAGIC, SEALED_VERSION + 1, 2, zlib.crc32(b"{}")) + b"{}")
    with pytest.raises(ConfigError, match=f"version {SEALED_VERSION + 1}"):
        read_recording(path)
    path.write_bytes(FIXED.pack(MAGIC, VERSION, HEADER_MAX + 1, 0) + bytes(HEADER_MAX + 1))
    with pytest.raises(ConfigError, match="header is damaged"):
        read_recording(path)


def test_an_unknown_direction_is_refused(path: Path) -> None:
    checked = struct.pack("<qBI", 5, 3, 0)
    path.write_bytes(recorded(path, []).read_bytes() + HEAD.pack(5, 3, 0, zlib.crc32(checked)))
    with pytest.raises(ConfigError, match="unknown direction 3"):
        list(read_recording(path))


def test_a_long_piece_is_split_and_comes_back_whole(path: Path) -> None:
    data = bytes(range(256)) * (RECORD_MAX // 256) + b"tail"
    records = list(read_recording(recorded(path, [Record(5, Direction.FROM_DEVICE, data)])))
    assert [len(record.data) for record in records] == [RECORD_MAX, 4]
    assert b"".join(record.data for record in records) == data


def test_the_writer_never_overwrites_and_is_private(path: Path) -> None:
    recorded(path, RECORDS)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="File exists"):
        RecordingWriter(path, HEADER)
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="No such file"):
        RecordingWriter(path.parent / "absent" / "x.mdirec", HEADER)
    with pytest.raises(ConfigError, match="header of"):
        RecordingWriter(path.parent / "y.mdirec", Header("", "", "", "", "", note="x" * HEADER_MAX))


def test_a_crash_loses_at_most_a_second_of_recorded_time(path: Path) -> None:
    """Read the file while the writer has not closed it: that is what a crash would leave."""
    writer = RecordingWriter(path, HEADER)
    second = 1_000_000_000
    assert list(read_recording(path)) == []
    for tenth in range(31):
        writer.append(second * 100 + tenth * second // 10, Direction.FROM_DEVICE, b"x")
        there = list(read_recording(path))
        assert tenth + 1 - len(there) < 10
    writer.append(0, Direction.FROM_DEVICE, b"the clock was set back")
    assert list(read_recording(path))[-1].data == b"the clock was set back"
    writer.close()
    writer.close()


def test_utc_text() -> None:
    assert utc_text(1_769_860_800_999_999_999) == "2026-01-31T12:00:00Z"


class FakeLink:
    """Gives what it is told to, in order; an exception is raised."""

    def __init__(self, *reads: list[tuple[int, bytes]] | LinkError) -> None:
        self.reads = iter(reads)
        self.written: list[bytes] = []
        self.refuse: LinkError | None = None
        self.open_now = False

    def open(self) -> None:
        if self.refuse:
            raise self.refuse
        self.open_now = True

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        del timeout
        given = next(self.reads)
        if isinstance(given, LinkError):
            raise given
        return given

    def write(self, data: bytes) -> None:
        if self.refuse:
            raise self.refuse
        self.written.append(data)

    def close(self) -> None:
        self.open_now = False


def ticking(start: int = 1000) -> Callable[[], int]:
    ticks: Iterator[int] = iter(range(start, start + 1000))
    return lambda: next(ticks)


def test_a_recorder_is_just_a_listener(path: Path) -> None:
    inner = FakeLink([(7, b"one"), (8, b"two")], [], LinkError("unplugged", "/dev/x"))
    link = RecordingLink(inner, ticking(), RecordingWriter(path, HEADER))
    link.open()
    assert inner.open_now
    assert link.read(1.0) == [(7, b"one"), (8, b"two")]
    link.write(b"poll")
    assert inner.written == [b"poll"]
    assert link.read(1.0) == []
    with pytest.raises(LinkError, match="unplugged"):
        link.read(1.0)
    link.close()
    assert not inner.open_now
    inner.refuse = LinkError("no such port", "/dev/x")
    with pytest.raises(LinkError, match="no such port"):
        link.open()
    with pytest.raises(LinkError, match="no such port"):
        link.write(b"lost")
    link.stop()
    assert list(read_recording(path)) == [
        Record(1000, Direction.EVENT, b"opened"),
        Record(7, Direction.FROM_DEVICE, b"one"),
        Record(8, Direction.FROM_DEVICE, b"two"),
        Record(1001, Direction.TO_DEVICE, b"poll"),
        Record(1002, Direction.EVENT, b"failed: /dev/x: unplugged"),
        Record(1003, Direction.EVENT, b"closed"),
        Record(1004, Direction.EVENT, b"not opened: /dev/x: no such port"),
        Record(1005, Direction.EVENT, b"not written: /dev/x: no such port"),
        Record(1006, Direction.EVENT, b"recording stopped"),
    ]
    assert link.stopped_by == ""


def test_recording_starts_and_stops_while_the_line_runs(tmp_path: Path) -> None:
    inner = FakeLink(*[[(t, b"%d" % t)] for t in range(5)])
    link = RecordingLink(inner, ticking())
    link.stop()
    link.read(1.0)
    link.start(RecordingWriter(tmp_path / "a.mdirec", HEADER))
    link.read(1.0)
    link.start(RecordingWriter(tmp_path / "b.mdirec", HEADER))
    link.read(1.0)
    link.stop()
    link.stop()
    assert link.read(1.0) == [(3, b"3")]
    for name, told in (("a", b"1"), ("b", b"2")):
        records = list(read_recording(tmp_path / f"{name}.mdirec"))
        assert [record.data for record in records] == [b"recording started", told, b"recording stopped"]


def test_a_full_recording_ends_itself_and_nothing_else(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inner = FakeLink(*[[(t, bytes(100))] for t in range(20)])
    link = RecordingLink(inner, ticking(), RecordingWriter(path, HEADER, size_max=1500))
    for t in range(20):
        assert link.read(1.0) == [(t, bytes(100))]
    assert "1500 bytes" in link.stopped_by
    assert "recording stopped" in caplog.text
    recording: Recording = read_recording(path)
    assert 0 < len(list(recording)) < 20
    assert recording.cut == 0
    assert path.stat().st_size <= 1500


def test_a_disk_that_takes_no_more_ends_the_recording_and_nothing_else(path: Path) -> None:
    inner = FakeLink(*[[(t * 10**9, bytes(1000))] for t in range(100)])
    link = RecordingLink(inner, ticking(), RecordingWriter(path, HEADER))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # write() then fails with EFBIG
    try:
        for t in range(100):
            assert link.read(1.0) == [(t * 10**9, bytes(1000))]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert link.stopped_by == "File too large"
    recording = read_recording(path)
    assert 40 < len(list(recording)) < 50


def test_the_port_does_not_wait_while_a_recording_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, done = threading.Event(), threading.Event()
    in_time: list[bool] = []

    def fsync(descriptor: int) -> None:
        del descriptor
        syncing.set()
        in_time.append(done.wait(10))

    monkeypatch.setattr("os.fsync", fsync)
    link = RecordingLink(FakeLink([(1, b"one")], [(2, b"two")]), ticking(), RecordingWriter(path, HEADER))
    link.read(1.0)
    stopper = threading.Thread(target=link.stop, daemon=True)
    stopper.start()
    assert syncing.wait(10)
    assert link.read(1.0) == [(2, b"two")]
    done.set()
    stopper.join(10)
    assert in_time == [True], "the port waited until the disk had synced"
    assert [record.data for record in read_recording(path)] == [b"one", b"recording stopped"]


def test_any_other_file_is_the_bytes_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "line.bin"
    path.write_bytes(bytes(range(250)) * 3)
    records = list(open_capture(path, chunk=100))
    assert [len(record.data) for record in records] == [100] * 7 + [50]
    assert {(record.t_ns, record.direction) for record in records} == {(0, Direction.FROM_DEVICE)}
    assert b"".join(record.data for record in records) == path.read_bytes()
    path.write_bytes(b"")
    assert list(open_capture(path)) == []


def test_a_recording_of_another_name_is_still_one(tmp_path: Path) -> None:
    path = recorded(tmp_path / "line.bin", RECORDS)
    assert list(open_capture(path)) == RECORDS


@pytest.mark.parametrize("name", ["absent.mdirec", "absent.bin", "absent.asc", "."])
def test_a_file_that_cannot_be_read_is_a_line_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: (No such file|Is a directory)"):
        open_capture(tmp_path / name)
