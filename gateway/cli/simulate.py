"""mdi simulate: a device that is not there, speaking as the real one does."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from gateway import registry
from gateway.cli.capture import DeviceOptionList, ForOption, driver_options, pairs
from gateway.cli.output import err
from gateway.cli.run import stop_on_signals
from gateway.core.courses import COURSES
from gateway.core.errors import ConfigError
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import did_you_mean
from gateway.decode import find_profile
from gateway.scene_file import read_table
from gateway.simulate import CanBus, Pty, TcpServer, UdpServer, Wire, serve

LOOK_BACK_S = 2.0  # a simulator may send averages of the last second or two: the table holds then too
PtyOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Be a serial line: a pseudo-terminal, linked from this path. This is the default, without a link.",
    ),
]
TcpOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        min=0,
        max=65535,
        help="Be a device on the network, on this TCP port of loopback; 0: any free one.",
    ),
]
UdpOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        min=0,
        max=65535,
        help="Be a device that speaks in datagrams, on this UDP port of loopback; 0: any free one.",
    ),
]
CanOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        min=0,
        max=65535,
        help="Be a CAN bus: a socketcand daemon, bus can0, on this TCP port of loopback; 0: any free one.",
    ),
]
ScenarioOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="A setting of the scenario; the README of the driver lists them. Repeatable.",
    ),
]


ProfileList = Annotated[
    list[str],
    typer.Option(
        "--profile",
        "-p",
        metavar="VENDOR/MODEL",
        help="Profile of a simulated device. Repeatable: several devices on one line.",
    ),
]
CsvOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Values over time from a table: first column s, min or h, the others reference ids, a unit in brackets.",
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="COLUMN=REF_ID", help="What a column of the table is. Repeatable."),
]
ZeroOption = Annotated[bool, typer.Option("--zero-is-none", help="In the table a 0 means: no value.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="REF_ID=VALUE",
        help="Hold one value of the patient, in its usual unit; none = not measured. Repeatable.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Another number is another patient.")]
NothingOption = Annotated[bool, typer.Option("--nothing", help="All probes are off: nothing is measured.")]


def wire_of(pty: Path | None, tcp: int | None, udp: int | None, can: int | None, beacon_port: int = 0) -> Wire:
    """Return the wire that the options name. Raises: ConfigError when they name two."""
    if sum(option is not None for option in (pty, tcp, udp, can)) > 1:
        raise ConfigError("a device has one line", hint="give one of --pty, --tcp, --udp and --can")
    if can is not None:
        return CanBus(can)
    if udp is not None:
        return UdpServer(udp, beacon_port)
    return TcpServer(tcp) if tcp is not None else Pty(pty)


def _beacon_port(profile: Profile) -> int:
    """Return the port on which gateways listen for the device's announcements; 0: it makes none."""
    lines = profile.wiring.lines if profile.wiring else ()
    return next((int(line["beacon_port"]) for line in lines if "beacon_port" in line), 0)


def simulate(
    driver: Annotated[str, typer.Argument(metavar="DRIVER", help="Driver whose simulator to run.")],
    profile: ProfileList,
    pty: PtyOption = None,
    tcp: TcpOption = None,
    udp: UdpOption = None,
    can: CanOption = None,
    option: ScenarioOption = None,
    device_option: DeviceOptionList = None,
    csv: CsvOption = None,
    name: NameOption = None,
    zero_is_none: ZeroOption = False,
    fixed: SetOption = None,
    seed: SeedOption = 0,
    nothing: NothingOption = False,
    for_s: ForOption = 0,
) -> None:
    """Be a device: speak the driver's protocol with made-up values.

    Where the device can be reached is said on standard error. A gateway that reads from it must have
    processing_id = "T" or "D", so that nobody takes the values for those of a patient. With --udp the device announces
    itself on loopback, on the port that its profile names, until a gateway speaks to it.

    All simulators on one machine show the same patient, in step. --csv drives it by a table: a recorded day.

    \b
    mdi simulate philips_intellivue -p philips/intellivue_mp --pty ./line
    mdi simulate philips_intellivue -p philips/intellivue_mp --udp 24105
    mdi simulate nonin -p nonin/9560_3150_df7 --set MDC_PULS_OXIM_SAT_O2=88
    mdi simulate masimo_ascii -p masimo/rad8 --csv day.csv
    mdi simulate modbus -p hettich/hettcube --tcp 1502 -o framing=tcp
    mdi simulate can_signals -p smartecla/bedside_network --can 29536
    """
    found = registry.driver(driver)
    profiles = registry.Profiles()
    options = driver_options(device_option, found.device_options)
    devices = [DeviceSpec(i, _fitting(driver, wanted, profiles), options) for i, wanted in enumerate(profile)]
    wire = wire_of(pty, tcp, udp, can, _beacon_port(devices[0].profile))
    spoken = {"transport": "udp"} if udp is not None and "transport" in found.options else {}
    simulator = found.simulator(devices, spoken | pairs(option), _scene(csv, name, zero_is_none, fixed, seed, nothing))
    stop = stop_on_signals()
    with ExitStack() as stack:
        stack.enter_context(wire)
        err.print(f"simulating {driver} on {wire.where}", markup=False, highlight=False)
        if for_s:
            timer = threading.Timer(for_s, stop.set)
            timer.start()
            stack.callback(timer.cancel)
        serve(simulator, wire, stop)


def _scene(
    csv: Path | None, name: list[str] | None, zero_is_none: bool, fixed: list[str] | None, seed: int, nothing: bool
) -> Scene:
    """Return what there is to measure. Raises: ConfigError."""
    held: dict[str, float | None] = {}
    for ref_id, value in pairs(fixed).items():
        if ref_id not in COURSES:
            raise ConfigError(f"{ref_id} is not known of the patient", hint=did_you_mean(ref_id, COURSES))
        if value != "none" and not isinstance(value, (int, float)):
            raise ConfigError(f"{ref_id} = {value!r} is no number", hint="a number in its usual unit, or none")
        held[ref_id] = None if value == "none" else float(value)
    table = read_table(csv, {key: str(value) for key, value in pairs(name).items()}, zero_is_none) if csv else None
    return Scene(seed=seed, fixed=held, table=table, begin=time.monotonic() - LOOK_BACK_S, nothing=nothing)


def _fitting(driver: str, name: str, profiles: registry.Profiles) -> Profile:
    profile = find_profile(name, profiles)
    if profile.driver != driver:
        raise ConfigError(f"profile {profile.id} does not fit driver {driver}", hint=f"it is for {profile.driver}")
    return profile
