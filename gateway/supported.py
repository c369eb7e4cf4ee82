"""docs/supported.md: which devices can be read, made of the profiles themselves, so that it cannot drift from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.core.nomenclature import nomenclature
from gateway.core.profile import ChannelSpec, MetricSpec, Profile, Wiring

HEAD = """\
# Supported devices

Made from the device profiles by `mdi profile supported`; a test compares it with them. A profile is good for the
firmware it names; another one is refused by name.

**verified** says how far the table was tested. `capture`: recordings of the real device were decoded with it and
compared with an independent reading. `simulator`: only our own simulator has spoken it. `paper`: a manual, or a
description of the protocol, says so, and nobody has seen it yet. **experimental** means: off unless the configuration
says `experimental = true`, and every value is then marked as questionable.

Whatever this page says: try the device on your bench against its own screen before a patient depends on it.
"""
_LINE_WORDS = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}


def supported(profiles: Iterable[Profile], unseen: Callable[[Profile], float]) -> str:
    """Return the page. unseen: share of single bit flips that change a value of a profile and are not seen."""
    by_name = sorted(profiles, key=lambda p: (p.vendor.lower(), p.model.lower()))
    table = ["| device | driver | firmware | verified | metrics | waves | alerts |", "|---|---|---|---|---|---|---|"]
    table += [_row(profile) for profile in by_name]
    return (
        "\n".join(
            [HEAD, *table, "", *(line for profile in by_name for line in _section(profile, unseen(profile)))]
        ).rstrip()
        + "\n"
    )


def _anchor(profile: Profile) -> str:
    return profile.id.replace("/", "")


def _row(profile: Profile) -> str:
    kinds = [spec.kind for spec in _specs(profile)]
    values = sum(kind in ("numeric", "enumeration") for kind in kinds)
    mark = " · experimental" if profile.experimental else ""
    name = f"[{_cell(profile.vendor)} {_cell(profile.model)}](#{_anchor(profile)})"
    return (
        f"| {name} | {profile.driver} | {_firmware(profile)} | {profile.verified}{mark} "
        f"| {values} | {kinds.count('waveform')} | {kinds.count('alert')} |"
    )


def _section(profile: Profile, unseen: float) -> Iterator[str]:
    yield f"## {profile.id}"
    yield ""
    yield f"{profile.vendor} {profile.model}. Driver `{profile.driver}`, verified: {profile.verified}."
    if profile.experimental:
        yield f"**Experimental**: {_cell(profile.experimental)}"
    yield ""
    if profile.wiring is not None:
        yield from _wiring(profile.wiring)
    if unseen:
        yield f"- no checksum covers all of it: up to {unseen:.0%} of single bit flips change a value unseen"
    if profile.note:
        yield f"- note: {_cell(profile.note)}"
    yield f"- source: {_cell(profile.source)}"
    yield ""
    yield "| metric | 11073 | unit | since |"
    yield "|---|---|---|---|"
    for since, channels in (("", profile.channels), *profile.since):
        for spec in (spec for channel in channels for spec in channel.metrics):
            yield _metric(spec, since)
    yield ""


def _wiring(wiring: Wiring) -> Iterator[str]:
    yield f"- connector: {_cell(wiring.connector)}"
    yield f"- cable: {_cell(wiring.cable)}"
    yield f"- line: {', or '.join(_line(line) for line in wiring.lines)}"
    if wiring.menu:
        yield f"- on the device: {_cell(wiring.menu)}"


def _line(line: Mapping[str, Any]) -> str:
    """Return a line as people write it: 9600 8N1."""
    rest = {key: value for key, value in line.items() if key != "kind"}
    if line["kind"] == "serial":
        frame = f"{rest.pop('data_bits', 8)}{_LINE_WORDS[rest.pop('parity', 'none')]}{rest.pop('stop_bits', 1)}"
        more = "".join(f", {key} {value}" for key, value in rest.items() if key != "baud")
        return f"serial {rest.get('baud', 9600)} {frame}{more}"
    return " ".join([str(line["kind"]), *(f"{key} {value}" for key, value in rest.items())])


def _metric(spec: MetricSpec, since: str) -> str:
    term = nomenclature().terms.get(spec.id)
    name = spec.text or (term.en if term else "")
    kind = {"numeric": "", "enumeration": " (state)", "waveform": " (wave)", "alert": " (alert)", "clock": " (clock)"}
    setting = " (setting)" if spec.category == "setting" and spec.kind == "numeric" else ""
    return f"| {_cell(name)}{kind[spec.kind]}{setting} | {spec.id} | {_cell(spec.unit)} | {since} |"


def _specs(profile: Profile) -> list[MetricSpec]:
    blocks: list[tuple[ChannelSpec, ...]] = [profile.channels, *(channels for _, channels in profile.since)]
    return [spec for channels in blocks for channel in channels for spec in channel.metrics]


def _firmware(profile: Profile) -> str:
    return ", ".join(f"{r.low or '…'} to {r.high or '…'}" for r in profile.firmware) or "any"


def _cell(text: str) -> str:
    """Return a text that stands in one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
