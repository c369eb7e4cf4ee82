"""Read-only by construction: a driver that has been taken over tries everything, and the line records what arrives.

Socket, pseudo-terminal and bus are real, the port is the one that a configuration makes. What is forbidden is read from
the standard here, not from the code under test.
"""

from __future__ import annotations

import ast
import random
import re
import select
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import can
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import registry
from gateway.core.can_frame import pack
from gateway.core.transmit import pattern_fault
from gateway.port import Port
from gateway.simulate import Pty
from tests.unit.modbus_rig import ROOT, wire
from tests.unit.read_only_rig import attack, port_of, recording_server

READS = {1, 2, 3, 4}
WIDE = [r".{1,600}"]  # a grammar that allows everything: whoever signed it was deceived
IDENTIFICATION = r".{2}\x00\x00\x00\x05.\x2B\x0E[\x01-\x04].", r".\x2B\x0E[\x01-\x04].{3}"


def modbus_profile(folder: Path, grammar: list[str] | None) -> str:
    """Write the shipped profile with another grammar, None: as it is; return its id."""
    text = (ROOT / "firmware_profiles/hettich/hettcube.toml").read_text(encoding="utf-8")
    if grammar is not None:
        allow = "allow = [" + ", ".join(f"'{pattern}'" for pattern in grammar) + "]\n"
        text = re.sub(r"allow = \[\n.*?\n\]\n", lambda _: allow, text, count=1, flags=re.DOTALL)
    path = folder / "profiles" / "hettich" / "mutant.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return "hettich/mutant"


def bodies(fc: int) -> list[bytes]:
    """Requests of a function code, in the shape of a read, of a write, and in others."""
    code = bytes([fc])
    return [
        code + bytes.fromhex("00000001"),
        code + bytes.fromhex("0003ff00"),
        code + bytes.fromhex("0000000204000a0102"),
        code + bytes.fromhex("0000ffff0000"),
        code + b"\x0e\x01\x00",
        code,
        code + bytes(range(40)),
    ]


def tries(framing: str) -> list[bytes]:
    """Everything that a driver gone wrong might say: every code in every shape, doubled, cut, hidden, and in noise."""
    good = wire(framing, 1, bytes.fromhex("0400000001"))
    found = [wire(framing, unit, body) for fc in range(256) for body in bodies(fc) for unit in (1, 247)]
    bad = wire(framing, 1, bytes.fromhex("060000ff00"))
    found += [good + bad, bad + good, good[:-1], good + b"\0", b"\0" + bad, good + good, bad[:5], good[:4] + bad]
    others = [other for other in ("rtu", "ascii", "tcp") if other != framing]
    found += [wire(other, 1, body) for other in others for fc in range(256) for body in bodies(fc)[:1]]
    dice = random.Random(5)
    for _ in range(1000):  # a read with a few bits of it turned
        data = bytearray(dice.choice((good, bad)))
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        found.append(bytes(data))
    return found


def heard_codes(framing: str, heard: bytes) -> list[bytes]:
    """Return the PDU of each request that a device of the standard finds; fails on a byte that belongs to none."""
    found, at = [], 0
    while at < len(heard):
        if framing == "tcp":
            assert heard[at + 2 : at + 4] == b"\0\0", f"no request at {at}"
            size = 6 + int.from_bytes(heard[at + 4 : at + 6], "big")
            pdu = heard[at + 7 : at + size]
        elif framing == "rtu":
            size = 7 if heard[at + 1] == 0x2B else 8
            pdu = heard[at + 1 : at + size - 2]
        else:
            size = heard.index(b"\r\n", at) + 2 - at
            pdu = bytes.fromhex(heard[at + 1 : at + size - 2].decode())[1:-1]
        assert (
            wire(framing, heard[at + 6] if framing == "tcp" else _unit(framing, heard[at:]), pdu)[
                2 if framing == "tcp" else 0 :
            ]
            == heard[at + (2 if framing == "tcp" else 0) : at + size]
        )
        found.append(pdu)
        at += size
    return found


def _unit(framing: str, data: bytes) -> int:
    return data[0] if framing == "rtu" else int(data[1:3], 16)


def only_reads(pdus: list[bytes], identification: bool) -> bool:
    return all(
        (pdu[0] in READS and len(pdu) == 5) or (identification and pdu[:2] == b"\x2b\x0e" and len(pdu) == 4)
        for pdu in pdus
    )


GRAMMARS = [("as shipped", None, False), ("wide", WIDE, True), ("names 43/14", list(IDENTIFICATION), True)]


@pytest.mark.parametrize(("what", "grammar", "identification"), GRAMMARS, ids=[g[0] for g in GRAMMARS])
@pytest.mark.parametrize("framing", ["tcp", "rtu"])
def test_socket_of_256_function_codes_only_reading_ones_arrive(
    tmp_path: Path, framing: str, what: str, grammar: list[str] | None, identification: bool
) -> None:
    profile = modbus_profile(tmp_path, grammar)
    writes = tries(framing)
    with recording_server() as (number, heard):
        link = f'kind = "tcp", host = "127.0.0.1", port = {number}'
        port = port_of(tmp_path, "modbus", profile, link, f'framing = "{framing}"')
        attack(port, writes)
        pdus = heard_codes(framing, heard())
    assert only_reads(pdus, identification), [pdu.hex() for pdu in pdus]
    codes = {pdu[0] for pdu in pdus}
    assert codes == {"as shipped": {4}, "wide": READS | {0x2B}, "names 43/14": {0x2B}}[what]
    assert port.counters.refused_writes == len(writes) - len(pdus)  # what was held back is counted, one by one


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
def test_pty_of_256_function_codes_only_reading_ones_arrive(tmp_path: Path, framing: str) -> None:
    profile = modbus_profile(tmp_path, WIDE)
    writes = tries(framing)
    with recording_pty(tmp_path) as (link, heard):
        port = port_of(tmp_path, "modbus", profile, link, f'framing = "{framing}"')
        attack(port, writes)
        pdus = heard_codes(framing, heard())
    assert only_reads(pdus, True)
    assert {pdu[0] for pdu in pdus} == READS | {0x2B}
    assert port.counters.refused_writes == len(writes) - len(pdus)


@contextmanager
def recording_pty(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """A pseudo-terminal whose other end keeps every byte."""
    kept, done = bytearray(), threading.Event()
    with Pty(folder / "line") as pty:

        def listen() -> None:
            while not done.is_set() or select.select([pty._master], [], [], 0)[0]:
                kept.extend(pty.read(0.05))

        thread = threading.Thread(target=listen)
        thread.start()

        def heard() -> bytes:
            done.set()
            thread.join(20)
            return bytes(kept)

        try:
            yield f'kind = "serial", device = "{folder}/line"', heard
        finally:
            done.set()
            thread.join(20)


def _serial_profiles() -> list[str]:
    profiles = registry.Profiles()
    spoken = [name for name in profiles.ids() if profiles.get(name).transmit and profiles.get(name).driver != "modbus"]
    return [name for name in spoken if "serial" in registry.driver(profiles.get(name).driver).links]


@pytest.mark.parametrize("name", _serial_profiles())
def test_pty_only_messages_of_the_profile_arrive(tmp_path: Path, name: str) -> None:
    """Its own messages, and the same with bytes changed, lost, doubled, joined; the standard library judges."""
    profile = registry.Profiles().get(name)
    compiled = [re.compile(pattern.encode("latin-1"), re.DOTALL) for pattern in profile.transmit]
    whole = re.compile(b"(?:" + b"|".join(b"(?:%s)" % c.pattern for c in compiled) + b")+", re.DOTALL)
    good: list[bytes] = []

    @settings(max_examples=4 * len(compiled), database=None, deadline=None, derandomize=True)
    @given(st.sampled_from(compiled).flatmap(lambda c: st.from_regex(c, fullmatch=True)))
    def collect(data: bytes) -> None:
        good.append(data)

    collect()
    dice, writes = random.Random(name), list(good)
    for _ in range(150):
        data = bytearray(dice.choice(good))
        at = dice.randrange(len(data))
        match dice.randrange(5):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                del data[at]
            case 2:
                data.insert(at, dice.randrange(256))
            case 3:
                data += dice.choice(good)
            case _:
                data = bytearray(dice.randbytes(dice.randint(1, 40)))
        writes.append(bytes(data))
    wanted = [data for data in writes if data and whole.fullmatch(data)]
    with recording_pty(tmp_path) as (link, heard):
        port = port_of(tmp_path, profile.driver, name, link)
        attack(port, writes)
        assert heard() == b"".join(wanted)
    assert port.counters.refused_writes == len([data for data in writes if data]) - len(wanted)
    assert wanted


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_socket_a_mutated_grammar_never_lets_a_modbus_write_out(tmp_path: Path, seed: int) -> None:
    """Characters of the shipped patterns changed at random: as wide as they become, only reading arrives."""
    dice = random.Random(seed)
    patterns = []
    for pattern in registry.Profiles().get("hettich/hettcube").transmit:
        text = list(pattern)
        for _ in range(dice.randint(1, 6)):
            text[dice.randrange(len(text))] = dice.choice(r".*+?[]()|\x0123456789ABCDEF^-{},")
        mutant = "".join(text)
        if not pattern_fault(mutant) and "'" not in mutant:
            patterns.append(mutant)
    if not patterns:
        return
    profile = modbus_profile(tmp_path, patterns)
    writes = [wire("tcp", 1, body) for fc in range(256) for body in bodies(fc)[:3]]
    with recording_server() as (number, heard):
        link = f'kind = "tcp", host = "127.0.0.1", port = {number}'
        attack(port_of(tmp_path, "modbus", profile, link, 'framing = "tcp"'), writes)
        assert only_reads(heard_codes("tcp", heard()), True)


# ---- the bus


def frames() -> list[bytes]:
    """A frame of every kind of CANopen and of others: every function code, both lengths of id, remote and error."""
    ids = [*range(0, 0x800, 0x20), 0x60A, 0x67F, 0x600, 0x8000_0601, 0x4000_0601, 0x2000_0080]
    return [
        pack(can_id, bytes([first, *range(1, 8)])) for can_id in ids for first in (0x00, 0x23, 0x2F, 0x40, 0x60, 0x80)
    ]


def on_the_bus(folder: Path, kind: str) -> tuple[Port, list[can.Message]]:
    """Let a hostile driver with a grammar of everything loose on a bus; return the port, and what was heard."""
    shipped = ROOT / "firmware_profiles/prominent"
    shutil.copytree(shipped, folder / "profiles/prominent")
    path = folder / "profiles/prominent/gamma_xl.toml"
    text = path.read_text(encoding="utf-8")
    assert "[transmit]" not in text  # as shipped it may not write at all
    path.write_text(
        text.replace("\n[[channel]]", "\n[transmit]\nallow = ['.{16}']\n\n[[channel]]", 1), encoding="utf-8"
    )
    channel = f"hostile-{folder.name}"
    with can.Bus(interface="virtual", channel=channel, ignore_config=True) as bus:
        link = f'kind = "{kind}", interface = "virtual", channel = "{channel}"'
        port = port_of(folder, "canopen", "prominent/gamma_xl", link)
        attack(port, frames())
        return port, list(iter(lambda: bus.recv(0.0), None))


def test_bus_the_link_of_production_sends_nothing_at_all(tmp_path: Path) -> None:
    port, heard = on_the_bus(tmp_path, "can")
    assert heard == []
    assert port.counters.link_errors == len(frames())  # each try is refused by the link, which has no way out


def test_bus_the_link_that_may_ask_in_a_lab_only_asks(tmp_path: Path) -> None:
    _, heard = on_the_bus(tmp_path, "can_active")
    assert heard
    for message in heard:  # CiA 301: client to server of node 1 to 127, initiate or segment upload, or abort
        assert 0x601 <= message.arbitration_id <= 0x67F
        assert (message.is_extended_id, message.is_remote_frame, message.is_error_frame) == (False, False, False)
        assert message.data[0] in (0x40, 0x60, 0x70, 0x80)


# ---- the code: every call that puts bytes on a line is known

SENDS = {"send", "sendto", "sendall", "sendmsg", "send_periodic", "sendfile"}
LINES = {"link", "_link", "line", "_line", "_inner", "bus", "_bus", "os", "_socket", "_line_socket", "_port"}
KNOWN = {
    "gateway/port.py": 1,  # behind the gate
    "gateway/probe.py": 1,  # behind the gate
    "gateway/links/guarded.py": 1,  # passes on
    "gateway/links/recorder.py": 1,  # passes on
    "gateway/links/descriptor.py": 1,  # serial and TCP: what the port has let through
    "gateway/links/udp.py": 1,  # the same
    "gateway/links/can_active.py": 1,  # upload requests; refused in production by a rule
    "gateway/links/can_mode.py": 1,  # the question to the kernel
    "gateway/links/socketcand.py": 1,  # the opening words to the daemon
}


def test_code_every_call_that_puts_bytes_on_a_line_is_known() -> None:
    """Also in a driver or a link that is still to be written: what is new must be entered here, and be looked at."""
    paths = [*(ROOT / "drivers").rglob("*.py"), *(ROOT / "gateway" / "links").glob("*.py")]
    paths += [
        ROOT / "gateway" / name for name in ("port.py", "acquire.py", "probe.py", "probe_line.py", "probe_trial.py")
    ]
    found: dict[str, int] = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if node.func.attr in SENDS or (node.func.attr in ("write", "writev", "pwrite") and name in LINES):
                where = str(path.relative_to(ROOT))
                found[where] = found.get(where, 0) + 1
    assert found == KNOWN


def test_code_the_words_to_a_socketcand_daemon_never_send_a_frame() -> None:
    text = (ROOT / "gateway/links/socketcand.py").read_text(encoding="utf-8")
    assert set(re.findall(r"[\"']< ?([a-z]+)", text)) == {"open", "rawmode"}
