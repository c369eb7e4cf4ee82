"""Where a device leaves the standard: keys of the profile's `[driver]` table, each off by default.

    [driver]
    ascii_only = true        # no other framing: the port's `framing` may then be left out
    byte_addressed = true    # addresses count bytes, not registers
    lrc_strict = false       # an LRC that is 4 too low is taken for right, in replies with four data bytes

A fourth key belongs to one block (see blocks): `one_byte`, a reply that says byte count 02 and brings one byte.

All are for Thermo's ULT freezers (protocol notes, section 2). `lrc_strict = false` answers a doubt about their printed
manual and is in no profile of the project: it lets 1.4 % of the single bit flips of such a reply pass for another value
(measured by test_modbus_thermo), so somebody must first have seen a device that needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.errors import ConfigError, ProfileError
from gateway.core.profile import Profile
from gateway.core.settings import Settings, build, setting


@dataclass(frozen=True, slots=True)
class Dialect(Settings):
    """How a device differs from the standard."""

    ascii_only: bool = field(default=False, metadata=setting("the device speaks ASCII and no other framing"))
    byte_addressed: bool = field(default=False, metadata=setting("addresses count bytes: a register takes two"))
    lrc_strict: bool = field(default=True, metadata=setting("false: an LRC 4 too low is right where four bytes come"))


def read_dialect(profile: Profile) -> Dialect:
    """Return how the device of a profile differs from the standard.

    Raises: ProfileError for an unknown key of [driver], a wrong value, and keys that do not fit each other.
    """

    def where(*keys: str) -> str:
        return " ".join([profile.where, "[driver]", *keys])

    try:
        dialect = build(Dialect, profile.driver_table, where, ignore=("block",))
    except ConfigError as fault:  # the same check, in a profile: the profile is at fault
        raise ProfileError(fault.what, fault.where, fault.hint) from None
    if not (dialect.lrc_strict or dialect.ascii_only):
        hint = "RTU and TCP have no LRC: write ascii_only = true, or leave lrc_strict out"
        raise ProfileError("lrc_strict = false without ascii_only", where("lrc_strict"), hint)
    return dialect


def line_framing(asked: str, dialects: Mapping[str, Dialect]) -> str:
    """Return the framing of a line: rtu, ascii or tcp.

    asked: the port's option; auto: ascii where the profiles ask for it, else rtu
    dialects: profile id -> dialect, of all devices of the line
    Raises: ConfigError when a device of the line does not speak it.
    """
    only = [name for name, dialect in dialects.items() if dialect.ascii_only]
    others = [name for name in dialects if name not in only]
    if asked == "auto" and only and others:
        hint = f'set framing = "ascii" if {others[0]} is switched to ASCII; else give each a port of its own'
        raise ConfigError(f"{only[0]} speaks ASCII only, {others[0]} need not", "framing", hint)
    if asked in ("rtu", "tcp") and only:
        raise ConfigError(f'framing = "{asked}": {only[0]} speaks ASCII only', "framing", "leave framing out")
    return asked if asked != "auto" else "ascii" if only else "rtu"
