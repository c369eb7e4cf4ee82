"""Philips IntelliVue monitors (MP, MX, X2, X3) through the Data Export protocol, RS-232 or LAN. See README.md."""

from __future__ import annotations

from dataclasses import fields

from drivers.philips_intellivue.options import FAULTS, Options
from drivers.philips_intellivue.protocol import protocol
from drivers.philips_intellivue.simulator import simulator
from gateway.core.protocol import Driver

_DOC = {field.name: str(field.metadata["doc"]) for field in fields(Options)}

DRIVER = Driver(
    name="philips_intellivue",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "udp", "tcp", "replay", "loopback"),
    frames=("numeric", "wave", "alert"),
    faults=FAULTS,
    options={
        "transport": (str, Options().transport, _DOC["transport"]),
        "waves": (list, list(Options().waves), _DOC["waves"]),
        "poll_s": (int, Options().poll_s, _DOC["poll_s"]),
    },
)
