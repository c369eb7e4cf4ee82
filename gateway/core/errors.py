"""Errors, typed by whose fault they are. Raised low, logged once at the top.

    MdiError
     ├─ ConfigError    the configuration file: fix the named line        exit 2
     ├─ ProfileError   a device profile: fix the named line              exit 2
     ├─ TrustError     a signature: somebody changed something, or     exit 3
     │                 nobody who may has signed it
     ├─ AccessError    the account that asks may not                     exit 77
     ├─ DeviceError    the device says no (refused, other firmware)      port backs off
     ├─ LinkError      the wire: port missing, unplugged, no carrier     port backs off, reopens
     ├─ DeliveryError  broker or receiver: not delivered, kept           sender backs off
     └─ InternalError  us: a bug, please report                          exit 70

Device bytes never raise: a driver answers them with a Fault.
"""

from __future__ import annotations


class MdiError(Exception):
    """One line for a person: what, where, what to do.

    where: file:line, port name or address; `hint`: what to write or do instead.
    """

    exit_code = 1

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" → {self.hint}" if self.hint else ""
        return f"{where}{self.what}{hint}"


class ConfigError(MdiError):
    """The configuration is wrong."""

    exit_code = 2


class ProfileError(MdiError):
    """A device profile is wrong."""

    exit_code = 2


class TrustError(MdiError):
    """What is signed is not what is there, or who signed may not.

    reason: one word of gateway.security.trust.REASONS, for the audit log
    """

    exit_code = 3

    def __init__(self, what: str, where: str = "", hint: str = "", reason: str = "malformed") -> None:
        super().__init__(what, where, hint)
        self.reason = reason


class AccessError(MdiError):
    """The account that asks may not, or asks too often."""

    exit_code = 77  # EX_NOPERM, sysexits.h


class DeviceError(MdiError):
    """The device refuses or is not the one configured."""


class LinkError(MdiError):
    """The wire failed."""


class DeliveryError(MdiError):
    """The message did not get there; it is kept."""


class InternalError(MdiError):
    """A bug of ours."""

    exit_code = 70  # EX_SOFTWARE, sysexits.h
