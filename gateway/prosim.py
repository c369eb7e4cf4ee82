"""Fluke ProSim 6 and 8: the simulated patient that a biomedical engineer plugs a monitor into, under remote control.

    PARAMETERS    what can be set, with which commands, and which terms of the monitor must then show it
    read_setting  "p1=120/80" -> Setting
    ProSim        a session over a Link: IDENT, REMOTE, commands, LOCAL
    Comparison    what was set beside what the driver of the monitor reads

A test instrument, never a device of a patient: so it is no driver, has no profile, and only `mdi prosim` opens it. Of
its commands only those that set a simulated patient are here; validation, diagnostic and calibration modes are not.

Source: protocol notes on the ProSim 6/8 (three independent code bases agree on line, framing, answers and the commands
used here). Tolerances are those of the acceptance script that the notes suggest, but for NIBP, which it has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import NamedTuple

from gateway.core.errors import ConfigError, DeviceError, MdiError
from gateway.core.plan import Plan
from gateway.core.sample import IS_USABLE, NOT_FOR_CHARTING, Block
from gateway.core.settings import did_you_mean
from gateway.core.units import linear
from gateway.links.base import Link

LINE = {"baud": 115200, "data_bits": 8, "parity": "none", "stop_bits": 1, "flow_control": "rts_cts"}
"""Settings of the serial line, USB or RS-232 [2 sources]."""
ANSWER_S = 2.0  # time-out for one line, as one of the sources has it
MAX_LINE = 256  # bytes; the longest answer known has 20
ERRORS = {  # [1 source]
    "!": "an empty command",
    "!01": "an unknown command",
    "!02": "a command that is not allowed now",
    "!03": "a value that is not allowed",
    "!04": "its buffer is full",
    "!21": "its memory has failed",
    "!22": "the pressure cannot be zeroed",
    "!27": "no communication with its SpO2 part",
}
_DONE = ("*", "OK")  # ProSim 6 and 8; ProSim 2 and MPS450


@dataclass(frozen=True, slots=True)
class Read:
    """A number that the monitor must show. name: added to that of the parameter; terms: the first that it has."""

    name: str
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that can be set: whole numbers from low to high, as many as `reads` has.

    commands: with the numbers in place of {0} and {1}; tolerance: of the reading, in `unit` (UCUM)
    """

    name: str
    commands: tuple[str, ...]
    low: int
    high: int
    unit: str
    tolerance: float
    reads: tuple[Read, ...]


_HEART = (Read("", ("MDC_ECG_HEART_RATE", "MDC_PULS_OXIM_PULS_RATE", "MDC_PULS_RATE", "MDC_BLD_PULS_RATE_INV")),)
_ART, _PAP, _ANY = "MDC_PRESS_BLD_ART_ABP", "MDC_PRESS_BLD_ART_PULM", "MDC_PRESS_BLD"
_CVP = "MDC_PRESS_BLD_VEN_CENT_MEAN"


def _two(*stems: str) -> tuple[Read, ...]:
    return Read(" sys", tuple(f"{stem}_SYS" for stem in stems)), Read(" dia", tuple(f"{stem}_DIA" for stem in stems))


def _mean(*terms: str) -> tuple[Read, ...]:
    return (Read("", terms),)


PARAMETERS: Mapping[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter("hr", ("NSRA={0:03d}",), 10, 360, "/min", 1, _HEART),
        Parameter("hr-paediatric", ("NSRP={0:03d}",), 10, 360, "/min", 1, _HEART),
        Parameter("spo2", ("SAT={0:03d}",), 0, 100, "%", 2, (Read("", ("MDC_PULS_OXIM_SAT_O2",)),)),
        Parameter(
            "rr",
            ("RESPRATE={0:03d}", "RESPRUN=TRUE"),
            10,
            150,
            "/min",
            1,
            (Read("", ("MDC_TTHOR_RESP_RATE", "MDC_RESP_RATE")),),
        ),
        # Cuffs differ: 5 mmHg is ours. The monitor must be told to measure, by hand or by its interval.
        Parameter("nibp", ("NIBPP={0:03d},{1:03d}", "NIBPRUN=TRUE"), 0, 400, "mm[Hg]", 5, _two("MDC_PRESS_BLD_NONINV")),
        Parameter(
            "p1",
            ("IBPP=1,{0:03d},{1:03d}", "IBPW=1,ART"),
            0,
            300,
            "mm[Hg]",
            2,
            _two(_ART, "MDC_PRESS_BLD_ART", _ANY),
        ),
        Parameter("p2", ("IBPP=2,{0:03d},{1:03d}", "IBPW=2,PA"), 0, 300, "mm[Hg]", 2, _two(_PAP)),
        Parameter(
            "p1-static",
            ("IBPS=1,{0:+04d}",),
            -10,
            300,
            "mm[Hg]",
            2,
            _mean(f"{_ART}_MEAN", "MDC_PRESS_BLD_ART_MEAN", f"{_ANY}_MEAN"),
        ),
        Parameter("p2-static", ("IBPS=2,{0:+04d}",), -10, 300, "mm[Hg]", 2, _mean(f"{_PAP}_MEAN", _CVP)),
    )
}


class Setting(NamedTuple):
    """A parameter with its numbers."""

    parameter: Parameter
    numbers: tuple[int, ...]

    @property
    def commands(self) -> list[str]:
        """What to tell the ProSim."""
        return [command.format(*self.numbers) for command in self.parameter.commands]


def read_setting(text: str) -> Setting:
    """Read NAME=NUMBER or NAME=SYS/DIA. Raises: ConfigError."""
    name, _, value = text.partition("=")
    parameter = PARAMETERS.get(name)
    if parameter is None:
        raise ConfigError(f"{name!r} cannot be set", hint=did_you_mean(name, PARAMETERS))
    shape = "NUMBER" if len(parameter.reads) == 1 else "SYS/DIA"
    try:
        numbers = tuple(int(part) for part in value.split("/"))
    except ValueError:
        numbers = ()
    if len(numbers) != len(parameter.reads):
        raise ConfigError(f"{text!r} is no setting", hint=f"write {name}={shape}, in whole numbers")
    if not all(parameter.low <= number <= parameter.high for number in numbers):
        limits = f"{parameter.low} to {parameter.high} {parameter.unit}"
        raise ConfigError(f"{text!r} is not possible", hint=f"{name} can be {limits}")
    return Setting(parameter, numbers)


class ProSim:
    """A session with a ProSim, between open and close. clock: monotonic seconds."""

    def __init__(self, link: Link, clock: Callable[[], float], where: str) -> None:
        self._link = link
        self._clock = clock
        self._where = where
        self._held = b""
        self.model = self.firmware = ""

    def open(self) -> None:
        """Find out who it is, and take it under remote control. Raises: LinkError, DeviceError."""
        self._link.open()
        try:
            self.model, _, self.firmware = self._ask("IDENT").partition(",")
            mode = self._ask("REMOTE")
            if mode not in ("RMAIN", *_DONE):
                what = f"it does not go to remote control: {_meaning(mode)}"
                raise DeviceError(what, self._where, "end its menus, try again")
        except MdiError:
            self._link.close()
            raise

    def set(self, setting: Setting) -> None:
        """Set a parameter. Raises: LinkError, DeviceError when it refuses."""
        for command in setting.commands:
            answer = self._ask(command)
            if answer not in _DONE:
                raise DeviceError(f"{command} was refused: {_meaning(answer)}", self._where, "see the ProSim's display")

    def close(self) -> None:
        """Give it back to its front panel; what was set stays set. Raises: LinkError, DeviceError."""
        try:
            self._ask("LOCAL")
        finally:
            self._link.close()

    def _ask(self, command: str) -> str:
        """Return the line that answers a command."""
        self._held = b""  # what came late belongs to a question before
        self._link.write(command.encode("ascii") + b"\r")
        end = self._clock() + ANSWER_S
        while b"\n" not in self._held:
            left = end - self._clock()
            if left <= 0 or len(self._held) > MAX_LINE:
                hint = "is it a ProSim 6 or 8, switched on, on this port?"
                raise DeviceError(f"no answer to {command} within {ANSWER_S:g} s", self._where, hint)
            for _, data in self._link.read(min(left, 1.0)):
                self._held += data
        return self._held.split(b"\n", 1)[0].strip().decode("ascii", "replace")


def _meaning(answer: str) -> str:
    known = ERRORS.get(answer[:3].strip())
    return f"{known} ({answer})" if known else repr(answer)


class Compared(NamedTuple):
    """One line of the result. read: NaN when the monitor has shown no usable value since; path, ref_id: which one."""

    name: str
    set: float
    read: float
    tolerance: float
    unit: str
    ref_id: str
    path: str

    @property
    def ok(self) -> bool:
        """Whether the reading is what was set, within its tolerance."""
        return abs(self.read - self.set) <= self.tolerance  # NaN is not


class Comparison:
    """What was set, beside the latest that the monitor's driver read.

    tolerances: name of a parameter -> in place of its own; since_ns: what was measured before does not count
    """

    def __init__(self, settings: Iterable[Setting], tolerances: Mapping[str, float], since_ns: int) -> None:
        self._settings = list(settings)
        self._tolerances = tolerances
        self._since_ns = since_ns
        self._latest: dict[tuple[str, str], tuple[float, str]] = {}  # (ref id, path) -> value, unit

    def take(self, plan: Plan, rows: Block) -> None:
        """Take samples. One without a usable value takes back the one before: a probe is off."""
        wanted = {term for setting in self._settings for read in setting.parameter.reads for term in read.terms}
        for row in rows:
            metric = plan.metrics[row["metric"]]
            if metric.ref_id not in wanted or metric.kind != "numeric" or row["t_ns"] < self._since_ns:
                continue
            usable = IS_USABLE[row["validity"]] and not row["flags"] & NOT_FOR_CHARTING  # demonstration, test data
            unit = metric.unit.ucum if metric.unit else ""
            self._latest[metric.ref_id, metric.path] = (float(row["value"]) if usable else nan, unit)

    def result(self) -> list[Compared]:
        """Return one line for each number that was set."""
        lines = []
        for parameter, numbers in self._settings:
            tolerance = self._tolerances.get(parameter.name, parameter.tolerance)
            for number, read in zip(numbers, parameter.reads, strict=True):
                value, ref_id, path = self._reading(read.terms, parameter.unit)
                lines.append(
                    Compared(parameter.name + read.name, number, value, tolerance, parameter.unit, ref_id, path)
                )
        return lines

    @property
    def met(self) -> bool:
        """Whether all readings are what was set."""
        return all(line.ok for line in self.result())

    def _reading(self, terms: Sequence[str], unit: str) -> tuple[float, str, str]:
        """Return (value, ref id, path) of the first of the terms that has a value."""
        for term in terms:
            for (ref_id, path), (value, own) in sorted(self._latest.items()):
                if ref_id == term and not isnan(value):
                    scale, offset = linear(own, unit)
                    return round(value * scale + offset, 6), ref_id, path
        return nan, "", ""
