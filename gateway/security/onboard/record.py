"""What people write of a device: etc_dir/devices.d/ASSET.toml, and etc_dir/risks/ID.toml. Every key with its sentence.

A record is data about a device and functions of the hospital, never about a patient. It is read whole and checked
whole; what is wrong is named with file, line and key, as in mdi_config.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from gateway.config_sections import NAME
from gateway.core.errors import ConfigError
from gateway.core.settings import Settings, build, did_you_mean, setting
from gateway.core.toml_lines import line_of, load

MAX_TEXT = 64 * 1024  # of one record; a full one has about 3 KiB
ASSET = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"  # also a file name
DAY = r"\d{4}-\d{2}-\d{2}"
SHA256 = r"[0-9a-f]{64}"
CLASSES = (
    "I",
    "Is",
    "Im",
    "Ir",
    "IIa",
    "IIb",
    "III",
    "IVD A",
    "IVD B",
    "IVD C",
    "IVD D",
    "none",
)  # MDR VIII, IVDR VIII


@dataclass(frozen=True)
class Identity(Settings):
    """[device]: which device this is, as its label and its papers say."""

    asset: str = field(metadata=setting("Asset number of the hospital; also the name of this file.", pattern=ASSET))
    maker: str = field(metadata=setting("Manufacturer, as on the label."))
    model: str = field(metadata=setting("Model, as on the label."))
    serial: str = field(metadata=setting("Serial number, as on the label."))
    firmware: str = field(metadata=setting("Firmware as declared, as the device itself says it; unknown: write that."))
    location: str = field(metadata=setting("Where it stands: ward, room, place."))
    purpose: str = field(metadata=setting("What it is used for, and what its data is used for."))
    mdr_class: str = field(metadata=setting("Class under the MDR or IVDR.", choices=CLASSES))
    data: tuple[str, ...] = field(
        metadata=setting('Categories of data it sends: "vital signs", "waveforms", "alerts", "settings", "technical".')
    )
    udi_di: str = field(default="", metadata=setting("UDI-DI: which product (MDR Annex VI C).", empty=True))
    os: str = field(default="", metadata=setting("Operating system of the device; empty: not known.", empty=True))
    says_model: str = field(
        default="", metadata=setting("Model as the device itself says it on the line; empty: not compared.", empty=True)
    )
    says_serial: str = field(
        default="",
        metadata=setting("Serial number as the device itself says it on the line; empty: not compared.", empty=True),
    )
    mac: str = field(
        default="",
        metadata=setting("MAC address, of a device on a network.", pattern=r"([0-9a-f]{2}:){5}[0-9a-f]{2}", empty=True),
    )
    vlan: str = field(default="", metadata=setting("VLAN, of a device on a network.", empty=True))
    end_of_support: str = field(
        default="", metadata=setting("Day on which the manufacturer ends its support.", pattern=DAY, empty=True)
    )
    maintenance: str = field(default="", metadata=setting("Maintenance contract.", empty=True))
    incident_contact: str = field(default="", metadata=setting("Whom to call, a function and no person.", empty=True))


@dataclass(frozen=True)
class Owners(Settings):
    """[owners]: who answers for it; functions or departments."""

    clinical: str = field(metadata=setting("Clinical owner."))
    medico: str = field(metadata=setting("Owner in medical technology."))
    it: str = field(metadata=setting("Owner in IT."))


@dataclass(frozen=True)
class Use(Settings):
    """[use]: what of mdi_config.toml it uses. The approval covers this, and nothing beside it."""

    device: str = field(metadata=setting("Name of the configured device.", pattern=NAME))
    port: str = field(metadata=setting("Name of the configured port.", pattern=NAME))
    conduits: tuple[str, ...] = field(metadata=setting("Names of the conduits: its own, and that of the broker."))


@dataclass(frozen=True)
class Review(Settings):
    """[review]: what was judged, and when that is due again."""

    next: str = field(metadata=setting("Day from which the approval does not hold any more.", pattern=DAY))
    assessment: str = field(default="", metadata=setting("Where the assessment lies, and its result.", empty=True))
    residual: str = field(default="low", metadata=setting("Risk that remains.", choices=("low", "medium", "high")))
    risks: tuple[str, ...] = field(default=(), metadata=setting("Accepted risks: names of files in etc_dir/risks."))


@dataclass(frozen=True)
class Evidence(Settings):
    """[[evidence]]: a document that the review rests on. Only its hash is needed here."""

    name: str = field(
        metadata=setting("Name of the file in etc_dir/evidence/ASSET, if it is kept here.", pattern=r"[^/\0]+")
    )
    kind: str = field(
        metadata=setting("What it is.", choices=("mds2", "test", "scan", "contract", "assessment", "manual", "other"))
    )
    sha256: str = field(metadata=setting("SHA-256 of the file, 64 hex digits.", pattern=SHA256))


@dataclass(frozen=True)
class Risk(Settings):
    """etc_dir/risks/ID.toml: a risk that somebody has accepted, for a time."""

    title: str = field(metadata=setting("The risk in one sentence."))
    owner: str = field(metadata=setting("Who has accepted it; a function or department."))
    reason: str = field(metadata=setting("Why it is accepted."))
    control: str = field(metadata=setting("What compensates for it."))
    expires: str = field(metadata=setting("Day from which it is not accepted any more.", pattern=DAY))
    level: str = field(default="low", metadata=setting("How high it is.", choices=("low", "medium", "high")))


@dataclass(frozen=True)
class DeviceRecord:
    """A record, checked."""

    path: Path
    device: Identity
    owners: Owners
    use: Use
    review: Review
    evidence: tuple[Evidence, ...] = ()

    @property
    def asset(self) -> str:
        return self.device.asset

    def content(self) -> dict[str, Any]:
        """Return all that people have written, without where it stands."""
        return {name: asdict(getattr(self, name)) for name in SECTIONS} | {
            "evidence": [asdict(e) for e in self.evidence]
        }


SECTIONS: dict[str, type[Settings]] = {"device": Identity, "owners": Owners, "use": Use, "review": Review}
FOLDER, RISKS, EVIDENCE = "devices.d", "risks", "evidence"


def record_path(etc_dir: Path, asset: str) -> Path:
    """Return where the record of an asset lies. Raises: ConfigError when it can be none."""
    if not re.fullmatch(ASSET, asset):
        raise ConfigError(f"{asset!r} is no asset number", hint="letters, digits, . _ -")
    return etc_dir / FOLDER / f"{asset}.toml"


def read_record(path: Path) -> DeviceRecord:
    """Read one record. Raises: ConfigError with file, line and key."""
    text = _text(path)
    doc = load(text, str(path), ConfigError)
    known = (*SECTIONS, "evidence")
    for section in doc:
        if section not in known:
            raise ConfigError(f"unknown section [{section}]", _at(path, text, section), did_you_mean(section, known))
    parts = {name: _section(path, text, doc, name, kind) for name, kind in SECTIONS.items()}
    listed = doc.get("evidence", [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ConfigError("evidence must be [[evidence]]", _at(path, text, "evidence"), "write [[evidence]]")
    evidence = tuple(_built(path, text, Evidence, item, "evidence", i) for i, item in enumerate(listed))
    record = DeviceRecord(path, **parts, evidence=evidence)
    if record.asset != path.stem:
        hint = f"name the file {record.asset}.toml, or correct the asset number"
        raise ConfigError(
            f"asset = {record.asset!r}: the file is named {path.name}", _at(path, text, "device", "asset"), hint
        )
    _days(record, text)
    return record


def read_risk(path: Path) -> Risk:
    """Read one risk. Raises: ConfigError with file, line and key."""
    text = _text(path)
    risk: Risk = _built(path, text, Risk, load(text, str(path), ConfigError))
    _day(risk.expires, _at(path, text, "expires"))
    return risk


def read_records(etc_dir: Path) -> tuple[dict[str, DeviceRecord], dict[Path, ConfigError]]:
    """Return the records by asset, and what is wrong with the others."""
    found, wrong = {}, {}
    for path in sorted((etc_dir / FOLDER).glob("*.toml")):
        try:
            record = read_record(path)
            found[record.asset] = record
        except ConfigError as fault:
            wrong[path] = fault
    return found, wrong


def read_risks(etc_dir: Path) -> tuple[dict[str, Risk], dict[Path, ConfigError]]:
    """Return the risks by id, and what is wrong with the others."""
    found, wrong = {}, {}
    for path in sorted((etc_dir / RISKS).glob("*.toml")):
        try:
            found[path.stem] = read_risk(path)
        except ConfigError as fault:
            wrong[path] = fault
    return found, wrong


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_TEXT + 1)
        if len(raw) > MAX_TEXT:
            raise ConfigError(f"file is larger than {MAX_TEXT // 1024} KiB", str(path), "a record is a table")
        return raw.decode()
    except UnicodeDecodeError:
        raise ConfigError("file is not UTF-8", str(path), "save it as UTF-8") from None
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", str(path), "mdi onboard new makes one") from fault


def _at(path: Path, text: str, *keys: str | int) -> str:
    return f"{path}:{line_of(text, keys)}"


def _section(path: Path, text: str, doc: Mapping[str, Any], name: str, kind: type[Settings]) -> Any:
    if not isinstance(doc.get(name), dict):
        raise ConfigError(f"section [{name}] is missing", str(path), (kind.__doc__ or "").split("\n")[0])
    return _built(path, text, kind, doc[name], name)


def _built(path: Path, text: str, kind: type[Any], table: Mapping[str, Any], *keys: str | int) -> Any:
    return build(kind, table, lambda *more: _at(path, text, *keys, *more))


def _days(record: DeviceRecord, text: str) -> None:
    """Days must be days of the calendar."""
    for section, key in (("review", "next"), ("device", "end_of_support")):
        _day(getattr(getattr(record, section), key), _at(record.path, text, section, key))


def _day(text: str, where: str) -> None:
    try:
        date.fromisoformat(text or "1970-01-01")
    except ValueError:
        raise ConfigError(f"{text} is no day", where, "write it as 2027-06-30") from None
