"""The edge: names, users, nft, /proc. All of it takes no argument that a device or a network could have made.

nft is run with a list of arguments and the rules on its standard input, in UTC, because `meta time` is printed in the
time zone of whoever asks.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.config import Config
from gateway.core.errors import ConfigError, LinkError
from gateway.security.netrules import declared, sockets
from gateway.security.netrules import table as nft
from gateway.security.netrules.drift import Drift, Observed, drift
from gateway.security.netrules.ways import Standings, Ways, ways

NFT_TIMEOUT_S = 20.0  # a table of a few hundred rules takes well below a second
NO_TABLE = "No such file or directory"  # what nft says of a table that is not there
PLACES = ("/usr/sbin", "/sbin", "/usr/bin")  # a service's PATH may lack them


@dataclass(frozen=True)
class Views:
    """Declared, enforced, observed, and their differences."""

    declared: Ways
    enforced: nft.Table | None
    observed: Observed
    drift: tuple[Drift, ...]


def resolve(host: str) -> Iterable[str]:
    """Return the addresses of a name, now; none when nobody knows it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return sorted({str(address[0]).partition("%")[0] for *_, address in found})


def users() -> dict[str, int]:
    """Return the users of this box: name -> number."""
    return {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}


def declare(config: Config, standings: Standings, now: datetime | None = None) -> Ways:
    """Return what the configuration and the standings allow, with names resolved now."""
    return ways(config, standings, resolve, now or datetime.now(UTC))


def ruleset(config: Config, standings: Standings) -> str:
    """Return the rules as text for nft, users as names: for people, `nft -f` and the dossier."""
    return declared.ruleset(declare(config, standings), config_sha256(config))


def config_sha256(config: Config) -> str:
    return hashlib.sha256(config.path.read_bytes()).hexdigest()


def loadable(config: Config, found: Ways) -> str:
    """Return the rules for this box, users as numbers. ConfigError: it has not all the users."""
    known = users()
    missing = sorted({user for way in found.ways for user in way.users} - set(known))
    if missing:
        what = f"there is no user {', '.join(missing)}"
        raise ConfigError(what, str(config.path), "systemd-sysusers, or name the right one in [firewall]")
    return declared.ruleset(found, config_sha256(config), known)


def check(rules: str) -> None:
    """Have nft read the rules, and load nothing. ConfigError: what it says."""
    _nft("-c", "-f", "-", given=rules)


def load(rules: str) -> None:
    """Replace our table, in one transaction. ConfigError: what nft says; then the old one stands."""
    _nft("-f", "-", given=rules)


def enforced() -> nft.Table | None:
    """Return the table that is in force; None when there is none. LinkError: nft may not be asked."""
    try:
        return nft.parse(_nft("-j", "list", "table", nft.FAMILY, nft.NAME), users())
    except ConfigError as fault:
        if NO_TABLE in fault.what:
            return None
        raise


def _nft(*arguments: str, given: str = "") -> str:
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C", "PATH": os.pathsep.join(PLACES)}
    try:
        done = subprocess.run(
            ["nft", *arguments],
            input=given,
            env=environment,
            capture_output=True,
            text=True,
            timeout=NFT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise LinkError("nft is not installed", hint="apt-get install nftables") from None
    except subprocess.TimeoutExpired:
        raise LinkError(f"nft has not answered for {NFT_TIMEOUT_S:g} s") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        if "Operation not permitted" in said:
            raise LinkError("nft may not be asked", hint="as root, or with CAP_NET_ADMIN")
        raise ConfigError(f"nft: {said}")
    return done.stdout


def observed(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Observed:
    """Return the sockets of this network name space, and whether it passes packets of others on."""
    known = users()
    found = [
        one
        for name in sockets.FILES
        if (proc / "net" / name).exists()
        for one in sockets.parse(name, (proc / "net" / name).read_text(encoding="ascii"), known)
    ]
    switches = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    on = [s for s in switches if _read(proc / "sys/net" / s) not in ("", "0")]
    bridges = sorted(path.parent.name for path in sys.glob("class/net/*/bridge"))
    return Observed(tuple(found), tuple(on), tuple(bridges))


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def look(config: Config, standings: Standings) -> Views:
    """Return the three views and their differences. LinkError: nft may not be asked."""
    allowed, in_force, seen = declare(config, standings), enforced(), observed()
    return Views(allowed, in_force, seen, tuple(drift(allowed, in_force, seen)))
