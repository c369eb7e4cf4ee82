"""GE Datex-Ohmeda S/5, B and CARESCAPE monitors through their computer interface (DRI) on RS-232. See README.md."""

from __future__ import annotations

from dataclasses import fields

from drivers.ge_dri.options import ALL_WAVES, FAULTS, Options
from drivers.ge_dri.protocol import protocol
from drivers.ge_dri.simulator import simulator
from gateway.core.protocol import Driver

_DOC = {field.name: str(field.metadata["doc"]) for field in fields(Options)}

DRIVER = Driver(
    name="ge_dri",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("numeric", "status", "alarm", "wave"),
    faults=FAULTS,
    options={
        "interval_s": (int, Options().interval_s, _DOC["interval_s"]),
        "values": (str, Options().values, _DOC["values"]),
        "waves": (list, [ALL_WAVES], _DOC["waves"]),
    },
)
