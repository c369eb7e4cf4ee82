"""Profiles: the reader names file and line of what is wrong; firmware decides what holds; the docs tell every key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ProfileError
from gateway.core.nomenclature import nomenclature
from gateway.core.profile import (
    CHANNEL_KEYS,
    MAX_TEXT,
    METRIC_KEYS,
    PROFILE_KEYS,
    FirmwareRange,
    Keys,
    MetricSpec,
    firmware_key,
    parse_profile,
)
from gateway.core.profile_lint import lint

DOC = Path(__file__).resolve().parents[2] / "docs" / "profiles.md"

GOOD = """\
[profile]
vendor = "Acme"
model = "Box"
driver = "acme"
source = "service manual 4.2"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
files = ["box.dbc"]

[firmware]
ranges = [
  { min = "1.0", max = "1.9" },
  { min = "3.0" },
]

[units]
0x0220 = "%"
"0x0F20" = "mm[Hg]"

[driver]
period_s = 2

[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_METER_TEMP_VMD"
chan = "MDC_DEV_METER_TEMP_CHAN"
frame = "block"
source = "page 9"
metric = [
  { n = 1, id = "MDC_TEMP", unit = "Cel", at = 0, type = "i16", scale = 0.1, raw_invalid = [-32768], range = [-5, 50] },
  { n = 2, id = "MDC_TEMP_CORE", unit = "Cel", object = "tc", frame = "numeric", source = "page 10" },
]

[[channel]]
path = "1.2.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "numeric"
metric = [
  { n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 7 },
]

[[since]]
firmware = "3.2"
[[since.channel]]
path = "1.2.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "numeric"
metric = [
  { n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 9 },
]

[[since]]
firmware = "3.1"
[[since.channel]]
path = "1.2.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "numeric"
metric = [
  { n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 8 },
]
[[since.channel]]
path = "1.2.2"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "numeric"
metric = []
"""
FILES = {"box.dbc": "VERSION"}
HEAD = GOOD.partition("[[channel]]")[0]


def read(text: str, files: Mapping[str, str] = FILES) -> object:
    return parse_profile(text, "acme/box", "acme/box.toml", files)


def test_a_profile_is_read() -> None:
    profile = parse_profile(GOOD, "acme/box", "acme/box.toml", FILES)
    assert (profile.vendor, profile.model, profile.driver, profile.verified) == ("Acme", "Box", "acme", "paper")
    assert profile.where == "acme/box.toml:1"
    assert profile.units == {0x0220: "%", 0x0F20: "mm[Hg]"}
    assert profile.driver_table == {"period_s": 2}
    assert profile.files == FILES
    assert [channel.path for channel in profile.channels] == ["1.1.1", "1.2.1"]
    assert profile.channels[0].metrics[0] == MetricSpec(
        path="1.1.1.1",
        id="MDC_TEMP",
        where="acme/box.toml:30",
        frame="block",
        unit="Cel",
        at=0,
        type="i16",
        scale=0.1,
        raw_invalid=(-32768,),
        range=(-5, 50),
        source="page 9",
    )
    core = profile.channels[0].metrics[1]
    assert (core.frame, core.object, core.source, core.where) == ("numeric", "tc", "page 10", "acme/box.toml:31")
    assert profile.lines["units", 0x0F20] == "acme/box.toml:18"
    assert profile.lines["since", 1] == "acme/box.toml:55"


# line that is replaced, what stands there instead, what the error says (and its line, when it is another one)
BROKEN: list[tuple[int, str, str, int | None]] = [
    (2, "vendor = 7", "vendor must be str, not 7", None),
    (2, "vendor = true", "vendor must be str, not True", None),
    (2, "", "vendor is missing", 1),
    (2, 'vendro = "Acme"', "unknown key 'vendro'", None),
    (6, 'verified = "yes"', "verified = 'yes' is not known", None),
    (8, 'files = ["other.dbc"]', "data file other.dbc is missing", None),
    (8, "files = [{ a = 1 }]", "is no file name", None),
    (10, "[firmwear]", "unknown section [firmwear]", None),
    (10, "[[firmware]]", "firmware is no table", None),
    (11, "range = [", "unknown key 'range'", None),
    (12, '  { min = 1, max = "1.9" },', "min must be str, not 1", None),
    (12, '  "1.0",', "must be a table", None),
    (16, "[[units]]", "units is no table", None),
    (17, "0x0220 = 5", "unit 5 is no text", None),
    (18, '544 = "%"', "unit code 544 stands twice", None),  # 544 is 0x0220
    (24, 'path = "1.1"', "path '1.1' is no MDS.VMD.CHAN", None),
    (24, 'path = "1.0.1"', "path '1.0.1' is no MDS.VMD.CHAN", None),
    (24, 'path = "2.1.1"', "path '2.1.1' is no MDS.VMD.CHAN", None),
    (26, "", "chan is missing", 23),
    (27, "", "frame is missing", 30),
    (29, "metric = 3 # [", "not TOML", 30),
    (30, "  3,", "must be a table", None),
    (30, '  { id = "MDC_TEMP", object = 1 },', "n is missing", None),
    (30, '  { n = 0, id = "MDC_TEMP", object = 1 },', "n = 0 is not possible", None),
    (30, '  { n = 1.5, id = "MDC_TEMP", object = 1 },', "n must be int, not 1.5", None),
    (30, '  { n = 1, id = "MDC_TEMP" },', "exactly one of object and at", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, at = 2, type = "u8" },', "exactly one of object and at", None),
    (30, '  { n = 1, id = "MDC_TEMP", at = 2 },', "type is missing", None),
    (30, '  { n = 1, id = "MDC_TEMP", at = -2, type = "u8" },', "at = -2 is not possible", None),  # from the end
    (30, '  { n = 1, id = "MDC_TEMP", at = 2, type = "u12" },', "type = 'u12' is not known", None),
    (30, '  { n = 1, id = "MDC_TEMP", at = 2, type = "bit", bit = 16 },', "bit = 16 is not possible", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, kind = "wave" },', "kind = 'wave' is not known", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, category = "calc" },', "category = 'calc' is not known", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, range = [1] },', "range must be [low, high]", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, range = [true, 2] },', "range must be [low, high]", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, values = [["a", 1]] },', "values must be a list", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, values = [[true, "a"]] },', "values must be a list", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, raw_invalid = ["x"] },', "raw_invalid must be a list", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, scale = "2" },', "scale must be int or float", None),
    (30, '  { n = 1, id = "MDC_TEMP", object = 1, episodic = 1 },', "episodic must be bool, not 1", None),
    (35, 'path = "1.1.1"', "channel 1.1.1 stands twice", 34),
    (44, "", "firmware is missing", 43),
    (44, 'firmware = "3.2"\nchannel = 5', "not TOML", 46),
]


@pytest.mark.parametrize(("line", "new", "what", "at"), BROKEN, ids=[f"{case[0]}-{case[2]}" for case in BROKEN])
def test_what_is_wrong_is_named_with_its_line(line: int, new: str, what: str, at: int | None) -> None:
    lines = GOOD.split("\n")
    lines[line - 1] = new
    with pytest.raises(ProfileError, match=re.escape(what)) as fault:
        read("\n".join(lines))
    assert fault.value.where == f"acme/box.toml:{at or line}"
    assert fault.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "vendor is missing"),
        ("profile = 3", "profile is no table"),
        (HEAD, "profile has no [[channel]]"),
        (HEAD + "[channel]\na = 1", "channel is no table"),
        ("channel = 5\n" + HEAD, "channel is no table"),
        ("since = 5\n" + GOOD.partition("[[since]]")[0], "since is no table"),
        ("#" * (MAX_TEXT + 1), "larger than 512 KiB"),
        ("a = " + "[" * 10_000, "nested too deep"),
    ],
)
def test_what_is_no_profile_at_all(text: str, what: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(what)) as fault:
        read(text)
    assert re.fullmatch(r"acme/box\.toml:\d+", fault.value.where)
    assert fault.value.hint


def test_a_near_miss_gets_a_suggestion() -> None:
    with pytest.raises(ProfileError) as fault:
        read(GOOD.replace("raw_invalid", "raw_invald"))
    assert fault.value.hint == "did you mean 'raw_invalid'?"
    assert str(fault.value) == "acme/box.toml:30: unknown key 'raw_invald' → did you mean 'raw_invalid'?"


@given(st.text(st.sampled_from('[]{}="1.ax\n _'), max_size=60))
def test_any_text_is_a_profile_or_a_profile_error(text: str) -> None:
    """Nothing else comes out of the reader, whatever stands in place of a table."""
    with pytest.raises(ProfileError):
        read(text + "\n" + GOOD.replace("[profile]", "[profil]"))


# ---- firmware


@given(st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=4), min_size=2, max_size=8))
def test_numbers_compare_as_numbers(versions: list[list[int]]) -> None:
    texts = [".".join(map(str, version)) for version in versions]
    assert [firmware_key(t) for t in sorted(texts, key=firmware_key)] == [
        firmware_key(".".join(map(str, version))) for version in sorted(versions)
    ]


def test_order_of_firmware() -> None:
    rising = ["", "0.9", "1.0", "1.0.1", "1.2", "1.10", "1.10a", "2", "A.00", "B.1", "L.01.9", "L.01.18", "M.00"]
    assert sorted(sorted(rising), key=firmware_key) == rising
    assert firmware_key("L.01.18") == firmware_key("l-1_018")
    assert firmware_key("9" * 5000) < firmware_key("1" + "0" * 5000)  # a device may send anything


@given(st.text(max_size=40))
def test_any_firmware_text_has_a_place(text: str) -> None:
    assert firmware_key(text) <= firmware_key(text + ".1")
    assert FirmwareRange("", "").holds(text)


@pytest.mark.parametrize(
    ("low", "high", "inside", "outside"),
    [
        ("C.00", "N.99", ["C.00", "L.01.18", "N.99", "N.99.7", "N"], ["B.99", "A", "P.00", "3.1"]),
        ("1.0", "1.9", ["1.0", "1.9", "1.9.4", "1.09"], ["1.10", "0.9", "2", "19"]),
        ("", "L", ["A", "L", "L.01.18", "L7"], ["M", "LA"]),
        ("2", "", ["2", "2.1", "A"], ["1.9"]),
    ],
)
def test_ranges(low: str, high: str, inside: list[str], outside: list[str]) -> None:
    one = FirmwareRange(low, high)
    assert [text for text in inside if not one.holds(text)] == []
    assert [text for text in outside if one.holds(text)] == []


def test_what_holds_for_a_firmware() -> None:
    profile = parse_profile(GOOD, "acme/box", "acme/box.toml", FILES)

    def objects(firmware: str) -> list[int | str | None]:
        return [spec.object for channel in profile.resolve(firmware) for spec in channel.metrics]

    assert objects("") == [None, "tc", 7]
    assert objects("1.5") == [None, "tc", 7]
    assert objects("3.0") == [None, "tc", 7]
    assert objects("3.1") == [None, "tc", 8]
    assert objects("3.2") == [None, "tc", 9]  # the latest block counts, wherever it stands in the file
    assert objects("4") == [None, "tc", 9]
    assert [channel.path for channel in profile.resolve("3.1")] == ["1.1.1", "1.2.1", "1.2.2"]


def test_firmware_outside_is_refused() -> None:
    profile = parse_profile(GOOD, "acme/box", "acme/box.toml", FILES)
    assert not profile.accepts("2.0")
    with pytest.raises(ProfileError, match=r"'2\.0' is outside the range .*1\.0 to 1\.9, 3\.0 to …") as fault:
        profile.resolve("2.0")
    assert fault.value.where == "acme/box.toml:1"


# ---- documentation


@pytest.mark.parametrize("keys", [PROFILE_KEYS, CHANNEL_KEYS, METRIC_KEYS], ids=["profile", "channel", "metric"])
def test_every_key_is_documented_with_its_meaning(keys: Keys) -> None:
    doc = DOC.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \| [^|]+ \| (yes)? ?\| (.+) \|$", doc, re.MULTILINE))
    wanted = {(key, "yes" if required else "", meaning) for key, (_, required, meaning) in keys.items()}
    assert wanted - rows == set()


def test_the_examples_of_the_documentation_are_good_profiles() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    whole = [block for block in blocks if block.startswith("[profile]")]
    assert len(whole) == 2
    for text in [*whole, whole[1] + "".join(block for block in blocks if block not in whole)]:
        profile = parse_profile(text, "acme/example", "example.toml")
        assert [str(finding) for finding in lint(profile, nomenclature(), None)] == []
