"""The configuration of a rig: what the gateway reads, and what the device process reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol


class Described(Protocol):
    """A device as the rig knows it."""

    @property
    def name(self) -> str: ...
    @property
    def rate(self) -> float: ...
    @property
    def wire(self) -> str: ...


CONFIG = """
[security]
mode = "lab"
[gateway]
name = "gw-fault"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{state}"
run_dir = "{folder}/run"
profiles = ["{profiles}"]
[forward]
commit_ms = {commit_ms}
ack_timeout_s = {ack_timeout_s}
keep_s = {keep_s}
[spool]
segment_mib = 1
limit_mib = {limit_mib}
[sink]
kind = "mqtt"
host = "127.0.0.1"
port = {port}
window = {window}
keepalive_s = {keepalive_s}
reconnect_s = 0.1
reconnect_max_s = 1.0
{sink}
[[route]]
interval_s = 0.0
{more}
"""

PORT = """
[[port]]
name = "{port}"
driver = "ascii_line"
ring_rows = RING_ROWS
link = {link}
[[port.device]]
name = "{name}"
profile = "ledger/counter"
eui64 = "{eui64}"
location = {{ unit = "ITA", room = "Stue 1", bed = "Seng {number}", facility = "AUH" }}
"""


def eui64_of(name: str) -> str:
    """Return the identity of a device, which is how KITA knows it: its name in ASCII."""
    return name.encode().hex().upper().rjust(16, "0")


def name_of(identity: str) -> str:
    """Return the name that an identity stands for, "" for one of ours that no device has."""
    try:
        return bytes.fromhex(identity).lstrip(b"\0").decode("ascii")
    except ValueError:
        return ""


def port_of(device: str) -> str:
    """Return the name of the port of a device."""
    return f"{device}-line"


def port_table(device: Described, where: str, number: int) -> str:
    """Return the [[port]] of a device."""
    if device.wire == "tcp":
        link = f'{{ kind = "tcp", host = "127.0.0.1", port = {where} }}'
    else:
        link = f'{{ kind = "serial", device = "{where}", baud = 115200 }}'
    return PORT.format(
        name=device.name, port=port_of(device.name), link=link, eui64=eui64_of(device.name), number=number + 1
    )


def spec_file(folder: Path, devices: Iterable[Described], wires: Mapping[str, str]) -> str:
    """Return what the device process reads."""
    listed = [
        {
            "name": device.name,
            "wire": device.wire,
            "where": wires[device.name],
            "rate": device.rate,
            "ledger": str(folder / f"{device.name}.ledger"),
        }
        for device in devices
    ]
    return json.dumps({"devices": listed})
