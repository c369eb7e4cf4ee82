"""The host, the units, the files around: looked at, never changed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from gateway.clock import kernel_clock
from gateway.config import Config
from gateway.security.dossier.facts import ABSENT, PRESENT, UNKNOWN, AccessFact, HostFact, SupportFact, UnitFact

ANALYZE_S = 30.0
SETTINGS = (
    "User",
    "PrivateNetwork",
    "PrivateDevices",
    "PrivateTmp",
    "IPAddressDeny",
    "MemoryMax",
    "TasksMax",
    "LimitNOFILE",
    "LimitCORE",
    "CPUQuota",
    "UMask",
)
SECRET = re.compile(r"^\s*(password|passwd|pass|secret|token|api_key)\s*[=:]\s*\S", re.IGNORECASE | re.MULTILINE)
LOOPBACK = ("0100007F", "00000000000000000000000001000000")  # /proc/net/tcp, tcp6: 127.0.0.1, ::1
LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h
MAX_TEXT = 1 << 20


def host(root: Path) -> HostFact:
    """Look at the machine below `root` ("/"; a test has its own)."""
    release = _text(root / "etc/os-release")
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.MULTILINE)
    return HostFact(
        secure_boot=_secure_boot(root),
        disk_encryption=_disk(root),
        tpm=_there(root / "sys/class/tpm"),
        swap=_swap(root),
        system=name[1] if name else "",
        kernel=platform.release(),
        listening=_listening(root),
        forwarding=_forwarding(root),
        clock_synced=_synced(),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _there(folder: Path) -> str:
    """Tell whether a class of the kernel has a member. Without sysfs nobody knows."""
    if not folder.parent.is_dir():
        return UNKNOWN
    return PRESENT if folder.is_dir() and any(folder.iterdir()) else ABSENT


def _secure_boot(root: Path) -> str:
    """Return the state of UEFI secure boot. The variable is 4 bytes of attributes and 1 of value (UEFI 2.10, 8.2)."""
    variables = root / "sys/firmware/efi/efivars"
    if not variables.is_dir():
        return ABSENT if (root / "sys/firmware").is_dir() else UNKNOWN
    try:
        found = next(variables.glob("SecureBoot-*"), None)
        return UNKNOWN if found is None else PRESENT if found.read_bytes()[-1:] == b"\x01" else ABSENT
    except OSError:
        return UNKNOWN


def _disk(root: Path) -> str:
    """Tell whether there is a LUKS mapping (its uuid begins with CRYPT-, cryptsetup). It does not say what lies on "
    "it."""
    blocks = root / "sys/block"
    if not blocks.is_dir():
        return UNKNOWN
    uuids = [_text(block / "dm/uuid") for block in blocks.iterdir()]
    return PRESENT if any(uuid.startswith("CRYPT-") for uuid in uuids) else ABSENT


def _swap(root: Path) -> str:
    text = _text(root / "proc/swaps")
    if not text:
        return UNKNOWN
    return PRESENT if len(text.splitlines()) > 1 else ABSENT


def _forwarding(root: Path) -> bool | None:
    values = [_text(root / f"proc/sys/net/{name}").strip() for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")]
    return None if not values[0] else "1" in values


def _listening(root: Path) -> tuple[str, ...] | None:
    """Return what listens on TCP beyond loopback, as "address:port". The table is in hex (proc(5))."""
    found: set[str] = set()
    for name in ("tcp", "tcp6"):
        text = _text(root / "proc/net" / name)
        if not text and name == "tcp":
            return None
        for line in text.splitlines()[1:]:
            words = line.split()
            address, _, port = words[1].partition(":")
            if words[3] == LISTEN and address not in LOOPBACK and not address.endswith("7F"):
                found.add(f"{'any' if not address.strip('0') else name}:{int(port, 16)}")
    return tuple(sorted(found))


def _synced() -> bool | None:
    try:
        kernel = kernel_clock()
    except OSError:
        return None
    return kernel.synchronised


def access(config: Config, root: Path) -> AccessFact:
    """Return the groups of the roles that this host has, and the limits. Raises: OSError without a group file."""
    text = (root / "etc/group").read_text(encoding="utf-8")
    groups = set(re.findall(r"^([^:\n]+):", text, re.MULTILINE))
    told, web = config.access, config.web
    named = {
        "viewer": told.viewers,
        "operator": told.operators,
        "approver": told.approvers,
        "administrator": told.administrators,
    }
    found = {role: ", ".join(name for name in names if name in groups) for role, names in named.items()}
    host = web.listen.rpartition(":")[0].strip("[]")
    return AccessFact(
        {role: names for role, names in found.items() if names},
        told.idle_s,
        told.session_s,
        told.failures,
        told.lockout_s,
        web.listen or web.socket,
        bool(host) and not (host in ("localhost", "::1") or host.startswith("127.")),
    )


# ---- units


def units(folder: Path | None) -> tuple[UnitFact, ...] | None:
    """Score the units of a folder, as `systemd-analyze security --offline` does. None: no folder."""
    if folder is None or not folder.is_dir():
        return None
    return tuple(_unit(path) for path in sorted(folder.glob("mdi-*.service")))


def _unit(path: Path) -> UnitFact:
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, is_, value = line.strip().partition("=")
        if is_ and key in SETTINGS:
            found[key] = value
    return UnitFact(path.stem, _exposure(path), found)


def _exposure(path: Path) -> float | None:
    """Return the exposure, 0 to 10, of systemd-analyze(1); None where it cannot be asked."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return None
    command = [program, "security", "--offline=true", "--no-pager", str(path)]
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=ANALYZE_S, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout + said.stderr)
    return float(score[1]) if score else None


# ---- files


def passwords(config: Config) -> tuple[str, ...]:
    """Return the places that hold something like a password: the configuration, and what is below etc_dir."""
    paths = [config.path, *(p for p in sorted(Path(config.security.etc_dir).rglob("*")) if p.is_file())]
    found = []
    for path in paths:
        if path.stat().st_size <= MAX_TEXT and path.suffix in (".toml", ".conf", ".json", ".txt", ".env", ".ini"):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path}:{text.count(chr(10), 0, m.start(1)) + 1}" for m in SECRET.finditer(text)]
    return tuple(found)


def support(path: Path | None) -> SupportFact | None:
    """Read contact and the latest date of support from SECURITY.md."""
    if path is None or not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    contact = re.search(r"^Contact: (.+)$", text, re.MULTILINE)
    dates = re.findall(r"^\|[^|]+\| (\d{4}-\d{2}-\d{2}) \|$", text, re.MULTILINE)
    return SupportFact(contact[1] if contact else "", max(dates, default=""))
