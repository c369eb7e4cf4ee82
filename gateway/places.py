"""Who each device is and where it stands, as messages say it: a new place counts from a boundary on, never before.

The wrong value on the wrong patient: a pump moves from bed 1 to bed 2, somebody edits its place, and samples of bed 1
that still wait in the ring go out under bed 2. So a new place is first *coming*. It comes into force when all that was
in the rings at the moment of the change has been read and stored, under the place that held when it was measured.

The same holds over a restart, and for a sender that was down during the edit. Therefore what is in force is kept in a
file beside the rings, with the same life: when the box loses power, both are gone. A device that was removed keeps its
last place in it, so that its last samples still say where it stood.

What stands here goes by the names of port and device. The ring says them too: a position in the configuration, which an
edit shifts, decides nothing. And a name that is moved to another line is another device there, so that two devices may
swap their names under way: what comes from the old line is still that of the old one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from gateway.config import Config, Device
from gateway.core.hl7_message import DeviceIdentity
from gateway.lane import Spot

log = logging.getLogger("mdi.places")
MODE = 0o640


def identity(device: Device) -> DeviceIdentity:
    """Return who a device is and where it stands, as the configuration says."""
    place = device.location
    return DeviceIdentity(
        device.settings.name, device.settings.eui64, place.unit, place.room, place.bed, place.facility
    )


def identities(config: Config) -> dict[Spot, DeviceIdentity]:
    """Return (port, device) -> who it is and where it stands, as the configuration says."""
    return {(port.settings.name, d.settings.name): identity(d) for port in config.ports for d in port.devices}


class Places:
    """What is in force, and what is coming.

    in_force: (port, device) -> identity that messages made now carry; coming: those that wait for their boundary
    """

    def __init__(self, path: Path) -> None:
        """Take up what the process before left. Damage in the file is said, and nothing is then known of before."""
        self._path = path
        self.in_force: dict[Spot, DeviceIdentity] = {}
        self.coming: dict[Spot, DeviceIdentity] = {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            self.in_force = {_spot(at): DeviceIdentity(**fields) for at, fields in stored.items()}
        except FileNotFoundError:
            return
        except (ValueError, TypeError, AttributeError) as fault:
            log.error("%s is damaged (%s): samples from before this start go out under the new places", path, fault)

    def want(self, wanted: Mapping[Spot, DeviceIdentity]) -> None:
        """A configuration says so. A device that is new has no samples from before: its place is in force at once.

        Raises: OSError when that cannot be written down; then nothing has changed.
        """
        new = {spot: there for spot, there in wanted.items() if spot not in self.in_force}
        if new:
            self._save(self.in_force | new)
        self.coming = {spot: there for spot, there in wanted.items() if self.in_force[spot] != there}

    def arrive(self) -> list[Spot]:
        """All from before is stored: what is coming is in force from here on. Return whose place is another now.

        Raises: OSError when it cannot be written down; then nothing has changed.
        """
        moved = list(self.coming)
        self._save(self.in_force | self.coming)
        self.coming = {}
        return moved

    def _save(self, places: dict[Spot, DeviceIdentity]) -> None:
        """Write first, and only then use it: no start from here on says the old place of a new sample."""
        draft = self._path.with_suffix(".new")
        text = json.dumps({"/".join(spot): asdict(there) for spot, there in places.items()})
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, self._path)
        self.in_force = places


def _spot(text: str) -> Spot:
    """Read a key of the file, "port/device". Raises: ValueError."""
    port, device = text.split("/")
    return port, device
