"""Outside judges: pymodbus as server of our master and as client of our simulator, and recorded industrial traffic."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
import threading
import time
import tty
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import ModbusTcpClient
from pymodbus.server import ModbusBaseServer, ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.modbus import DRIVER
from drivers.modbus.adu import FRAMINGS
from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import ModbusServer, tagged
from gateway.core.frame import Fault, Frame
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from tests.unit.modbus_rig import block, devices, events, hettcube

COILS = [n % 3 == 0 for n in range(64)]
HOLDING = [(n * 771 + 1) & 0xFFFF for n in range(200)]
INPUTS = [0x0172, 0, 0, 1, 0x0005, *range(500, 620)]
UNITS = {
    5: [
        block("coils", fc=1, address=2, count=29, interval_s=0.05),
        block("contacts", fc=2, address=0, count=8, interval_s=0.05),
        block("holding", fc=3, address=7, count=125, interval_s=0.05),
        block("inputs", fc=4, address=0, count=5, interval_s=0.05),
    ],
    6: [block("gone", fc=3, address=5000, count=2, interval_s=0.05)],
}
WANTED = {
    (0, "coils"): bytes(COILS[2:31]),
    (0, "contacts"): bytes(not c for c in COILS[:8]),
    (0, "holding"): b"".join(v.to_bytes(2, "big") for v in HOLDING[7:132]),
    (0, "inputs"): bytes.fromhex("0172 0000 0000 0001 0005"),
}
PATIENCE_S = 20.0  # a test fails after this; it never waits for it


def judged_device(unit: int) -> SimDevice:
    return SimDevice(
        unit,
        (
            [SimData(0, values=COILS, datatype=DataType.BITS)],
            [SimData(0, values=[not c for c in COILS], datatype=DataType.BITS)],
            [SimData(0, values=HOLDING, datatype=DataType.REGISTERS)],
            [SimData(0, values=INPUTS, datatype=DataType.REGISTERS)],
        ),
    )


@contextlib.contextmanager
def served(make: Callable[[], ModbusBaseServer]) -> Iterator[ModbusBaseServer]:
    """Run a pymodbus server in its own thread and loop."""
    started, servers, loop = threading.Event(), [], asyncio.new_event_loop()

    async def serve() -> None:
        server = make()
        await server.serve_forever(background=True)
        servers.append(server)
        started.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(PATIENCE_S)
        yield servers[0]
    finally:
        if servers:
            asyncio.run_coroutine_threadsafe(servers[0].shutdown(), loop).result(PATIENCE_S)  # type: ignore[no-untyped-call]
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


def poll(protocol: ModbusProtocol, fd: int, done: Callable[[], bool], take: Callable[[object], None]) -> None:
    """The loop of a port on a file descriptor, until `done`."""
    end = time.monotonic() + PATIENCE_S
    protocol.start(time.monotonic())
    while not done():
        now = time.monotonic()
        assert now < end, "no answer"
        if data := protocol.data_to_send(now):
            os.write(fd, data)
        wake = protocol.next_wake()
        if select.select([fd], [], [], 0.5 if wake is None else max(0.0, wake - time.monotonic()))[0]:
            protocol.receive_data(os.read(fd, 4096), time.time_ns())
        for event in events(protocol):
            take(event)


def read_all(framing: str, fd: int) -> tuple[dict[tuple[int, str], object], Counter[str]]:
    """Poll until every block of unit 5 has come three times and unit 6 has refused."""
    frames: Counter[tuple[int, str]] = Counter()
    values: dict[tuple[int, str], object] = {}
    faults: Counter[str] = Counter()

    def take(event: object) -> None:
        if isinstance(event, Frame):
            frames[event.source, event.kind] += 1
            assert values.setdefault((event.source, event.kind), event.payload) == event.payload
        elif isinstance(event, Fault):
            faults[event.reason] += 1

    protocol = ModbusProtocol(devices(UNITS), {"framing": framing, "timeout_s": 5.0})
    poll(protocol, fd, lambda: all(frames[key] >= 3 for key in WANTED) and faults["exception_02"] >= 2, take)
    return values, faults


@pytest.mark.parametrize("framing", ["tcp", "rtu", "ascii"])
def test_a_pymodbus_server_on_a_socket_is_read_right(framing: str) -> None:
    framer = {"tcp": FramerType.SOCKET, "rtu": FramerType.RTU, "ascii": FramerType.ASCII}[framing]
    seen: list[bytes] = []

    def watch(sending: bool, data: bytes) -> bytes:
        if not sending:
            seen.append(data)
        return data

    def make() -> ModbusTcpServer:
        return ModbusTcpServer(
            [judged_device(5), judged_device(6)], framer=framer, address=("127.0.0.1", 0), trace_packet=watch
        )

    with served(make) as server:
        where = server.transport.sockets[0].getsockname()  # type: ignore[attr-defined]
        with socket.create_connection(where, PATIENCE_S) as line:
            values, faults = read_all(framing, line.fileno())
    assert values == WANTED
    assert set(faults) == {"exception_02"}
    adus = [FRAMINGS[framing].open(data) for data in seen]
    assert {adu.pdu[0] for adu in adus if adu} == {1, 2, 3, 4}  # at socket level: nothing but reads


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
def test_a_pymodbus_server_on_a_serial_line_is_read_right(framing: str) -> None:
    framer = {"rtu": FramerType.RTU, "ascii": FramerType.ASCII}[framing]
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        name = os.ttyname(slave)

        def make() -> ModbusSerialServer:
            return ModbusSerialServer([judged_device(5), judged_device(6)], framer=framer, port=name, baudrate=19200)

        with served(make):
            values, faults = read_all(framing, master)
    finally:
        os.close(master)
        os.close(slave)
    assert values == WANTED
    assert set(faults) == {"exception_02"}


@contextlib.contextmanager
def simulated(server: ModbusServer) -> Iterator[int]:
    """Our simulator behind a socket: port number."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop, wake = socket.socketpair()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while True:
                ready = select.select([connection, stop], [], [], PATIENCE_S)[0]
                if stop in ready or not ready or not (data := connection.recv(4096)):
                    return
                server.receive_data(data, time.monotonic())
                connection.sendall(server.data_to_send(time.monotonic()))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        wake.close()
        thread.join(PATIENCE_S)
        listener.close()
        stop.close()


@pytest.mark.parametrize("framing", ["tcp", "rtu", "ascii"])
def test_a_pymodbus_client_reads_our_simulator_right(framing: str) -> None:
    framer = {"tcp": FramerType.SOCKET, "rtu": FramerType.RTU, "ascii": FramerType.ASCII}[framing]
    with simulated(ModbusServer(framing, {3: tagged(3)})) as port:
        client = ModbusTcpClient("127.0.0.1", port=port, framer=framer, timeout=PATIENCE_S, retries=0)
        assert client.connect()  # type: ignore[no-untyped-call]
        try:
            image = tagged(3)
            for count in (1, 8, 9, 125):
                got = client.read_holding_registers(40, count=count, device_id=3)
                assert got.registers == [image(3, 40 + n, 0.0) for n in range(count)]
                got = client.read_input_registers(40, count=count, device_id=3)
                assert got.registers == [image(4, 40 + n, 0.0) for n in range(count)]
                got = client.read_coils(40, count=count, device_id=3)
                assert got.bits[:count] == [bool(image(1, 40 + n, 0.0)) for n in range(count)]
                got = client.read_discrete_inputs(40, count=count, device_id=3)
                assert got.bits[:count] == [bool(image(2, 40 + n, 0.0)) for n in range(count)]
            assert client.write_register(0, 1, device_id=3).exception_code == 1  # it has no writes either
        finally:
            client.close()  # type: ignore[no-untyped-call]


def test_a_pymodbus_client_reads_the_incubator_right() -> None:
    device = DeviceSpec(0, hettcube(), {"unit": 1})
    scenario = {"framing": "tcp", "image": "incubator"}
    with simulated(DRIVER.simulator([device], scenario, Scene())) as port:  # type: ignore[arg-type]
        client = ModbusTcpClient("127.0.0.1", port=port, timeout=PATIENCE_S, retries=0)
        assert client.connect()  # type: ignore[no-untyped-call]
        try:
            (raw,) = client.read_input_registers(0, count=1, device_id=1).registers
            assert 330 < raw < 375
            assert client.read_input_registers(3, count=2, device_id=1).registers[0] in (0, 1)
            assert client.read_input_registers(0, count=5, device_id=1).exception_code == 2  # 1 and 2 do not exist
        finally:
            client.close()  # type: ignore[no-untyped-call]


# ---- recorded traffic: somebody else's masters and servers


def tcp_segments(path: Path) -> Iterator[tuple[tuple[bytes, bytes], bytes]]:
    """Yield ((sender, receiver), payload) of the TCP segments of a pcap file, Ethernet, in order of capture."""
    data = path.read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at = 24
    while at < len(data):
        size = struct.unpack_from(order + "I", data, at + 8)[0]
        packet = data[at + 16 : at + 16 + size]
        at += 16 + size
        if packet[12:14] != b"\x08\x00" or packet[23] != 6:  # IPv4, TCP
            continue
        ip = packet[14 : 14 + struct.unpack_from(">H", packet, 16)[0]]
        tcp = ip[(ip[0] & 15) * 4 :]
        ends = (ip[12:16] + tcp[:2], ip[16:20] + tcp[2:4])
        if payload := tcp[(tcp[12] >> 4) * 4 :]:
            yield ends, payload


def whole(stream: bytes) -> Iterator[bytes]:
    """Cut a stream at its MBAP lengths."""
    while len(stream) >= 6 and len(stream) >= (size := 6 + int.from_bytes(stream[4:6], "big")):
        yield stream[:size]
        stream = stream[size:]


@pytest.mark.parametrize("name", ["modbusSmall.pcap", "modbus_test_data_part1.pcap"])
def test_recorded_industrial_traffic(shared: Path, name: str) -> None:
    path = shared / "captures" / "modbus_tcp" / name
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared/captures/modbus_tcp")
    read = answered = 0
    requests: dict[tuple[bytes, bytes, bytes], bytes] = {}
    bystander = ModbusProtocol(devices({99: [block("a")]}), {"framing": "tcp"})
    for n, ((sender, receiver), payload) in enumerate(tcp_segments(path)):
        bystander.data_to_send(float(n))
        bystander.receive_data(payload, n)
        for adu in whole(payload):
            if receiver[4:] == b"\x01\xf6":  # port 502
                requests[sender, receiver, adu[:2]] = adu
            elif (request := requests.pop((receiver, sender, adu[:2]), b"")) and request[7] in (1, 2, 3, 4):
                read += 1
                answered += _replayed(request, adu)
    assert read >= 3
    assert answered == read
    assert not any(isinstance(event, Frame) for event in events(bystander))


def _replayed(request: bytes, reply: bytes) -> bool:
    """One recorded request and its reply through the driver: the frame holds what the reply holds, or it says no."""
    unit, fc = request[6], request[7]
    address, count = struct.unpack(">HH", request[8:12])
    rows = [block("b", fc=fc, address=address, count=count)]
    protocol = ModbusProtocol(devices({unit: rows}), {"framing": "tcp"})
    protocol.start(0.0)
    ours = protocol.data_to_send(0.0)
    assert ours[2:] == request[2:]
    protocol.receive_data(ours[:2] + reply[2:], 0)  # with our transaction number
    (event,) = events(protocol)
    if reply[7] & 0x80:
        return isinstance(event, Fault) and event.reason.startswith("exception_")
    assert isinstance(event, Frame)
    data = reply[9:]
    return event.payload == (data if fc > 2 else bytes(data[n // 8] >> n % 8 & 1 for n in range(count)))
