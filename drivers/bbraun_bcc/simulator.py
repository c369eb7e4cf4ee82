"""A SpaceCom with a full rack at the other end of the line, without I/O.

It greets, tells its version, and answers MEM:GET with all that the rows of the profile ask for, of every position, in
blocks that are cut wherever they are full, also inside of a number. A block that is not the last waits for its ACK. It
sends drug names, serial numbers and a map of the rack too, which a reader has to leave alone. Now and then a pump is
switched off for some seconds and says only that.

Escaping, length and checksum are made here a second time. Made up, because no source shows it: where blocks are cut,
the texts of drug and model, the error code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.bbraun_bcc.options import Options, PillarOptions
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

BED, FIRMWARE = "IntensivE-12d", "V3.30"  # with all four letters that are escaped
BLOCK = 4000  # characters of information; made up
OFF_EVERY_S, OFF_FOR_S = 29.0, 4.0
UNIT_S = 4.0  # a dose is shown in the next unit after so long
_TURNAROUND_S = 0.05  # made up
_POSITIONS = "123456789ABCDEFGHIJKLMNO"
_POWER = "DSSTATUS"

Rows = Mapping[int, Sequence[MetricSpec]]


def _escaped(data: bytes) -> bytes:
    pairs = {ord("D"): b"EX", ord("E"): b"EE", ord("d"): b"ex", ord("e"): b"ee"}
    return b"".join(pairs.get(byte, bytes([byte])) for byte in data)


def _plain(data: bytes) -> bytes:
    found, mark = bytearray(), 0
    for byte in data:
        if mark:
            found.append({"EX": ord("D"), "ex": ord("d")}.get(chr(mark) + chr(byte), mark))
            mark = 0
        elif byte in b"Ee":
            mark = byte
        else:
            found.append(byte)
    return bytes(found)


class SpaceCom:
    """The station and its pumps. pillars: pillar -> position -> rows of the profile."""

    def __init__(self, pillars: Mapping[int, Rows], options: Options, scene: Scene) -> None:
        self._pillars = pillars
        self._options = options
        self._scene = scene
        self._heard = bytearray()
        self._blocks: deque[bytes] = deque()  # of the answer that is being given
        self._say: tuple[float, bytes] | None = None  # (when, block)
        self._last: dict[str, str] = {}  # address and parameter -> value as it was sent last

    def receive_data(self, data: bytes, now: float) -> None:
        """Take requests and acknowledgements."""
        for byte in data:
            if byte == 0x06 and self._say is None:
                self._speak(now)
            elif byte == 0x01:
                self._heard[:] = b"\x01"
            elif self._heard:
                self._heard.append(byte)
                if byte == 0x04:
                    block = bytes(self._heard)
                    self._take(_plain(block) if self._options.stuffing else block, now)
                    self._heard.clear()
        del self._heard[200:]

    def data_to_send(self, now: float) -> bytes:
        """Return the block that is ready."""
        if self._say is None or now < self._say[0]:
            return b""
        block, self._say = self._say[1], None
        return block

    def next_wake(self) -> float | None:
        """Return when a block is ready; it speaks only when asked."""
        return self._say[0] if self._say else None

    def _take(self, block: bytes, now: float) -> None:
        if len(block) != int(block[1:6]) or sum(block[:-6]) % 256 != int(block[-6:-1]):
            return
        information = block[7:-7].decode().rpartition(">")[2]
        texts = {"ADMIN:ALIVE": f"{now:.0f},50100,GNACK,0", "ADMIN:VERSION": f"{now:.0f},50100,{FIRMWARE}"}
        if information == "MEM:GET":
            text = "\x1e".join(self._memory(now))
        else:
            text = texts.get(information, f"{now:.0f},50100,GNERR,1")
        cuts = range(0, max(len(text), 1), BLOCK)
        self._blocks = deque(self._block(text[at : at + BLOCK], at == cuts[-1]) for at in cuts)
        self._speak(now)

    def _speak(self, now: float) -> None:
        if self._blocks:
            self._say = (now + _TURNAROUND_S, self._blocks.popleft())

    def _block(self, text: str, last: bool) -> bytes:
        body = b"\x02" + f"{BED}/1/1>{text}".encode() + (b"\x03" if last else b"\x17")
        begin = b"\x01" + f"{len(body) + 12:05d}".encode() + body
        block = begin + f"{sum(begin) % 256:05d}".encode() + b"\x04"
        return _escaped(block) if self._options.stuffing else block

    def _memory(self, now: float) -> list[str]:
        """Return the quadruples of all pumps; only what is new when the station is set so."""
        said = {"50100,FMNOR": str(len(self._pillars)), "50100,FMRT": "FMS1NSNS"}  # the map: notes, example
        for pillar, rows in self._pillars.items():
            for position, specs in rows.items():
                address = f"501{pillar}{_POSITIONS[position - 1]}"
                said |= {f"{address},{name}": value for name, value in self._pump(position, specs, now).items()}
        new = {name: value for name, value in said.items() if self._last.get(name) != value}
        self._last = said
        return [f"{now:.0f},{name},{value}" for name, value in (new if self._options.changes_only else said).items()]

    def _pump(self, position: int, specs: Sequence[MetricSpec], now: float) -> dict[str, str]:
        """Return parameter -> text of one pump."""
        said = {"GNMODEL": "Perfusor Space", "INSERNUM": f"{90000 + position}", "INSOLSN": "Noradrenalin"}
        choices: dict[str, list[MetricSpec]] = {}  # of a quantity: its row for each unit
        is_off = not self._scene.still and now % OFF_EVERY_S >= OFF_EVERY_S - OFF_FOR_S
        for spec in specs:
            name = str(spec.object)
            if name == _POWER:
                said[name] = "00050" if is_off else "00051"
            elif spec.kind == "alert":
                said[name] = str(int(self._scene.alert(spec.id, now) > 0))
            elif "#" in name:
                choices.setdefault(name.partition("#")[0], []).append(spec)
            else:
                said[name] = self._value(spec, now)
        for name, rows in choices.items():
            spec = rows[0 if self._scene.still else int(now / UNIT_S) % len(rows)]
            said |= {name: self._value(spec, now), f"{name}U": str(spec.object).partition("#")[2]}
        return {_POWER: said[_POWER], "INSERNUM": said["INSERNUM"]} if is_off else said

    def _value(self, spec: MetricSpec, now: float) -> str:
        value = self._scene.raw(spec, now)
        if value is None:
            return "_NV"
        return f"{value:.0f}" if spec.kind == "enumeration" else f"{value:.1f}"


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> SpaceCom:
    """Return the station of a line. Raises: ConfigError."""
    pillars: dict[int, dict[int, list[MetricSpec]]] = {}
    for device in devices:
        rows = pillars.setdefault(build(PillarOptions, device.options, lambda *keys: " ".join(keys)).pillar, {})
        for spec in (spec for channel in device.profile.channels for spec in channel.metrics):
            if spec.instance:
                rows.setdefault(spec.instance, []).append(spec)
    return SpaceCom(pillars, build(Options, options, lambda *keys: " ".join(keys)), scene)
