"""Who each device is and where it stands, as messages say it: a new place counts from a boundary on, never before.

The wrong value on the wrong patient: a pump moves from bed 1 to bed 2, somebody edits its place, and samples of bed 1
that still wait in the ring go out under bed 2. So a new place is first *coming*. It comes into force when all that was
in the rings at the moment of the change has been read and stored, under the place that held when it was measured.

The same holds over a restart, and for a sender that was down during the edit. Therefore what is in force is kept in a
file beside the rings, with the same life: when the box loses power, both are gone. A device that was removed keeps its
last place in it, so that its last samples still say where it stood.

What stands here goes by the name of the device. The ring says the name too: a position in the configuration, which an
edit shifts, decides nothing.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from gateway.config import Config
from gateway.core.hl7_message import DeviceIdentity

log = logging.getLogger("mdi.places")
MODE = 0o640


def identities(config: Config) -> dict[str, DeviceIdentity]:
    """Return name -> who a device is and where it stands, as the configuration says."""
    found = {}
    for device in config.devices:
        name, place = device.settings.name, device.location
        found[name] = DeviceIdentity(name, device.settings.eui64, place.unit, place.room, place.bed, place.facility)
    return found


class Places:
    """What is in force, and what is coming.

    in_force: name -> identity that messages made now carry; coming: those that wait for their boundary
    """

    def __init__(self, path: Path) -> None:
        """Take up what the process before left. Damage in the file is said, and nothing is then known of before."""
        self._path = path
        self.in_force: dict[str, DeviceIdentity] = {}
        self.coming: dict[str, DeviceIdentity] = {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            self.in_force = {name: DeviceIdentity(**fields) for name, fields in stored.items()}
        except FileNotFoundError:
            return
        except (ValueError, TypeError, AttributeError) as fault:
            log.error("%s is damaged (%s): samples from before this start go out under the new places", path, fault)

    def want(self, wanted: Mapping[str, DeviceIdentity]) -> None:
        """A configuration says so. A device that is new has no samples from before: its place is in force at once.

        Raises: OSError when that cannot be written down; then nothing has changed.
        """
        new = {name: there for name, there in wanted.items() if name not in self.in_force}
        if new:
            self._save(self.in_force | new)
        self.coming = {name: there for name, there in wanted.items() if self.in_force[name] != there}

    def arrive(self) -> list[str]:
        """All from before is stored: what is coming is in force from here on. Return whose place is another now.

        Raises: OSError when it cannot be written down; then nothing has changed.
        """
        names = list(self.coming)
        self._save(self.in_force | self.coming)
        self.coming = {}
        return names

    def _save(self, places: dict[str, DeviceIdentity]) -> None:
        """Write first, and only then use it: no start from here on says the old place of a new sample."""
        draft = self._path.with_suffix(".new")
        text = json.dumps({name: asdict(there) for name, there in places.items()})
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, self._path)
        self.in_force = places
