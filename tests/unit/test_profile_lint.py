"""The lint: each kind of finding, on the line where it stands, with a hint what to write instead."""

from __future__ import annotations

import pytest

from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile, parse_profile
from gateway.core.profile_lint import Finding, lint
from tests.unit.test_nomenclature import profiles

FRAMES = ("block", "numeric")

# Line numbers below are those of this text; a case replaces one line by one line.
GOOD = """\
[profile]
vendor = "Acme"
model = "Box"
driver = "acme"
source = "service manual 4.2"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"

[firmware]
ranges = [
  { min = "1.0", max = "1.9" },
  { min = "2.0", max = "3" },
]

[units]
0x0220 = "%"
0x0F20 = "MDC_DIM_MMHG"

[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_METER_TEMP_VMD"
chan = "MDC_DEV_METER_TEMP_CHAN"
frame = "block"
metric = [
  { n = 1, id = "MDC_TEMP", unit = "Cel", at = 0, type = "i16", raw_unit = "[degF]", raw_invalid = [-32768] },
  { n = 2, id = "MDC_ATTR_ALARM_STATE", kind = "enumeration", at = 2, type = "u8", values = [[0, "off"], [1, "on"]] },
  { n = 3, id = "MDC_EVT_HI", kind = "alert", alert = "advisory", at = 4, type = "bit", bit = 0 },
  { n = 4, id = "MDC_EVT_LO", kind = "alert", alert = "advisory", at = 4, type = "bit", bit = 8 },
  { n = 5, id = "MDC_TEMP_CORE", unit = "Cel", at = 6, type = "f32", order = "CDAB", raw_invalid = [-9.5] },
]

[[channel]]
path = "1.2.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "numeric"
metric = [
  { n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 7, range = [0, 100] },
  { n = 2, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 7, instance = 2 },
]

[[since]]
firmware = "2.5"
[[since.channel]]
path = "1.2.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "numeric"
metric = [
  { n = 3, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 8 },
]

[[channel]]
path = "1.3.1"
vmd = "MDC_DEV_GENERAL_VMD"
chan = "MDC_DEV_GENERAL_CHAN"
frame = "block"
metric = [
  { n = 1, id = "MDC_EVT_ALARM", kind = "alert", alert = "technical", object = "*" },
]
"""
SPO2 = '  { n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 7'
TEMP = '  { n = 1, id = "MDC_TEMP", unit = "Cel", at = 0, type = "i16"'
STATE = '  { n = 2, id = "MDC_ATTR_ALARM_STATE", kind = "enumeration", at = 2, type = "u8"'
HIGH = '  { n = 3, id = "MDC_EVT_HI", kind = "alert", alert = "advisory", at = 4, type = "bit"'
CORE = '  { n = 5, id = "MDC_TEMP_CORE", unit = "Cel", at = 6, type = "f32"'


def findings(text: str, frames: tuple[str, ...] | None = FRAMES) -> list[Finding]:
    return lint(parse_profile(text, "acme/box", "acme/box.toml"), nomenclature(), frames)


def replaced(line: int, new: str) -> str:
    lines = GOOD.split("\n")
    lines[line - 1] = new
    return "\n".join(lines)


def test_a_good_profile_has_no_findings() -> None:
    assert findings(GOOD) == []


# line that is replaced, what stands there instead, what the finding says (None: on the same line, else its line)
CASES: list[tuple[int, str, str, int | None]] = [
    # the profile as a whole
    (5, 'source = " "', "source is empty", None),
    (2, 'vendor = ""', "vendor is empty", None),
    (7, 'device = "MDC_DEV_METER_TEMP_VMD"', "no term for this level", None),
    (7, 'device = "MDC_TEMP"', "no term for this level", None),
    (7, 'device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MD"', "not in the nomenclature", None),
    (16, '0x0220 = "percent"', "not a UCUM unit", None),
    (17, '0x0F20 = "mm[Hg"', "brackets do not match", None),
    (17, '0x0F20 = "MDC_DIM_MMHQ"', "not a UCUM unit", None),
    # firmware
    (11, '  { min = "1.9", max = "1.0" },', "range 1.9 to 1.0 is reversed", None),
    (12, '  { min = "1.5", max = "3" },', "ranges 1.0 to 1.9 and 1.5 to 3 overlap", None),
    (11, '  { min = "2.2", max = "2.9" },', "ranges 2.2 to 2.9 and 2.0 to 3 overlap", 12),
    (12, '  { min = "1.9.4", max = "3" },', "overlap", None),  # 1.9 as the end holds 1.9.4
    (12, "  { },", "ranges 1.0 to 1.9 and … to … overlap", None),
    (11, '  { max = "2.5" },', "ranges … to 2.5 and 2.0 to 3 overlap", 12),
    (43, 'firmware = "4.0"', "since '4.0' lies outside", None),
    (43, 'firmware = "?"', "since '?' lies outside", None),
    # containment
    (21, 'vmd = "MDC_DEV_METER_TEMP_CHAN"', "vmd = MDC_DEV_METER_TEMP_CHAN is no term for this level", 19),
    (22, 'chan = "MDC_DEV_METER_TEMP"', "not in the nomenclature", 19),
    (33, 'path = "1.1.2"', "VMD 1.1 is both MDC_DEV_METER_TEMP_VMD and MDC_DEV_ANALY_SAT_O2_VMD", 32),
    (39, SPO2 + ", instance = 2 },", "stands on the path of MDC_PULS_OXIM_SAT_O2", None),
    # terms and kinds
    (38, SPO2.replace("SAT_O2", "SAT_OX") + " },", "MDC_PULS_OXIM_SAT_OX is not in the nomenclature", None),
    (38, SPO2.replace("MDC_PULS_OXIM_SAT_O2", "MDC_EVT_LO") + " },", "is of kind event", None),
    (27, HIGH.replace("MDC_EVT_HI", "MDC_TEMP") + " },", "is of kind metric, not for kind = 'alert'", None),
    (38, SPO2 + ', frame = "wave" },', "driver acme has no frame 'wave'", None),
    # units
    (38, SPO2.replace(' unit = "%",', "") + " },", "has no unit", None),
    (38, SPO2.replace("%", "percent") + " },", "unit 'percent' is not known", None),
    (38, SPO2.replace("%", "mm[Hg]") + " },", "unit mm[Hg] does not fit MDC_PULS_OXIM_SAT_O2", None),
    (25, TEMP + ', raw_unit = "kPa" },', "raw_unit kPa cannot become Cel", None),
    (25, TEMP + ', raw_unit = "degrees" },', "not a UCUM unit", None),
    # numbers
    (38, SPO2 + ", range = [100, 0] },", "range [100, 0] is empty", None),
    (38, SPO2 + ", range = [0, inf] },", "range [0, inf] is empty", None),
    (38, SPO2 + ", range = [nan, 1] },", "range [nan, 1] is empty", None),
    (25, TEMP + ", scale = 0 },", "scale 0, offset 0 give no value", None),
    (25, TEMP + ", offset = nan },", "scale 1, offset nan give no value", None),
    # enumerations
    (26, STATE + " },", "enumeration without values", None),
    (26, STATE + ', values = [[0, "off"], [0, "on"]] },', "raw number 0 stands twice", None),
    (26, STATE + ', values = [[0, "on"], [1, "on"]] },', "token 'on' stands twice", None),
    (26, STATE + ', values = [[0, " "], [1, "on"]] },', "empty token", None),
    (26, STATE + ', values = [[0, "off"], [256, "on"]] },', "raw 256 can never come as u8", None),
    (26, STATE + ', raw_invalid = [1], values = [[0, "off"], [1, "on"]] },', "both a value and raw_invalid", None),
    (26, STATE + ', unit = "1", values = [[0, "off"]] },', "unit has no meaning for kind = 'enumeration'", None),
    (38, SPO2 + ', values = [[0, "off"]] },', "values has no meaning for kind = 'numeric'", None),
    (27, HIGH + ", range = [0, 1] },", "range has no meaning for kind = 'alert'", None),
    # raw numbers and their place
    (25, TEMP + ", raw_invalid = [32768] },", "raw 32768 can never come as i16", None),  # 0x8000 is -32768 there
    (25, TEMP + ", raw_invalid = [0.5] },", "raw 0.5 can never come as i16", None),
    (29, CORE + ", raw_invalid = [1e39] },", "raw 1e+39 can never come as f32", None),
    (27, HIGH + ", raw_invalid = [2] },", "raw 2 can never come as bit", None),
    (29, CORE + ', order = "BA" },', "order 'BA' does not fit f32", None),
    (25, TEMP + ', order = "AA" },', "order 'AA' does not fit i16", None),
    (25, TEMP + ", bit = 3 },", "bit has no meaning for type i16", None),
    (25, TEMP + ", instance = 3 },", "instance has no meaning with at", None),
    (38, SPO2 + ', type = "u16" },', "type has no meaning with object", None),
    # two rows, one way
    (39, SPO2.replace("n = 1", "n = 2") + " },", "MDC_PULS_OXIM_SAT_O2 is reached like MDC_PULS_OXIM_SAT_O2", None),
    (28, HIGH.replace("n = 3", "n = 4") + " },", "MDC_EVT_HI reads bits that MDC_EVT_HI reads", None),
    (29, CORE.replace("at = 6", "at = 5") + " },", "MDC_TEMP_CORE reads bits that MDC_EVT_HI reads", None),
    (26, STATE.replace("at = 2", "at = 1") + ', values = [[0, "off"]] },', "reads bits that MDC_TEMP reads", None),
    (50, '  { n = 3, id = "MDC_TEMP", unit = "Cel", frame = "block", at = 1, type = "u8" },', "reads bits that", None),
]


@pytest.mark.parametrize(("line", "new", "what", "at"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_findings(line: int, new: str, what: str, at: int | None) -> None:
    found = findings(replaced(line, new))
    assert [(finding.where, what in finding.what) for finding in found] == [(f"acme/box.toml:{at or line}", True)]
    assert found[0].hint
    assert str(found[0]).startswith(f"acme/box.toml:{at or line}: ")


def test_since_blocks_that_say_nothing_new() -> None:
    text = GOOD + '\n[[since]]\nfirmware = "2.05"\nchannel = []\n'
    assert [(f.where, f.what) for f in findings(text)] == [
        ("acme/box.toml:63", "since '2.05' changes nothing"),
        ("acme/box.toml:63", "since '2.05' stands twice"),
    ]


def test_what_is_wrong_only_from_a_firmware_on() -> None:
    """Channel 1.4.1 is new in 2.5 and reads object 8 again, which 1.2.1 reads only from 2.5 on."""
    text = GOOD + "\n".join(
        [
            "[[since.channel]]",
            'path = "1.4.1"',
            'vmd = "MDC_DEV_ANALY_SAT_O2_VMD"',
            'chan = "MDC_DEV_ANALY_SAT_O2_CHAN"',
            'frame = "numeric"',
            "metric = [",
            '  { n = 1, id = "MDC_SAT_O2_ART", unit = "%", object = 8 },',
            "]",
        ]
    )
    assert [(f.where, f.what) for f in findings(text)] == [
        ("acme/box.toml:67", "MDC_SAT_O2_ART is reached like MDC_PULS_OXIM_SAT_O2")
    ]


def test_findings_come_in_the_order_of_the_file_and_once() -> None:
    text = GOOD.replace('"Cel"', '"mm"').replace("MDC_EVT_HI", "MDC_EVT_HIGH")
    found = findings(text)
    lines = [int(finding.where.rpartition(":")[2]) for finding in found]
    assert lines == [25, 25, 27, 29]
    assert len(set(found)) == len(found)
    assert found[2].hint == "did you mean MDC_EVT_HI?"


def test_frames_of_the_driver() -> None:
    text = replaced(23, 'frame = "registers"')
    assert {finding.what for finding in findings(text)} == {"driver acme has no frame 'registers'"}
    assert findings(text, ("*",)) == []
    assert findings(text, None) == []


@pytest.mark.parametrize("profile", list(profiles()), ids=lambda profile: profile.id)
def test_the_profiles_of_the_project_are_clean(profile: Profile) -> None:
    assert [str(finding) for finding in lint(profile, nomenclature(), None)] == []


@pytest.mark.parametrize("profile", list(profiles()), ids=lambda profile: profile.id)
def test_what_is_clean_can_be_compiled(profile: Profile) -> None:
    """The lint knows all that the plan would refuse, for every firmware that changes something."""
    for firmware in ("", *(first for first, _ in profile.since), *(r.low for r in profile.firmware)):
        assert Plan(profile, firmware, nomenclature()).metrics
