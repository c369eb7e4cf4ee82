"""The poll plan: which registers are read together, and how often.

It stands in the profile, as `[driver]`:

    [[driver.block]]
    name = "temperature"   # the frame kind that the profile's metrics name
    fc = 4                 # 1 coils, 2 discrete inputs, 3 holding registers, 4 input registers
    address = 0            # as on the wire, 0-based ("30001" and "40001" in a manual are address 0)
    count = 1
    interval_s = 5.0
    one_byte = true        # only for devices that are byte_addressed (see dialect): the reply says byte count 02 and
                           # brings one byte; it stands in the low byte of the register

Laws
  * Read-only by construction. `FunctionCode` has four members, `_REQUEST` has a request for each, and nothing else in
    this package makes a request.
  * One block is one request. What belongs together was read by the device at one moment, so no 32-bit value is put
    together from two readings. A block larger than one request is refused, not split.
  * Nothing outside a declared block is read: many devices answer a gap with exception 02.

Payload of a frame
  * registers (3, 4): the bytes of the wire, big-endian; register n of the block is at byte 2n, however the device
    counts its addresses.
  * bits (1, 2): one byte per coil, 0 or 1, so that `at` = number of the coil in the block and `type = "u8"`.

Source: Modbus Application Protocol Specification V1.1b3, sections 6.1 to 6.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from drivers.modbus.dialect import Dialect, read_dialect
from gateway.core.alert import CATCH_ALL
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.profile import MetricSpec, Profile
from gateway.core.settings import Settings, build, did_you_mean, setting

MAX_REGISTERS = 125  # V1.1b3, 6.3 and 6.4: quantity 1 to 125 (0x7D)
MAX_BITS = 2000  # V1.1b3, 6.1 and 6.2: quantity 1 to 2000 (0x7D0)
ADDRESSES = 65536  # V1.1b3, 4.4: PDU addresses 0 to 65535


class FunctionCode(IntEnum):
    """All that this driver can ask: the four reads of V1.1b3, sections 6.1 to 6.4."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4


_REQUEST: dict[FunctionCode, type[ModbusPDU]] = {
    FunctionCode.READ_COILS: ReadCoilsRequest,
    FunctionCode.READ_DISCRETE_INPUTS: ReadDiscreteInputsRequest,
    FunctionCode.READ_HOLDING_REGISTERS: ReadHoldingRegistersRequest,
    FunctionCode.READ_INPUT_REGISTERS: ReadInputRegistersRequest,
}
_BITS = (FunctionCode.READ_COILS, FunctionCode.READ_DISCRETE_INPUTS)


@dataclass(frozen=True, slots=True)
class Block(Settings):
    """Adjacent registers or coils that are read by one request."""

    name: str = field(metadata=setting("frame kind that the profile's metrics name", pattern="[a-z][a-z0-9_]*"))
    fc: int = field(metadata=setting("function code: 1, 2, 3 or 4", choices=tuple(int(code) for code in FunctionCode)))
    address: int = field(metadata=setting("first address as on the wire, 0-based", low=0, high=ADDRESSES - 1))
    count: int = field(metadata=setting("number of registers or coils", low=1, high=MAX_BITS))
    interval_s: float = field(metadata=setting("time between two readings", unit="s", low=0.05, high=86400))
    one_byte: bool = field(default=False, metadata=setting("the reply says byte count 02 and brings one byte"))

    @property
    def function(self) -> FunctionCode:
        """The function code, as a member of the closed set."""
        return FunctionCode(self.fc)

    @property
    def byte_count(self) -> int:
        """Bytes of data in the reply, as it says itself."""
        return (self.count + 7) // 8 if self.function in _BITS else 2 * self.count

    @property
    def data_sizes(self) -> tuple[int, ...]:
        """How many bytes of data it may really bring: what it says, or one (see `one_byte`)."""
        return (self.byte_count, 1) if self.one_byte else (self.byte_count,)

    @property
    def payload_size(self) -> int:
        """Bytes of data in the frame."""
        return self.count if self.function in _BITS else 2 * self.count

    @property
    def shape(self) -> tuple[int, int]:
        """All that a reply says of its request on a serial line: function code and byte count."""
        return self.fc, self.byte_count

    def addresses(self, dialect: Dialect) -> range:
        """Return the addresses of its registers or coils, each the first where it takes two."""
        step = 2 if dialect.byte_addressed else 1
        return range(self.address, self.address + step * self.count, step)

    def end(self, dialect: Dialect) -> int:
        """Return the first address after the block."""
        return self.address + (1 if self.one_byte else self.addresses(dialect).step * self.count)

    def request(self, unit: int, transaction: int) -> ModbusPDU:
        """Return the request that reads this block."""
        request = _REQUEST[self.function]
        return request(dev_id=unit, transaction_id=transaction, address=self.address, count=self.count)

    def payload(self, data: bytes) -> bytes:
        """Return the frame's payload from the reply's data. Coils come lowest bit first.

        data: `byte_count` bytes; of a block of one byte it may be that byte alone
        """
        if self.function in _BITS:
            return bytes(data[i >> 3] >> (i & 7) & 1 for i in range(self.count))
        return data.rjust(self.payload_size, b"\0")


def read_blocks(profile: Profile) -> tuple[Block, ...]:
    """Return the poll plan of a profile.

    Raises: ProfileError for an unknown key, a wrong value, a block that one request cannot read, blocks that overlap,
    and a metric that no block carries.
    """
    dialect = read_dialect(profile)
    rows = profile.driver_table.get("block", [])
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ProfileError("profile has no [[driver.block]]", profile.where, "say which registers are read together")
    blocks: list[Block] = []
    for number, row in enumerate(rows, 1):
        where = f"{profile.where}, [[driver.block]] {number}"
        try:
            block = build(Block, row, lambda *keys, where=where: " ".join([where, *keys]))
        except ConfigError as fault:  # the same check, in a profile: the profile is at fault
            raise ProfileError(fault.what, fault.where, fault.hint) from None
        _check_one(block, blocks, dialect, where)
        blocks.append(block)
    _check_metrics(profile, {block.name: block for block in blocks})
    return tuple(blocks)


def _check_one(block: Block, before: Sequence[Block], dialect: Dialect, where: str) -> None:
    """Refuse a block that one request cannot read, or that reads again what a block before it reads."""
    limit = MAX_BITS if block.function in _BITS else MAX_REGISTERS
    if block.count > limit:
        hint = "make two blocks, and cut where no value is cut: what one request reads belongs together"
        raise ProfileError(f"count = {block.count}: one request of fc {block.fc} reads {limit} at most", where, hint)
    if (dialect.byte_addressed and block.function in _BITS) or (
        block.one_byte and not (dialect.byte_addressed and dialect.ascii_only and block.count == 1)
    ):
        hint = "byte_addressed is for registers; one_byte is for count = 1 of a byte_addressed, ascii_only device"
        raise ProfileError(f"block {block.name!r} does not fit the keys of [driver]", where, hint)
    end = block.end(dialect)
    if end > ADDRESSES:
        raise ProfileError(f"block {block.name!r} ends after address {ADDRESSES - 1}", where, "check address and count")
    for other in before:
        if other.name == block.name:
            raise ProfileError(f"there are two blocks {block.name!r}", where, "the name is the frame kind, one each")
        if other.fc == block.fc and block.address < other.end(dialect) and other.address < end:
            raise ProfileError(f"blocks {other.name!r} and {block.name!r} overlap", where, "read each address once")


def _check_metrics(profile: Profile, blocks: dict[str, Block]) -> None:
    """Refuse a metric that no block would ever fill: it would stay empty without a word."""
    channels = [*profile.channels, *(channel for _, added in profile.since for channel in added)]
    for spec in (spec for channel in channels for spec in channel.metrics):
        if spec.kind == "alert" and spec.object == CATCH_ALL:
            continue  # the row for alerts that no other row names, and for their number; it reads no bytes
        if spec.at is None:
            raise ProfileError(f"{spec.id} is reached by object", spec.where, "write frame, at and type")
        block = blocks.get(spec.frame)
        if block is None:
            hint = did_you_mean(spec.frame, blocks)
            raise ProfileError(f"{spec.id}: no [[driver.block]] is called {spec.frame!r}", spec.where, hint)
        end = spec.at + _size(spec)
        if spec.at < 0 or end > block.payload_size:
            hint = f"block {block.name!r} has bytes 0 to {block.payload_size - 1}"
            raise ProfileError(f"{spec.id} lies outside its block (bytes {spec.at} to {end - 1})", spec.where, hint)


def _size(spec: MetricSpec) -> int:
    """Return the bytes of a raw type: the number in its name; a bit is read from a u16."""
    return 2 if spec.type == "bit" else int(spec.type[1:]) // 8
