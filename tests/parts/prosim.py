"""A Fluke ProSim 6 as the protocol notes tell of it, and the patient whom it simulates for a monitor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.scene import Scene

_NUMBERS: Mapping[str, tuple[re.Pattern[str], int, int]] = {  # command -> arguments, least, greatest
    "NSRA": (re.compile(r"([0-9]{3})"), 10, 360),
    "NSRP": (re.compile(r"([0-9]{3})"), 10, 360),
    "SAT": (re.compile(r"([0-9]{3})"), 0, 100),
    "RESPRATE": (re.compile(r"([0-9]{3})"), 10, 150),
    "NIBPP": (re.compile(r"([0-9]{3}),([0-9]{3})"), 0, 400),
    "IBPP": (re.compile(r"[12],([0-9]{3}),([0-9]{3})"), 0, 300),
    "IBPS": (re.compile(r"[12],([+-][0-9]{3})"), -10, 300),
}
_WORDS: Mapping[str, re.Pattern[str]] = {
    "IBPW": re.compile(r"[12],(ART|RART|LV|LA|RV|PA|PAW|RA)"),
    "RESPRUN": re.compile(r"TRUE|FALSE"),
    "NIBPRUN": re.compile(r"TRUE|FALSE"),
}
_HEART = ("MDC_ECG_HEART_RATE", "MDC_PULS_RATE", "MDC_PULS_OXIM_PULS_RATE")
_TERMS: Mapping[str, tuple[tuple[str, ...], ...]] = {  # command, and channel -> terms of each of its numbers
    "NSRA": (_HEART,),
    "NSRP": (_HEART,),
    "SAT": (("MDC_PULS_OXIM_SAT_O2",),),
    "RESPRATE": (("MDC_RESP_RATE", "MDC_TTHOR_RESP_RATE"),),
    "NIBPP": (("MDC_PRESS_BLD_NONINV_SYS",), ("MDC_PRESS_BLD_NONINV_DIA",)),
    "IBPP1": (
        ("MDC_PRESS_BLD_ART_SYS", "MDC_PRESS_BLD_ART_ABP_SYS"),
        ("MDC_PRESS_BLD_ART_DIA", "MDC_PRESS_BLD_ART_ABP_DIA"),
    ),
    "IBPP2": (("MDC_PRESS_BLD_ART_PULM_SYS",), ("MDC_PRESS_BLD_ART_PULM_DIA",)),
    "IBPS1": (("MDC_PRESS_BLD_ART_MEAN", "MDC_PRESS_BLD_ART_ABP_MEAN"),),
    "IBPS2": (("MDC_PRESS_BLD_ART_PULM_MEAN",),),
}


@dataclass(frozen=True)
class SimulatedPatient(Scene):
    """A scene in which `numbers` (ref id -> number) stand in place of its own, and may change."""

    numbers: dict[str, float] = field(default_factory=dict)

    def value(self, ref_id: str, t: float, unit: str = "") -> float | None:
        """See Scene. The numbers are in the units of a ProSim, which are those of the courses."""
        return self.numbers[ref_id] if ref_id in self.numbers else super().value(ref_id, t, unit)


class ProSimSimulator:
    """Implements gateway.core.protocol.Simulator. numbers: of the patient; said: the commands it took."""

    def __init__(self, numbers: dict[str, float], refuses: Mapping[str, str] | None = None) -> None:
        self.numbers = numbers
        self.said: list[str] = []
        self.mode = "LOCAL"
        self._refuses = refuses or {}
        self._line = bytearray()
        self._out = b""

    def receive_data(self, data: bytes, now: float) -> None:
        """Take commands: CR and LF execute, BS deletes a character, ESC throws the line away."""
        for byte in data:
            if byte in b"\r\n":
                if self._line or byte == 0x0D:
                    self._out += self._answer(self._line.decode("latin-1").upper()).encode() + b"\r\n"
                self._line.clear()
            elif byte == 0x08:
                del self._line[-1:]
            elif byte == 0x1B:
                self._line.clear()
            else:
                self._line.append(byte)

    def data_to_send(self, now: float) -> bytes:
        """Return the answers."""
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Speaks only when asked."""
        return 0.0 if self._out else None

    def _answer(self, command: str) -> str:
        self.said.append(command)
        name, _, argument = command.partition("=")
        if name in self._refuses:
            return self._refuses[name]
        if command in ("REMOTE", "LOCAL"):
            self.mode = "RMAIN" if command == "REMOTE" else "LOCAL"
        if command in ("REMOTE", "LOCAL", "QMODE"):
            return self.mode
        if not command:
            return "!"
        if command == "IDENT":
            return "PROSIM6,1.00.06"
        if name not in _NUMBERS and name not in _WORDS:
            return "!01"
        if self.mode != "RMAIN":
            return "!02"
        return self._set(name, argument)

    def _set(self, name: str, argument: str) -> str:
        if name in _WORDS:
            return "*" if _WORDS[name].fullmatch(argument) else "!03"
        shape, low, high = _NUMBERS[name]
        found = shape.fullmatch(argument)
        if found is None or not all(low <= int(number) <= high for number in found.groups()):
            return "!03"
        key = name + argument[0] if name.startswith("IBP") else name
        for number, terms in zip(found.groups(), _TERMS[key], strict=True):
            self.numbers.update(dict.fromkeys(terms, float(number)))
        return "*"
