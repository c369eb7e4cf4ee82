"""One classic CAN frame as the 16 bytes of Linux `struct can_frame`: what CAN links hand on and CAN drivers take.

    byte  0        4     5     8           16
          | can_id | len | pad | data[8]   |      can_id little-endian, as on every box we ship for
          bit 31 = 29-bit id, bit 30 = RTR, bit 29 = error frame

Source: include/uapi/linux/can.h (layout, flags), include/uapi/linux/can/error.h (error classes).
"""

from __future__ import annotations

import struct

RECORD = struct.Struct("<IB3x8s")
"""can_id, len, data. The three bytes between carry nothing for us (padding, and len8_dlc of DLC 9 to 15)."""

EXTENDED = 0x8000_0000  # CAN_EFF_FLAG
REMOTE = 0x4000_0000  # CAN_RTR_FLAG
ERROR = 0x2000_0000  # CAN_ERR_FLAG
EXTENDED_MASK = 0x1FFF_FFFF  # CAN_EFF_MASK
STANDARD_MASK = 0x7FF  # CAN_SFF_MASK
MAX_DATA = 8  # CAN_MAX_DLEN

ERROR_CLASSES = (
    (0x001, "transmit timeout"),
    (0x002, "lost arbitration"),
    (0x004, "controller"),
    (0x008, "protocol violation"),
    (0x010, "transceiver"),
    (0x020, "no acknowledge"),
    (0x040, "bus off"),
    (0x080, "bus error"),
    (0x100, "restarted"),
)
ERROR_CONTROLLER = 0x004  # CAN_ERR_CRTL: details in data[1]
ERROR_RX_OVERFLOW = 0x01  # CAN_ERR_CRTL_RX_OVERFLOW in data[1]: the controller has lost frames


def pack(can_id: int, data: bytes) -> bytes:
    """Return the record of one frame. `can_id` carries its flags; `data` has 0 to 8 bytes."""
    return RECORD.pack(can_id, len(data), data)


def show_id(can_id: int) -> str:
    """Return the arbitration id as people write it: 3 hex digits, or 8 for 29 bits."""
    return f"{can_id & EXTENDED_MASK:08X}" if can_id & EXTENDED else f"{can_id & STANDARD_MASK:03X}"


def can_frame(
    arbitration_id: int, data: bytes, *, extended: bool, remote: int | None = None, error: bool = False
) -> bytes:
    """Return the 16-byte record of a frame; its length is that of the data at hand.

    remote: the length asked for, which makes it a remote frame, or None. error: `arbitration_id` is the error class
    (linux/can/error.h). ValueError: no CAN 2.0 frame can be so: more than 8 bytes, or an id with too many bits.
    """
    if len(data) > MAX_DATA:
        raise ValueError(f"{len(data)} bytes do not fit a CAN frame")
    if not 0 <= arbitration_id <= (EXTENDED_MASK if extended or error else STANDARD_MASK):
        raise ValueError(f"arbitration id {arbitration_id:#x} has too many bits")
    word = arbitration_id
    if error:
        word |= ERROR
    elif extended:
        word |= EXTENDED
    if remote is not None:
        return RECORD.pack(word | REMOTE, min(remote, MAX_DATA), b"")
    return RECORD.pack(word, len(data), data)
