"""mdi decode, record, replay, simulate: everything about bytes in files and devices that are not there."""

from __future__ import annotations

import json as jsonlib
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import registry
from gateway.cli.output import err, out, print_json, progress
from gateway.cli.run import DEFAULT, ConfigOption, stop_on_signals
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.core.protocol import DeviceSpec
from gateway.core.ring import RingWriter, buffer_size, format_buffer
from gateway.decode import Decoder, Statistics, decode_file, find_profile, sample_json
from gateway.record import SUFFIX, Direction, Header, RecordingLink, RecordingWriter, open_capture, utc_text
from gateway.service import CLOCKS, make_link, make_port
from gateway.simulate import CanBus, Pty, TcpServer, Wire, serve

SCRATCH_ROWS = 4096
OptionList = Annotated[list[str] | None, typer.Option("--option", "-o", help="Driver option NAME=VALUE, repeatable.")]
DeviceOptionList = Annotated[
    list[str] | None, typer.Option("--device-option", help="Device option NAME=VALUE, repeatable.")
]


def decode(
    file: Annotated[Path, typer.Argument(help="A recording, a CAN log, or raw line bytes.")],
    profile: Annotated[str, typer.Option("--profile", "-p", help="VENDOR/MODEL, or a profile file.")],
    stats: Annotated[bool, typer.Option("--stats", help="One JSON object with counts instead of the samples.")] = False,
    firmware: Annotated[str, typer.Option(help="Firmware of the device, when the bytes do not say it.")] = "",
    option: OptionList = None,
    device_option: DeviceOptionList = None,
) -> None:
    """Decode a capture: one JSON object per sample, or with --stats one object of counts."""
    profiles = registry.Profiles()
    found = find_profile(profile, profiles)
    driver = registry.driver(found.driver)
    decoder = Decoder(
        found, profiles, _options(option, driver.options), _options(device_option, driver.device_options), firmware
    )
    statistics = Statistics()
    with progress(f"decode {file.name}", file.stat().st_size if file.exists() else 0) as show:
        for done, plan, block in decode_file(decoder, file):
            show(done)
            if stats:
                statistics.add(plan, block)
                continue
            for row in block:
                print_json(sample_json(plan, row))
    if stats:
        print_json(statistics.json(decoder))
    elif decoder.reasons:
        err.print(f"{sum(decoder.reasons.values())} bad frames: {dict(decoder.reasons)}", markup=False)


def _options(given: list[str] | None, known: Any) -> dict[str, Any]:
    """Read NAME=VALUE pairs; values as JSON where they are, else as text."""
    options: dict[str, Any] = {}
    for pair in given or []:
        name, equals, value = pair.partition("=")
        if not equals or name not in known:
            raise ConfigError(f"option {pair!r} is not NAME=VALUE of this driver", hint="known: " + ", ".join(known))
        try:
            options[name] = jsonlib.loads(value)
        except ValueError:
            options[name] = value
    return options


def record(
    port: Annotated[str, typer.Argument(help="Name of a configured port.")],
    file: Annotated[Path, typer.Argument(help=f"Where to write the recording ({SUFFIX}).")],
    config: ConfigOption = DEFAULT,
    for_s: Annotated[float, typer.Option("--for", help="Stop after so many seconds; 0 = until Ctrl-C.")] = 0,
    note: Annotated[str, typer.Option(help="Why it was made. Nothing about a patient.")] = "",
) -> None:
    """Record one port: its bytes in both directions while its driver speaks with the device. Nothing is forwarded."""
    checked = read_config(config)
    chosen = [p for p in checked.ports if p.settings.name == port]
    if not chosen:
        raise ConfigError(
            f"there is no port {port!r}", str(config), "known: " + ", ".join(p.settings.name for p in checked.ports)
        )
    if file.exists():
        raise ConfigError("file exists", str(file), "name another; a recording is never overwritten")
    digests = tuple(
        (d.settings.profile, checked.profiles.plan(d.settings.profile, d.settings.firmware).digest.hex())
        for d in chosen[0].devices
    )
    driver, line = chosen[0].driver.name, chosen[0].link_kind.describe(chosen[0].link)
    header = Header(utc_text(time.time_ns()), _version(), port, driver, line, digests, note)
    writer = RecordingWriter(file, header)
    link = RecordingLink(make_link(chosen[0]), CLOCKS.utc_ns, writer)
    stop = stop_on_signals()
    recorded = make_port(checked, chosen[0], link, _scratch_ring())
    thread = threading.Thread(target=recorded.run, args=(stop,))
    thread.start()
    with progress(f"recording {port}", int(for_s)) as show:
        start = time.monotonic()
        while not stop.wait(0.2) and not (for_s and time.monotonic() - start >= for_s):
            show(time.monotonic() - start)
    stop.set()
    thread.join()
    writer.close()
    counters = recorded.counters
    out.print(f"{file}: {counters.bytes_in} bytes in, {counters.bytes_out} out, {counters.frames_ok} good frames")


def _scratch_ring() -> RingWriter:
    """A ring that nobody reads: the samples are decoded, so that the person sees what is good, and go nowhere."""
    buffer = memoryview(bytearray(buffer_size(SCRATCH_ROWS)))
    format_buffer(buffer, SCRATCH_ROWS)
    return RingWriter(buffer)


def _version() -> str:
    from importlib.metadata import version

    return version("mdi-edge-gateway")


def replay(
    file: Annotated[Path, typer.Argument(help="A recording, a CAN log, or raw line bytes.")],
    pty: Annotated[
        Path | None, typer.Option(help="Offer the bytes on a pseudo-terminal, linked from this path.")
    ] = None,
    tcp: Annotated[int | None, typer.Option(help="Offer the bytes on this TCP port of loopback.")] = None,
    can: Annotated[int | None, typer.Option(help="Offer the frames as a socketcand daemon on this port.")] = None,
    speed: Annotated[
        float, typer.Option(help="1 = as recorded, 10 = ten times faster, 0 = as fast as possible.")
    ] = 1.0,
    baud: Annotated[int, typer.Option(help="Pace of raw line bytes, which carry no times.")] = 115200,
) -> None:
    """Play the device's side of a capture to a gateway."""
    stop = stop_on_signals()
    sent = 0
    with (
        _wire(pty, tcp, can) as wire,
        progress(f"replay on {wire.where}", file.stat().st_size if file.exists() else 0) as show,
    ):
        err.print(f"replaying on {wire.where}", markup=False, highlight=False)
        pace = _Pace(speed, baud)
        for t_ns, direction, data in open_capture(file):
            if direction is not Direction.FROM_DEVICE:
                continue
            end = pace.due(t_ns, len(data))
            while not stop.is_set() and (left := end - time.monotonic()) > 0:
                wire.read(min(left, 0.2))
            if stop.is_set():
                break
            wire.read(0)
            wire.write(data)
            sent += len(data)
            show(sent)
    out.print(f"{sent} bytes played")


class _Pace:
    """When the next bytes are due: as recorded, or at line rate (10 bits a byte) where there are no times."""

    def __init__(self, speed: float, baud: int) -> None:
        self._speed, self._baud = speed, baud
        self._start = time.monotonic()
        self._first: int | None = None
        self._bytes = 0

    def due(self, t_ns: int, size: int) -> float:
        if not self._speed:
            return 0.0
        self._first = t_ns if self._first is None else self._first
        self._bytes += size
        after = (t_ns - self._first) / 1e9 if t_ns else self._bytes * 10 / self._baud
        return self._start + after / self._speed


def _wire(pty: Path | None, tcp: int | None, can: int | None) -> Wire:
    if can is not None:
        return CanBus(can)
    return TcpServer(tcp) if tcp is not None else Pty(pty)


def simulate(
    driver: Annotated[str, typer.Argument(help="Driver whose simulator to run.")],
    profile: Annotated[list[str], typer.Option("--profile", "-p", help="Profile of each simulated device.")],
    pty: Annotated[
        Path | None, typer.Option(help="Be a serial device; the pseudo-terminal is linked from this path.")
    ] = None,
    tcp: Annotated[int | None, typer.Option(help="Be a device on this TCP port of loopback.")] = None,
    can: Annotated[int | None, typer.Option(help="Be a CAN bus: a socketcand daemon on this port.")] = None,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="Scenario NAME=VALUE, repeatable.")] = None,
    device_option: DeviceOptionList = None,
    for_s: Annotated[float, typer.Option("--for", help="Stop after so many seconds; 0 = until Ctrl-C.")] = 0,
) -> None:
    """Be a device: speaks the driver's protocol with made-up values, on a pseudo-terminal, TCP or CAN."""
    found = registry.driver(driver)
    profiles = registry.Profiles()
    devices = [
        DeviceSpec(i, find_profile(name, profiles), _options(device_option, found.device_options))
        for i, name in enumerate(profile)
    ]
    simulator = found.simulator(devices, dict(_pairs(option)))
    stop = stop_on_signals()
    with ExitStack() as stack:
        wire = stack.enter_context(_wire(pty, tcp, can))
        err.print(f"simulating {driver} on {wire.where}", markup=False, highlight=False)
        if for_s:
            timer = threading.Timer(for_s, stop.set)
            timer.start()
            stack.callback(timer.cancel)
        serve(simulator, wire, stop)


def _pairs(given: list[str] | None) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for pair in given or []:
        name, _, value = pair.partition("=")
        try:
            pairs.append((name, jsonlib.loads(value)))
        except ValueError:
            pairs.append((name, value))
    return pairs
