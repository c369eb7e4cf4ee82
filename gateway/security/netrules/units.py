"""systemd: what the units may reach, from the same ways as the firewall; and how exposed each unit is.

The units are shut to the network. A drop-in opens the addresses of the ways of its user, a second wall behind nftables
(IPAddressAllow= is checked by the kernel for the unit's cgroup). Scores are those of `systemd-analyze security`: they
measure settings, not security (its manual says so), and a unit that loses one shows.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from gateway.config import Config
from gateway.core.errors import LinkError
from gateway.security.netrules.ways import ACQUIRE, FORWARD, KITA, NETRULES, Ways

DROPIN = "50-mdi.conf"
PLACES = (Path("/etc/systemd/system"), Path("/lib/systemd/system"), Path(__file__).parents[3] / "systemd")
HEAD = "# Made by mdi netrules --units from the configuration. Do not edit; an own drop-in comes after it.\n[Service]\n"
TIMEOUT_S = 60.0
USERS = {ACQUIRE: (ACQUIRE,), FORWARD: (FORWARD,), KITA: (KITA,), NETRULES: (NETRULES, f"{NETRULES}-check")}
UNITS = tuple(f"{unit}.service" for units_of in USERS.values() for unit in units_of)
BUSES = ("can", "can_active")  # kinds of link to a bus that is a network interface of this box


def dropins(config: Config, found: Ways) -> dict[str, str]:
    """Return unit -> its drop-in; no way, no network. Pure."""
    made: dict[str, str] = {}
    for user, of_user in USERS.items():
        addresses = sorted({a for way in found.ways if user in way.users for a in way.addresses})
        families = sorted({f"AF_INET{'6' * (ipaddress.ip_network(a).version == 6)}" for a in addresses})
        addresses += sorted(found.groups) if user == ACQUIRE else []
        if user == ACQUIRE and any(p.link_kind.name in BUSES for p in config.ports):
            families += ["AF_CAN", "AF_NETLINK"]  # the listen-only mode of the controller is asked over netlink
        lines = ["PrivateNetwork=no"] if families and user == ACQUIRE else []
        lines += [f"RestrictAddressFamilies={' '.join(families)}"] if families else []
        lines += [f"IPAddressAllow={address}" for address in addresses]
        if lines:
            made |= {f"{unit}.service": HEAD + "\n".join(lines) + "\n" for unit in of_user}
    return made


def write_dropins(made: dict[str, str], folder: Path) -> list[Path]:
    """Write them below a folder of units, and take those away that are not needed any more; return what changed."""
    changed = []
    for unit in UNITS:
        path = folder / f"{unit}.d" / DROPIN
        wanted = made.get(unit, "")
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        if wanted == there:
            continue
        changed.append(path)
        if not wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".new")
        part.write_text(wanted, encoding="utf-8")
        part.replace(path)
    return changed


def units(places: tuple[Path, ...] = PLACES) -> dict[str, Path]:
    """Return the services of this program, name -> file: those that are installed, else those of the tree."""
    for place in places:
        if found := {path.name: path for path in sorted(place.glob("mdi-*.service"))}:
            return found
    return {}


def scores(places: tuple[Path, ...] = PLACES, made: dict[str, str] | None = None) -> dict[str, float]:
    """Return unit -> exposure, 0 (little) to 10. made: drop-ins to count in. LinkError: systemd cannot say it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, path in units(places).items():
            shutil.copy(path, Path(folder) / name)
        write_dropins(made or {}, Path(folder))
        return {name: _score(Path(folder) / name) for name in units(places)}


def _score(unit: Path) -> float:
    said = analysed(unit, "--no-pager")
    word = "Overall exposure level for "
    line = next((line for line in said.splitlines() if word in line), "")
    try:
        return float(line.partition(word)[2].split()[1])
    except (IndexError, ValueError):
        raise LinkError(f"systemd-analyze does not score {unit.name}: {said.strip()[:200]}") from None


def findings(unit: Path) -> list[dict[str, str]]:
    """Return what systemd finds of a unit, setting by setting."""
    found: list[dict[str, str]] = json.loads(analysed(unit, "--json=short"))
    return found


def analysed(unit: Path, *options: str) -> str:
    """Run `systemd-analyze security` on a file; no systemd needs to run. LinkError: it is not there, or hangs."""
    try:
        return subprocess.run(
            ["systemd-analyze", "security", "--offline=true", *options, str(unit)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        ).stdout
    except FileNotFoundError:
        raise LinkError("systemd-analyze is not installed", hint="apt-get install systemd") from None
    except subprocess.TimeoutExpired:
        raise LinkError(f"systemd-analyze has not answered for {TIMEOUT_S:g} s", str(unit)) from None
