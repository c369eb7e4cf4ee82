"""mdi prosim: set a simulated patient on a Fluke ProSim, and see whether the gateway reads it from the monitor."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import registry
from gateway.acquire import CLOCKS, make_link, make_port
from gateway.cli.output import err, print_json, print_table, progress
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption, stop_on_signals
from gateway.config import read_config
from gateway.core.errors import ConfigError, MdiError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.protocol import DeviceSpec
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import buffer_size, format_buffer
from gateway.core.ring_reader import RingReader
from gateway.core.settings import build, did_you_mean
from gateway.decode import find_profile
from gateway.links.base import Link
from gateway.port import Port, PortDevice, guarded
from gateway.prosim import LINE, PARAMETERS, Compared, Comparison, ProSim, read_setting

RING_ROWS = 65536  # read five times a second: ten seconds of eight waves
LOOK_S = 0.2
SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=VALUE", help=f"What to simulate: {', '.join(PARAMETERS)}. Repeatable."),
]
MonitorOption = Annotated[str, typer.Option(metavar="NAME", help="The monitor: name of a device of the configuration.")]
ToleranceOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="How far a reading may lie from what was set. Repeatable."),
]


def prosim(
    simulator: Annotated[str, typer.Argument(metavar="PORT", help="Serial port of the ProSim, USB or RS-232.")],
    settings: SetOption,
    monitor: MonitorOption = "",
    config: ConfigOption = DEFAULT,
    profile: Annotated[
        str, typer.Option("--profile", "-p", metavar="VENDOR/MODEL", help="The monitor, when it is not configured.")
    ] = "",
    port: Annotated[
        str, typer.Option(metavar="PATH|HOST:PORT", help="With --profile: where that monitor is connected.")
    ] = "",
    tolerance: ToleranceOption = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Wait so long for the monitor to show it all.")
    ] = 60.0,
    hold: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="It must go on showing it for so long.")] = 3.0,
    json: JsonOption = False,
) -> None:
    """Test a monitor and its driver with a Fluke ProSim 6 or 8.

    The simulator is plugged into the monitor in place of a patient and into this box with its USB or serial port. A
    simulated patient is set, and what the driver then reads from the monitor is compared with it. The exit code is 0
    when all is shown in time and stays, 1 when not. A cuff measurement (nibp) must be started at the monitor.

    No patient may be connected to the monitor, and the gateway must not run meanwhile: a line has one owner. Nothing
    that is read goes anywhere. What was set stays set; the front panel of the ProSim works again afterwards.

    \b
    mdi prosim /dev/ttyUSB1 --set hr=80 --set spo2=97 --set p1=120/80 --monitor stue3-seng2
    mdi prosim /dev/ttyUSB1 --set spo2=86 -p philips/intellivue_mp --port /dev/ttyUSB0 --json
    """
    wanted = [read_setting(text) for text in settings]
    allowed = _tolerances(tolerance or [])
    watched = _configured(config, monitor) if monitor else _given(profile, port)
    session = ProSim(_link("serial", {"device": simulator, **LINE}), CLOCKS.monotonic, simulator)
    stop = stop_on_signals()
    with _running(watched), _opened(session):
        err.print(f"{session.model} {session.firmware} on {simulator}", markup=False, highlight=False)
        for setting in wanted:
            session.set(setting)
        comparison = Comparison(wanted, allowed, CLOCKS.utc_ns())
        _wait(watched, comparison, timeout, hold, stop)
    found = comparison.result()
    _show(session, watched, found, json)
    if not all(line.ok for line in found):
        raise typer.Exit(1)


def _tolerances(given: list[str]) -> dict[str, float]:
    """Read NAME=VALUE pairs. Raises: ConfigError."""
    found = {}
    for pair in given:
        name, _, value = pair.partition("=")
        if name not in PARAMETERS:
            raise ConfigError(f"{name!r} cannot be set", hint=did_you_mean(name, PARAMETERS))
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(f"tolerance {pair!r} is no number", hint=f"write {name}=2") from None
    return found


# ---- the monitor


@dataclass(frozen=True)
class _Watched:
    """A port that reads the monitor into a ring that only we read. number: of the monitor's device."""

    port: Port
    reader: RingReader
    number: int
    compile_plan: Callable[[str, str], Plan]  # profile id, firmware

    def take(self, comparison: Comparison) -> None:
        """Hand on what has come, each block with the plan it was made with."""
        for block in self.reader.read(RING_ROWS):
            made_with = self.reader.plan_name(block.plan)
            plan = self.compile_plan(made_with.profile_id, made_with.firmware)
            comparison.take(plan, block.rows[block.rows["source"] == self.number])
        self.reader.release()


def _ring() -> tuple[RingWriter, RingReader]:
    buffer = memoryview(bytearray(buffer_size(RING_ROWS)))
    format_buffer(buffer, RING_ROWS)
    return RingWriter(buffer), RingReader(buffer)


def _configured(path: Path, name: str) -> _Watched:
    """Return the port of a configured device. Raises: ConfigError."""
    config = read_config(path)
    for port in config.ports:
        for device in port.devices:
            if device.settings.name == name:
                writer, reader = _ring()
                made = make_port(config, port, make_link(config, port), writer)
                return _Watched(made, reader, device.number, config.profiles.plan)
    known = ", ".join(device.settings.name for device in config.devices)
    raise ConfigError(f"there is no device {name!r}", str(path), f"known: {known}")


def _given(name: str, where: str) -> _Watched:
    """Return a port for a monitor that is in no configuration: the usual line of its profile. Raises: ConfigError."""
    if not name or not where:
        raise ConfigError("no monitor", hint="name one with --monitor, or with --profile and --port")
    profile = find_profile(name, registry.Profiles())
    host, _, number = where.rpartition(":")
    kind = "tcp" if host and number.isdecimal() and "/" not in where else "serial"
    lines = profile.wiring.lines if profile.wiring else ()
    usual = next((dict(line) for line in lines if line["kind"] == kind), {})
    usual.pop("kind", None)
    place = {"host": host, "port": int(number)} if kind == "tcp" else {"device": where}
    writer, reader = _ring()
    driver, specs = registry.driver(profile.driver), [DeviceSpec(0, profile)]
    protocol = driver.protocol(specs, {})

    @cache
    def compile_plan(_: str, firmware: str) -> Plan:
        return Plan(profile, firmware, nomenclature())

    device = PortDevice(0, "monitor", profile.id, "", compile_plan(profile.id, ""))
    link = _link(kind, {**usual, **place})
    port = Port("monitor", link, protocol, [device], writer, compile_plan, registry.gate(driver, specs, {}), CLOCKS)
    return _Watched(port, reader, 0, compile_plan)


def _link(kind: str, settings: dict[str, Any]) -> Link:
    found = registry.find("link", kind)
    link: Link = found.create(build(found.settings, settings, lambda *_: ""), CLOCKS.utc_ns)
    return link


# ---- running it


@contextmanager
def _running(watched: _Watched) -> Iterator[None]:
    """Read the monitor meanwhile."""
    ended = threading.Event()
    thread = threading.Thread(target=guarded, args=(watched.port, ended), name="monitor")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _opened(session: ProSim) -> Iterator[None]:
    """Have the ProSim under remote control meanwhile."""
    session.open()
    try:
        yield
    except BaseException:
        with suppress(MdiError):  # what went wrong first is what a person must read
            session.close()
        raise
    session.close()


def _wait(watched: _Watched, comparison: Comparison, timeout: float, hold: float, stop: threading.Event) -> None:
    """Wait until the monitor shows what was set, and has for `hold` seconds; at most `timeout`."""
    start = time.monotonic()
    good_since: float | None = None
    with progress("waiting for the monitor", timeout) as show:
        while not stop.wait(LOOK_S):
            watched.take(comparison)
            now = time.monotonic()
            show(now - start)
            good_since = (now if good_since is None else good_since) if comparison.met else None
            if now - start >= timeout or (good_since is not None and now - good_since >= hold):
                return


def _show(session: ProSim, watched: _Watched, found: list[Compared], json: bool) -> None:
    if json:
        lines = [
            {
                "parameter": line.name,
                "set": line.set,
                "read": None if math.isnan(line.read) else line.read,
                "unit": line.unit,
                "tolerance": line.tolerance,
                "ok": line.ok,
                "ref_id": line.ref_id,
                "path": line.path,
            }
            for line in found
        ]
        who = {"model": session.model, "firmware": session.firmware}
        print_json({"ok": all(line.ok for line in found), "prosim": who, "parameters": lines})
        return
    rows = [
        (
            line.name,
            f"{line.set:g} {line.unit}",
            None if math.isnan(line.read) else f"{line.read:g}",
            f"±{line.tolerance:g}",
            "yes" if line.ok else "NO",
            f"{line.ref_id} {line.path}".strip() or f"nothing usable; the port says: {watched.port.state}",
        )
        for line in found
    ]
    print_table(f"{session.model}: set and read", ("parameter", "set", "read", "tolerance", "ok", "read as"), rows)
