"""What a Modbus master may ever send, whatever a profile allows: functions that read, and device identification.

A write is one whole request and no more: on a serial line a second one behind it would be garbage, or the frame that a
lenient device finds in it.

    1 to 4   read coils, discrete inputs, holding registers, input registers: [fc][address u16][count u16]
    43 / 14  read device identification, where the profile's [transmit] names it: [2B][0E][code 1 to 4][object]

Source: MODBUS Application Protocol V1.1b3, sections 6.1 to 6.4 and 6.21.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.modbus.adu import FRAMINGS
from drivers.modbus.dialect import line_framing, read_dialect
from drivers.modbus.options import LineOptions
from gateway.core.protocol import DeviceSpec
from gateway.core.settings import build

READS = frozenset({1, 2, 3, 4})
IDENTIFICATION = b"\x2b\x0e"


def only_reads(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> Callable[[bytes], bool]:
    """Return for a line: bytes of one write -> whether they are one request that reads."""
    asked = build(LineOptions, options, lambda *keys: " ".join(keys)).framing
    framing = FRAMINGS[line_framing(asked, {spec.profile.id: read_dialect(spec.profile) for spec in devices})]

    def reads(data: bytes) -> bool:
        adu = framing.open(data)
        return adu is not None and _reads(adu.pdu)

    return reads


def _reads(pdu: bytes) -> bool:
    if pdu[:2] == IDENTIFICATION:
        return len(pdu) == 4 and 1 <= pdu[2] <= 4
    return len(pdu) == 5 and pdu[0] in READS
