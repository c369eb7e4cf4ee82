"""What a parameter means depends on the mode of ventilation: parameter 87 is the control pressure, or P-high.

The profile says so in its table [driver] meaning: in which modes a parameter stands for which of its rows. A mode that
is in no list of a parameter, or is not known, leaves it without a meaning, and so without a value.
"""

from __future__ import annotations

from gateway.core.errors import ProfileError
from gateway.core.profile import Profile

FRAME = "parameter"
_KEYS = {"id", "modes", "instance"}


class Meaning:
    """The parameters of a profile.

    mode: the parameter that holds the mode; free: those that mean the same in every mode; bound: the others;
    instances: the rows of each parameter
    """

    def __init__(self, profile: Profile) -> None:
        specs = [spec for channel in profile.channels for spec in channel.metrics if spec.frame == FRAME]
        self.instances: dict[int, list[int]] = {}
        for spec in specs:
            # One byte of the request; STX, ETX and CR would be taken for what they are.
            if not isinstance(spec.object, int) or not 0x0D < spec.object <= 0x7F:
                raise ProfileError(f"parameter {spec.object!r} is not possible", spec.where, "a number, 14 to 127")
            self.instances.setdefault(spec.object, []).append(spec.instance)
        self._rows: dict[tuple[int, int], int] = {}
        for entry in profile.driver_table.get("meaning", []):
            if not isinstance(entry, dict) or set(entry) - _KEYS or not {"id", "modes"} <= set(entry):
                hint = "write { id = 48, modes = [24], instance = 1 }"
                raise ProfileError(f"meaning {entry!r} is not known", profile.where, hint)
            instance = entry.get("instance", 0)
            if instance not in self.instances.get(entry["id"], []):
                what = f"meaning of parameter {entry['id']} names instance {instance}, which has no row"
                raise ProfileError(what, profile.where, "add the row, or correct the instance")
            self._rows.update(((entry["id"], mode), instance) for mode in entry["modes"])
        self.bound = [number for number in self.instances if any(number == bound for bound, _ in self._rows)]
        self.mode = profile.driver_table.get("mode", 0)
        self.free = [number for number in self.instances if number not in (*self.bound, self.mode)]
        if self.bound and self.mode not in self.instances:
            raise ProfileError("the mode has no row", profile.where, "write [driver] mode = 40, and a row for it")

    def instance(self, number: int, mode: int | None) -> int | None:
        """Return which row a bound parameter stands for in a mode, None when for none."""
        return None if mode is None else self._rows.get((number, mode))
