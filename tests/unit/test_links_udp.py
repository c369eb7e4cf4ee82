"""UDP links on the loopback interface: one datagram is one packet, only the device is heard, and two are one too many.

All of 127.0.0.0/8 is this machine, so devices of other addresses are sockets bound to 127.0.0.2 and so on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.core.errors import ConfigError, LinkError
from gateway.links.udp import DATAGRAMS_MAX, LINK, UdpLink, UdpSettings

PATIENCE = 1.0  # the longest a read may wait; nothing here needs it, a failing test ends by it
HERE, OTHER, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
GROUP = "224.0.23.63"


class Device:
    """A device that speaks in datagrams from one address, and announces itself."""

    def __init__(self, address: str = HERE, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(PATIENCE)
        self.port: int = self.socket.getsockname()[1]

    def say(self, data: bytes, to: int) -> None:
        self.socket.sendto(data, (HERE, to))

    def hear(self) -> bytes:
        return self.socket.recv(65536)


@pytest.fixture
def device() -> Iterator[Device]:
    found = Device()
    with contextlib.closing(found.socket):
        yield found


@pytest.fixture
def make() -> Iterator[Callable[..., UdpLink]]:
    """Makes links that are closed at the end."""
    with contextlib.ExitStack() as made:

        def build(**settings: Any) -> UdpLink:
            link = UdpLink(UdpSettings(**{"host": "", "local_host": HERE, **settings}), time.time_ns)
            made.callback(link.close)
            return link

        yield build


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def port_of(link: UdpLink) -> int:
    return int(link._line_socket.getsockname()[1])


def read(link: UdpLink, timeout: float = PATIENCE) -> list[bytes]:
    return [data for _, data in link.read(timeout)]


# ---- the line


def test_bytes_pass_both_ways_unchanged(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    link.open()
    every = bytes(range(256))
    link.write(every)
    assert device.hear() == every
    device.say(every, port_of(link))
    assert read(link) == [every]
    assert read(link, 0.0) == []


def test_one_datagram_is_one_packet_whatever_its_size(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    link.open()
    sent = [b"a", b"b" * 1456, b"c", os.urandom(65_507), b"d" * 3]  # 65,507: the longest that UDP over IPv4 carries
    for data in sent:
        device.say(data, port_of(link))
    heard = read(link)
    while len(heard) < len(sent):
        heard += read(link)
    assert heard == sent
    for data in sent:
        link.write(data)
    assert [device.hear() for _ in sent] == sent


def test_each_packet_has_its_own_stamp(device: Device) -> None:
    stamps = iter(range(7, 100))
    link = UdpLink(UdpSettings(host=HERE, port=device.port), lambda: next(stamps))
    link.open()
    for data in (b"one", b"two"):
        device.say(data, port_of(link))
    assert link.read(PATIENCE) == [(7, b"one"), (8, b"two")]
    link.close()


def test_a_flood_comes_in_portions_and_in_order(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    link.open()
    sent = [bytes([n]) for n in range(2 * DATAGRAMS_MAX)]
    for data in sent:
        device.say(data, port_of(link))
    first = read(link)
    assert len(first) == DATAGRAMS_MAX
    assert first + read(link) == sent


def test_an_empty_datagram_is_nothing(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    link.open()
    device.say(b"", port_of(link))
    assert read(link) == []
    link.write(b"")
    link.write(b"x")
    assert device.hear() == b"x"


def test_nobody_else_is_heard(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    link.open()
    with contextlib.closing(Device(OTHER).socket) as stranger, contextlib.closing(Device(HERE).socket) as neighbour:
        for one in (stranger, neighbour):  # another address; another port of the same one
            one.sendto(b"I am your monitor", (HERE, port_of(link)))
        device.say(b"I am", port_of(link))
        assert read(link) == [b"I am"]


def test_the_port_it_sends_from_can_be_chosen(device: Device, make: Callable[..., UdpLink]) -> None:
    chosen = free_port()
    link = make(host=HERE, port=device.port, local_port=chosen)
    link.open()
    link.write(b"x")
    assert device.socket.recvfrom(10) == (b"x", (HERE, chosen))


# ---- how it ends and begins again


def test_a_device_that_does_not_listen_says_so(device: Device, make: Callable[..., UdpLink]) -> None:
    device.socket.close()
    link = make(host=HERE, port=device.port)
    link.open()
    link.write(b"is anybody there?")
    with pytest.raises(LinkError, match=f"udp {HERE}:{device.port}: nobody listens there"):
        link.read(PATIENCE)
    link.open()
    link.write(b"and now?")
    with pytest.raises(LinkError, match="nobody listens there"):
        link.write(b"hello?")


def test_the_last_words_come_before_the_refusal(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    link.open()
    for data in (b"last", b"words"):
        device.say(data, port_of(link))
    device.socket.close()
    link.write(b"are you there?")
    assert read(link) == [b"last", b"words"]
    for _ in range(2):
        with pytest.raises(LinkError, match="nobody listens there"):
            link.read(PATIENCE)


def test_it_opens_again_when_the_device_is_back(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    for turn in (b"first", b"second", b"third"):
        link.open()
        device.say(turn, port_of(link))
        assert read(link) == [turn]
        link.close()


@pytest.mark.parametrize("wrong", [{"host": "no.such.host.invalid"}, {"host": "." * 70}, {"local_host": "192.0.2.1"}])
def test_what_cannot_be_opened(wrong: dict[str, str], make: Callable[..., UdpLink]) -> None:
    link = make(**{"host": HERE, "port": 9, **wrong})
    for _ in range(2):
        with pytest.raises(LinkError, match="cannot be opened") as caught:
            link.open()
        assert "\n" not in str(caught.value)
    for use in (lambda: link.read(0.0), lambda: link.write(b"x")):
        with pytest.raises(LinkError, match="the link is closed"):
            use()


def test_a_port_that_is_taken(device: Device, make: Callable[..., UdpLink]) -> None:
    with pytest.raises(LinkError, match="Address already in use"):
        make(host=HERE, port=9, local_port=device.port).open()


def test_close_wakes_a_waiting_read(device: Device, make: Callable[..., UdpLink]) -> None:
    link = make(host=HERE, port=device.port)
    link.open()
    waiting = threading.Event()
    ended: list[str] = []

    def wait() -> None:
        waiting.set()
        try:
            while True:
                link.read(60.0)
        except LinkError as error:
            ended.append(error.what)

    reader = threading.Thread(target=wait, daemon=True)
    reader.start()
    assert waiting.wait(PATIENCE)
    link.close()
    link.close()
    reader.join(10)
    assert not reader.is_alive(), "a read of 60 s was not woken"
    assert ended == ["the link is closed"]


def test_closing_from_many_threads_while_it_opens_and_reads(device: Device, make: Callable[..., UdpLink]) -> None:
    """Whatever the order, nothing but LinkError comes out, nothing hangs, and no descriptor is left behind."""
    link = make(host=HERE, port=device.port, beacon_port=free_port())
    before = len(os.listdir("/proc/self/fd"))
    stop = threading.Event()

    def keep_closing() -> None:
        while not stop.is_set():
            link.close()

    closers = [threading.Thread(target=keep_closing) for _ in range(3)]
    for closer in closers:
        closer.start()
    try:
        for _ in range(200):
            with contextlib.suppress(LinkError):
                link.open()
                link.read(0.001)
                link.write(b"x")
    finally:
        stop.set()
        for closer in closers:
            closer.join(10)
    assert not any(closer.is_alive() for closer in closers)
    link.close()
    assert len(os.listdir("/proc/self/fd")) == before


# ---- announcements


def test_what_the_device_announces_is_heard_and_what_others_announce_is_not(
    device: Device, make: Callable[..., UdpLink]
) -> None:
    beacon = free_port()
    link = make(host=HERE, port=device.port, beacon_port=beacon)
    link.open()
    with contextlib.closing(Device(OTHER).socket) as stranger:
        stranger.sendto(b"the monitor of the next bed", (HERE, beacon))
        device.say(b"a monitor", beacon)
        assert read(link) == [b"a monitor"]


def test_without_a_host_the_first_that_announces_itself_is_the_device(make: Callable[..., UdpLink]) -> None:
    monitor = Device(OTHER)
    beacon = free_port()
    link = make(port=monitor.port, beacon_port=beacon)
    with contextlib.closing(monitor.socket):
        link.open()
        link.write(b"nobody is known yet: this is lost")
        monitor.say(b"a monitor", beacon)
        assert read(link) == [b"a monitor"]
        link.write(b"associate")
        assert monitor.hear() == b"associate"
        monitor.say(b"accepted", port_of(link))
        assert read(link) == [b"accepted"]
        link.open()  # and it is still known: one that is associated does not announce itself
        link.write(b"again")
        assert monitor.hear() == b"again"


def test_what_anybody_sent_before_the_device_was_known_is_not_heard(make: Callable[..., UdpLink]) -> None:
    monitor, stranger = Device(OTHER), Device(THIRD)
    beacon = free_port()
    link = make(port=monitor.port, beacon_port=beacon)
    with contextlib.closing(monitor.socket), contextlib.closing(stranger.socket):
        link.open()
        stranger.say(b"heart rate 0", port_of(link))
        assert read(link) == []
        stranger.say(b"heart rate 0", port_of(link))  # still waiting on the socket when the device is found
        monitor.say(b"a monitor", beacon)
        assert read(link) == [b"a monitor"]


def test_two_that_announce_themselves_are_not_guessed_between(make: Callable[..., UdpLink]) -> None:
    first, second = Device(OTHER), Device(THIRD)
    beacon = free_port()
    link = make(port=first.port, beacon_port=beacon)
    with contextlib.closing(first.socket), contextlib.closing(second.socket):
        link.open()
        first.say(b"a monitor", beacon)
        second.say(b"another one", beacon)
        assert read(link) == [b"a monitor"]  # what came before is given first
        for failing in (lambda: link.read(PATIENCE), link.open, link.open):
            with pytest.raises(LinkError, match=f"two devices announce themselves, {OTHER} and {THIRD} → name the one"):
                failing()


def test_an_announcement_to_a_multicast_group(make: Callable[..., UdpLink]) -> None:
    """As the captured IntelliVue of revision L sends it. The group is joined on the interface of local_host."""
    monitor = Device(HERE)
    beacon = free_port()
    link = make(port=monitor.port, beacon_port=beacon, beacon_group=GROUP)
    with contextlib.closing(monitor.socket) as line:
        line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HERE))
        link.open()
        line.sendto(b"a monitor", (GROUP, beacon))
        assert read(link) == [b"a monitor"]


def test_two_ports_hear_the_same_announcement(make: Callable[..., UdpLink]) -> None:
    monitor = Device(HERE)
    beacon = free_port()
    links = [make(host=HERE, port=monitor.port, beacon_port=beacon, beacon_group=GROUP) for _ in range(2)]
    with contextlib.closing(monitor.socket) as line:
        line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HERE))
        for link in links:
            link.open()
        line.sendto(b"a monitor", (GROUP, beacon))
        assert [read(link) for link in links] == [[b"a monitor"]] * 2


# ---- settings


def test_settings_and_kind() -> None:
    named, alone = UdpSettings(host="10.20.30.41", port=24105), UdpSettings(port=24105, beacon_port=24005)
    assert LINK.describe(named) == LINK.resource(named) == "udp 10.20.30.41:24105"
    assert LINK.describe(alone) == "udp, device that announces itself on 24005"
    assert isinstance(LINK.create(named, time.time_ns), UdpLink)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"local_port": -1}, "local_port"),
        ({"beacon_port": 65536}, "beacon_port"),
        ({"beacon_group": "10.0.0.1"}, "beacon_group"),
        ({"beacon_group": GROUP}, "nobody listens"),
        ({"host": ""}, "nobody would ever be found"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        UdpSettings(**{"host": HERE, "port": 24105, **wrong})
