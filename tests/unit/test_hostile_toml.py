"""Configuration and profile from a hostile hand: read or refused in one short line, never a crash, never without end.

Seeds are the sample and shipped profiles, with lines and values changed at random, and a corpus of what is known to
hurt parsers. What a pattern of bytes can cost is bounded elsewhere (test_grammar.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.config import MAX_CONFIG, read_config
from gateway.core.errors import MdiError
from gateway.core.profile import parse_profile
from gateway.core.profile_keys import MAX_TEXT
from tests.conftest import ROOT

SAMPLE = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")
SEEDS = [
    (ROOT / "firmware_profiles" / name).read_text(encoding="utf-8")
    for name in (
        "hettich/hettcube.toml",
        "philips/intellivue_mp.toml",
        "maquet/servo_i.toml",
        "thermo/ult_freezer.toml",
    )
]
LINE = 1500  # characters of a message: long for a person, short for a log

VALUES = [
    "9" * 4000,
    "1e400",
    "nan",
    "-inf",
    "true",
    '""',
    "'''" + "A" * 100_000 + "'''",
    "[" * 300 + "]" * 300,
    "[" * 50_000 + "]" * 50_000,
    "{ a = " * 200 + "1" + " }" * 200,
    "1979-05-27T07:32:00Z",
    '"\\u0000\\u001b[31m"',
    '"../../../../etc/passwd"',
    '"/dev/full"',
    '"' + "*" * 5000 + '"',
    '"' + "a*" * 2000 + 'b"',
    '"' + "æ" * 5000 + '"',
    "[" + "'x'," * 20_000 + "]",
    "[[0, 1], 'a', {}]",
    "['(a+)+b']",
    "['(?:(?:(?:a?){99}){99}){99}']",
]
LINES = [
    "a" + ".a" * 3000 + " = 1",
    "[" + "a." * 3000 + "a]",
    "\n".join(f"k{n} = {n}" for n in range(5000)),
    "\n".join(f"[[port]]\nname = 'p{n}'" for n in range(500)),
    "[[port.device.location.unit]]",
    '"" = ""',
    '"\x7f" = 1',
    "[[gateway]]",
    "include = '/etc/passwd'",
    "#" + "=" * 100_000,
    "\u202e = 1",
]


PLACES = [("[gateway]", "timezone"), ("[[route]]", "devices"), ("[[port]]", "options"), ("[[conduit]]", "metrics")]


def mutated(text: str, dice: random.Random) -> str:
    """Change a text in one to four places."""
    lines = text.split("\n")
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(lines))
        match dice.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[dice.randrange(len(lines))])
            case 2:
                lines.insert(at, dice.choice(LINES))
            case 3:
                key = lines[at].partition("=")[0].lstrip("# ")
                lines[at] = f"{key or 'x '}= {dice.choice(VALUES)}"
            case 4:
                where = dice.randrange(len(lines[at]) + 1)
                lines[at] = (
                    lines[at][:where]
                    + chr(dice.choice([0, 9, 34, 39, 44, 61, 91, 93, 123, 125, 0xE5, 0x1F600]))
                    + lines[at][where:]
                )
            case _:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
        lines = lines or [""]
    return "\n".join(lines)


def judged(read: Callable[[], object]) -> None:
    """It is read, or refused in one short line."""
    said = None
    try:
        read()
    except MdiError as fault:
        said = fault
    if said is not None:
        assert said.exit_code in (2, 3)
        assert "\n" not in str(said)
        assert len(str(said)) < LINE, str(said)[:300]


quiet = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quiet
@given(seed=st.integers(0, 2**48))
@example(seed=1)
def test_a_hostile_configuration_is_one_line(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "mdi_config.toml"
    path.write_text(mutated(SAMPLE, random.Random(seed)), encoding="utf-8")
    judged(lambda: read_config(path))


@quiet
@given(seed=st.integers(0, 2**48))
def test_a_hostile_profile_is_one_line(seed: int) -> None:
    dice = random.Random(seed)
    text = mutated(dice.choice(SEEDS), dice)
    judged(lambda: parse_profile(text, "acme/box", "box.toml"))


@pytest.mark.parametrize("at", range(len(VALUES) + len(LINES)))
def test_each_known_hurt_in_each_section(tmp_path: Path, at: int) -> None:
    hurt = (VALUES + LINES)[at]
    path = tmp_path / "mdi_config.toml"
    for section, key in PLACES:
        line = f"{key} = {hurt}" if at < len(VALUES) else hurt
        path.write_text(SAMPLE.replace(section + "\n", f"{section}\n{line}\n", 1), encoding="utf-8")
        judged(lambda: read_config(path))
    for section in ("[profile]", "[transmit]", "[[channel]]"):
        for key in ("note", "vendor", "allow", "metric", "files", "path"):
            line = f"{key} = {hurt}" if at < len(VALUES) else hurt
            text = SEEDS[0].replace(section + "\n", f"{section}\n{line}\n", 1)
            judged(lambda text=text: parse_profile(text, "acme/box", "box.toml"))


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "mdi_config.toml"
    path.write_bytes(data)
    with pytest.raises(MdiError) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_what_is_too_large_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mdi_config.toml"
    path.write_bytes(SAMPLE.encode() + b"#" * (MAX_CONFIG + 1))
    monkeypatch.setattr("tomllib.loads", lambda _: pytest.fail("it was parsed"))
    with pytest.raises(MdiError, match="is larger than"):
        read_config(path)
    with pytest.raises(MdiError, match="is larger than"):
        parse_profile(SEEDS[0] + "#" * MAX_TEXT, "acme/box", "box.toml")
