"""Pressures and temperatures: which channel speaks for a site.

A pressure is named by the label that somebody gave its channel (ART, CVP …), never by the channel's number: a
transducer that is moved to another plug keeps its meaning. Then two channels can have one label. Two pressures are
never mixed under one name:

  * the channel that had a value first speaks for the site, as long as it has that label and a value;
  * when it has lost its value, that is given once; from the next record on another may speak;
  * while two channels with one label have values, that is a fault (`same_label`): only one of them is shown.

A channel without a label ("undefined", "unused") is named by its number, P3 or T2, as the monitor does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drivers.ge_dri import layout
from drivers.ge_dri.values import Present, has_value
from gateway.core.frame import Reading


def is_site(found: Present) -> bool:
    """Tell whether the group is a pressure or temperature channel: p1 … p8, t1 … t6."""
    name = found.group.name
    return len(name) == 2 and name[0] in "pt" and name[1].isdigit()


def site(found: Present) -> str:
    """Return the name of the site: what its label says."""
    name = found.group.name
    labels: Sequence[str] = layout.PRESSURE_LABELS if name[0] == "p" else layout.TEMPERATURE_LABELS
    if found.label == 0:
        return name.upper()
    return labels[found.label] if found.label < len(labels) else f"{name[0].upper()} label {found.label}"


class Sites:
    """Keeps who speaks for which site. claimed: the sites for which two channels had values in the last record."""

    def __init__(self) -> None:
        self.claimed: list[str] = []
        self._speakers: dict[str, str] = {}  # site -> group

    def readings(self, channels: Iterable[Present]) -> list[Reading]:
        """Return the readings of all channels of one record."""
        claims: dict[str, list[Present]] = {}
        found: list[Reading] = []
        for channel in channels:
            claims.setdefault(site(channel), []).append(channel)
            if channel.group.name[0] == "p":
                found.append(Reading(f"{channel.group.name}.label", 0, 0, float(channel.label)))
        for name, claimants in claims.items():
            speaker = self._choose(name, claimants)
            found += [Reading(f"{name}.{field}", 0, 0, *pair) for field, pair in speaker.fields.items()]
        self.claimed = [name for name, claimants in claims.items() if sum(map(has_value, claimants)) > 1]
        return found

    def _choose(self, name: str, claimants: list[Present]) -> Present:
        before = self._speakers.pop(name, None)
        speaker = next((channel for channel in claimants if channel.group.name == before), None)
        speaker = speaker or next((channel for channel in claimants if has_value(channel)), claimants[0])
        if has_value(speaker):
            self._speakers[name] = speaker.group.name
        return speaker
