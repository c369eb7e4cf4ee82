"""The port doctor: from what was heard and sent at each line setting to what is wrong with the cable or the setting.

Pure: statistics in, diagnoses out, each with one sentence on what to do, the most probable one first. What it goes by:

    silence         no byte at any setting. CTS, DSR and DCD then say more, where the adapter can read them: with two
                    transmitters joined (a straight cable between two DTEs) none of the other side's outputs reaches us,
                    so all are off. They are off, too, when nothing is plugged in: from here the two look alike. Which
                    comes first is decided by the cable that the profile wants; both are named.
    echo            what was written comes back at once, byte for byte.
    parity          where the bit that stands in the place of the parity bit (or of the stop bit, when we expect no
                    parity) follows from the other bits without exception, it tells what the device sends there.
    speed           damaged characters that no parity explains; or characters that are one run of zeros and one of ones
                    (the device is several times slower), or whose upper bits are all ones (it is faster).

A damaged character is one that the UART has marked: parity or framing error, which Linux does not tell apart (termios,
PARMRK). Nothing here is sure beyond what a protocol with a checksum has confirmed, and no word says so.

Sources: TIA-232-F (signals of DTE and DCE); termios(3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

ENOUGH = 20  # characters before anything is said of their pattern
DIFFERENT = 4  # different characters before a line without damage is said to be right
DISTINCT = 10  # different characters before a parity is believed: ten agree by chance once in a thousand
CLEAN = 0.01  # share of damaged characters of a line whose setting is right: noise, the cut first one
CONSISTENT = 0.95  # share of characters that must agree on a parity
BOTH = 0.1  # share of damaged and of undamaged characters that is needed to see what tells them apart
ALL_BAD = 0.97  # so many damaged: each character is, whatever it holds
PATTERN = 0.8  # share of characters of a telling shape
LIKELY, POSSIBLE = "likely", "possible"
ECHO_BYTES, ECHO_SHARE = 4, 0.8  # so much came back, of so many writes: no answer of a device does that


class Trouble(StrEnum):
    """What can be wrong. `NONE`: a known protocol is read."""

    NONE = "none"
    NO_SIGNAL = "no signal"
    NULL_MODEM = "null modem missing"
    QUIET = "connected, but silent"
    ECHO = "echo"
    WRONG_BAUD = "wrong baud"
    WRONG_PARITY = "wrong parity"
    DAMAGE = "damaged characters"
    FEW = "too little heard"
    UNKNOWN = "unknown protocol"


REMEDIES = {
    Trouble.NONE: "Paste the stanza into mdi_config.toml and complete it.",
    Trouble.NO_SIGNAL: "Check that the device is on, that the cable is in its data port and in this one, "
    "and that its data export is switched on.",
    Trouble.NULL_MODEM: "Put a null modem (2-3 crossed) into the cable, or take one out, and probe again.",
    Trouble.QUIET: "Switch data export on in the device's menu, and let the probe ask, "
    "for a device that speaks only when asked.",
    Trouble.ECHO: "Switch the local echo of the RS-485 adapter off, or remove the plug that joins pins 2 and 3.",
    Trouble.WRONG_BAUD: "Set the speed in the device's menu to the one of the profile, or probe again without "
    "--profile and --driver to try every known speed.",
    Trouble.WRONG_PARITY: "Set data bits and parity in the device's menu to those of the profile, "
    "or use the setting named here.",
    Trouble.DAMAGE: "Use a shorter, shielded cable, and look for a second device on the line.",
    Trouble.FEW: "Probe again with more --seconds; a scale or an analyser speaks only when it has a result.",
    Trouble.UNKNOWN: "The line is right, its protocol is none that is known here: check the protocol chosen in the "
    "device's menu, or send a recording of it.",
}


class LineFormat(NamedTuple):
    """How characters travel. Stop bits and flow control make no difference to a listener."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "none"

    def __str__(self) -> str:
        return f"{self.baud} {self.data_bits}{self.parity[0].upper()}"


class Inputs(NamedTuple):
    """The handshake lines that the other side drives, as the adapter reads them."""

    cts: bool
    dsr: bool
    dcd: bool


@dataclass
class Heard:
    """What passed at one setting. good, bad: how often each character came undamaged, and damaged."""

    format: LineFormat
    good: list[int] = field(default_factory=lambda: [0] * 256)
    bad: list[int] = field(default_factory=lambda: [0] * 256)
    inputs: Inputs | None = None
    writes: int = 0
    bytes_out: int = 0
    echoes: int = 0
    echoed_bytes: int = 0
    blocked: int = 0  # writes that the line did not take: no CTS
    _written: bytes = b""
    _echo_due: bytes = b""  # what must still come for the last write to have come back

    @property
    def count(self) -> int:
        """Return how many characters came."""
        return sum(self.good) + sum(self.bad)

    @property
    def damaged(self) -> float:
        """Return the share of damaged characters."""
        return sum(self.bad) / self.count if self.count else 0.0

    def sent(self, data: bytes) -> None:
        """Count what was written; what comes next may be its echo."""
        self.writes += 1
        self.bytes_out += len(data)
        self._written = self._echo_due = data

    def take(self, data: bytes, good: bytes, bad: bytes) -> int:
        """Count what came. Return how many bytes were found to be an echo.

        data: all of it in order; good, bad: its undamaged and its damaged characters
        """
        for value in good:
            self.good[value] += 1
        for value in bad:
            self.bad[value] += 1
        n = min(len(data), len(self._echo_due))
        if not n:
            return 0
        same = data[:n] == self._echo_due[:n]
        self._echo_due = self._echo_due[n:] if same else b""
        if not same or self._echo_due:
            return 0
        self.echoes += 1
        self.echoed_bytes += len(self._written)
        return len(self._written)

    def look(self, inputs: Inputs | None) -> None:
        """Note the handshake lines; one that was ever on counts as on."""
        if inputs is not None:
            before = self.inputs or Inputs(False, False, False)
            self.inputs = Inputs(*(a or b for a, b in zip(before, inputs, strict=True)))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One trouble. certainty: "likely" or "possible"; what: what was seen, for a person."""

    trouble: Trouble
    certainty: str
    what: str

    @property
    def remedy(self) -> str:
        """Return what a person can do."""
        return REMEDIES[self.trouble]


def diagnose(heard: Sequence[Heard], matched: bool, null_modem: bool = False) -> list[Diagnosis]:
    """Return what is wrong, the most probable first; never empty.

    matched: a known protocol was read; null_modem: the cable that the candidates want crosses the data wires
    """
    echo = _echo(heard)
    if matched:
        return [*echo, *_noise(heard), Diagnosis(Trouble.NONE, LIKELY, "A known protocol is read")]
    if echo:
        return echo
    if not any(h.count for h in heard):
        return _silence(heard, null_modem)
    enough = [h for h in heard if _is_enough(h)]
    if not enough:
        count = sum(h.count for h in heard)
        return [Diagnosis(Trouble.FEW, LIKELY, f"{count} bytes in all: too few, or too much alike, to tell anything")]
    return _setting(enough)


def fits(heard: Heard) -> bool:
    """Tell whether the setting seems to be the device's: nothing is damaged and no pattern speaks against it."""
    return _is_enough(heard) and heard.damaged <= CLEAN and not off_speed(heard) and not sent_parity(heard)


def _is_enough(heard: Heard) -> bool:
    """A device that waits for somebody may repeat one character for hours: that tells nothing of the setting."""
    return heard.count >= ENOUGH and (heard.damaged > CLEAN or sum(map(bool, heard.good)) >= DIFFERENT)


def _setting(enough: Sequence[Heard]) -> list[Diagnosis]:
    """Bytes come, and no protocol was read from them: say why."""
    if clean := [h for h in enough if fits(h)]:
        best = max(clean, key=lambda h: h.count)
        what = f"at {best.format}: {best.count} bytes, {best.damaged:.1%} damaged"
        return [Diagnosis(Trouble.UNKNOWN, LIKELY, what)]
    if parities := [(h, sent) for h in enough if (sent := sent_parity(h))]:
        best, sent = max(parities, key=lambda found: found[0].count)
        what = f"at {best.format}: {best.count} bytes whose bits show {sent} at this speed"
        return [Diagnosis(Trouble.WRONG_PARITY, LIKELY, what)]
    best = min(enough, key=lambda h: h.damaged)
    speed = off_speed(best)
    shape = f", shaped as from a {speed} device" if speed else ""
    what = f"no setting fits; least damaged at {best.format}: {best.damaged:.0%} of {best.count} bytes{shape}"
    found = [Diagnosis(Trouble.WRONG_BAUD, LIKELY, what)]
    if not speed and len({h.format for h in enough if h.format.baud == best.format.baud}) == 1:
        others = f"at {best.format.baud} bit/s no other parity was listened for"
        found.append(Diagnosis(Trouble.WRONG_PARITY, POSSIBLE, others))
    return found


def _echo(heard: Sequence[Heard]) -> list[Diagnosis]:
    writes, echoes = sum(h.writes for h in heard), sum(h.echoes for h in heard)
    if sum(h.echoed_bytes for h in heard) < ECHO_BYTES or echoes < ECHO_SHARE * writes:
        return []
    alone = sum(h.count for h in heard) <= sum(h.bytes_out for h in heard)
    rest = "and nothing else came" if alone else "before what the device says"
    return [Diagnosis(Trouble.ECHO, LIKELY, f"{echoes} of {writes} writes came back byte for byte, {rest}")]


def _noise(heard: Sequence[Heard]) -> list[Diagnosis]:
    """The best setting of a line that is read should be free of damage."""
    best = min((h for h in heard if h.count >= ENOUGH), key=lambda h: h.damaged, default=None)
    if best is None or best.damaged <= CLEAN:
        return []
    return [Diagnosis(Trouble.DAMAGE, LIKELY, f"{best.damaged:.1%} of {best.count} bytes at {best.format}")]


def _silence(heard: Sequence[Heard], null_modem: bool) -> list[Diagnosis]:
    asked = sum(h.writes for h in heard)
    nothing = "nothing was heard" + (f", {asked} writes had no answer" if asked else "")
    if blocked := sum(h.blocked for h in heard):
        nothing += f", {blocked} were held back because CTS is off"
    known = [h.inputs for h in heard if h.inputs is not None]
    if not known:
        what = f"{nothing}; the adapter does not tell CTS, DSR and DCD"
        others = [Diagnosis(Trouble.NULL_MODEM, POSSIBLE, "the profile wants a null modem")] if null_modem else []
        return [Diagnosis(Trouble.NO_SIGNAL, LIKELY, what), *others]
    on = [name for name, *states in zip(Inputs._fields, *known, strict=True) if any(states)]
    if on:
        names = " ".join(on).upper()
        quiet = Diagnosis(Trouble.QUIET, LIKELY, f"{nothing}, but something holds {names} on")
        return [quiet, Diagnosis(Trouble.NULL_MODEM, POSSIBLE, "only the data wires may be uncrossed")]
    off = f"{nothing}, and CTS, DSR and DCD are off"
    crossed = Diagnosis(Trouble.NULL_MODEM, LIKELY, f"{off}, as with two transmitters joined")
    unplugged = Diagnosis(Trouble.NO_SIGNAL, LIKELY, f"{off}, as with nothing at the other end")
    first, second = (crossed, unplugged) if null_modem else (unplugged, crossed)
    return [first, replace(second, certainty=POSSIBLE)]


def sent_parity(heard: Heard) -> str:
    """Return what the characters show of the device's data bits and parity where they differ from ours, or ""."""
    values = [v for v in range(256) if heard.good[v] or heard.bad[v]]
    if len(values) < DISTINCT or off_speed(heard):
        return ""
    _, bits, parity = heard.format
    if heard.damaged <= CLEAN:
        return _in_the_top_bit(heard.good) if bits == 8 else ""
    if parity == "none":
        return _in_the_stop_bit(heard)
    if heard.damaged >= ALL_BAD:
        return "odd parity, or none," if parity == "even" else "even parity, or none,"
    if not BOTH <= heard.damaged <= 1 - BOTH:
        return ""
    odd = 1 if parity == "odd" else 0
    ones = sum(_where(heard.good, odd ^ 1)) + sum(_where(heard.bad, odd))  # characters with a 1 in the parity's place
    if ones >= CONSISTENT * heard.count:  # it is the stop bit
        return f"{bits} data bits and no parity"
    if ones <= (1 - CONSISTENT) * heard.count and bits == 7:  # it is the top bit of text
        return "8 data bits"
    return ""


def _in_the_top_bit(good: Sequence[int]) -> str:
    """7 data bits with parity are as long as 8 without: each character then has an even, or odd, number of ones."""
    for parity, name in enumerate(("even", "odd")):
        agree = _where(good, parity)
        if sum(map(bool, agree)) >= DISTINCT and sum(agree) >= (1 - CLEAN) * sum(good):
            return f"7 data bits and {name} parity"
    return ""


def _in_the_stop_bit(heard: Heard) -> str:
    """A parity bit of 0 where we expect the stop bit damages the character, one of 1 does not.

    FF does not count: some UARTs take that 0 for a start bit and hear an FF that nobody sent.
    """
    good = [*heard.good[:-1], 0]
    count = sum(good) + sum(heard.bad)
    if not BOTH * count <= sum(heard.bad) <= (1 - BOTH) * count:
        return ""
    as_even = (sum(_where(good, 1)) + sum(_where(heard.bad, 0))) / count
    if 1 - CONSISTENT < as_even < CONSISTENT:
        return ""
    return f"{heard.format.data_bits} data bits and {'even' if as_even >= CONSISTENT else 'odd'} parity"


def off_speed(heard: Heard) -> str:
    """Return "slower" or "faster" when the shape of the characters shows that the device is, or ""."""
    top = (1 << heard.format.data_bits) - 1
    both = [g + b for g, b in zip(heard.good, heard.bad, strict=True)]
    runs = {top & (top << n) for n in range(heard.format.data_bits + 1)}  # zeros first, then ones: one long bit
    twice = {v for v in range(top + 1) if not v & 1 and not (v >> 1 ^ v >> 2) & 0b010101}  # each bit stands twice
    upper = top & ~(top >> 3)  # its whole character is over before our upper three bits
    early = {v for v in range(top + 1) if v & upper == upper}
    for shape, damage, word in ((runs, True, "slower"), (twice, True, "slower"), (early, False, "faster")):
        if sum(both[v] for v in shape) >= PATTERN * heard.count and (heard.damaged > BOTH) == damage:
            return word
    return ""


def _where(counts: Sequence[int], parity: int) -> list[int]:
    """Return the counts of the characters whose number of ones is even (0) or odd (1)."""
    return [count for value, count in enumerate(counts) if value.bit_count() & 1 == parity]
