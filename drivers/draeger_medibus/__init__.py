"""Dräger ventilators and anaesthesia machines through MEDIBUS and MEDIBUS.X on RS-232. See README.md."""

from __future__ import annotations

from dataclasses import fields

from drivers.draeger_medibus.contents import FRAMES
from drivers.draeger_medibus.options import ALL, FAULTS, Options
from drivers.draeger_medibus.protocol import protocol
from drivers.draeger_medibus.simulator import simulator
from gateway.core.protocol import Driver

_DOC = {field.name: str(field.metadata["doc"]) for field in fields(Options)}

DRIVER = Driver(
    name="draeger_medibus",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=FRAMES,
    faults=FAULTS,
    options={"waves": (list, [ALL], _DOC["waves"]), "poll_s": (float, Options().poll_s, _DOC["poll_s"])},
    undetected_flips=0.7,
)
