"""The [driver] table: every mistake has a place and a suggestion."""

from __future__ import annotations

import pytest

from drivers.ascii_line.table import read_table
from gateway.core.errors import ProfileError
from tests.unit.ascii_line_rig import parsed, text_of, warmer

TEMP = 'n = 1, id = "MDC_TEMP_BLD", object = 1, unit = "Cel"'
GOOD = 'layout = "columns"\n[[driver.line]]\nname = "values"\ncolumns = 2\n'
PAIRS = 'layout = "pairs"\n[[driver.line]]\nname = "values"\nrequired = ["T"]\n'

MISTAKES = {
    # what all lines share
    'laout = "columns"': "[driver] laout: unknown key 'laout' → did you mean 'layout'?",
    'layout = "colums"': "[driver] layout",
    GOOD.replace("[[", 'end = ""\n[[', 1): "[driver] end: end is empty",
    GOOD.replace("[[", 'separator = "\\r"\n[[', 1): "[driver] separator: separator ends the line, too",
    GOOD.replace("[[", 'decimal = ","\n[[', 1): "[driver] decimal: decimal is the separator",
    GOOD.replace("[[", 'decimal = "/"\n[[', 1): "[driver] decimal",
    GOOD.replace("[[", "sentinels = [999]\n[[", 1): "[driver] sentinels: sentinels must be a list of texts",
    GOOD.replace("[[", 'begin = "ø"\n[[', 1): "[driver] begin: begin is no ASCII text",
    PAIRS.replace("[[", 'equals = ","\n[[', 1): "[driver] equals: equals is the separator",
    'layout = "columns"': "[driver]: profile has no [[driver.line]]",
    # one kind of line
    GOOD + "colums = 3": "[[driver.line]] 1 colums: unknown key 'colums' → did you mean 'columns'?",
    GOOD.replace("columns = 2", ""): "[[driver.line]] 1: columns is missing",
    GOOD + 'required = ["T"]': "[[driver.line]] 1 required: required has no meaning with layout 'columns'",
    PAIRS + "columns = 2": "did you mean 'required'?",
    GOOD + "widths = [1]": "[[driver.line]] 1 widths: 1 widths for 2 columns",
    GOOD + "widths = [1, 0]": "[[driver.line]] 1 widths",
    GOOD + "ignore = [3]": "[[driver.line]] 1 ignore: 3 is no column of 'values' → columns are 1 to 2",
    GOOD + 'ignore = ["2"]': "[[driver.line]] 1 ignore: '2' is no column",
    PAIRS + "ignore = [2]": "[[driver.line]] 1 ignore: 2 is no key",
    GOOD + "ignore = [2]\nage = 2": "[[driver.line]] 1: field 2 has two meanings",
    GOOD + 'when = "T"': "[[driver.line]] 1: when has no meaning without select",
    GOOD + GOOD.split("\n", 1)[1].replace("values", "more"): "[[driver.line]] 2: nothing tells the kinds of line apart",
    "select = 1\n" + GOOD: "[[driver.line]] 1: when is missing",
    "select = 9\n" + GOOD + 'when = "T"': "[driver] select: 9 is no column",
    "select = 2\n" + GOOD + 'when = "T"\n' + GOOD.split("\n", 1)[1] + 'when = "U"': "there are two lines 'values'",
    'separator = " "\n' + GOOD + "alert_words = [2]": "[[driver.line]] 1 alert_words",
    # checksum and poll
    GOOD + '[driver.checksum]\nkind = "crc16.modbuss"': "[driver.checksum] kind: checksum 'crc16.modbuss' is not known",
    GOOD + '[driver.checksum]\nknd = "xor8"': "unknown key 'knd' → did you mean 'kind'?",
    GOOD + '[driver.checksum]\nkind = "xor8"\ncovers_after = true': "[driver.checksum] covers_after",
    GOOD + '[driver.poll]\ntext = "P"': "[driver.poll] text: the poll 'P' is not allowed by [transmit]",
    GOOD + '[driver.poll]\ntext = "P"\nperod_s = 1.0': "did you mean 'period_s'?",
    GOOD + '[transmit]\nallow = ["P"]': "[transmit] allows what nobody sends",
    GOOD + '[driver.poll]\ntext = "P"\ntimeout_s = 5.0\n[transmit]\nallow = ["P"]': "timeout_s is not below period_s",
}


@pytest.mark.parametrize("driver", MISTAKES)
def test_a_mistake_has_a_place_and_a_hint(driver: str) -> None:
    with pytest.raises(ProfileError) as fault:
        read_table(parsed(text_of(driver + "\n", TEMP)))
    assert MISTAKES[driver] in str(fault.value)
    assert fault.value.where.startswith("test.toml:")
    assert fault.value.hint


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (TEMP.replace("object = 1", "object = 3"), "3 is no column"),
        (TEMP.replace("object = 1", 'object = "T"'), "'T' is no column"),
        (TEMP.replace("object = 1", 'at = 1, type = "u8"'), "cannot stand in a line of text"),
        (TEMP + ", instance = 1", "cannot stand in a line of text"),
        (TEMP + ', frame = "valus"', "no [[driver.line]] is named 'valus' → did you mean 'values'?"),
        (TEMP + ', kind = "waveform"', "cannot stand in a line of text"),
        ('n = 1, id = "MDC_EVT_HI", kind = "alert", object = "HIGH"', "line 'values' has no alerts"),
    ],
)
def test_a_metric_that_no_line_can_carry_is_refused(row: str, what: str) -> None:
    with pytest.raises(ProfileError) as fault:
        read_table(parsed(text_of(GOOD, row)))
    assert what in str(fault.value)


@pytest.mark.parametrize(("object_", "what"), [("2.x", "is no bit"), ("1.0", "is no bit"), ("HIGH", "is no bit")])
def test_an_alert_that_cannot_come_is_refused(object_: str, what: str) -> None:
    row = f'n = 1, id = "MDC_EVT_HI", kind = "alert", alert = "technical", object = "{object_}"'
    with pytest.raises(ProfileError) as fault:
        read_table(parsed(text_of(GOOD + "alert_bits = [2]\n", row)))
    assert what in str(fault.value)


def test_a_field_has_one_meaning() -> None:
    with pytest.raises(ProfileError, match="has another meaning"):
        read_table(parsed(text_of(GOOD + "ignore = [1]\n", TEMP)))


def test_the_example_of_the_readme_is_a_table() -> None:
    table = read_table(parsed(warmer()))
    assert [line.name for line in table.lines] == ["temperature", "pressure"]
    assert table.check is not None
    assert table.poll is None
