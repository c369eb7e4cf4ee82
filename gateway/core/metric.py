"""What a profile means for one firmware: its metrics and device rows, looked up, and the digest of all that.

A Metric is what an index in SAMPLE.metric stands for. Everything here is done once, when a plan is compiled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from gateway.core.errors import ProfileError
from gateway.core.nomenclature import PRIVATE_PREFIX, Nomenclature, Term, Unit
from gateway.core.profile import ChannelSpec, MetricSpec, Profile

LIMITS = {"MDCX_ALERT_LIMIT_LOW": "low", "MDCX_ALERT_LIMIT_HIGH": "high"}
"""Terms of our own for an alarm limit set on the device; which metric it is for says `limit_of`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One resolved metric: what an index in SAMPLE.metric means."""

    index: int
    ref_id: str
    code: int
    path: str
    kind: str  # numeric, waveform, enumeration, alert
    category: str  # measurement, calculation, setting
    unit: Unit | None
    episodic: bool
    tokens: tuple[str, ...]  # enumeration: value of the sample -> token
    range: tuple[float, float]
    limit_of: str = ""  # alarm limit: path of the metric it is for; which limit says the term
    alert: str = ""  # alert: physiological, technical or advisory
    text: str = ""  # alert: what is shown when the device sends no text


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One containment row of OBX: the MDS, a VMD or a channel."""

    path: str  # "1.0.0.0", "1.2.0.0", "1.2.1.0"
    ref_id: str
    code: int


def resolve(specs: list[MetricSpec], nomenclature: Nomenclature) -> tuple[Metric, ...]:
    """Look the terms and units of all rows up. Raises: ProfileError with the line."""
    by_path = {spec.path: spec for spec in specs}
    return tuple(_metric(i, spec, by_path, nomenclature) for i, spec in enumerate(specs))


def _metric(index: int, spec: MetricSpec, by_path: Mapping[str, MetricSpec], nomenclature: Nomenclature) -> Metric:
    term = measured = _look_up(spec.id, spec.where, nomenclature)
    for key, path in (("limit_of", spec.limit_of), ("of", spec.of)):
        if path and path not in by_path:
            raise ProfileError(f"{key} = {path!r} is no metric of this profile", spec.where, "name its path: 1.2.1.1")
    if spec.limit_of:  # a limit has the unit of what it limits; its own term has none
        measured = _look_up(by_path[spec.limit_of].id, spec.where, nomenclature)
    try:
        unit = nomenclature.unit(spec.unit, measured) if spec.unit else None
    except KeyError:
        raise ProfileError(f"unit {spec.unit!r} is not known", spec.where, "use a UCUM text or MDC_DIM_ id") from None
    low, high = spec.range or (-math.inf, math.inf)
    return Metric(
        index,
        spec.id,
        term.code,
        spec.path,
        spec.kind,
        spec.category,
        unit,
        spec.episodic,
        tuple(token for _, token in spec.values),
        (low, high),
        spec.limit_of,
        spec.alert,
        spec.text,
    )


def _look_up(ref_id: str, where: str, nomenclature: Nomenclature) -> Term:
    try:
        return nomenclature.term(ref_id)
    except KeyError:
        hint = f"add it to nomenclature.csv with its source, or use {PRIVATE_PREFIX}…"
        raise ProfileError(f"{ref_id} is not in the nomenclature", where, hint) from None


def device_rows(profile: Profile, channels: Iterable[ChannelSpec], nomenclature: Nomenclature) -> tuple[DeviceRow, ...]:
    """Return the containment rows above the metrics, parents first. Raises: ProfileError."""
    rows = {"1.0.0.0": DeviceRow("1.0.0.0", profile.device, _look_up(profile.device, profile.where, nomenclature).code)}
    for channel in sorted(channels, key=lambda c: tuple(int(n) for n in c.path.split("."))):
        vmd = channel.path.rsplit(".", 1)[0] + ".0.0"
        for path, ref_id in ((vmd, channel.vmd), (channel.path + ".0", channel.chan)):
            code = _look_up(ref_id, channel.where, nomenclature).code
            known = rows.setdefault(path, DeviceRow(path, ref_id, code))
            if known.ref_id != ref_id:
                raise ProfileError(
                    f"{path} is both {known.ref_id} and {ref_id}", channel.where, "one term for one path"
                )
    return tuple(rows.values())


def digest(profile: Profile, channels: Iterable[ChannelSpec], metrics: tuple[Metric, ...]) -> bytes:
    """Return sha256 of all that decides the meaning of a number, 32 bytes."""

    def plain(spec: MetricSpec) -> dict[str, object]:
        row = asdict(spec)
        for key in ("where", "source"):  # where a row stands in the file does not change what it means
            del row[key]
        return row

    what = {
        "profile": profile.id,
        "device": profile.device,
        "experimental": bool(profile.experimental),
        "driver": [profile.driver, profile.driver_table, profile.files],
        "units": {str(code): name for code, name in profile.units.items()},
        "channels": [[c.path, c.vmd, c.chan, [plain(m) for m in c.metrics]] for c in channels],
        "codes": [[m.code, m.unit.code if m.unit else 0] for m in metrics],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).digest()
