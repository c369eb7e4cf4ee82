"""The file sink: accepted means that the file is there, whole."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, InternalError
from gateway.core.message import Message, Outcome, Verdict
from gateway.sinks.file import ROOM, SINK, FileSettings, FileSink

BASE = "mdi/v1/auh/ita/gw-1"


def make(folder: Path) -> FileSink:
    sink = SINK.create(FileSettings(str(folder)), BASE)
    assert isinstance(sink, FileSink)
    sink.start()
    return sink


def message(control_id: str = "gw-1.1.1", payload: bytes = b"MSH|^~\\&|A\r") -> Message:
    return Message(1, control_id, f"{BASE}/up/oru-r01", payload)


def test_each_message_becomes_one_file_and_is_accepted_once(tmp_path: Path) -> None:
    sink = make(tmp_path / "out")
    sink.send(message("gw-1.1.1"))
    sink.send(message("gw-1.1.2", b"MSH|^~\\&|B\r"))

    assert sink.outcomes() == [Outcome("gw-1.1.1", Verdict.ACCEPT), Outcome("gw-1.1.2", Verdict.ACCEPT)]
    assert sink.outcomes() == []
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found == {"gw-1.1.1.hl7": b"MSH|^~\\&|A\r", "gw-1.1.2.hl7": b"MSH|^~\\&|B\r"}
    assert sink.state() == f"connected to {tmp_path / 'out'}"


def test_a_resend_writes_the_same_file_again(tmp_path: Path) -> None:
    sink = make(tmp_path)
    sink.send(message())
    sink.send(message())
    assert [outcome.verdict for outcome in sink.outcomes()] == [Verdict.ACCEPT] * 2
    assert len(list(tmp_path.iterdir())) == 1


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    make(tmp_path).send(message())
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_that_is_gone_keeps_the_message_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    sink = make(folder)
    folder.rmdir()
    sink.send(message())
    (kept,) = sink.outcomes()
    assert kept.verdict is Verdict.KEEP
    assert "No such file" in kept.reason
    assert not sink.state().startswith("connected")
    assert sink.room() == ROOM - 1  # it holds its place

    folder.mkdir()
    sink.send(message())
    assert sink.outcomes() == [Outcome("gw-1.1.1", Verdict.ACCEPT)]
    assert sink.state().startswith("connected")
    assert sink.room() == ROOM
    assert (sink.counters.written, sink.counters.failed) == (1, 1)


def test_a_message_that_is_not_synced_is_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = make(tmp_path)
    synced: list[int] = []

    def fail_at(position: int) -> None:
        def fsync(_fd: int) -> None:
            synced.append(_fd)
            if len(synced) == position:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        synced.clear()
        monkeypatch.setattr(os, "fsync", fsync)

    for position in (1, 2):  # the file, the folder
        fail_at(position)
        sink.send(message())
        assert [o.verdict for o in sink.outcomes()] == [Verdict.KEEP]
    fail_at(3)
    sink.send(message())
    assert [o.verdict for o in sink.outcomes()] == [Verdict.ACCEPT]
    assert len(synced) == 2


def test_room_ends_when_nobody_takes_the_outcomes(tmp_path: Path) -> None:
    sink = make(tmp_path)
    for n in range(ROOM):
        sink.send(message(f"gw-1.1.{n}"))
    assert sink.room() == 0
    sink.outcomes()
    assert sink.room() == ROOM


@pytest.mark.parametrize("control_id", ["../x", "a/b", "", ".hidden", "a\0b"])
def test_a_control_id_that_is_no_file_name_is_a_bug(tmp_path: Path, control_id: str) -> None:
    with pytest.raises(InternalError):
        make(tmp_path).send(message(control_id))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="folder cannot be made"):
        make(tmp_path / "file" / "out")
