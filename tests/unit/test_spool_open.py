"""Whose spool it is: one writer, one gateway, one format; and what a kill leaves to the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fastcrc.crc32 import iscsi as crc32c

from gateway.core.errors import ConfigError
from gateway.core.message import Message
from gateway.spool import Extent, Spool

SEGMENT = 16384


def still() -> tuple[int, int]:
    """A clock that stands."""
    return 0, 1_800_000_000 * 10**9


def start(path: Path, gateway: str = "gw") -> Spool:
    return Spool.open(path, gateway=gateway, segment_bytes=SEGMENT, limit_bytes=100 * SEGMENT, clock=still)


def append(spool: Spool, n: int) -> None:
    for _ in range(n):
        seq, control_id = spool.next_control_id()
        spool.append(Message(seq, control_id, "t", b"MSH|"), Extent("bed", seq, seq, 1, 0, 0))


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("segment-*"))


def test_one_writer_only(tmp_path: Path) -> None:
    spool = start(tmp_path)
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        start(tmp_path)
    spool.close()
    start(tmp_path).close()


def test_another_process_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from gateway.spool import Spool\n"
        f"Spool.open({str(tmp_path)!r}, gateway='gw', clock=lambda: (0, 0))\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ConfigError, match=f"in use by process {other.pid}"):
            start(tmp_path)
        other.kill()
    start(tmp_path).close()


def test_a_foreign_spool_is_refused_untouched(tmp_path: Path) -> None:
    spool = start(tmp_path, "gw-1")
    append(spool, 3)
    spool.close()
    before = {path: path.read_bytes() for path in segments(tmp_path)}
    with pytest.raises(ConfigError, match="belongs to gateway 'gw-1', configured is 'gw-2'"):
        start(tmp_path, "gw-2")
    assert {path: path.read_bytes() for path in segments(tmp_path)} == before
    assert start(tmp_path, "gw-1").waiting == 3


@pytest.mark.parametrize("version", [1, 4])
def test_another_format_is_refused_untouched(tmp_path: Path, version: int) -> None:
    start(tmp_path).close()
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[8] = version
    path.write_bytes(data)
    start(tmp_path).close()  # a flipped bit is not another format: the checksum is wrong
    path = segments(tmp_path)[-1]
    data = bytearray(path.read_bytes())
    data[8] = version
    data[100:104] = crc32c(bytes(data[:100])).to_bytes(4, "little")
    path.write_bytes(data)
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file() and file.name != "lock"}
    with pytest.raises(ConfigError, match=f"format {version}, this program knows 2 and 3 → let the version of mdi"):
        start(tmp_path)
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("gateway", ["", "-gw", "a b", "a/b", "å", "x" * 65, "a^b"])
def test_gateway_ids_that_cannot_stand_in_a_message(tmp_path: Path, gateway: str) -> None:
    with pytest.raises(ConfigError, match="gateway id"):
        start(tmp_path, gateway)


@pytest.mark.parametrize(("segment", "limit"), [(4096, 10**6), (1 << 31, 1 << 40), (SEGMENT, 2 * SEGMENT - 1)])
def test_sizes_that_cannot_work(tmp_path: Path, segment: int, limit: int) -> None:
    with pytest.raises(ConfigError, match="segments of"):
        Spool.open(tmp_path, gateway="gw", segment_bytes=segment, limit_bytes=limit, clock=still)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    start(tmp_path / "state" / "spool").close()
    paths = [*tmp_path.rglob("*")]
    assert len(paths) > 6
    assert all(path.stat().st_mode & 0o077 == 0 for path in paths)


# ---- the real kill


CHILD = """
import sys, time
from gateway.core.message import Message
from gateway.spool import Extent, Spool

spool = Spool.open(sys.argv[1], gateway="gw", segment_bytes=65536, limit_bytes=1 << 26,
                   clock=lambda: (time.monotonic_ns(), time.time_ns()))
while True:
    for _ in range(7):
        seq, control_id = spool.next_control_id()
        spool.append(Message(seq, control_id, "t", control_id.encode() * 50), Extent("bed", seq, seq, 1, seq, seq))
    print(spool.sync(), flush=True)
"""


def test_sigkill_loses_nothing_that_was_durable(tmp_path: Path) -> None:
    durable = 0
    seen: dict[str, bytes] = {}
    for lines in (1, 2, 30, 100, 7):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=-1, text=True) as child:
            assert child.stdout is not None
            for _ in range(lines):
                durable = int(child.stdout.readline())
            child.kill()
            durable = max([durable, *map(int, child.stdout.read().splitlines()[:-1])])
        spool = Spool.open(tmp_path, gateway="gw", segment_bytes=65536, limit_bytes=1 << 26, clock=still)
        messages = spool.unacknowledged(0, 10**6)
        assert [m.seq for m in messages] == list(range(1, spool.durable_seq + 1))
        assert spool.durable_seq >= durable
        for message in messages:
            assert message.payload == message.control_id.encode() * 50
            assert seen.setdefault(message.control_id, message.payload) == message.payload
        assert len({m.control_id for m in messages}) == len(messages)
        assert spool.losses() == []
        spool.close()
