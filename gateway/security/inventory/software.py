"""Which software runs here: Python distributions, packages of the host, and the two below them.

Read from what installers leave behind (the metadata of each distribution, /var/lib/dpkg/status), so it is what is
there and not what was once asked for. Nothing is fetched.
"""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from importlib import metadata, resources
from pathlib import Path
from typing import cast
from urllib.parse import quote

from gateway.core.errors import ConfigError

OURS = "mdi-edge-gateway"
DPKG_STATUS = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")
UNKNOWN = ""  # shown as unknown by whoever shows it


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One piece of software.

    kind: "python", "debian", "operating system", "runtime" or "kernel"; maker, licence: as its own metadata says,
    UNKNOWN if it does not; sha256: of its list of installed files with their hashes (Python), else UNKNOWN;
    support_end: YYYY-MM-DD or UNKNOWN
    """

    kind: str
    name: str
    version: str
    maker: str = UNKNOWN
    licence: str = UNKNOWN
    sha256: str = UNKNOWN
    support_end: str = UNKNOWN

    @property
    def purl(self) -> str:
        """Return the package URL (purl-spec: type/name@version); the name in the form of its type."""
        if self.kind == "python":
            return f"pkg:pypi/{normal(self.name)}@{quote(self.version, safe='.+')}"
        if self.kind == "debian":
            return f"pkg:deb/debian/{self.name}@{quote(self.version, safe='.+~:')}"
        return f"pkg:generic/{quote(self.name.lower())}@{quote(self.version, safe='.+')}"


def normal(name: str) -> str:
    """Return a Python distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def python_components(found: Iterable[metadata.Distribution] | None = None) -> list[Component]:
    """Return the distributions that this interpreter sees, ours first, each once."""
    support = support_ends()
    by_name: dict[str, Component] = {}
    for dist in metadata.distributions() if found is None else found:
        meta = cast("Message", dist.metadata)  # it is one (importlib.metadata), its protocol lacks `get`
        name = meta["Name"]
        if not name or normal(name) in by_name:  # the first on the path is the one that is imported
            continue
        record = dist.read_text("RECORD")
        by_name[normal(name)] = Component(
            "python",
            name,
            dist.version,
            _maker(meta),
            _licence(meta),
            hashlib.sha256(record.encode()).hexdigest() if record else UNKNOWN,
            support.get(("python", normal(name)), UNKNOWN),
        )
    return sorted(by_name.values(), key=lambda c: (normal(c.name) != OURS, normal(c.name)))


def _maker(meta: Message) -> str:
    for key in ("Author", "Author-email", "Maintainer", "Maintainer-email"):
        if said := meta.get(key):
            return str(said).split("<", 1)[0].strip().strip('"') or str(said)
    return UNKNOWN


def _licence(meta: Message) -> str:
    """Return the SPDX expression, else the classifier, else the first line of what was written (often a whole text)."""
    if expression := meta.get("License-Expression"):
        return str(expression)
    for classifier in meta.get_all("Classifier") or ():
        if classifier.startswith("License :: "):
            return str(classifier.rsplit(" :: ", 1)[1])
    lines = str(meta.get("License") or UNKNOWN).strip().splitlines()
    return lines[0][:80] if lines else UNKNOWN


def needed(name: str = OURS) -> dict[str, list[str]]:
    """Return what a distribution asks for: normal name -> extras it is for, [""] for what is always needed."""
    wanted: dict[str, list[str]] = {}
    for line in metadata.requires(name) or ():
        head, _, marker = line.partition(";")
        match = re.match(r"[A-Za-z0-9._-]+", head.strip())
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if match:
            wanted.setdefault(normal(match[0]), []).append(extra[1] if extra else "")
    return wanted


def debian_components(status: str) -> list[Component]:
    """Return the installed packages in the text of /var/lib/dpkg/status (deb822, dpkg(1))."""
    found = []
    for block in status.split("\n\n"):
        fields = dict(_fields(block))
        if fields.get("Status", "").endswith(" installed"):
            maker = fields.get("Maintainer", UNKNOWN).split("<", 1)[0].strip()
            found.append(Component("debian", fields["Package"], fields.get("Version", UNKNOWN), maker))
    return sorted(found)


def _fields(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "\t")):  # a line that begins with a space continues the one before
            yield name, value.strip()


def platform_components(os_release: str) -> list[Component]:
    """Return operating system, kernel and Python. os_release: the text of /etc/os-release (os-release(5))."""
    said = {
        key: value.strip().strip("\"'") for key, _, value in (line.partition("=") for line in os_release.splitlines())
    }
    support = support_ends()
    found = [Component("kernel", platform.system(), platform.release())]
    python = platform.python_version()
    minor = ".".join(python.split(".")[:2])
    ends = support.get(("runtime", f"{platform.python_implementation().lower()} {minor}"), UNKNOWN)
    found.append(Component("runtime", platform.python_implementation(), python, support_end=ends))
    if name := said.get("ID"):
        version = said.get("VERSION_ID", UNKNOWN)
        ends = said.get("SUPPORT_END") or support.get(("operating system", f"{name} {version}"), UNKNOWN)
        found.append(Component("operating system", name, version, support_end=ends))
    return found


def support_ends() -> Mapping[tuple[str, str], str]:
    """Return (kind, name) -> day on which its makers stop to mend it, where that is published; see the table."""
    text = resources.files(__package__).joinpath("support.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {(row["kind"], row["name"]): row["support_end"] for row in rows}


def host(dpkg_status: Path = DPKG_STATUS, os_release: Path = OS_RELEASE) -> list[Component]:
    """Return everything on this host that can be known: platform, Python distributions, packages.

    A host without dpkg has no packages in the list. Raises: ConfigError when a file is there and cannot be read.
    """
    return [
        *platform_components(_text(os_release)),
        *python_components(),
        *debian_components(_text(dpkg_status)),
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if os.path.exists(path) else ""
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", str(path), "run it as a user who may") from fault
