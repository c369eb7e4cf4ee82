"""One node as a listener sees it: its NMT state, its heartbeat, its errors, and what its PDOs hold.

    unknown ──heartbeat 05──► operational ──heartbeat 04, 7F, 00 (boot-up)──► not operational
       values questionable       values valid                 values invalid, fault "not_operational"
                                     └──no heartbeat in time──► lost: the same, fault "heartbeat_lost"

Laws
  * A value of a PDO is valid only while the node has said that it is operational. Before the first heartbeat, and from
    a node that sends none, it is questionable: a PDO alone does not say what state its node is in.
  * When a node leaves operational or is lost, each value it has given is taken back (no number, NA), once.
  * NMT commands of the master on the bus count where they make values less valid, at once. "Start" makes nothing valid:
    that is for the node to say.
  * Errors are what EMCYs have said since boot-up or the last reset. Until one of these was heard, and no error either,
    nothing is said of alerts: we may have come late. From then on every heartbeat repeats the list, as a sign of life.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from drivers.canopen.dictionary import OBJECT, Dictionary, Tpdo, metrics
from gateway.core.frame import Alert, Alerts, Fault, Frame, Identified, Reading
from gateway.core.profile import Profile
from gateway.core.sample import Validity

BOOT_UP, STOPPED, OPERATIONAL, PRE_OPERATIONAL = 0x00, 0x04, 0x05, 0x7F  # notes: "CANopen frames", 700+n
STATES = {BOOT_UP: "boot-up", STOPPED: "stopped", OPERATIONAL: "operational", PRE_OPERATIONAL: "pre-operational"}
GUARD_TOGGLE = 0x80  # bit 7 toggles when node guarding is used in place of the heartbeat
COMMANDS = {0x02: STOPPED, 0x80: PRE_OPERATIONAL, 0x81: BOOT_UP, 0x82: BOOT_UP}  # NMT commands and where they lead
START = 0x01
CONSUMER = 2.0  # consumer time as a multiple of the producer's: notes, 1.5 to 2
AGAIN_NS = 5_000_000_000  # state and errors that have not changed are told again so often, on a heartbeat
MAX_ERRORS = 64  # errors of one node that are active at once
CLASSES = {  # error classes of EMCY codes, by their first hexadecimal digits; notes: "EMCY classes"
    "10": "generic",
    "2": "current",
    "3": "voltage",
    "4": "temperature",
    "50": "hardware",
    "6": "software",
    "70": "modules",
    "8": "monitoring",
    "90": "external",
    "F0": "functions",
    "FF": "device specific",
}
Say = Callable[[Frame | Identified | Fault], None]


class Node:
    """See the module text. `say` takes what it has to tell, in order."""

    def __init__(self, source: int, profile: Profile, dictionary: Dictionary, say: Say) -> None:
        self.source, self.dictionary, self._say = source, dictionary, say
        self.limit_s = dictionary.heartbeat_ms / 1000 * CONSUMER
        rows = list(metrics(profile))
        self._tells_state = any(row.frame == "nmt" for row in rows)
        self._alerts = {str(row.object) for row in rows if row.kind == "alert"}
        self.clear(0.0)

    def clear(self, now: float) -> None:
        """Forget everything: the line is new."""
        self._state: int | None = None
        self._lost = False
        self.refused = ""
        self._given: set[str] = set()
        self._errors: dict[str, Alert] = {}  # oldest first
        self._errors_known = False
        self._alerts_ns = 0
        self._state_ns = 0
        self._heard = False
        self._heard_at = now
        self._heard_ns = 0

    def look(self, now: float) -> None:
        """Notice a heartbeat that is missing. It is dated by the one before, or not at all when none ever came."""
        if self._heard:
            self._heard, self._heard_at = False, now
        elif self.limit_s and not self._lost and now - self._heard_at >= self.limit_s:
            self._lost = True
            self._say(Fault("heartbeat_lost", f"none for {self.limit_s:g} s", self.source))
            if self._heard_ns:
                self._take_back(self._heard_ns + round(self.limit_s * 1e9))

    def heartbeat(self, data: bytes, t_ns: int) -> bool:
        """Take a heartbeat, a boot-up or a guarding reply. False: it is none."""
        state = data[0] & ~GUARD_TOGGLE if len(data) == 1 else -1
        if state not in STATES:
            self._say(Fault("bad_heartbeat", data.hex(), self.source, bad_frame=True))
            return False
        self._heard, self._lost, self._heard_ns = True, False, t_ns
        if state == BOOT_UP:
            self._errors.clear()  # its errors are forgotten; what persists it reports again
            self._errors_known = True
        changed = state != self._state
        self._enter(state, t_ns)
        if self._tells_state and (changed or t_ns - self._state_ns >= AGAIN_NS):
            self._state_ns = t_ns
            self._say(Frame("nmt", [Reading("state", 0, 0, float(state))], t_ns, self.source))
        if self._errors_known and (state == BOOT_UP or t_ns - self._alerts_ns >= AGAIN_NS):
            self._say_alerts(t_ns)
        return True

    def command(self, command: int, t_ns: int) -> None:
        """Take a command of the NMT master to this node."""
        if command in COMMANDS:
            self._enter(COMMANDS[command], t_ns)
        elif command == START and self._state not in (None, OPERATIONAL):
            self._state = None

    def pdo(self, tpdo: Tpdo, data: bytes, t_ns: int) -> bool:
        """Take a process data object. A longer one is read as far as the mapping goes. False: it is too short."""
        if len(data) < tpdo.length:
            detail = f"TPDO{tpdo.number}: {len(data)} bytes, not {tpdo.length}"
            self._say(Fault("short_pdo", detail, self.source, bad_frame=True))
            return False
        word = int.from_bytes(data, "little")
        self.values([(part.name, part.value(word)) for part in tpdo.parts], t_ns)
        return True

    def values(self, found: list[tuple[str, float]], t_ns: int, in_any_state: bool = False) -> None:
        """Give values of objects, as valid as the node's state makes them."""
        if not found:
            return
        validity = Validity.VLD if in_any_state else self._validity()
        if validity == Validity.INV:
            readings = [Reading(name, 0, 0, math.nan, Validity.INV) for name, _ in found]
        else:
            readings = [
                Reading(name, 0, 0, value, Validity.INV if math.isnan(value) else validity) for name, value in found
            ]
            self._given.update(name for name, value in found if not math.isnan(value))
        self._say(Frame(OBJECT, readings, t_ns, self.source))

    def emcy(self, data: bytes, t_ns: int) -> bool:
        """Take an emergency object. False: it is too short."""
        if len(data) < 8:
            self._say(Fault("short_emcy", f"{len(data)} bytes", self.source, bad_frame=True))
            return False
        code, register = int.from_bytes(data[:2], "little"), data[2]
        # An EMCY comes in pre-operational too, and says what it says.
        self.values([(part.name, part.value(register)) for part in self.dictionary.register], t_ns, in_any_state=True)
        if code >> 8:
            self._error(code, data[3:8])
        elif register == 0:  # with a register other than 0 an error is gone, but not the last: which one is not said
            self._errors.clear()
        self._errors_known = True
        self._say_alerts(t_ns)
        return True

    def refuse(self, reason: str, detail: str, t_ns: int) -> None:
        """Give no value of this node any more: it is not what the profile describes."""
        if not self.refused:
            self.refused = reason
            self._say(Fault(reason, detail, self.source))
            self._take_back(t_ns)

    def accept(self) -> None:
        """The node has shown that it is what the profile describes."""
        self.refused = ""

    def _error(self, code: int, detail: bytes) -> None:
        name = f"{code:04X}" + "".join(f".{detail[n]:02X}" for n in self.dictionary.emcy_detail)
        if not self._alerts:
            self._say(Fault("emergency", f"EMCY {name}", self.source))
        if name not in self._errors and len(self._errors) >= MAX_ERRORS:
            oldest = next(iter(self._errors))
            del self._errors[oldest]
            self._say(Fault("too_many_errors", oldest, self.source))
        # A row of the profile has its own text. The class is all that CANopen itself says of another.
        text = "" if name in self._alerts else f"EMCY {name} ({_class(code)})"
        self._errors[name] = Alert(name, text=text, technical=True)

    def _say_alerts(self, t_ns: int) -> None:
        self._alerts_ns = t_ns
        if self._alerts:
            self._say(Frame("emcy", Alerts(tuple(self._errors.values())), t_ns, self.source))

    def _enter(self, state: int, t_ns: int) -> None:
        if state not in (OPERATIONAL, self._state):
            self._say(Fault("not_operational", STATES[state], self.source))
            self._take_back(t_ns)
        self._state = state

    def _take_back(self, t_ns: int) -> None:
        """Say of every value that was given that there is none now."""
        if self._given:
            gone = [Reading(name, 0, 0, math.nan, Validity.NA) for name in sorted(self._given)]
            self._say(Frame(OBJECT, gone, t_ns, self.source))
            self._given.clear()

    def _validity(self) -> Validity:
        if self._lost or self.refused or self._state not in (None, OPERATIONAL):
            return Validity.INV
        return Validity.VLD if self._state == OPERATIONAL else Validity.QST


def _class(code: int) -> str:
    text = f"{code:04X}"
    return CLASSES.get(text[:2]) or CLASSES.get(text[:1]) or "class not in the table"
