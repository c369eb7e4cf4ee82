"""Profiles and configurations are data: hostile text is refused in one line, soon, and reads nothing else."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import MAX_CONFIG, read_config
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.profile_keys import MAX_TEXT
from gateway.registry import Profiles, read_profile

HEAD = '[profile]\nvendor = "a"\nmodel = "b"\ndriver = "modbus"\nsource = "x"\nverified = "manual"\n'

HOSTILE = {
    "larger than allowed": "#" * (MAX_TEXT + 1),
    "nested brackets": "a = " + "[" * 100_000,
    "nested inline tables": "a = " + "{a=" * 50_000,
    "dotted key": ".".join("a" * 100_000) + " = 1",
    "dotted header": "[" + ".".join("a" * 100_000) + "]",
    "dotted key in quotes": " . ".join(['"="'] * 50_000) + " = 1",
    "dotted key inside": "a = {b = [{" + ".".join("a" * 100_000) + " = 1}]}",
    "many dots": "a = [" + "1.5, " * 90_000 + "x.]",
    "many quotes": "a = [" + "'" * 250_000 + "." * 250_000,
    "many tables": "[[channel]]\n" * 40_000,
    "many keys": "".join(f"a{i} = 1\n" for i in range(40_000)),
    "a number of many digits": "a = " + "9" * 400_000,
    "a float that overflows": HEAD + "undetected_flips = 1e999999",
    "not a number": HEAD + "undetected_flips = nan",
    "a long line": "a = '" + "x" * 500_000,
    "not UTF-8": b"\xff\xfe[\0p\0",
    "NUL": b"[profile]\0\n",
    "byte order mark": b"\xef\xbb\xbf[profile]\n",
    "an include": 'include = "other.toml"\n' + HEAD,
    "code": HEAD + "[driver]\neval = \"__import__('os').system('id')\"\n",
    "a template": HEAD + 'device = "{{7*7}}${HOME}$(id)"\n',
    "a parent folder": HEAD + 'files = ["../../secret"]\n',
    "an absolute path": HEAD + 'files = ["/etc/passwd"]\n',
    "a device": HEAD + 'files = ["/dev/zero"]\n',
    "a NUL in a name": HEAD + 'files = ["a\\u0000b"]\n',
    "a folder as file": HEAD + 'files = ["."]\n',
    "files that are no list": HEAD + "files = 3\n",
    "files that are tables": HEAD + "files = [{a = 1}]\n",
    "very many files": HEAD + f"files = {['x'] * 10_000}\n",
    "profile is no table": "profile = 1\n",
    "a regular expression that explodes": HEAD + '[transmit]\nallow = ["(a+)+$", "(?P<x>.*)*"]\n',
    "the same key twice": HEAD + HEAD,
    "direction marks": HEAD + 'note = "\u202eabc\u202c"\n[unknown]\n',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "acme").mkdir()
    (tmp_path / "secret").write_text("geheim")
    return tmp_path


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_profiles_are_refused_in_one_line(folder: Path, name: str) -> None:
    text = HOSTILE[name]
    path = folder / "acme/pump.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProfileError) as fault:
        read_profile(path)
    assert "\n" not in str(fault.value)
    assert str(path) in str(fault.value)
    assert "geheim" not in str(fault.value)
    assert len(str(fault.value)) < 2000


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_configurations_are_refused_in_one_line(folder: Path, name: str) -> None:
    text = HOSTILE[name]
    data = text if isinstance(text, bytes) else text.encode()
    path = folder / "mdi_config.toml"
    path.write_bytes(data + b"#" * MAX_CONFIG if name == "larger than allowed" else data)
    with pytest.raises(ConfigError) as fault:
        read_config(path)
    assert "\n" not in str(fault.value)
    assert len(str(fault.value)) < 2000


def test_what_never_ends_is_not_read(folder: Path) -> None:
    """A link to an endless device, and a pipe that nobody writes."""
    os.symlink("/dev/zero", folder / "acme/endless.toml")
    os.mkfifo(folder / "acme/pipe.toml")
    for name in ("endless", "pipe"):
        with pytest.raises(ProfileError, match="no profile"):
            Profiles([folder]).get(f"acme/{name}")
    with pytest.raises(ConfigError, match="larger"):
        read_config(folder / "acme/endless.toml")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda b: b.decode("latin-1")), st.text().map(lambda t: HEAD + t)))
def test_any_text_is_a_profile_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "replace"))
    with suppress(ProfileError):
        read_profile(path)
