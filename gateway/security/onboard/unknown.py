"""What is plugged into this box and configured nowhere: it is reported, and never opened.

Listed are USB serial adapters (/sys/class/tty/ttyUSB*, ttyACM*) and CAN interfaces (/sys/class/net/*/type = 280,
ARPHRD_CAN of linux/if_arp.h). Only names are read: nothing is opened to find out what it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gateway.config import Config

TTY, NET, DEV = Path("/sys/class/tty"), Path("/sys/class/net"), Path("/dev")
USB_SERIAL = ("ttyUSB*", "ttyACM*")
ARPHRD_CAN = "280"


class Present(NamedTuple):
    """Something that is plugged in. kind: serial or can; name: path of the device, or name of the interface."""

    kind: str
    name: str


def present(tty: Path = TTY, net: Path = NET, dev: Path = DEV) -> list[Present]:
    """Return what is plugged in now, in order of names."""
    found = [Present("serial", str(dev / path.name)) for pattern in USB_SERIAL for path in tty.glob(pattern)]
    for path in net.glob("*"):
        try:
            if (path / "type").read_text(encoding="ascii").strip() == ARPHRD_CAN:
                found.append(Present("can", path.name))
        except OSError:  # unplugged meanwhile
            continue
    return sorted(found)


def unknown(config: Config, listed: Iterable[Present]) -> list[Present]:
    """Return what is listed and belongs to no configured port. A port's path may be a link: /dev/serial/by-id/…"""
    serial = {os.path.realpath(_setting(port.link, "device")) for port in config.ports}
    can = {_setting(port.link, "channel") for port in config.ports}
    known = {"serial": serial, "can": can}
    return [one for one in listed if _resolved(one) not in known[one.kind]]


def _setting(link: object, key: str) -> str:
    value = getattr(link, key, "")
    return value if isinstance(value, str) else ""


def _resolved(one: Present) -> str:
    return os.path.realpath(one.name) if one.kind == "serial" else one.name
