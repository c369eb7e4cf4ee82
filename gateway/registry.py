"""What is installed: drivers, links and sinks by entry point, profiles by folder.

Names are the only coupling: the gateway never imports a driver by its module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError, ProfileError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile, parse_profile
from gateway.core.profile_keys import MAX_TEXT
from gateway.core.protocol import DeviceSpec, Driver
from gateway.core.settings import did_you_mean
from gateway.core.toml_lines import load, shown
from gateway.core.transmit import Gate
from gateway.security.trust.items import ProfileItem

ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*/[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # vendor/model
MAX_FILES = 8  # data files of one profile; the packaged ones have one at most
GROUPS = {"driver": "mdi.drivers", "link": "mdi.links", "sink": "mdi.sinks"}


@lru_cache(maxsize=1)
def _installed() -> dict[str, dict[str, Any]]:
    return {kind: {entry.name: entry for entry in entry_points(group=group)} for kind, group in GROUPS.items()}


def names(kind: str) -> list[str]:
    """Return the registered names of a kind: "driver", "link" or "sink"."""
    return sorted(_installed()[kind])


@lru_cache(maxsize=64)
def find(kind: str, name: str) -> Any:
    """Load what is registered as `name`: a Driver, LinkKind or SinkKind. Raises: ConfigError with a suggestion."""
    entry = _installed()[kind].get(name)
    if entry is None:
        raise ConfigError(f"there is no {kind} {shown(name)}", hint=did_you_mean(name, names(kind)))
    return entry.load()


def driver(name: str) -> Driver:
    """Load a driver. Raises: ConfigError."""
    found = find("driver", name)
    assert isinstance(found, Driver)
    return found


def gate(driver: Driver, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> Gate:
    """Return what stands between a protocol and its line: the devices' grammars, below the driver's own bound.

    Raises: GrammarError when the grammars together are too large, ConfigError for options that do not fit.
    """
    only_reads = driver.only_reads(devices, options) if driver.only_reads else None
    return Gate((pattern for device in devices for pattern in device.profile.transmit), only_reads)


def unseen_flips(profile: Profile) -> float:
    """Return the share of single bit flips that may change a value unseen: of the profile, else of its driver."""
    return driver(profile.driver).undetected_flips if profile.undetected_flips is None else profile.undetected_flips


class Profiles:
    """The profiles of one installation: own directories first, then the packaged ones. Read once each."""

    def __init__(self, directories: Iterable[Path] = ()) -> None:
        self._packaged = Path(str(files("firmware_profiles")))
        self._roots = [*directories, self._packaged]
        self._read: dict[str, Profile] = {}
        self._items: dict[str, ProfileItem] = {}
        self._plans: dict[tuple[str, str], Plan] = {}

    def ids(self) -> list[str]:
        """Return all profile ids, "vendor/model"."""
        return sorted({_id(root, path) for root in self._roots for path in root.glob("*/*.toml")})

    def path(self, profile_id: str) -> Path:
        """Return the file of a profile. Raises: ProfileError with a suggestion."""
        return self._find(profile_id)[1]

    def _find(self, profile_id: str) -> tuple[Path, Path]:
        """Return the folder of profiles and the file in it: no path leads out of it."""
        for root in self._roots if ID.fullmatch(profile_id) else ():
            path = root / f"{profile_id}.toml"
            if path.is_file():
                return root, path
        hint = did_you_mean(profile_id, self.ids())
        raise ProfileError(f"there is no profile {shown(profile_id)}", hint=hint)

    def get(self, profile_id: str) -> Profile:
        """Read a profile. Raises: ProfileError with file and line."""
        if profile_id not in self._read:
            root, path = self._find(profile_id)
            data, beside = read_bytes(path)
            self._read[profile_id] = _parse(path, profile_id, data, beside)
            self._items[profile_id] = ProfileItem(root, root == self._packaged, profile_id, path, data, beside)
        return self._read[profile_id]

    def item(self, profile_id: str) -> ProfileItem:
        """Return the very bytes that a profile was made of, for whoever verifies them. Raises: ProfileError."""
        self.get(profile_id)
        return self._items[profile_id]

    def __iter__(self) -> Iterator[Profile]:
        return (self.get(profile_id) for profile_id in self.ids())

    def plan(self, profile_id: str, firmware: str) -> Plan:
        """Compile the plan of a profile for a firmware ("" = not known). Raises: ProfileError."""
        key = (profile_id, firmware)
        if key not in self._plans:
            self._plans[key] = Plan(self.get(profile_id), firmware, nomenclature())
        return self._plans[key].twin()


def read_profile(path: Path, profile_id: str | None = None) -> Profile:
    """Read the profile at `path` with the data files it names. Raises: ProfileError."""
    return _parse(path, profile_id or f"{path.parent.name}/{path.stem}", *read_bytes(path))


def read_bytes(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """Return the bytes of a profile, and of the data files it names, each read once. Raises: ProfileError."""
    data = _bytes(path)
    head = load(_text(path, data), str(path), ProfileError).get("profile", {})
    wanted = head.get("files", []) if isinstance(head, dict) else []
    names = [name for name in wanted if _beside(path, name)] if isinstance(wanted, list) else []
    if len(names) > MAX_FILES:
        raise ProfileError(f"names more than {MAX_FILES} files", str(path), "one data file is usual")
    return data, {name: _bytes(path.parent / name) for name in names}


def _parse(path: Path, profile_id: str, data: bytes, beside: Mapping[str, bytes]) -> Profile:
    texts = {name: _text(path.parent / name, content) for name, content in beside.items()}
    return parse_profile(_text(path, data), profile_id, str(path), texts)


def _beside(path: Path, name: object) -> bool:
    """A data file lies beside its profile: no path and no link leads out of the folder."""
    if not isinstance(name, str) or Path(name).name != name or "\0" in name or not (path.parent / name).is_file():
        return False
    return (path.parent / name).resolve().parent == path.parent.resolve()


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT + 1)
    except OSError as fault:
        raise ProfileError(f"cannot be read: {fault.strerror}", str(path), "check the path and its rights") from fault
    if len(data) > MAX_TEXT:
        raise ProfileError(f"file is larger than {MAX_TEXT // 1024} KiB", str(path), "a profile is a table")
    return data


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ProfileError("file is not UTF-8", str(path), "save it as UTF-8") from None


def _id(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()
