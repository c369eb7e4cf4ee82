"""Every reader of a file, a retained message or a list that somebody else may have written: anything, or a refusal.

Each gets arbitrary bytes, its own good text with bytes changed, and its own document with a value replaced by one that
nobody expects. It may refuse in the way it says, and in no other. What other tests fuzz is listed in docs/security.md.
"""

from __future__ import annotations

import json
import os
import random
import re
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.core.errors import ConfigError, TrustError
from gateway.record import Direction, Header, RecordingWriter, read_recording
from gateway.security.access.glass import granted
from gateway.security.access.roles import Role
from gateway.security.audit import Event
from gateway.security.audit.entry import FIELDS, Checkpoint, line_of, parse_line
from gateway.security.audit.reading import anchors_in
from gateway.security.dossier.results import parse_results
from gateway.security.inventory.install import read_manifest as read_release
from gateway.security.inventory.vulnerabilities import read_scan, read_triage
from gateway.security.onboard.approval import Request
from gateway.security.onboard.journal import Act, append, journal_path, read_acts
from gateway.security.onboard.life import Step
from gateway.security.onboard.observed import Observed, read_observed
from gateway.security.onboard.record import read_record, read_risk
from gateway.security.seal import Seal, backup
from gateway.security.trust.claims import Claim
from gateway.security.trust.folder import read_manifest
from gateway.security.trust.revisions import Revisions
from tests.conftest import ROOT
from tests.unit.test_docs import ids_in

INPUTS = int(os.environ.get("MDI_FUZZ_READERS", "400"))  # of each; make nightly: 20000
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**400, float("inf"), float("-inf"), float("nan"), "", "x", "\ud800", "9" * 5000),
    *([], {}, [[]], {"": None}, [None] * 3, "2026-13-40", "../../etc/passwd", "00" * 32),
)
KEY = bytes(range(32))


class Reader(NamedTuple):
    """read: bytes → anything, of a file in a folder; good: what it takes; refuses: the errors that it says."""

    read: Callable[[bytes, Path], object]
    good: bytes
    refuses: tuple[type[Exception], ...]


def of_file(read: Callable[[Path], object], name: str) -> Callable[[bytes, Path], object]:
    """Return a reader of bytes from one of a path below the folder."""

    def readable(data: bytes, folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return readable


def recorded(seal: Seal | None) -> bytes:
    """Return a good recording."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.mdirec"
        writer = RecordingWriter(path, Header("2026-01-31T12:00:00Z", "1", "bed", "d", "serial"), seal=seal)
        for n in range(3):
            writer.append(5 + n, Direction.FROM_DEVICE, b"\x02HR 72\x03")
        writer.close()
        return path.read_bytes()


def replayed(seal: Seal | None) -> Callable[[Path], object]:
    return lambda path: [*read_recording(path, seal)]


def saved() -> bytes:
    found = {"etc/a.toml": b"a = 1\n"}
    return backup.archive(found, backup.manifest("gw", "1", "", found, ()))


def acted() -> bytes:
    """Return a good journal."""
    with tempfile.TemporaryDirectory() as folder:
        act = Act("2026-01-01T00:00:00+00:00", str(Step.SUSPEND), "mso", "r", 1, "00" * 32)
        append(Path(folder), "A-1", act)
        return journal_path(Path(folder), "A-1").read_bytes()


def jsoned(value: object) -> bytes:
    return json.dumps(value).encode()


POINT = {"gateway": "gw", "writer": "run", "seq": 1, "head": "00" * 32, "t_utc": "t", "key": "00" * 32, "sig": "00"}
ENTRY = {"event": str(Event.AUDIT_CHECKPOINT), "writer": "run", "facts": {**POINT, "of": 1}}
SEEN = {"monitor": dict.fromkeys(Observed.__dataclass_fields__, "x")}
SCAN = {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "C", "fix_versions": [], "aliases": []}]}]}
RESULTS = {
    "version": "1",
    "commit": "c",
    "software": "s",
    "made": "t",
    "points": {"1": [{"test": "a", "passed": True}]},
}
TRIAGE = b"""
[[decision]]
id = "CVE-2026-1"
component = "numpy"
state = "affected"
reason = "r"
decided_by = "mso"
decided = "2026-11-01"
expires = "2027-02-01"
"""
CLAIM = b"purpose=config file=mdi_config.toml rev=12 valid_until=2027-06-30"
LIST = b"00" * 32 + b"  gateway/a.py\n"
ASKED = Request("A-1", 1, "lev", "2026-01-01T00:00:00+00:00", "2027-01-01", {"n": 1})

READERS = {
    "recording": Reader(of_file(replayed(None), "x.mdirec"), recorded(None), (ConfigError,)),
    "sealed recording": Reader(of_file(replayed(Seal([KEY])), "x.mdirec"), recorded(Seal([KEY])), (ConfigError,)),
    "backup": Reader(of_file(backup.read, "x"), saved(), (ConfigError,)),
    "retained checkpoint": Reader(lambda data, _: Checkpoint.parse(data).genuine, jsoned(POINT), (ValueError,)),
    "anchors": Reader(lambda data, _: anchors_in(data.decode("utf-8", "replace"), "gw"), jsoned(ENTRY), ()),
    "audit log": Reader(lambda data, _: parse_line(data), line_of(dict.fromkeys(FIELDS - {"h"}, "00" * 32))[0], ()),
    "request for approval": Reader(lambda data, _: Request.parse(data, "x"), ASKED.text, (TrustError,)),
    "acts": Reader(
        of_file(lambda path: read_acts(path.parent.parent, "A-1"), "onboard/A-1.jsonl"),
        acted(),
        (TrustError,),
    ),
    "observed": Reader(
        of_file(lambda path: read_observed(path.parent.parent), "onboard/observed.json"), jsoned(SEEN), ()
    ),
    "revisions": Reader(
        of_file(lambda path: Revisions(path.parent), "revisions.json"), jsoned({"a": [1, "00"]}), (TrustError,)
    ),
    "break-glass": Reader(
        of_file(lambda path: granted(path, 1000.0), "glass.json"), jsoned({"1": [Role.OPERATOR.name, 1100.0]}), ()
    ),
    "claim": Reader(lambda data, _: Claim.parse(data.decode("utf-8", "replace")), CLAIM, (TrustError,)),
    "manifest of profiles": Reader(lambda data, _: read_manifest(data, "x"), LIST, (TrustError,)),
    "manifest of the release": Reader(
        lambda data, _: read_release(data.decode("utf-8", "replace"), "x"), LIST, (ConfigError,)
    ),
    "scan": Reader(
        lambda data, _: read_scan(data.decode("utf-8", "replace"), date(2026, 1, 1), "x"), jsoned(SCAN), (ConfigError,)
    ),
    "triage": Reader(of_file(read_triage, "triage.toml"), TRIAGE, (ConfigError,)),
    "evidence": Reader(lambda data, _: parse_results(data), jsoned(RESULTS), (ValueError,)),
    "device record": Reader(
        of_file(read_record, "devices.d/A-1.toml"), b'title = "x"\n[use]\ndevice = "a"\n', (ConfigError,)
    ),
    "risk": Reader(of_file(read_risk, "risks/R-1.toml"), b'title = "x"\nexpires = "2027-01-01"\n', (ConfigError,)),
}


def replaced(rng: random.Random, value: Any) -> Any:
    """Return the document with one value, or one key, that nobody expects."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {**{k: v for k, v in value.items() if k != key}, str(rng.choice(ODD))[:9]: value[key]}
        return {**value, key: replaced(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], replaced(rng, value[at]), *value[at + 1 :]]
    return rng.choice(ODD)


def spoiled(rng: random.Random, good: bytes) -> bytes:
    """Return one input."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        return rng.choice((b"[", b'{"a":', b"[[a]]\n", b"{")) * rng.choice((1, 3, 50_000)) + rng.choice(
            (b"", b"1", b"]")
        )
    if kind == 2 and good[:1] in (b"{", b"["):
        return jsoned(replaced(rng, json.loads(good)))
    data = bytearray(good)
    if kind == 3:
        cut = rng.randrange(len(data))
        data[cut : cut + rng.randrange(40)] = rng.randbytes(rng.randrange(12))
    for _ in range(rng.randrange(1, 4)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("name", READERS)
def test_anything_is_read_or_refused_as_it_says(name: str, tmp_path: Path) -> None:
    reader, rng = READERS[name], random.Random(name)
    for n in range(INPUTS):
        data = spoiled(rng, reader.good)
        try:
            reader.read(data, tmp_path)
        except reader.refuses as said:
            words = str(said)
            if "\n" in words:
                raise AssertionError(f"{name}: more than a line: {words}") from said
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__} of {data[:300]!r}, input {n}") from error


@pytest.mark.parametrize("name", [n for n in READERS if n not in ("device record", "risk")])
def test_what_is_good_is_taken(name: str, tmp_path: Path) -> None:
    """The inputs begin at something that is read, so that they get past the first look."""
    READERS[name].read(READERS[name].good, tmp_path)


def test_the_table_of_the_docs_names_tests_that_exist_and_their_numbers() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    table = text[text.index("## Fuzz") : text.index("## Certificates")]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", table)
    assert len(named) >= 11
    for path, name in named:
        assert name in ids_in(path)
    source = (ROOT / "tests/conformance/test_exam_fuzz.py").read_text(encoding="utf-8")
    assert '"MDI_FUZZ", "1500"' in source
    assert '"MDI_FUZZ_READERS", "400"' in Path(__file__).read_text(encoding="utf-8")
    nightly = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "MDI_FUZZ=1000000 " in nightly
    assert "MDI_FUZZ_READERS=20000 " in nightly
