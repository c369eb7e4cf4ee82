"""Recordings that are sealed: nothing of the line can be read without the key, nothing changed unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.record import Direction, Header, Record, RecordingWriter, open_capture, read_recording
from gateway.security.seal import CREDENTIAL, OLD_CREDENTIAL, Seal

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
HEADER = Header("2026-01-31T12:00:00Z", "1", "bed-3", "ascii_line", "serial /dev/ttyUSB0", note="waves missing")
RECORDS = [
    Record(5_000_000_000, Direction.FROM_DEVICE, b"PID|CANARY^Hansen"),
    Record(5_000_000_001, Direction.TO_DEVICE, b"poll"),
    Record(5_000_000_001, Direction.TO_DEVICE, b"poll"),
    Record(6_000_000_000, Direction.EVENT, b"recording stopped"),
]


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    writer = RecordingWriter(tmp_path / "x.mdirec", HEADER, seal=Seal([KEY]))
    for record in RECORDS:
        writer.append(*record)
    writer.close()
    return tmp_path / "x.mdirec"


def test_it_reads_back_with_the_key_and_tells_nothing_without(sealed: Path) -> None:
    raw = sealed.read_bytes()
    for secret in (b"CANARY", b"poll", b"bed-3", b"ttyUSB0", b"waves missing", b"recording stopped"):
        assert secret not in raw
    found = read_recording(sealed, Seal([OTHER, KEY]))
    assert found.header == HEADER
    assert list(found) == list(found) == RECORDS
    for seal in (None, Seal([OTHER])):
        with pytest.raises(ConfigError, match=f"sealed with the key {Seal([KEY]).key_id}, which is not here"):
            read_recording(sealed, seal)


def test_the_readers_take_the_key_from_the_credentials(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / CREDENTIAL).write_bytes(OTHER)
    with pytest.raises(ConfigError, match="which is not here"):
        open_capture(sealed)
    (tmp_path / OLD_CREDENTIAL).write_bytes(KEY)
    assert list(open_capture(sealed)) == RECORDS


def read(path: Path) -> list[Record]:
    return list(read_recording(path, Seal([KEY])))


@settings(max_examples=300)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_never_taken_for_data(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    writer = RecordingWriter(folder / "x.mdirec", HEADER, seal=Seal([KEY]))
    for record in RECORDS:
        writer.append(*record)
    writer.close()
    data = bytearray((folder / "x.mdirec").read_bytes())
    data[at % len(data)] ^= 1 << bit
    (folder / "x.mdirec").write_bytes(data)
    try:
        found = read(folder / "x.mdirec")
    except ConfigError:
        return
    assert found == RECORDS[: len(found)]
    assert len(found) < len(RECORDS), "a length that reaches beyond the end looks like a cut"


def test_records_that_changed_places_are_refused_although_every_checksum_is_right(sealed: Path) -> None:
    data = sealed.read_bytes()
    one = data.rindex((5_000_000_001).to_bytes(8, "little"))
    two = data.index((5_000_000_001).to_bytes(8, "little"))
    size = one - two
    sealed.write_bytes(data[:two] + data[one : one + size] + data[two:one] + data[one + size :])
    with pytest.raises(ConfigError, match=f"changed since it was written, at byte {two}"):
        read(sealed)


def test_two_recordings_share_no_key(sealed: Path, tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "y.mdirec", replace(HEADER), seal=Seal([KEY]))
    writer.append(*RECORDS[0])
    writer.close()
    theirs, ours = (tmp_path / "y.mdirec").read_bytes(), bytearray(sealed.read_bytes())
    start = theirs.index((5_000_000_000).to_bytes(8, "little"))
    at = ours.index((5_000_000_000).to_bytes(8, "little"))
    ours[at : at + len(theirs) - start] = theirs[start:]
    sealed.write_bytes(ours)
    with pytest.raises(ConfigError, match="changed since it was written"):
        read(sealed)
