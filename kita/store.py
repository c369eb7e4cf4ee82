"""What KITA keeps: one SQLite file; its tables are in schema.py.

Invariants
  - One transaction per batch, synchronous=FULL: when `commit` returns, all of it is on the disk; when it raises, none.
  - (sender, facility, control_id) is unique, and stands for one SHA-256 for ever.
  - One connection writes, guarded by a lock on a file beside the database. Readers open it read-only (see query) and
    never checkpoint: SQLite before 3.51.3 can lose a committed transaction when two connections meet in a WAL reset.
  - Order is by the time of the observation, never by arrival, unless the sender says that its clock is not to be
    relied on (order_ns): `latest` only moves forward in it.

A no-value row is stored with value NULL and its validity: that something was not measured is information. There is no
index on observations: each costs on every insert, and the one question asked so far is answered by `latest`.
"""

from __future__ import annotations

import fcntl
import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO

from gateway.core.clock import ClockQuality
from gateway.core.errors import ConfigError, DeliveryError
from kita.measured import NOTHING_MORE, Measured, names_event
from kita.numbers import note, note_all
from kita.schema import FROM_VERSION, RECEIVED, SCHEMA, SCHEMA_VERSION

_INSERT = [f"INSERT INTO {table} VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)" for table in ("observation", "apart")]

_NEWER = "ON CONFLICT DO UPDATE SET order_ns = excluded.order_ns"
_WAVE = "INSERT INTO wave VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_ALERT = "INSERT INTO alert VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_ALERT_NOW = (
    f"INSERT INTO alert_now VALUES (?,?,?,?,?,?,?) {_NEWER}, row = excluded.row"
    " WHERE excluded.order_ns >= alert_now.order_ns"
)
_LIFE = (
    f"INSERT INTO alerting VALUES (?,?,?,?) {_NEWER}, timeout_s = excluded.timeout_s, active = excluded.active"
    " WHERE excluded.order_ns >= alerting.order_ns"
)
AHEAD_NS = 5_000_000_000  # two clocks that are kept differ by less; beyond it what was told is not the time
DOUBTFUL = frozenset({ClockQuality.STEPPED.word, ClockQuality.UNSET.word})  # times that order nothing
_DEVICE = "UPDATE device SET model = ?, firmware = ?, serial = ?, experimental = ? WHERE id = ?"
_ATTRIBUTES = ("MDC_ATTR_ID_MODEL", "MDCX_FIRMWARE", "MDCX_SERIAL_NUMBER", "MDCX_EXPERIMENTAL")

Row = tuple[str, int, str, float | None, str | None, str, str, int, str, int, str]
"""An observation but for its ids: path, code, ref_id, value, text, unit, validity, flags, status, t_utc_ns, limits."""

_Latest = dict[tuple[int, int, int, str, str], tuple[int, int]]
"""(apart, device, code, ref_id, path) -> (order_ns, id), as the table has it."""


@dataclass(frozen=True, slots=True)
class Intake:
    """One message, read and judged. refused: why it is not stored as a message, "" when it is good."""

    sender: str
    facility: str
    control_id: str
    sha256: bytes
    payload: bytes
    device: str = ""
    location: str = ""
    profile_digest: str = ""
    rows: Sequence[Row] = ()
    apart: Sequence[Row] = ()
    more: Measured = NOTHING_MORE
    attributes: Mapping[str, str] = field(default_factory=dict)  # of the device, reference id -> text
    clock: str = ""  # what the sender says of its clock (gateway.core.clock)
    clock_step_s: float = 0.0
    refused: str = ""

    def order_ns(self, t_ns: int, received_ns: int) -> int:
        """Return by what a row of this message is ordered; see kita.schema."""
        return received_ns if self.clock in DOUBTFUL or t_ns > received_ns + AHEAD_NS else t_ns


class Fate(Enum):
    """What became of a message."""

    STORED = "stored"
    REPEATED = "repeated"  # the very same bytes were stored before
    CONFLICT = "conflict"  # its control id stands for other bytes: kept as a dead letter
    REFUSED = "refused"  # kept as a dead letter


class Store:
    """The writing side of the database. One thread."""

    def __init__(self, path: Path, busy_ms: int) -> None:
        """Open, or make, the database. Raises: ConfigError."""
        self._path = path
        self._lock = _lock(path)
        try:
            self._db = sqlite3.connect(path, timeout=busy_ms / 1000, isolation_level=None)
            self._prepare()
        except sqlite3.Error as fault:
            raise ConfigError(f"database cannot be used: {fault}", str(path)) from fault
        self._devices: dict[str, int] = {}
        self._told: dict[int, dict[str, str]] = {}  # device -> attributes as stored
        self._ids = itertools.count(1 + max(self._last("observation"), self._last("apart")))

    def close(self) -> None:
        """Close; the database is whole at any time, with or without this."""
        self._db.close()
        self._lock.close()

    def commit(self, batch: Sequence[Intake], received_ns: int) -> list[Fate]:
        """Store the batch in one transaction and return the fate of each, in order.

        Raises: DeliveryError when the database is locked, full or failing: nothing of the batch is stored.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            fates = self._put(batch, received_ns)
            self._db.execute("COMMIT")
        except sqlite3.Error as fault:
            self._undo()
            raise DeliveryError(f"not stored: {fault}", str(self._path), "the gateways keep their messages") from fault
        except BaseException:
            self._undo()
            raise
        return fates

    # ---- inside the transaction

    def _put(self, batch: Sequence[Intake], received_ns: int) -> list[Fate]:
        latest: _Latest = {}
        fates = [self._put_one(intake, received_ns, latest) for intake in batch]
        for intake in batch:
            note(self._db, intake.sender, intake.control_id, received_ns)
        self._db.executemany(
            "INSERT INTO latest VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE"
            " SET order_ns = excluded.order_ns, row = excluded.row"
            " WHERE excluded.order_ns >= latest.order_ns",
            [(*key, *newest) for key, newest in latest.items()],
        )
        repeated = fates.count(Fate.REPEATED)
        if repeated:
            self._db.execute("UPDATE counter SET value = value + ? WHERE name = 'repeated'", (repeated,))
        return fates

    def _put_one(self, intake: Intake, received_ns: int, latest: _Latest) -> Fate:
        if intake.refused:
            self._bury(intake, intake.refused, received_ns)
            return Fate.REFUSED
        known = self._db.execute(
            "SELECT sha256 FROM message WHERE sender = ? AND facility = ? AND control_id = ?",
            (intake.sender, intake.facility, intake.control_id),
        ).fetchone()
        if known and known[0] == intake.sha256:
            return Fate.REPEATED
        if known:
            self._bury(intake, "its control id stands for another message", received_ns)
            return Fate.CONFLICT
        message = self._db.execute(
            "INSERT INTO message VALUES (NULL,?,?,?,?,?,?,?,?,?)",
            (
                intake.sender,
                intake.facility,
                intake.control_id,
                intake.sha256,
                intake.location,
                intake.profile_digest,
                received_ns,
                intake.clock,
                intake.clock_step_s,
            ),
        ).lastrowid
        assert message is not None
        device = self._device(intake.device)
        for apart, rows in enumerate((intake.rows, intake.apart)):
            numbered = [(number, message, device, *row) for row, number in zip(rows, self._ids, strict=False)]
            self._db.executemany(_INSERT[apart], numbered)
            for row in numbered:
                key = (apart, device, row[4], row[5], row[3])
                order_ns = intake.order_ns(row[12], received_ns)
                if key not in latest or order_ns >= latest[key][0]:
                    latest[key] = (order_ns, row[0])
        self._put_more(intake, message, device, received_ns)
        return Fate.STORED

    def _put_more(self, intake: Intake, message: int, device: int, received_ns: int) -> None:
        """Store what a device knows beyond numerics: waves, alerts, and what it is."""
        self._db.executemany(_WAVE, [(message, device, *astuple(wave)) for wave in intake.more.waves])
        for alert in intake.more.alerts:
            row = self._db.execute(_ALERT, (message, device, *astuple(alert))).lastrowid
            text = "" if names_event(alert.ref_id) else alert.text
            key = (device, alert.code, alert.ref_id, alert.path, text)
            self._db.execute(_ALERT_NOW, (*key, intake.order_ns(alert.t_utc_ns, received_ns), row))
        if intake.more.life is not None:
            t_ns, *life = astuple(intake.more.life)
            self._db.execute(_LIFE, (device, intake.order_ns(t_ns, received_ns), *life))
        if intake.attributes and self._told.get(device) != intake.attributes:
            told = [intake.attributes.get(name, "") for name in _ATTRIBUTES]
            self._db.execute(_DEVICE, (*told, device))
            self._told[device] = dict(intake.attributes)

    def _device(self, identity: str) -> int:
        if identity not in self._devices:
            self._db.execute("INSERT OR IGNORE INTO device (identity) VALUES (?)", (identity,))
            found = self._db.execute("SELECT id FROM device WHERE identity = ?", (identity,)).fetchone()
            self._devices[identity] = int(found[0])
        return self._devices[identity]

    def _bury(self, intake: Intake, reason: str, received_ns: int) -> None:
        self._db.execute(
            "INSERT INTO dead_letter VALUES (NULL,?,?,?,?,?,?,1,?) ON CONFLICT DO UPDATE SET times = times + 1",
            (
                intake.sha256,
                intake.sender,
                intake.facility,
                intake.control_id,
                reason,
                received_ns,
                intake.payload,
            ),
        )

    # ---- the connection

    def _undo(self) -> None:
        self._told.clear()
        self._devices.clear()  # some may have been made in the transaction
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        while version in FROM_VERSION:
            self._db.executescript(f"BEGIN; {FROM_VERSION[version]} COMMIT;")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 3:  # it did not know yet which numbers have come
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(RECEIVED)
            note_all(self._db)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._db.execute("COMMIT")
        elif version not in (0, SCHEMA_VERSION):
            hint = f"this program reads version {SCHEMA_VERSION}"
            raise ConfigError(f"database has schema version {version}", str(self._path), hint)

    def _last(self, table: str) -> int:
        return int(self._db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0])


def _lock(path: Path) -> IO[bytes]:
    """Take the lock that one writer holds for as long as it lives. Raises: ConfigError."""
    try:
        file = path.with_name(path.name + ".lock").open("ab")
    except OSError as fault:
        raise ConfigError(f"database cannot be used: {fault.strerror}", str(path)) from fault
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigError("another KITA writes to this database", str(path), "one database, one KITA") from None
    return file
