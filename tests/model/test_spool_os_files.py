"""The real file layer under a rain of signals, and at the limit of a file's size: what the simulated one leaves out."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.core.message import Message
from gateway.spool import Extent, OsFiles, Spool

SEGMENT = 16384
SIGNAL_S = 0.0002  # often enough to meet most of the calls below
CODE = Path(__file__).resolve().parents[2]


@contextmanager
def rain_of_signals() -> Iterator[list[int]]:
    """A handler that returns: each call under way is interrupted with EINTR and, by PEP 475, made again."""
    seen: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, SIGNAL_S, SIGNAL_S)
    try:
        yield seen
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def open_spool(path: Path) -> Spool:
    ticks = itertools.count(18 * 10**17, 10**8)
    return Spool.open(
        path, gateway="gw", segment_bytes=SEGMENT, limit_bytes=40 * SEGMENT, clock=lambda: (next(ticks), 18 * 10**17)
    )


def append(spool: Spool, payload: bytes) -> Message:
    seq, control_id = spool.next_control_id()
    message = Message(seq, control_id, "t", payload)
    spool.append(message, Extent("bed", seq, seq, 1, seq, seq))
    return message


def test_signals_do_not_disturb_the_spool(tmp_path: Path) -> None:
    sent: list[Message] = []
    with rain_of_signals() as seen:
        while len(seen) < 500 or len(sent) < 300:
            spool = open_spool(tmp_path / "spool")
            for n in range(30):
                sent.append(append(spool, b"%d" % n * 500))
                spool.sync()
                if n % 3 == 0:
                    oldest = spool.unacknowledged(0, 1)[0]
                    assert spool.ack(oldest.seq)
                    sent.remove(oldest)
            spool.close()
    with_all = open_spool(tmp_path / "spool")
    assert with_all.unacknowledged(0, 10**6) == sent
    assert with_all.losses() == []


def test_signals_do_not_disturb_any_call(tmp_path: Path) -> None:
    files = OsFiles()
    data = bytes(range(256)) * 4096
    with rain_of_signals() as seen:
        for n in range(10**6):
            folder, path = tmp_path / f"d{n}" / "e", tmp_path / f"d{n}" / "e" / "file"
            files.make_dir(folder)
            fd = files.open(path, create=True)
            files.lock(fd)
            files.allocate(fd, len(data))
            assert files.write(fd, data, 0) == len(data)
            files.sync(fd)
            assert files.read(fd, len(data), 0) == data
            files.truncate(fd, 10)
            assert files.size(fd) == 10
            files.sync_dir(folder)
            files.close(fd)
            assert files.names(folder) == ["file"]
            files.remove(path)
            if len(seen) > 300:
                break


SIDE_FILE_AT_ITS_LIMIT = """
import itertools, resource, sys
from gateway.spool import SpoolFull
from gateway.spool.cursor import SLOT_BYTES
from tests.model.test_spool_os_files import append, open_spool
from pathlib import Path

limit = 2 * SLOT_BYTES + 4096  # segments and cursor fit, the file of rejected messages soon does not
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
spool = open_spool(Path(sys.argv[1]))
rejected = 0
for n in itertools.count():
    message = append(spool, b"x" * 6000)
    spool.sync()
    try:
        assert spool.reject(message.seq, "AE")
    except SpoolFull as error:
        print(error)
        break
    rejected += 1
side_file = Path(sys.argv[1]) / "rejected" / "messages.jsonl"
assert side_file.stat().st_size == limit, "the last write was short: half a line stands there"
assert spool.unacknowledged(0, 99) == [message], "refused: it is not rejected, it waits"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert spool.reject(message.seq, "AE")
spool.close()
print(rejected)
"""


def test_a_file_that_may_not_grow_refuses_and_goes_on_later(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the write that crosses the limit is short, the next one EFBIG; Python ignores SIGXFSZ."""
    path = tmp_path / "spool"
    done = subprocess.run(
        [sys.executable, "-c", SIDE_FILE_AT_ITS_LIMIT, str(path)],
        capture_output=True, text=True, timeout=120, cwd=CODE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, rejected = done.stdout.splitlines()
    assert said.endswith("cannot write: File too large")
    lines = (path / "rejected" / "messages.jsonl").read_bytes().splitlines()
    assert len(lines) == int(rejected) + 1, "written over, so that no half line is left"
    assert open_spool(path).waiting == 0
