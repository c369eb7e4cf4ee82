"""What stands at the bed in a demo: simulated devices, each with its wire, and the configuration that reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MARK = "# Made by the demo."  # first words of the configuration; a folder without it is somebody else's


@dataclass(frozen=True, slots=True)
class BedDevice:
    """One simulated device.

    wire: pty (serial), tcp or can; line: further keys of the link; port_options: of the driver; scenario: of the
    simulator; place: PV1-3
    """

    name: str
    driver: str
    profile: str
    eui64: str
    wire: str
    place: str
    line: Mapping[str, Any] = field(default_factory=dict)
    port_options: Mapping[str, Any] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)
    firmware: str = ""

    def simulate(self, folder: str, port: int) -> list[str]:
        """Return the arguments of `mdi` that make the device."""
        where = {"pty": f"{folder}/{self.name}", "tcp": str(port), "can": str(port)}[self.wire]
        options = [part for key, value in self.scenario.items() for part in ("-o", f"{key}={json.dumps(value)}")]
        return ["simulate", "--profile", self.profile, f"--{self.wire}", where, *options, self.driver]

    def stanza(self, folder: str, port: int) -> str:
        """Return the [[port]] of the configuration that reads it."""
        links: dict[str, dict[str, Any]] = {
            "pty": {"kind": "serial", "device": f"{folder}/{self.name}"},
            "tcp": {"kind": "tcp", "host": "127.0.0.1", "port": port},
            "can": {"kind": "can", "interface": "socketcand", "channel": "can0", "port": port},
        }
        link = links[self.wire] | dict(self.line)
        lines = ["[[port]]", f'name = "{self.name}"', f'driver = "{self.driver}"', f"link = {_inline(link)}"]
        if self.port_options:
            lines.append(f"options = {_inline(self.port_options)}")
        lines += [
            "[[port.device]]",
            f'name = "{self.name}-1"',
            f'profile = "{self.profile}"',
            f'eui64 = "{self.eui64}"',
        ]
        if self.firmware:
            lines.append(f'firmware = "{self.firmware}"')
        return "\n".join([*lines, f"location = {self.place}", ""])


_BED = '{ unit = "ITA", room = "Stue 3", bed = "Seng 2", facility = "AUH" }'
_ECMO_BED = '{ unit = "ITA", room = "Stue 5", bed = "Seng 1", facility = "AUH" }'
_LABORATORY = '{ unit = "Klinisk Biokemi", room = "Prøverum", facility = "AUH" }'
_TCP = {"framing": "tcp"}
_ROOM = '{ unit = "ITA", room = "Stue 3", facility = "AUH" }'


def _monitor(**more: Any) -> BedDevice:
    name, profile = "monitor", "philips/intellivue_mp"
    return BedDevice(name, "philips_intellivue", profile, "0009FBFFFE012345", "pty", _BED, {"baud": 115200}, **more)


def _ecmo(place: str) -> BedDevice:
    profile = "smartecla/bedside_network"
    return BedDevice("ecmo", "can_signals", profile, "0011223344550003", "can", place, firmware="2690")


BEDS: Mapping[str, tuple[BedDevice, ...]] = {
    "small": (
        _monitor(scenario={"only": "icu"}),
        BedDevice("varmeskab", "modbus", "hettich/hettcube", "0011223344550001", "tcp", _LABORATORY, {}, _TCP, _TCP),
        _ecmo(_ECMO_BED),
    ),
    "icu": (
        _monitor(port_options={"waves": ["MDC_ECG_ELEC_POTL_II", "MDC_PULS_OXIM_PLETH"]}, scenario={"only": "icu"}),
        BedDevice("respirator", "draeger_medibus", "draeger/evita_4", "0011223344550010", "pty", _BED),
        BedDevice("pumpe-1", "fresenius_agilia", "fresenius/agilia", "0011223344550011", "pty", _BED),
        BedDevice("pumpe-2", "bbraun_bcc", "bbraun/space", "0011223344550012", "pty", _BED),
        BedDevice("oximeter", "nonin", "nonin/9560_3150_df7", "0011223344550013", "pty", _BED),
        BedDevice("stuetryk", "modbus", "tsi/pressura", "0011223344550014", "tcp", _ROOM, {}, _TCP, _TCP),
        _ecmo(_BED),
    ),
}
"""small: a monitor, an incubator, an ECMO network. icu: a full bed, all of one patient, in step."""

_HEAD = f"""{MARK} Everything is simulated: MSH-11 is T, and KITA keeps it apart from charting.
[security]
mode = "lab"
[gateway]
name = "demo"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
processing_id = "T"
state_dir = "{{folder}}/state"
run_dir = "{{folder}}/run"

[spool]
segment_mib = 1
limit_mib = 64

[sink]
kind = "mqtt"
host = "127.0.0.1"
port = {{broker}}
protocol = "{{protocol}}"

[[route]]
interval_s = 0.0

[[route]]
carries = "waves"

[[route]]
carries = "alerts"
interval_s = 5.0

"""


def configuration(bed: tuple[BedDevice, ...], folder: str, broker: int, protocol: str, ports: Mapping[str, int]) -> str:
    """Return mdi_config.toml for a bed. ports: name of a device -> its TCP port."""
    head = _HEAD.format(folder=folder, broker=broker, protocol=protocol)
    return head + "\n".join(device.stanza(folder, ports[device.name]) for device in bed)


def _inline(table: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()) + " }"
