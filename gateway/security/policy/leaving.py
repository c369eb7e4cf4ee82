"""What may leave: the routes against the conduit that the sink goes through.

A route is judged by all metrics of the devices' profiles, of every firmware, because a device says which it has only
when it is connected.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterator

from gateway.config import Config, Device
from gateway.config_security import ConduitSettings
from gateway.security.policy.conduits import of_sink
from gateway.security.policy.registry import Broken, Facts, rule

CARRIES = {"waveform": "waves", "alert": "alerts"}  # kind of metric -> what carries it; all others: values
SIGN_OF_LIFE = "MDC_EVT_ALARM"  # what the sign of life of a device's alerts is routed by (gateway.service)
SHOWN = 3  # metrics named in one line


def _outlet(config: Config) -> ConduitSettings | None:
    return next((conduit for _, conduit in of_sink(config) if conduit is not None), None)


@rule("leave-carries", "Only what the conduit carries is routed: values, waves, alerts.")
def leave_carries(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A route of a kind that the conduit does not name."""
    if (conduit := _outlet(config)) is None:
        return
    for i, route in enumerate(config.routes):
        if route.carries not in conduit.carries:
            what = f"{route.carries} may not leave through conduit {conduit.name}"
            hint = f'take the route out, or have carries = [… "{route.carries}"] approved'
            yield Broken(("route", i, "carries"), what, hint)


@rule("leave-metrics", "Only metrics that the conduit names are routed.")
def leave_metrics(config: Config, _facts: Facts) -> Iterator[Broken]:
    """One finding for a route, with the first few of what it would let out."""
    if (conduit := _outlet(config)) is None:
        return
    out: dict[int, set[str]] = defaultdict(set)
    for device in config.devices:
        for carries, ref_id in _metrics(device):
            if not any(fnmatch.fnmatchcase(ref_id, pattern) for pattern in conduit.metrics):
                route = _route(config, device.settings.name, carries, ref_id)
                if route is not None:
                    out[route].add(ref_id)
    for i, metrics in sorted(out.items()):
        more = f" and {len(metrics) - SHOWN} more" if len(metrics) > SHOWN else ""
        what = f"{', '.join(sorted(metrics)[:SHOWN])}{more} may not leave through conduit {conduit.name}"
        yield Broken(("route", i, "metrics"), what, "narrow metrics of the route, or have those of the conduit widened")


def _metrics(device: Device) -> set[tuple[str, str]]:
    """Return (what carries it, reference id) of all that a device may say, of every firmware."""
    profile = device.spec.profile
    channels = [*profile.channels, *(channel for _, added in profile.since for channel in added)]
    found = {(CARRIES.get(m.kind, "values"), m.id) for channel in channels for m in channel.metrics}
    if any(carries == "alerts" for carries, _ in found):
        found.add(("alerts", SIGN_OF_LIFE))
    return found


def _route(config: Config, device: str, carries: str, ref_id: str) -> int | None:
    routes = enumerate(config.routes)
    return next((i for i, route in routes if route.carries == carries and route.names(device, ref_id)), None)


@rule("leave-interval", "Values leave no more often than the conduit allows.")
def leave_interval(config: Config, _facts: Facts) -> Iterator[Broken]:
    """0 means every sample, so it is the most often of all."""
    if (conduit := _outlet(config)) is None:
        return
    for i, route in enumerate(config.routes):
        if route.carries == "values" and route.interval_s < conduit.min_interval_s:
            often = "every sample" if not route.interval_s else f"every {route.interval_s:g} s"
            what = f"values would leave {often}, conduit {conduit.name} allows every {conduit.min_interval_s:g} s"
            yield Broken(("route", i, "interval_s"), what, f"write interval_s = {conduit.min_interval_s:g} or more")


@rule(
    "leave-identifiers",
    "Only identifiers that the conduit names leave: device, place; a patient's never.",
)
def leave_identifiers(config: Config, _facts: Facts) -> Iterator[Broken]:
    """Each message names its device; one of a device with a location names that."""
    conduit = _outlet(config)
    if conduit is None:
        return
    if "device" not in conduit.identifiers:
        i = config.conduits.index(conduit)
        hint = 'write identifiers = ["device"]: without it nobody could tell whose values they are'
        yield Broken(("conduit", i, "identifiers"), "each message names its device", hint)
    if "place" in conduit.identifiers:
        return
    for i, port in enumerate(config.ports):
        for n, device in enumerate(port.devices):
            place = device.location
            if place.unit or place.room or place.bed or place.facility:
                what = f"the place of {device.settings.name} may not leave through conduit {conduit.name}"
                yield Broken(("port", i, "device", n, "location"), what, "take it out, or have place approved")
