"""Entries reach a collector as RFC 5424, by each way; one that is away holds nobody up. Anchors come back out of it."""

import re
import socket
import ssl
import threading
from pathlib import Path

from gateway.security.audit import AuditLog, Event
from gateway.security.audit.reading import anchors_in
from gateway.security.audit.syslog import QUEUE, Syslog
from gateway.security.audit.verify import verify
from tests.parts.wait import wait_until

RFC5424 = re.compile(r"<109>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z gw-1 mdi-run - [a-z_]{1,32} - (\{.*\})")


def written(folder: Path, to: Syslog) -> None:
    with AuditLog.open(folder, "run", "gw-1", said=to) as audit:
        for n in range(3):
            audit.write(Event.DEVICE_OPENED, f"bed-{n}")
    to.close()


def check(folder: Path, lines: list[str]) -> None:
    assert len(lines) == 5  # key, three, checkpoint
    assert all(RFC5424.fullmatch(line) for line in lines)
    anchors = anchors_in("\n".join(lines), "gw-1")
    assert verify(folder / "run", "gw-1", anchors).anchored == 4
    path = next((folder / "run").glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"bed-1", b"bed-9"))
    assert verify(folder / "run", "gw-1", anchors).exit_code == 3


def test_udp(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        written(tmp_path, Syslog(f"udp://127.0.0.1:{collector.getsockname()[1]}", "gw-1"))
        check(tmp_path, [collector.recv(9000).decode() for _ in range(5)])


def test_local(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as collector:
        collector.bind(str(tmp_path / "log"))
        collector.settimeout(10)
        written(tmp_path, Syslog("local", "gw-1", dev_log=str(tmp_path / "log")))
        check(tmp_path, [collector.recv(9000).decode() for _ in range(5)])


def test_a_collector_that_is_away_holds_nobody_up(tmp_path):
    to = Syslog("local", "gw-1", dev_log=str(tmp_path / "none"))
    with AuditLog.open(tmp_path, "run", "gw-1", said=to) as audit:
        for n in range(20):
            audit.write(Event.DEVICE_OPENED, f"bed-{n}")
        assert audit.flush()
    wait_until(lambda: to.lost, "nothing is counted")
    assert to.status()["trouble"]
    assert QUEUE > 20


def test_tls_wants_a_certificate_that_it_knows(tmp_path):
    """A collector with a certificate of nobody gets nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        got: list[bytes] = []

        def listen() -> None:
            end, _ = server.accept()
            end.settimeout(5)
            with end:
                got.append(end.recv(9000))  # a ClientHello, and no entry

        thread = threading.Thread(target=listen)
        thread.start()
        to = Syslog(f"tls://127.0.0.1:{server.getsockname()[1]}", "gw-1")
        with AuditLog.open(tmp_path, "run", "gw-1", said=to) as audit:
            audit.write(Event.DEVICE_OPENED, "bed-1")
        thread.join(10)
        wait_until(lambda: to.lost, "the failed handshake is not counted")
        assert got[0][:1] == b"\x16"  # TLS record: handshake
        assert b"bed-1" not in got[0]
        assert ssl.HAS_TLSv1_3
