"""What is plugged into the simulated monitor: each row of a profile as the object that measures it.

A row says which number it is and in which unit; how a monitor packs it is said here. Pressures with systolic, diastolic
and mean come as one compound object, all else as an object of its own. The numbers are those that a monitor sends:
physio ids and unit codes of the profile, labels, sample shapes and scales of protocol notes sections 11 and 12. What
the notes do not give is marked "ours".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from drivers.philips_intellivue.alerts import OF_CLASS, TECHNICAL
from drivers.philips_intellivue.pdu import MDS
from gateway.core.errors import ConfigError
from gateway.core.profile import ChannelSpec, MetricSpec, Profile
from gateway.core.settings import did_you_mean

LABELS = 0x0002_0000  # TextId of an object: this + its physio id, sections 11 and 12
FIRST_NUMERIC, FIRST_WAVE = 0x8201, 0x0201  # handles; ours
BREATHS = 0x0AE0  # rpm, section 11: the unit "/min" of a respiration
NOT_LISTED = 0xFFFE  # an event that no profile knows: it must end in the row for such; ours
LEADS_OFF = 0x0112  # section 14


class Numeric(NamedTuple):
    """One numeric object: one row, or several as a compound."""

    handle: int
    label: int
    unit: int
    rows: tuple[MetricSpec, ...]

    @property
    def episodic(self) -> bool:
        return self.rows[0].episodic

    @property
    def of_ecg(self) -> bool:
        return "_ECG_" in self.rows[0].id


class Shape(NamedTuple):
    """How a wave is sampled. scale: lower and upper, physical and as counts; digits of the former."""

    unit: int
    period_ticks: int
    samples: int
    bits: int
    flags: int
    scale: tuple[float, float, int, int]
    digits: int


SHAPES = {  # by unit of the row; 500, 125 and 62.5 samples a second, scales of section 12
    "mV": Shape(0x10B2, 16, 128, 14, 0x3000, (-40.96, 40.955, 0, 16383), 3),
    "uV": Shape(0x10B3, 64, 32, 12, 0x8000, (-62.5, 62.5, 0, 4095), 1),
    "1": Shape(0x0200, 64, 32, 12, 0x8000, (0.0, 1.0, 0, 4095), 0),
    "Ohm": Shape(0x10C0, 128, 16, 12, 0x8000, (-0.6, 1.9, 0, 4095), 1),
    "mm[Hg]": Shape(0x0F20, 64, 32, 14, 0x8000, (-40.0, 520.0, 160, 9120), 0),
    "kPa": Shape(0x0F20, 128, 16, 12, 0x8000, (-4.0, 48.0, 100, 4000), 0),  # CO2: this monitor is set to mmHg
    "cm[H2O]": Shape(0x0F40, 64, 32, 12, 0x8000, (-10.0, 50.0, 0, 4000), 0),
    "mL": Shape(0x0652, 64, 32, 12, 0x8000, (-100.0, 1100.0, 0, 4000), 0),
    "L/min": Shape(0x0C00, 64, 32, 12, 0x8000, (-100.0, 100.0, 0, 4000), 0),  # ours
    "%": Shape(0x0220, 128, 16, 12, 0x8000, (0.0, 100.0, 0, 4000), 0),  # ours
}


class WaveForm(NamedTuple):
    """One wave object."""

    handle: int
    label: int
    row: MetricSpec
    shape: Shape

    @property
    def of_ecg(self) -> bool:
        return "_ECG_" in self.row.id


class AlertEvent(NamedTuple):
    """One event that the monitor can alarm on. code as sent, bit 0 included."""

    row: MetricSpec
    source: int
    code: int
    technical: bool


ABOUT = (  # word in an event's id -> what such an event is about; ours
    ("_ECG_", "MDC_ECG_HEART_RATE"),
    ("LEAD", "MDC_ECG_HEART_RATE"),
    ("DESAT", "MDC_PULS_OXIM_SAT_O2"),
    ("CUFF", "MDC_PRESS_BLD_NONINV_SYS"),
    ("APNEA", "MDC_RESP_RATE"),
)


# What is plugged in, by name: reference ids. icu: what a bedside monitor in intensive care usually shows, and two of
# its alerts.
SETS: Mapping[str, tuple[str, ...]] = {
    "icu": (
        "MDC_ECG_HEART_RATE",
        "MDC_ECG_V_P_C_CNT",
        "MDC_RESP_RATE",
        "MDC_PULS_OXIM_SAT_O2",
        "MDC_PULS_OXIM_PULS_RATE",
        "MDC_PULS_OXIM_PERF_REL",
        "MDC_PRESS_BLD_NONINV_SYS",
        "MDC_PRESS_BLD_NONINV_DIA",
        "MDC_PRESS_BLD_NONINV_MEAN",
        "MDC_PRESS_BLD_ART_ABP_SYS",
        "MDC_PRESS_BLD_ART_ABP_DIA",
        "MDC_PRESS_BLD_ART_ABP_MEAN",
        "MDC_PRESS_BLD_VEN_CENT_MEAN",
        "MDC_TEMP",
        "MDC_AWAY_CO2_ET",
        "MDC_AWAY_RESP_RATE",
        "MDC_ECG_ELEC_POTL_II",
        "MDC_PULS_OXIM_PLETH",
        "MDC_PRESS_BLD_ART_ABP",
        "MDC_AWAY_CO2",
        "MDC_EVT_DESAT",
        "MDCX_EVT_TACHY",
    ),
}


class Modules:
    """All objects of a monitor that measures what a profile names; or, of that, only these ids and sets.

    leads_off: the event that the leads of the ECG are off, which is there however little is plugged in
    """

    def __init__(self, profile: Profile, firmware: str, only: Collection[str] = ()) -> None:
        channels: Sequence[ChannelSpec] = profile.resolve(firmware if profile.accepts(firmware) else "")
        alerts = [row for channel in channels for row in channel.metrics if row.kind == "alert"]
        if only:
            channels = _plugged_in(channels, only)
        groups = [group for channel in channels for group in _objects(channel)]
        rows = [row for channel in channels for row in channel.metrics]
        waves = [row for row in rows if row.kind == "waveform" and row.unit in SHAPES]
        codes = {name: code for code, name in reversed(list(profile.units.items())) if isinstance(code, int)}
        self.numerics = tuple(
            Numeric(FIRST_NUMERIC + i, _label(group), _unit(group[0], codes), group) for i, group in enumerate(groups)
        )
        self.waves = tuple(
            WaveForm(FIRST_WAVE + i, row.instance or LABELS + number(row), row, SHAPES[row.unit])
            for i, row in enumerate(waves)
        )
        measured = {row.id: number(row) for row in reversed(rows) if row.kind == "numeric"}
        self.events = tuple(_event(row, measured) for row in rows if row.kind == "alert")
        self.leads_off = tuple(_event(row, measured) for row in alerts if number(row) == TECHNICAL + LEADS_OFF)


def number(row: MetricSpec) -> int:
    """Return the physio or event id of a row; that of an event which is not listed for the row that takes them."""
    return row.object if isinstance(row.object, int) else TECHNICAL + NOT_LISTED


def _plugged_in(channels: Sequence[ChannelSpec], only: Collection[str]) -> list[ChannelSpec]:
    """Return the channels with these rows alone. Of several rows with one id: the wave, else the first.

    Raises: ConfigError for a name that is neither an id of the profile nor a set.
    """
    wanted = {ref_id: name for name in only for ref_id in SETS.get(name, (name,))}
    chosen: dict[str, MetricSpec] = {}
    for row in (row for channel in channels for row in channel.metrics):
        if row.id in wanted and (row.id not in chosen or (row.kind, chosen[row.id].kind) == ("waveform", "numeric")):
            chosen[row.id] = row
    for ref_id, name in wanted.items():
        if ref_id not in chosen:
            known = [*SETS, *(row.id for channel in channels for row in channel.metrics)]
            raise ConfigError(f"only: {name!r} is not measured by this monitor", hint=did_you_mean(name, known))
    return [replace(c, metrics=tuple(row for row in c.metrics if row is chosen.get(row.id))) for c in channels]


def _objects(channel: ChannelSpec) -> list[tuple[MetricSpec, ...]]:
    """Return the numeric rows of a channel, those of one compound together."""
    rows = {row.id: row for row in channel.metrics if row.kind == "numeric"}
    groups: list[tuple[MetricSpec, ...]] = []
    taken: set[str] = set()
    for name, row in rows.items():
        parts = [name.removesuffix("_SYS") + part for part in ("_SYS", "_DIA", "_MEAN")]
        if parts[0] == name and all(part in rows for part in parts):
            groups.append(tuple(rows[part] for part in parts))
            taken.update(parts)
        elif name not in taken:
            groups.append((row,))
    return groups


def _label(group: Sequence[MetricSpec]) -> int:
    """Return the label: of a compound that of the pressure itself, whose physio id is one below the systolic's."""
    return group[0].instance or LABELS + number(group[0]) - (1 if len(group) > 1 else 0)


def _unit(row: MetricSpec, codes: Mapping[str, int]) -> int:
    """Return the unit code in which a number is sent; 0 (not specified) when the profile has none for its unit."""
    unit = row.raw_unit or row.unit
    return BREATHS if unit == "/min" and "RESP" in row.id else codes.get(unit, 0)


def _event(row: MetricSpec, measured: Mapping[str, int]) -> AlertEvent:
    code = number(row)
    technical = code >= TECHNICAL
    about = next((name for word, name in ABOUT if word in row.id), "MDC_ECG_HEART_RATE")
    if technical and not any(word in row.id for word, _ in ABOUT):
        return AlertEvent(row, MDS, code % TECHNICAL | OF_CLASS, technical)  # about the monitor itself
    return AlertEvent(row, measured.get(about, 0), code % TECHNICAL, technical)
