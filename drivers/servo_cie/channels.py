"""The channels of a profile, and whether the ventilator scales them as the profile does.

The profile's table is the notes' (one app that reads real ventilators); the ventilator's own word is asked for with
RCCO. Where both say the same, the value is good; where the ventilator says nothing that can be read, it is
questionable; where they contradict each other, it is withheld.
"""

from __future__ import annotations

from enum import Enum
from math import isclose

from drivers.servo_cie.cie import Scaling
from gateway.core.errors import ProfileError
from gateway.core.profile import MetricSpec, Profile
from gateway.core.units import linear

CATEGORIES = {b"S": "settings", b"B": "breath"}
MOST = 50  # channels of a list; 75 settings only in protocol version 003, which is not asked for


class Agreement(Enum):
    """What is known of a channel's scale."""

    UNSAID = "the ventilator has not said"
    SAME = "profile and ventilator agree"
    CONFLICT = "profile and ventilator contradict each other"


class Channels:
    """The lists of a profile: category -> channels in the order of its rows."""

    def __init__(self, profile: Profile) -> None:
        specs = [spec for channel in profile.channels for spec in channel.metrics]
        self._units = profile.units
        self._specs: dict[int, MetricSpec] = {spec.object: spec for spec in specs if isinstance(spec.object, int)}
        self.lists = {
            category: [channel for channel, spec in self._specs.items() if spec.frame == frame]
            for category, frame in CATEGORIES.items()
        }
        sizes = [len(channels) for channels in self.lists.values()]
        if not all(0 < size <= MOST for size in sizes) or len(set(sizes)) < len(sizes):
            # An answer does not say which list it is of: its length is all that tells.
            what = f"{sizes[0]} settings and {sizes[1]} breath channels"
            raise ProfileError(what, profile.where, f"1 to {MOST} of each, and not as many of one as of the other")
        self.agreement = dict.fromkeys(self._specs, Agreement.UNSAID)

    def compare(self, said: Scaling) -> str:
        """Take what the ventilator says of a channel; return the contradiction, "" when there is none."""
        spec = self._specs[said.channel]
        what = self._contradiction(spec, said)
        self.agreement[said.channel] = Agreement.CONFLICT if what else Agreement.SAME
        return what

    def _contradiction(self, spec: MetricSpec, said: Scaling) -> str:
        name = self._units.get(said.unit)
        if name is None:
            return f"unit code {said.unit}"
        factor = 1.0
        if spec.unit:
            try:
                factor, _ = linear(name, spec.unit)  # no temperatures here: the zero of all units is zero
            except ValueError:
                return f"unit {name} instead of {spec.unit}"
        same = isclose(said.gain * factor, spec.scale, rel_tol=1e-6)
        return "" if same and said.offset == 0 else f"raw x {said.gain} - {said.offset} {name}, not x {spec.scale}"
