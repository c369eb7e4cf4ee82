"""What may be opened: each line to a device, and only so that nothing but reading is possible."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.config import MADE_UP, Config, Port
from gateway.security.policy.conduits import of_port
from gateway.security.policy.registry import Broken, Facts, rule

UNSTABLE = re.compile(r"/dev/tty(USB|ACM)[0-9]+")  # numbered in the order of plugging in: gateway.links.serial


def _ports(config: Config) -> Iterator[tuple[int, Port]]:
    return enumerate(config.ports)


@rule("port-conduit", "Each line to a device is allowed by a conduit: path, bus, or host and port.")
def port_conduit(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A line that no conduit covers; also a device that may be anybody."""
    for i, port in _ports(config):
        for way, conduit in of_port(config, port):
            if conduit is not None:
                continue
            if not way.device and not way.host:
                hint = "name the device's address as host"
                yield Broken(("port", i, "link", "host"), "whoever announces himself would be the device", hint)
                continue
            hint = f"take it out, or have a [[conduit]] of kind {_kinds(port, way.kind)} for it approved"
            yield Broken(("port", i, "link", way.key), f"no conduit allows {way}", hint)


def _kinds(port: Port, kind: str) -> str:
    return f"{kind} or {port.driver.name}" if (kind, port.driver.name) == ("tcp", "modbus") else kind


@rule("port-stable", "A serial line has a name that stays with its socket, so no device is taken for its neighbour.")
def port_stable(config: Config, _facts: Facts) -> Iterator[Broken]:
    """/dev/ttyUSB0 may come back as ttyUSB1, and with it another bed's values."""
    for i, port in _ports(config):
        device = getattr(port.link, "device", "")
        if isinstance(device, str) and UNSTABLE.fullmatch(device):
            hint = "name it by /dev/serial/by-id/… or by a udev rule of this box"
            yield Broken(("port", i, "link", "device"), f"{device} can be another line after a replug", hint)


@rule("link-made-up", "No link carries made-up values: no replay, no loopback.")
def link_made_up(config: Config, _facts: Facts) -> Iterator[Broken]:
    """Links for tests, whose values are of no patient."""
    for i, port in _ports(config):
        if port.link_kind.name in MADE_UP:
            what = f"link {port.link_kind.name} in production: its values are of no patient"
            yield Broken(("port", i, "link", "kind"), what, 'set [security] mode = "lab", or take the port out')


@rule("link-known", "Each link says where it leads, so that a conduit can be asked for it.")
def link_known(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A kind of link from elsewhere that tells no ways."""
    for i, port in _ports(config):
        if port.link_kind.name not in MADE_UP and not port.link_kind.ways(port.link):
            what = f"link {port.link_kind.name} does not say where it leads"
            yield Broken(("port", i, "link", "kind"), what, "have its LinkKind tell its ways")


@rule("can-silent", "Nothing is ever sent on a CAN bus: no active link, no driver that asks.")
def can_silent(config: Config, _facts: Facts) -> Iterator[Broken]:
    """The link can_active, and a driver's option `active`."""
    for i, port in _ports(config):
        if port.link_kind.name == "can_active":
            yield Broken(("port", i, "link", "kind"), "this link can send on the bus", 'write kind = "can"')
        if port.settings.options.get("active") is True:
            yield Broken(("port", i, "options", "active"), "the driver would ask on the bus", "write active = false")


@rule("can-controller", "A CAN bus is read through a controller of this box, whose listen-only mode can be seen.")
def can_controller(config: Config, _facts: Facts) -> Iterator[Broken]:
    """virtual, udp_multicast and socketcand: no controller, or one that nobody here can look at."""
    for i, port in _ports(config):
        interface = getattr(port.link, "interface", None)
        if port.link_kind.name in ("can", "can_active") and interface != "socketcan":
            what = f"the controller behind {interface} cannot be seen from here, nor that it only listens"
            yield Broken(("port", i, "link", "interface"), what, 'write interface = "socketcan"')


@rule("experimental", "A device whose profile is experimental is used only where somebody looks on.", stops=False)
def experimental(config: Config, _facts: Facts) -> Iterator[Broken]:
    """Its values are all questionable, and say so."""
    for i, port in _ports(config):
        for n, device in enumerate(port.devices):
            if device.settings.experimental and device.spec.profile.experimental:
                why = f"its profile is experimental: {device.spec.profile.experimental}"
                yield Broken(("port", i, "device", n, "experimental"), why, "compare its values with its display")
