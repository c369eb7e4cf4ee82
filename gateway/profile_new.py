"""A profile to begin with: everything that the driver already says is filled in, the rest is named and left open.

What only the manual of the device knows is written so that the lint refuses it: an empty `source`, a term that does not
exist (MDCX_FILL_IN_…), a unit that is none. A skeleton can therefore be used for nothing before a person has read the
manual. There is no guess in it but the unit of a DBC signal, and that only where its text has one meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.core.errors import ProfileError
from gateway.core.profile import MetricSpec, Profile
from gateway.registry import Profiles

FILL_IN = "MDCX_FILL_IN"
MDS = "MDC_DEV_MON_PHYSIO_MULTI_PARAM"
_ID = re.compile(r"[a-z0-9][a-z0-9_]*/[a-z0-9][a-z0-9_]*")

_HEAD = """\
# {model}: what is it, and what does it measure? One sentence for the next reader.
#
# Made by `mdi profile new`. Fill in what is empty or called FILL_IN, then: mdi profile lint FILE
# All keys: docs/profiles.md. Terms: gateway/core/nomenclature.csv. The driver: drivers/{driver}/README.md.

[profile]
vendor = "{vendor}"
model = "{model}"
driver = "{driver}"
source = ""  # manual, edition, section
verified = "paper"  # "capture" once recordings of the real device were compared with its screen
device = "{mds}_MDS"  # what kind of device it is
{files}note = ""  # what a person at the bed should know: settings the device needs, what it cannot tell
experimental = "begun, not tried on a device"  # drop this when somebody has compared it with the device
"""
_WIRING = """
[wiring]
connector = "not stated"  # pins, as on the device
cable = "not stated"  # straight, null modem …
menu = "not stated"  # where on the device the output is switched on
source = "not stated"
lines = [{lines}]  # as the manual says
"""
_CHANNEL = """
[[channel]]
path = "{path}"  # for ever: receivers store it
vmd = "{mds}_VMD"
chan = "{mds}_CHAN"
frame = "{frame}"
metric = [
{rows}]
"""
_MODBUS = """
[transmit]
# Reads only (function codes 1 to 4), one frame each: RTU, TCP, ASCII.
allow = [
  '[\\x01-\\xF7][\\x01-\\x04].{6}',
  '.{2}\\x00{2}\\x00\\x06[\\x01-\\xF7][\\x01-\\x04].{4}',
  ':[0-9A-F]{2}0[1-4][0-9A-F]{10}\\r\\n',
]

# What is read together. Repeat it for each block of registers of the manual.
[[driver.block]]
name = "values"  # what the metrics call `frame`
fc = 3  # 1 coils, 2 discrete inputs, 3 holding registers, 4 input registers
address = 0  # as on the wire: 30001 and 40001 in a manual are address 0
count = 2
interval_s = 5.0
"""
_ASCII = """
[driver]
layout = "columns"  # or "fixed", "pairs": see drivers/ascii_line/README.md
end = "\\r\\n"
separator = ","
decimal = "."
sentinels = ["---"]  # words that mean: no value

[[driver.line]]
name = "values"  # what the metrics call `frame`
columns = 2

# [driver.checksum]  # when the device sends one
# kind = "xor8"
# after = "*"

# [driver.poll]  # when the device does not speak by itself: a command that the manual calls reading
# text = "P"
# period_s = 2.0
#
# [transmit]  # together with a poll
# allow = ['P']
"""
_SERIAL = '{ kind = "serial", baud = 9600, data_bits = 8, parity = "none", stop_bits = 1 }'

# Texts that DBC files have for units -> UCUM. A text that is not here stays as it is, and the lint asks for it.
UNITS: Mapping[str, str] = {
    "": "1",
    "%": "%",
    "mmhg": "mm[Hg]",
    "cmh2o": "cm[H2O]",
    "kpa": "kPa",
    "mbar": "mbar",
    "degc": "Cel",
    "°c": "Cel",
    "degf": "[degF]",
    "°f": "[degF]",
    "1/min": "/min",
    "/min": "/min",
    "bpm": "/min",
    "rpm": "/min",
    "ml": "mL",
    "l": "L",
    "ml/h": "mL/h",
    "l/min": "L/min",
    "lpm": "L/min",
    "ml/min": "mL/min",
    "g/dl": "g/dL",
    "mmol/l": "mmol/L",
    "s": "s",
    "sec": "s",
    "ms": "ms",
    "min": "min",
    "h": "h",
    "hz": "Hz",
    "v": "V",
    "mv": "mV",
    "kg": "kg",
    "g": "g",
    "m2": "m2",
}


def skeleton(driver: str, profile_id: str, profiles: Profiles, dbc: tuple[str, str] | None = None) -> str:
    """Return the text of a new profile. dbc: (file name, text), for can_signals. Raises: ProfileError."""
    if not _ID.fullmatch(profile_id):
        hint = "small letters, digits and _: acme/warmer_3"
        raise ProfileError(f"{profile_id!r} is no VENDOR/MODEL", hint=hint)
    if (driver == "can_signals") != (dbc is not None):
        hint = "give it with --dbc FILE" if dbc is None else "--dbc is for can_signals"
        raise ProfileError(
            f"driver {driver} and a DBC file belong together" if dbc is None else "no DBC here", hint=hint
        )
    vendor, model = (part.replace("_", " ").title() for part in profile_id.split("/"))
    files = "" if dbc is None else f"files = [{_quoted(dbc[0])}]\n"
    head = _HEAD.format(vendor=vendor, model=model, driver=driver, mds=MDS, files=files)
    if dbc is not None:
        return head + _can(*dbc)
    if driver == "modbus":
        tcp = '{ kind = "tcp", port = 502 }'
        rows = _row(1, "FIRST", "at = 0", 'type = "u16"', 'unit = "1"') + _row(
            2, "SECOND", "at = 2", 'type = "i16"', 'unit = "1"'
        )
        return head + _MODBUS + _WIRING.format(lines=f"{_SERIAL}, {tcp}") + _channel("values", rows)
    if driver == "ascii_line":
        rows = _row(1, "FIRST", "object = 1", 'unit = "1"') + _row(2, "SECOND", "object = 2", 'unit = "1"')
        return head + _ASCII + _WIRING.format(lines=_SERIAL) + _channel("values", rows)
    return head + _like(driver, profiles)


def _channel(frame: str, rows: str, path: str = "1.1.1") -> str:
    return _CHANNEL.format(path=path, mds=MDS, frame=frame, rows=rows)


def _row(n: int, name: str, *keys: str) -> str:
    return f'  {{ n = {n}, id = "{FILL_IN}_{name}", {", ".join(keys)} }},\n'


# ---- from a DBC file


def _can(name: str, text: str) -> str:
    """Return all but the head: a channel for each message, a row for each signal."""
    body = f"\n[driver]\ndbc = {_quoted(name)}\n" + _WIRING.format(lines='{ kind = "can", channel = "can0" }')
    return body + "".join(
        f"\n# message {message.name}" + _channel("signal", "".join(_signals(message)), f"1.1.{number}")
        for number, message in enumerate(_messages(name, text), 1)
    )


def _messages(name: str, text: str) -> list[Any]:
    # Imported here: cantools takes 0.2 s to load, and is needed for this alone.
    import cantools.database
    from cantools.database.errors import UnsupportedDatabaseFormatError

    try:
        messages: list[Any] = list(cantools.database.load_string(text, "dbc", strict=True).messages)  # type: ignore[union-attr]
    except UnsupportedDatabaseFormatError as fault:
        raise ProfileError(f"not a DBC file: {fault}", name, "export it again from the tool that made it") from fault
    if not any(message.signals for message in messages):
        raise ProfileError("the DBC has no signal", name, "add SG_ lines")
    return [message for message in messages if message.signals]


def _signals(message: Any) -> Iterator[str]:
    for n, signal in enumerate(message.signals, 1):
        keys = [f"object = {_quoted(f'{message.name}.{signal.name}')}"]
        if signal.choices:
            states = ", ".join(f"[{raw}, {_quoted(str(token))}]" for raw, token in sorted(signal.choices.items()))
            keys[:0] = ['kind = "enumeration"']
            keys.append(f"values = [{states}]")
        else:
            text = signal.unit or ""
            keys.append(f"unit = {_quoted(UNITS.get(text.strip().lower(), text))}")
            if signal.minimum is not None and signal.maximum is not None and signal.minimum < signal.maximum:
                keys.append(f"range = [{signal.minimum:g}, {signal.maximum:g}]")
        yield _row(n, re.sub(r"\W", "_", f"{message.name}_{signal.name}", flags=re.ASCII).upper(), *keys)


# ---- like another profile of the same driver


def _like(driver: str, profiles: Profiles) -> str:
    """Return all but the head, with what is the protocol's and not the model's from the first profile of the driver."""
    model = next((profile for profile in profiles if profile.driver == driver), None)
    if model is None:
        return _WIRING.format(lines=_SERIAL) + _channel("FILL_IN", _row(1, "FIRST", 'object = "FILL_IN"', 'unit = "1"'))
    said = f"\n# Tables below are those of {model.id}: read that profile, then correct them for this model.\n"
    if model.files:
        said += f"# Beside it lies {', '.join(model.files)}: put such a file here, and name it in [profile] files.\n"
    return said + "".join(_protocol_tables(model)) + _WIRING.format(lines=_lines(model)) + _first_row(model)


def _protocol_tables(model: Profile) -> Iterator[str]:
    if model.driver_table:
        yield "\n[driver]\n" + "".join(f"{_key(k)} = {_toml(v)}\n" for k, v in model.driver_table.items())
    if model.transmit:
        yield "\n[transmit]\nallow = [\n" + "".join(f"  {_literal(pattern)},\n" for pattern in model.transmit) + "]\n"
    if model.units:
        yield "\n[units]\n" + "".join(f"{_code(code)} = {_quoted(unit)}\n" for code, unit in model.units.items())


def _lines(model: Profile) -> str:
    lines = model.wiring.lines if model.wiring else ()
    return ", ".join(_toml(dict(line)) for line in lines) or _SERIAL


def _first_row(model: Profile) -> str:
    specs = [spec for channel in model.channels for spec in channel.metrics]
    spec = next((s for s in specs if s.kind == "numeric"), specs[0])
    return _channel(spec.frame, _row(1, "FIRST", *_how(spec)))


def _how(spec: MetricSpec) -> Iterable[str]:
    """Yield how a row is reached, and its unit."""
    if spec.kind != "numeric":
        yield f"kind = {_quoted(spec.kind)}"
    if isinstance(spec.object, int) and spec.object > 0xFF:
        yield f"object = {_code(spec.object)}"
    elif spec.object is not None:
        yield f"object = {_toml(spec.object)}"
    else:
        yield f"at = {spec.at}"
        yield f"type = {_quoted(spec.type)}"
        if spec.order:
            yield f"order = {_quoted(spec.order)}"
    if spec.unit:
        yield 'unit = "1"'


# ---- TOML


def _toml(value: Any) -> str:
    """Return a value of a parsed table as TOML again."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04X}", escaped) + '"'


def _literal(text: str) -> str:
    """Return a pattern as TOML: between apostrophes it stands as it is."""
    return f"'{text}'" if "'" not in text and text.isprintable() else _quoted(text)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _quoted(key)


def _code(code: int | str) -> str:
    return _key(code) if isinstance(code, str) else f"0x{code:04X}"
