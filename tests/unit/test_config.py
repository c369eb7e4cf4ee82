"""The configuration: the sample is right and complete, and each mistake is one line with file, line, key and a hint."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from gateway import config as config_module
from gateway import registry
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.core.settings import Settings
from gateway.security.policy import violations
from tests.conftest import ROOT

SAMPLE = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mdi_config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def line_with(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def test_the_sample_is_right() -> None:
    config = read_config(ROOT / "mdi_config.toml")
    assert [p.settings.name for p in config.ports] == ["stue3-seng2", "stue4-seng1", "laboratorium-skabe", "ecmo"]
    assert [d.number for d in config.devices] == [0, 1, 2, 3, 4]
    assert config.devices[2].location.room == "Prøverum"


def _all_settings() -> list[type[Settings]]:
    own = [
        kind
        for kind in vars(config_module).values()
        if isinstance(kind, type) and issubclass(kind, Settings) and kind is not Settings
    ]
    shown = ("serial", "tcp", "udp", "can")  # replay and loopback are for tests and stand in the documentation of links
    links = [registry.find("link", name).settings for name in shown]
    return [*own, *links, registry.find("sink", "mqtt").settings]


@pytest.mark.parametrize("kind", _all_settings(), ids=lambda kind: kind.__name__)
def test_the_sample_names_every_key_with_its_default(kind: type[Settings]) -> None:
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        named = re.search(rf"(?m)^(# )?{field.name} = (.*)$", SAMPLE) or re.search(rf"\b{field.name} = ", SAMPLE)
        assert named, f"{kind.__name__}.{field.name} is not in the sample"
        assert field.metadata["doc"].endswith("."), f"{kind.__name__}.{field.name} has no sentence"


def test_every_default_in_the_sample_is_the_real_one(tmp_path: Path) -> None:
    """Taking the comment signs away changes nothing, apart from keys that only go together with others."""
    together = ("client_id", "ca =", "cert =", "key =", "options =", "devices =", 'metrics = ["*"]', "profiles =")
    lines = [
        line[2:] if re.match(r"# [a-z_0-9]+ = ", line) and not any(word in line for word in together) else line
        for line in SAMPLE.splitlines()
    ]
    plain, full = read_config(ROOT / "mdi_config.toml"), read_config(write(tmp_path, "\n".join(lines)))
    rules = ("security", "firewall", "zones", "conduits")
    for section in ("gateway", *rules, "receiver", "forward", "spool", "sink", "routes"):
        assert getattr(plain, section) == getattr(full, section), section
    assert [p.settings for p in plain.ports] == [p.settings for p in full.ports]
    assert [p.link for p in plain.ports] == [p.link for p in full.ports]


# what is replaced, by what, the line the error names (a part of it after the change), words of the message
WRONG = [
    ('site = "auh"', 'siet = "auh"', "siet", ["unknown key 'siet'", "did you mean 'site'"]),
    ('site = "auh"', "site = 5", "site = 5", ["must be a text"]),
    ('site = "auh"', 'site = "Århus"', "site = ", ["must match"]),
    ('eui64 = "0011223344556677"', 'eui64 = "12"', 'eui64 = "12"', ["must match"]),
    ('eui64 = "0011223344556677"\n', "", "[gateway]", ["'eui64' is missing"]),
    ('# timezone = "Europe/Copenhagen"', 'timezone = "Europe/Kobenhavn"', "timezone", ["not known"]),
    ("# commit_ms = 100", "commit_ms = 5", "commit_ms", ["10 to 200 ms"]),
    ("# commit_ms = 100", "commit_ms = true", "commit_ms", ["whole number"]),
    ("[receiver]", "[reciever]", "[reciever]", ["unknown section", "receiver"]),
    ('kind = "mqtt"', 'kind = "mqqt"', "mqqt", ["no sink 'mqqt'", "did you mean 'mqtt'"]),
    ('host = "mqtt.kita.example"\n', "", "[sink]", ["'host' is missing"]),
    ("interval_s = 300.0", 'interval_s = "5 min"', "5 min", ["must be a number"]),
    ('driver = "philips_intellivue"', 'driver = "phillips"', "phillips", ["no driver 'phillips'"]),
    ("baud = 115200", "baud = 1", "baud = 1", ["50 to 4000000 bit/s"]),
    ('# parity = "none"', 'parity = "none', 'parity = "none', ["not TOML"]),
    ('profile = "philips/intellivue_mp"', 'profile = "philips/intelivue"', "intelivue", ["did you mean"]),
    ('profile = "philips/intellivue_mp"', 'profile = "hettich/hettcube"', "hettcube", ["does not fit driver"]),
    ('# firmware = ""', 'firmware = "Z.99"', 'profile = "philips', ["is outside the range"]),
    ("options = { unit = 1 }", "options = { untt = 1 }", "untt", ["unknown driver option 'untt'", "unit"]),
    ("options = { unit = 1 }", 'options = { unit = "1" }', 'unit = "1"', ["must be"]),
    ('name = "varmeskab-2"', 'name = "varmeskab-1"', None, ["is taken by"]),
    ('name = "ecmo"\n', 'name = "stue3-seng2"\n', None, ["is taken by"]),
    ("# ring_rows = 16384", "ring_rows = 10000", "ring_rows", ["no power of two"]),
    ('kind = "can"', 'kind = "serial"\ndevice = "/dev/ttyS9"', None, []),
]


@pytest.mark.parametrize(("old", "new", "at", "words"), WRONG, ids=[f"{new[:40]!r}" for _, new, _, _ in WRONG])
def test_a_mistake_is_one_line_with_its_place(
    tmp_path: Path, old: str, new: str, at: str | None, words: list[str]
) -> None:
    assert old in SAMPLE
    text = SAMPLE.replace(old, new, 1)
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    fault = caught.value
    assert fault.exit_code == 2
    assert "\n" not in str(fault)
    assert str(fault).startswith(str(path)), str(fault)
    for word in words:
        assert word in str(fault), str(fault)
    if at is not None:
        assert f":{line_with(text, at)}:" in str(fault), str(fault)


def test_two_ports_on_one_line_are_refused(tmp_path: Path) -> None:
    port = SAMPLE[SAMPLE.index("[[port]]") : SAMPLE.index("# The same monitor")]
    twice = port.replace("stue3-seng2", "stue3-seng3").replace("mp70-17", "mp70-19")
    with pytest.raises(ConfigError, match="is already used by port 'stue3-seng2'"):
        read_config(write(tmp_path, SAMPLE + twice))


def test_two_devices_with_one_unit_number_are_refused(tmp_path: Path) -> None:
    text = SAMPLE.replace("options = { unit = 2 }", "options = { unit = 1 }")
    with pytest.raises(ConfigError, match="unit"):
        read_config(write(tmp_path, text))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[gateway\n", b""])
def test_what_is_no_configuration_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mdi_config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        read_config(tmp_path / "nothing.toml")


@pytest.mark.parametrize("kind", ['kind = "replay"\npath = "x.bin"', 'kind = "loopback"'])
def test_a_link_of_made_up_values_is_refused_in_production(tmp_path: Path, kind: str) -> None:
    text = SAMPLE.replace('kind = "can"', kind, 1).replace('interface = "socketcan"\nchannel = "can0"\n', "")
    if "loopback" in kind:
        text = text.replace(kind, kind + '\nname = "x"', 1)
    (broken,) = (v for v in violations(read_config(write(tmp_path, text))) if v.rule == "link-made-up")
    assert "in production" in broken.why
    assert broken.where.endswith(f":{line_with(text, kind.splitlines()[0])}")


def test_a_lab_sends_nothing_that_could_be_charted(tmp_path: Path) -> None:
    lab = SAMPLE.replace('mode = "production"', 'mode = "lab"')
    config = read_config(write(tmp_path, lab))
    assert (config.gateway.processing_id, config.grade.letter) == ("T", "C")
    assert config.grade.reasons[0] == "lab"
    with pytest.raises(ConfigError, match="in lab") as caught:
        read_config(write(tmp_path, lab.replace('# processing_id = "P"', 'processing_id = "P"')))
    assert caught.value.where.endswith(f":{line_with(lab, 'processing_id =')}")
    assert read_config(write(tmp_path, lab.replace('# processing_id = "P"', 'processing_id = "D"'))).grade.letter == "C"
    assert read_config(write(tmp_path, SAMPLE)).gateway.processing_id == "P"
