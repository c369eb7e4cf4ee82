"""The tables of KITA's database (SQLite), and what the rows of each are.

message      what was accepted: sender, control id, digest of the bytes, when, where the device stands
device       who it is (OBX-18), and what it says of itself
observation  one row per OBX that carries a metric, of production messages (MSH-11 P)
apart        the same columns, for what must never be charted: MSH-11 D or T, OBX-8 TEST or DEMO
latest       which table, device, code, ref_id, path -> the newest row, by order_ns
wave         one row per unbroken run of a waveform; its samples are one blob
alert        one row per change of an alert, as it was told; nothing is ever overwritten
alert_now    device, event, path -> the newest row of alert
alerting     device -> the newest sign of life of its alerts, and how long it holds
dead_letter  messages that were refused, with the reason and the bytes; repeats of one are counted, not kept twice
received     which message numbers of each gateway have come, as ranges; see kita.numbers
counter      numbers that no row stands for: repeated messages

order_ns, UTC, decides what is newest. It is the time that was told. It is when the message came where that time lies
ahead of us, or where the sender says that its clock was never set, or was set while it ran and nobody has confirmed it.
So a clock that was a year ahead leaves nothing behind that stays the newest for a year.
"""

from __future__ import annotations

SCHEMA_VERSION = 4  # PRAGMA user_version

_COLUMNS = """
    id        INTEGER PRIMARY KEY,
    message   INTEGER NOT NULL,  -- message.id
    device    INTEGER NOT NULL,  -- device.id
    path      TEXT NOT NULL,     -- OBX-4, MDS.VMD.channel.metric
    code      INTEGER NOT NULL,  -- OBX-3.1, context-free 11073-10101 code; 0 for terms that have none yet
    ref_id    TEXT NOT NULL,     -- OBX-3.2
    value     REAL,              -- OBX-5 when it is a number; NULL when there is none
    text      TEXT,              -- OBX-5 when it is none: token of an enumeration, text; NULL when there is none
    unit      TEXT NOT NULL,     -- OBX-6 in UCUM; its MDC reference id where it has no UCUM
    validity  TEXT NOT NULL,     -- gateway.core.sample.Validity, by name: VLD, QST, INV …
    flags     INTEGER NOT NULL,  -- gateway.core.sample.Flag
    status    TEXT NOT NULL,     -- OBX-11
    t_utc_ns  INTEGER NOT NULL,  -- time of the observation: OBX-14, else OBR-7
    limits    TEXT NOT NULL      -- OBX-7: the alarm limits set on the device, "" where it does not say
"""

RECEIVED = """
CREATE TABLE received (
    sender   TEXT NOT NULL,     -- MSH-3
    gateway  TEXT NOT NULL,     -- first part of MSH-10
    epoch    INTEGER NOT NULL,  -- second part: which start of the gateway
    first    INTEGER NOT NULL,  -- third part: numbers first to last have all come
    last     INTEGER NOT NULL,
    since_ns INTEGER NOT NULL,  -- UTC, when the first of them came: a hole before it is known since then
    PRIMARY KEY (sender, gateway, epoch, first)
) WITHOUT ROWID;
"""

SCHEMA = f"""
CREATE TABLE message (
    id             INTEGER PRIMARY KEY,
    sender         TEXT NOT NULL,     -- MSH-3
    facility       TEXT NOT NULL,     -- MSH-4
    control_id     TEXT NOT NULL,     -- MSH-10
    sha256         BLOB NOT NULL,
    location       TEXT NOT NULL,     -- PV1-3: where the device stands
    profile_digest TEXT NOT NULL,     -- the table that decoded the values
    received_ns    INTEGER NOT NULL,  -- UTC
    clock          TEXT NOT NULL DEFAULT '',  -- quality of the sender's clock: MDCX_CLOCK_QUALITY, "" = not said
    clock_step_s   REAL NOT NULL DEFAULT 0,   -- its clock was set by so much just before: MDCX_CLOCK_STEP
    UNIQUE (sender, facility, control_id)
);
CREATE TABLE device (
    id           INTEGER PRIMARY KEY,
    identity     TEXT NOT NULL UNIQUE,
    model        TEXT NOT NULL DEFAULT '',  -- what was told last; "" = never told
    firmware     TEXT NOT NULL DEFAULT '',
    serial       TEXT NOT NULL DEFAULT '',
    experimental TEXT NOT NULL DEFAULT ''   -- why nobody may rely on its values, "" = one may
);
CREATE TABLE observation ({_COLUMNS});
CREATE TABLE apart ({_COLUMNS});
CREATE TABLE latest (
    apart       INTEGER NOT NULL,  -- 0: a row of observation, 1: of apart
    device      INTEGER NOT NULL,
    code        INTEGER NOT NULL,
    ref_id      TEXT NOT NULL,
    path        TEXT NOT NULL,
    order_ns    INTEGER NOT NULL,
    row         INTEGER NOT NULL,  -- its id
    PRIMARY KEY (apart, device, code, ref_id, path)
) WITHOUT ROWID;
CREATE TABLE wave (
    id         INTEGER PRIMARY KEY,
    message    INTEGER NOT NULL,
    device     INTEGER NOT NULL,
    apart      INTEGER NOT NULL,  -- 1: must never be charted
    path       TEXT NOT NULL,
    code       INTEGER NOT NULL,
    ref_id     TEXT NOT NULL,
    unit       TEXT NOT NULL,
    t_utc_ns   INTEGER NOT NULL,  -- of the first sample, OBR-7
    end_utc_ns INTEGER NOT NULL,  -- end of the last, OBR-8
    rate_hz    REAL NOT NULL,     -- MDC_ATTR_SAMP_RATE
    n          INTEGER NOT NULL,
    flags      INTEGER NOT NULL,  -- AFTER_GAP: something before it is missing
    samples    BLOB NOT NULL      -- n float32, little-endian, in `unit`; NaN where the device had no valid sample
);
CREATE INDEX wave_by_time ON wave (device, code, t_utc_ns);
CREATE TABLE alert (
    id         INTEGER PRIMARY KEY,
    message    INTEGER NOT NULL,
    device     INTEGER NOT NULL,
    apart      INTEGER NOT NULL,
    path       TEXT NOT NULL,     -- OBX-4 without its facet: the metric that it is about
    code       INTEGER NOT NULL,  -- of the event
    ref_id     TEXT NOT NULL,
    source     TEXT NOT NULL,     -- reference id of what it is about
    text       TEXT NOT NULL,     -- as the device shows it
    phase      TEXT NOT NULL,     -- MDC_ATTR_EVENT_PHASE: start, continue, update, escalate, deescalate, end
    state      TEXT NOT NULL,     -- MDC_ATTR_ALARM_STATE: active, inactive, latched
    silenced   TEXT NOT NULL,     -- MDC_ATTR_ALARM_INACTIVATION_STATE: enabled, audio-paused …
    priority   TEXT NOT NULL,     -- PN, PL, PM, PH
    type       TEXT NOT NULL,     -- SP physiological, ST technical, SA advisory
    t_utc_ns   INTEGER NOT NULL
);
CREATE TABLE alert_now (
    device     INTEGER NOT NULL,
    code       INTEGER NOT NULL,
    ref_id     TEXT NOT NULL,
    path       TEXT NOT NULL,
    text       TEXT NOT NULL,     -- only for events that have no term of their own, else ""
    order_ns   INTEGER NOT NULL,
    row        INTEGER NOT NULL,  -- alert.id
    PRIMARY KEY (device, code, ref_id, path, text)
) WITHOUT ROWID;
CREATE TABLE alerting (
    device     INTEGER PRIMARY KEY,
    order_ns   INTEGER NOT NULL,  -- newest sign of life of the device's alerting
    timeout_s  REAL NOT NULL,     -- after so long without another, nobody knows what alarms
    active     INTEGER NOT NULL
);
CREATE TABLE dead_letter (
    id          INTEGER PRIMARY KEY,
    sha256      BLOB NOT NULL UNIQUE,
    sender      TEXT NOT NULL,
    facility    TEXT NOT NULL,
    control_id  TEXT NOT NULL,
    reason      TEXT NOT NULL,
    received_ns INTEGER NOT NULL,      -- UTC, when it came first
    times       INTEGER NOT NULL,      -- how often it came
    payload     BLOB NOT NULL
);
{RECEIVED}CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('repeated', 0);
PRAGMA user_version = {SCHEMA_VERSION};
"""

FROM_VERSION = {
    2: """
ALTER TABLE message ADD COLUMN clock TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN clock_step_s REAL NOT NULL DEFAULT 0;
ALTER TABLE latest RENAME COLUMN t_utc_ns TO order_ns;
ALTER TABLE alert_now RENAME COLUMN t_utc_ns TO order_ns;
ALTER TABLE alerting RENAME COLUMN t_utc_ns TO order_ns;
PRAGMA user_version = 3;
""",
}
"""What makes a database of an older version one of the next."""
