"""A CAN bus is opened only when the kernel says that its controller only listens."""

from __future__ import annotations

import errno
import itertools
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import registry
from gateway.acquire import make_link
from gateway.config import read_config
from gateway.core.errors import LinkError
from gateway.links import can as can_link
from gateway.links import can_mode
from gateway.links.can_mode import Controller, fault_of, parse, question
from tests.conftest import ROOT

LOOPBACK, LISTEN_ONLY, BERR, FD = 0x01, 0x02, 0x10, 0x20  # linux/can/netlink.h


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def answer(name: str = "can0", kind: str = "can", flags: int | None = LISTEN_ONLY, nested: int = 0) -> bytes:
    """As a kernel 6.1 answers for a USB adapter: bit timing, clock and state stand around the mode."""
    data = attribute(3, struct.pack("=I", 80_000_000))  # IFLA_CAN_CLOCK
    data += attribute(4, struct.pack("=I", 0))  # IFLA_CAN_STATE: error active
    data += b"" if flags is None else attribute(5, struct.pack("=II", 0xFFFF, flags))
    data += attribute(6, struct.pack("=I", 100)) + attribute(1, bytes(32))  # IFLA_CAN_RESTART_MS, IFLA_CAN_BITTIMING
    info = attribute(1, kind.encode() + b"\0") + (attribute(2 | nested, data) if kind == "can" else b"")
    body = attribute(3, name.encode() + b"\0") + attribute(13, struct.pack("=I", 10)) + attribute(18 | nested, info)
    message = struct.pack("=BxHiII", 0, 280, 3, 0x400C1, 0) + body  # ARPHRD_CAN
    return struct.pack("=IHHII", 16 + len(message), 16, 0, 1, 0) + message


@pytest.mark.parametrize("nested", [0, 0x8000])
@pytest.mark.parametrize("flags", list(range(64)))
def test_every_combination_of_modes(flags: int, nested: int) -> None:
    found = parse(answer(flags=flags, nested=nested))
    assert found == Controller("can", bool(flags & LISTEN_ONLY))
    assert bool(found.fault) == (not flags & LISTEN_ONLY)


@pytest.mark.parametrize(
    ("kind", "flags"), [("vcan", None), ("vxcan", None), ("", None), ("can", None), ("bridge", None)]
)
def test_what_is_no_controller_or_says_no_mode_is_a_fault(kind: str, flags: int | None) -> None:
    assert parse(answer(kind=kind, flags=flags)).fault


def test_an_error_of_the_kernel_is_one() -> None:
    with pytest.raises(OSError, match="No such device") as told:
        parse(struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -errno.ENODEV) + bytes(16))
    assert told.value.errno == errno.ENODEV


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_no_answer_is_taken_for_listening_by_accident(noise: bytes, at: int, byte: int) -> None:
    whole = answer(flags=LOOPBACK)
    for data in (noise, whole[:at], whole[:at] + bytes([byte]) + whole[at + 1 :]):
        try:
            found = parse(data)
        except (OSError, ValueError):
            continue
        changed = data[:at] + whole[at : at + 1] + data[at + 1 :]
        assert found.fault or changed == whole  # only the very bit of the mode says that it listens


def test_the_kernel_of_this_machine_is_asked_and_its_loopback_is_no_can_bus() -> None:
    assert "is no CAN controller" in fault_of("lo")
    assert "No such device" in fault_of("mdi-none0")
    assert "nothing is known" in fault_of("a-name-that-no-interface-can-have")
    assert len(question("can0")) == 16 + 16 + 12


@pytest.mark.parametrize(("mode", "flags"), list(itertools.product(("production", "lab"), (LISTEN_ONLY, 0, None))))
def test_the_port_of_a_controller_that_may_send_is_not_opened_in_production(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    flags: int | None,
) -> None:
    text = (ROOT / "mdi_config.toml").read_text().replace('mode = "production"', f'mode = "{mode}"', 1)
    path = tmp_path_factory.mktemp("can") / "mdi_config.toml"
    path.write_text(text)
    config = read_config(path)
    port = next(port for port in config.ports if port.link_kind.name == "can")
    monkeypatch.setattr(can_mode, "ask", lambda name: answer(name, flags=flags))
    opened: list[bool] = []
    link = make_link(config, port)
    monkeypatch.setattr(can_link.CanLink, "open", lambda _: opened.append(True))
    if mode == "production" and flags != LISTEN_ONLY:
        with pytest.raises(LinkError, match="listen-only"):
            link.open()
        assert not opened
    else:
        link.open()
        assert opened
        assert ("LAB" in caplog.text) == (flags != LISTEN_ONLY)
    with pytest.raises(LinkError, match="only listens"):
        link.write(b"\0" * 16)


def test_the_dossier_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags in (LISTEN_ONLY, 0):
        monkeypatch.setattr(can_mode, "ask", lambda name, flags=flags: answer(name, flags=flags))
        assert can_mode.listen_only("can0") == bool(flags)


def test_it_is_asked_anew_at_each_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller may be set otherwise while its interface is down, and the port opens it again."""
    kind = registry.find("link", "can")
    modes = iter([LISTEN_ONLY, 0])
    monkeypatch.setattr(can_mode, "ask", lambda name: answer(name, flags=next(modes)))
    harm: Callable[[object], str] = kind.harm
    settings = kind.settings(channel="can0")
    assert [bool(harm(settings)) for _ in range(2)] == [False, True]
