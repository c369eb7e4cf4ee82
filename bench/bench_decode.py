"""Decode: IntelliVue wire bytes to samples, on one core.

Method: the real recordings of ../shared (numerics each second, ECG at 500/s, pleth at 125/s) where they are there, else
the simulated monitor with numerics only; fed in 4 kB pieces through protocol and plan; best of five. The alternative
reads the same bytes the straightforward way: byte by byte out of the frame, bit by bit through the CRC, and stops at
the checked frame: no value is decoded at all.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.parts import PROFILE, monitor_bytes
from gateway import registry
from gateway.decode import Decoder

CAPTURES = Path(__file__).resolve().parent.parent.parent / "shared" / "captures" / "philips_mp90"
TARGET = 3.0  # MB/s: over 250 lines at 115,200 baud
BAUD_BYTES = 11_520


def ours(data: bytes) -> float:
    """Return MB/s."""
    best = 0.0
    profiles = registry.Profiles()
    for _ in range(5):
        decoder = Decoder(profiles.get(PROFILE), profiles)
        start = time.perf_counter()
        for at in range(0, len(data), 4096):
            for _plan, _block in decoder.feed(1_700_000_000_000_000_000, data[at : at + 4096]):
                pass
        best = max(best, len(data) / (time.perf_counter() - start) / 1e6)
    return best


def straightforward(data: bytes) -> float:
    """Return MB/s of unstuffing and checking frames one byte at a time."""
    start = time.perf_counter()
    frame = bytearray()
    escaped = False
    good = 0
    for byte in data:
        if byte == 0xC0:
            frame.clear()
        elif byte == 0xC1:
            good += _residue(frame) == 0xF0B8  # CRC-16/X-25, protocol notes section 3
        elif byte == 0x7D:
            escaped = True
        else:
            frame.append(byte ^ 0x20 if escaped else byte)
            escaped = False
    assert good
    return len(data) / (time.perf_counter() - start) / 1e6


def _residue(frame: bytes | bytearray) -> int:
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return crc


def run() -> list[dict[str, object]]:
    """Return one row per recording."""
    streams = {path.stem: path.read_bytes() for path in sorted(CAPTURES.glob("*.bin"))}
    if not streams:
        streams = {"simulated monitor, numerics only": monitor_bytes(600)[0]}
    rows: list[dict[str, object]] = []
    for name, data in streams.items():
        mine, theirs = ours(data), straightforward(data[:200_000])
        rows.append(
            {
                "bench": f"IntelliVue bytes → samples, {name} ({mine * 1e6 / BAUD_BYTES:.0f} lines at 115,200 Bd)",
                "ours": mine,
                "baseline": theirs,
                "ratio": mine / theirs,
                "unit": "MB/s",
                "target": f"≥ {TARGET:g}",
                "met": mine >= TARGET,
            }
        )
    return rows


if __name__ == "__main__":
    for row in run():
        print(row)
