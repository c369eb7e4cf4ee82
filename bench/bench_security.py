"""What security costs: the same work with all of it and with none of it, in turns, in one run; the ratio counts.

The whole way: as bench_pipeline, from the bytes of a line to KITA's acknowledgement. On: mutual TLS 1.3 to a mosquitto
configured by `mdi broker config`, KITA by TLS too, spool and rejected messages sealed, configuration and people signed.
Off: none of these. The audit log is written in both: it cannot be switched off.

The spool: append and group sync of 4 kB messages, sealed beside plain. AES-GCM of a record alone, and of a whole group
as one piece, is measured beside it: a group would be faster to encrypt, and then no record could be read alone.

The start: what `mdi forward` does before it opens anything: configuration, rules, signatures, key, and a spool.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bench.bench_pipeline import stored
from bench.bench_spool import PAYLOAD, PER_ROUND, spool_round
from bench.parts import monitor_bytes, wait_for
from gateway.config import read_config
from gateway.security.policy import enforce
from gateway.security.seal import CREDENTIAL, Seal
from gateway.spool import Spool
from tests.parts.broker import HOST
from tests.parts.pki import Pki
from tests.parts.system import CONFIG, System
from tests.parts.tls_broker import TlsBroker
from tests.parts.trust import Hospital
from tests.parts.wait import wait_until

OBSERVATIONS = 150_000  # in each turn
TURNS = 3
KEPT = 0.8  # of the throughput: the issue's figure
START_S = 2.0  # the issue's figure
GROUP = 250  # messages in one sync: a megabyte
GATEWAY = "auh/ita/gw-test"
SPOOL_TURNS = 5
_WAIT_S = 300


class SecureSystem(System):
    """The whole way with everything on."""

    def __enter__(self) -> Self:
        folder = self.folder
        pki = Pki(folder / "pki")
        own = pki.issue("gw-test", "gw-test", ("gw-test",), "client")
        self._kita = pki.issue("kita", "kita", ("kita",), "client")
        self._ca = pki.ca
        self.broker = TlsBroker(folder / "broker", pki, [GATEWAY])  # type: ignore[assignment]
        sink = f'ca = "{pki.ca}"\ncert = "{own.cert}"\nkey = "{own.key}"'
        text = CONFIG.format(folder=folder, host=HOST, port=self.broker.port, **(self._given | {"sink": sink}))
        text = text.replace('mode = "lab"', f'mode = "lab"\netc_dir = "{folder}/etc"')
        self.config_path.write_text(text, encoding="utf-8")
        self.config = read_config(self.config_path)
        Hospital(folder / "etc").sign_file(self.config_path, "configuration", "mso", "jkr")
        (folder / "credentials").mkdir(mode=0o700)
        (folder / "credentials" / CREDENTIAL).write_bytes(os.urandom(32))
        self.pty.__enter__()
        self._plugged = True
        with _environment(CREDENTIALS_DIRECTORY=str(folder / "credentials")):
            self.start_kita()
            self.start_gateway()
        return self

    def start_kita(self) -> None:
        """Start KITA, by TLS."""
        tls = ["--ca", str(self._ca), "--cert", str(self._kita.cert), "--key", str(self._kita.key)]
        way = ["--database", str(self.database), "--host", HOST, "--port", str(self.broker.port)]
        self._start("kita", "kita", "run", *way, *tls)
        wait_until(self.database.exists, self.log, 20)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def whole_way(kind: type[System]) -> float:
    """Return observations/s from the line to the acknowledgement; nothing may be lost."""
    data, numerics = monitor_bytes(600)
    rounds = OBSERVATIONS // numerics + 1
    total = rounds * numerics
    with (
        tempfile.TemporaryDirectory(prefix="mdi-bench-") as folder,
        kind(Path(folder), ring_rows=1 << 20, limit_mib=2048, options="{ waves = [] }") as system,
    ):
        start = time.perf_counter()
        for _ in range(rounds):
            system.feed(data)
        assert wait_for(lambda: stored(system) >= total, _WAIT_S), system.forward()
        assert wait_for(lambda: system.forward()["spool"]["waiting"] == 0, _WAIT_S), system.forward()
        seconds = time.perf_counter() - start
        told = system.forward()
        assert told["counters"]["rows_lost"] == 0
        assert told["spool"]["sealed"] == (kind is SecureSystem)
        return total / seconds


def spools() -> tuple[float, float]:
    """Return messages/s of a sealed spool and of a plain one, in turns."""
    clock = lambda: (time.monotonic_ns(), time.time_ns())  # noqa: E731
    with tempfile.TemporaryDirectory(prefix="mdi-bench-") as folder:
        seal = Seal([os.urandom(32)])
        pair = [
            Spool.open(Path(folder) / name, gateway="gw-1", seal=s, clock=clock)
            for name, s in (("s", seal), ("p", None))
        ]
        seconds = [[spool_round(spool, GROUP) for spool in pair] for _ in range(SPOOL_TURNS)]
        for spool in pair:
            spool.close()
    sealed, plain = (statistics.median(column) for column in zip(*seconds, strict=True))
    return PER_ROUND / sealed, PER_ROUND / plain


def pieces() -> tuple[float, float]:
    """Return MB/s of AES-GCM by records of 4 kB, and by whole groups of them."""
    box = Seal([os.urandom(32)])
    mark = box.mark()
    one = box.begin(mark, "bench", "")
    found = []
    for data, times in ((PAYLOAD, 20_000), (PAYLOAD * GROUP, 80)):
        start = time.perf_counter()
        for _ in range(times):
            one.seal(data, b"place")
        found.append(len(data) * times / (time.perf_counter() - start) / 1e6)
    return found[0], found[1]


def start() -> float:
    """Return the seconds that the checks of a start take, with everything there: the median of five."""
    with (
        tempfile.TemporaryDirectory(prefix="mdi-bench-") as name,
        SecureSystem(Path(name), ring_rows=1 << 16) as system,
    ):
        system.end("gateway")
        took = []
        logging.disable(logging.CRITICAL)  # in the lab each rule is said; here only the time counts
        for _ in range(5):
            begin = time.perf_counter()
            enforce(read_config(system.config_path), ("acquire", "forward"))
            seal = Seal([os.urandom(32)])
            seal.begin(seal.mark(), "known answer", "").seal(b"", b"")
            took.append(time.perf_counter() - begin)
        logging.disable(logging.NOTSET)
    return statistics.median(took)


def _row(bench: str, ours: float, baseline: float | None, unit: str, target: str, met: bool | None) -> dict[str, Any]:
    ratio = ours / baseline if baseline else None
    row: dict[str, Any] = {"bench": bench, "ours": ours, "baseline": baseline, "ratio": ratio, "unit": unit}
    return row | {"target": target} | ({} if met is None else {"met": met})


def run() -> list[dict[str, Any]]:
    """Return the rows."""
    turns = [(whole_way(SecureSystem), whole_way(System)) for _ in range(TURNS)]
    on, off = (statistics.median(column) for column in zip(*turns, strict=True))
    sealed, plain = spools()
    records, groups = pieces()
    began = start()
    return [
        _row(
            "the whole way with mTLS, sealing and signatures, beside without",
            on,
            off,
            "observations/s",
            f"≥ {KEPT:g} of it",
            on >= KEPT * off,
        ),
        _row(
            f"spool: append and sync, 4 kB, groups of {GROUP}, sealed beside plain",
            sealed,
            plain,
            "messages/s",
            "—",
            None,
        ),
        _row("AES-256-GCM by record of 4 kB, beside by group of 250", records, groups, "MB/s", "—", None),
        _row(
            "checks before a start: configuration, rules, signatures, key",
            began,
            None,
            "s",
            f"≤ {START_S:g}",
            began <= START_S,
        ),
    ]


if __name__ == "__main__":
    for each in run():
        print(each)
