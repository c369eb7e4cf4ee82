"""The transmit grammar of a device, tried: what would be let through if a driver, or whoever drives it, said so.

Two exams at the gate that stands between driver and line (gateway.core.transmit), with the device's grammar:

  * noise: byte strings that nobody meant; none may pass;
  * Modbus: the driver's own requests with each of the 256 function codes put in, checksum made right again; only
    functions that read may pass (1 to 4; 43 is the identification, MODBUS Application Protocol V1.1b3, section 6).

Nothing is sent anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from fastcrc import crc16

from gateway.config import Device, Port
from gateway.core.transmit import Gate
from gateway.security.dossier.facts import Exam

READING = (1, 2, 3, 4, 43)
NOISES = 512
WAKES = 40  # how often the driver is asked what it would send; two blocks and their retries come well before
MAX_REQUESTS = 8


def exam(port: Port, device: Device) -> Exam:
    """Try the grammar of one device."""
    gate = Gate(device.spec.profile.transmit)
    strings = list(noise())
    wrong = [f"{data.hex()[:16]}…" for data in strings if gate.allows(data)]
    tried, allowed = len(strings), set[str]()
    if port.driver.name == "modbus":
        for code, data in mutants(port, device):
            tried += 1
            if gate.allows(data):
                (allowed.add if code in READING else wrong.append)(f"FC {code}")
    elif device.spec.profile.transmit:
        allowed.add(f"{len(device.spec.profile.transmit)}")
    return Exam(tried, tuple(sorted(allowed)), tuple(dict.fromkeys(wrong)))


def noise() -> Iterator[bytes]:
    """Yield byte strings of 2 to 65 bytes, the same in each run. One byte may be a whole message (an ENQ)."""
    for i in range(NOISES):
        digest = hashlib.sha512(i.to_bytes(4, "big")).digest()
        yield (digest * 2)[: 2 + i % 64]


def requests(port: Port, device: Device) -> tuple[bytes, ...]:
    """Return what the driver asks a device that never answers. Same configuration, same bytes."""
    protocol = port.driver.protocol([replace(device.spec, source=0)], port.settings.options)
    protocol.start(0.0)
    now, found = 0.0, dict[bytes, None]()
    for _ in range(WAKES):
        if data := protocol.data_to_send(now):
            found[data] = None
        wake = protocol.next_wake()
        if wake is None or len(found) >= MAX_REQUESTS:
            break
        now = max(now + 0.01, wake)
    return tuple(found)


def mutants(port: Port, device: Device) -> Iterator[tuple[int, bytes]]:
    """Yield (function code, request) for each request of the driver and each of the 256 codes."""
    for request in requests(port, device):
        for code in range(256):
            yield code, with_code(request, code)


def with_code(request: bytes, code: int) -> bytes:
    """Return a Modbus request with another function code, its checksum right. ASCII, TCP or RTU, as it looks.

    ":" begins an ASCII frame (MODBUS over Serial Line V1.02, 2.5.2); protocol id 0 and its length are those of TCP
    (Messaging V1.0b, 3.1.3); else RTU with CRC-16.
    """
    if request[:1] == b":":
        body = bytearray(bytes.fromhex(request[1:-4].decode("ascii")))
        body[1] = code
        text = bytes([*body, -sum(body) & 0xFF]).hex().upper()
        return b":" + text.encode("ascii") + b"\r\n"
    if len(request) > 8 and request[2:4] == b"\0\0" and int.from_bytes(request[4:6], "big") == len(request) - 6:
        return request[:7] + bytes([code]) + request[8:]
    body = bytearray(request[:-2])
    body[1] = code
    return bytes(body) + crc16.modbus(bytes(body)).to_bytes(2, "little")
