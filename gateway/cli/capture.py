"""mdi decode, record: bytes in files. Playing them back is in replay.py."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import registry
from gateway.acquire import CLOCKS, make_link, make_port
from gateway.cli.output import err, out, print_json, progress
from gateway.cli.run import DEFAULT, ConfigOption, stop_on_signals
from gateway.config import Config, Port, read_config
from gateway.core.errors import ConfigError, DeviceError
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import buffer_size, format_buffer
from gateway.decode import Decoder, Statistics, decode_file, find_profile, sample_json
from gateway.links.recorder import RecordingLink
from gateway.port import guarded
from gateway.profile_trace import recorded_settings
from gateway.record import SUFFIX, Header, RecordingWriter, read_recording, utc_text
from gateway.security.seal import Seal, needed

SCRATCH_ROWS = 4096
ForOption = Annotated[
    float, typer.Option("--for", metavar="SECONDS", min=0, help="Stop after so many seconds; 0: at Ctrl-C.")
]
OptionList = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-o", metavar="NAME=VALUE", help="An option of the driver, as in [port.options]. Repeatable."
    ),
]
DeviceOptionList = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="An option of the device, as in [port.device.options]. Repeatable."),
]


ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        "-p",
        metavar="VENDOR/MODEL",
        help="The device profile, or a profile file (.toml). A recording names its own.",
    ),
]
StatsOption = Annotated[bool, typer.Option("--stats", help="Print one JSON object of counts instead of the samples.")]
FirmwareOption = Annotated[
    str, typer.Option(metavar="TEXT", help="Firmware of the device, when the bytes do not say it.")
]


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, a CAN log, or raw line bytes.")],
    profile: ProfileOption = "",
    stats: StatsOption = False,
    firmware: FirmwareOption = "",
    option: OptionList = None,
    device_option: DeviceOptionList = None,
) -> None:
    """Decode a capture and print one JSON object per sample.

    The bytes go through the same driver and the same profile as those of a live port. Bad frames are counted on
    standard error; they never stop the decoding. A sample has the keys t (time), clock, code, ref_id, path, value,
    unit, validity, waveform and flags; value is null where the device gives none. t is UTC by the clock of the gateway;
    raw line bytes carry no time of arrival, there t is what the clock of the device showed, and clock says so.

    With --stats the counts are printed: good and bad frames with their reasons, and of each metric how many usable
    values there are, how many samples without one, the least and the greatest value.

    \b
    mdi decode --profile philips/intellivue_mp bed3.bin | head
    mdi decode --stats bed3.mdirec
    mdi decode -p hettich/hettcube -o framing=tcp cabinet.bin
    """
    decoder = _decoder(file, profile, firmware, option, device_option)
    statistics = Statistics()
    with progress(f"decode {file.name}", _size(file)) as show:
        for done, plan, block in decode_file(decoder, file):
            show(done)
            if stats:
                statistics.add(plan, block)
                continue
            for row in block:
                print_json(sample_json(plan, row, decoder.clock))
    if stats:
        print_json(statistics.json(decoder))
    _say_what_was_bad(file, decoder, quiet=stats)


def _decoder(
    file: Path, profile: str, firmware: str, option: list[str] | None, device_option: list[str] | None
) -> Decoder:
    """Return the decoder of a capture: what a recording says of itself, and over it what was asked for."""
    profiles = registry.Profiles()
    found = find_profile(profile or _recorded_profile(file), profiles)
    driver = registry.driver(found.driver)
    recorded = recorded_settings(file, found.id)
    return Decoder(
        found,
        profiles,
        {**recorded.options, **driver_options(option, driver.options)},
        {**recorded.device_options, **driver_options(device_option, driver.device_options)},
        firmware or recorded.firmware,
    )


def _say_what_was_bad(file: Path, decoder: Decoder, quiet: bool) -> None:
    if decoder.reasons and not quiet:
        said = ", ".join(f"{reason} {n}" for reason, n in decoder.reasons.items())
        err.print(f"{sum(decoder.reasons.values())} bad frames: {said}", markup=False, highlight=False)
    if not decoder.frames_ok:
        known = ", ".join(registry.driver(decoder.profile.driver).options) or "none"
        hint = f"is it a device of {decoder.profile.id}? driver options (-o): {known}"
        err.print(f"{file}: no good frame in it → {hint}", markup=False, highlight=False)


def _recorded_profile(file: Path) -> str:
    """Return the one profile that a recording names. Raises: ConfigError."""
    try:
        named = sorted({profile for profile, _ in read_recording(file).header.profiles})
    except ConfigError as fault:
        if fault.what != "not a recording":
            raise
        named = []
    if len(named) != 1:
        what = (
            "the recording is of several devices: " + ", ".join(named) if named else "the file does not name a profile"
        )
        raise ConfigError(what, str(file), "name one with --profile VENDOR/MODEL")
    return named[0]


def _size(file: Path) -> int:
    with suppress(OSError):  # the reader says it better
        return file.stat().st_size
    return 0


def driver_options(given: list[str] | None, known: Any) -> dict[str, Any]:
    """Read NAME=VALUE pairs of known names. Raises: ConfigError."""
    options = pairs(given)
    for name in options:
        if name not in known:
            hint = "known: " + ", ".join(known) if known else "this driver has none"
            raise ConfigError(f"there is no option {name!r}", hint=hint)
    return options


def pairs(given: list[str] | None) -> dict[str, Any]:
    """Read NAME=VALUE pairs; values as JSON where they are, else as text. Raises: ConfigError."""
    pairs: dict[str, Any] = {}
    for pair in given or []:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise ConfigError(f"option {pair!r} is not NAME=VALUE", hint="for example: -o framing=tcp")
        try:
            pairs[name] = json.loads(value)
        except ValueError:
            pairs[name] = value
    return pairs


def record(
    port: Annotated[str, typer.Argument(metavar="PORT", help="Name of a configured port.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"Where to write the recording ({SUFFIX}).")],
    config: ConfigOption = DEFAULT,
    for_s: ForOption = 0,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why it was made. Write nothing about a patient.")] = "",
) -> None:
    """Record the bytes of one port in both directions, with their times.

    The driver speaks with the device as it always does, but nothing is forwarded. The gateway must not run
    meanwhile: a line has one owner. The bytes can name a patient (a monitor sends admission data): the file is
    readable for its owner only, and sealed when there is a key ($CREDENTIALS_DIRECTORY/mdi-seal); in production nothing
    is recorded without one. An existing file is never overwritten.

    \b
    mdi record stue3-seng2 bed3.mdirec --for 60 --note "waves missing"
    mdi decode --stats bed3.mdirec
    """
    checked = read_config(config)
    chosen = next((p for p in checked.ports if p.settings.name == port), None)
    if chosen is None:
        known = ", ".join(p.settings.name for p in checked.ports)
        raise ConfigError(f"there is no port {port!r}", str(config), f"known: {known}")
    seal = needed(Seal.read(), production=not checked.lab)
    writer = RecordingWriter(file, _header(checked, chosen, note), seal=seal)
    link = RecordingLink(make_link(checked, chosen), CLOCKS.utc_ns, writer)
    stop = stop_on_signals()
    recorded = make_port(checked, chosen, link, _scratch_ring())
    thread = threading.Thread(target=guarded, args=(recorded, stop))
    thread.start()
    state = recorded.state
    with progress(f"recording {port}", for_s) as show:
        start = time.monotonic()
        while not stop.wait(0.2) and not (for_s and time.monotonic() - start >= for_s):
            show(time.monotonic() - start)
            state = recorded.state
    stop.set()
    thread.join()
    writer.close()
    counters = recorded.counters
    said = f"{file}: {counters.bytes_in} bytes in, {counters.bytes_out} out, {counters.frames_ok} good frames"
    out.print(said, markup=False, highlight=False)
    if not counters.frames_ok:
        raise DeviceError(f"nothing good was heard: {state}", port, "check the line, then record again")


def _header(config: Config, port: Port, note: str) -> Header:
    digests = tuple((d.settings.profile, config.plan(d).digest.hex()) for d in port.devices)
    line = port.link_kind.describe(port.link)
    now, made_by = utc_text(time.time_ns()), version("mdi-edge-gateway")
    devices = [{"firmware": d.settings.firmware, "options": dict(d.settings.options)} for d in port.devices]
    options = json.dumps(dict(port.settings.options)), json.dumps(devices)
    return Header(now, made_by, port.settings.name, port.driver.name, line, digests, note, *options)


def _scratch_ring() -> RingWriter:
    """A ring that nobody reads: the samples are decoded, so that the person sees what is good, and go nowhere."""
    buffer = memoryview(bytearray(buffer_size(SCRATCH_ROWS)))
    format_buffer(buffer, SCRATCH_ROWS)
    return RingWriter(buffer)
