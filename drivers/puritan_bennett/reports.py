"""The two reports: how their bytes are cut into fields, and what is a clock, an alarm, a value among them.

    MISCF,1225,169,<STX>09:30 ,840 3510012345    ,NOV 21 2026 ,INVASIVE ,A/C   ,...,<ETX><CR>
          bytes fields  field 5, 6, 7 ... N: left-justified, padded to a fixed width, each followed by a comma

Fields are numbered as in the manuals, from 1, so that the code and its two counts are fields 1 to 3 and the first one
after STX is field 5. What a field means is in the profile; known here is only which fields are not values.

There is no checksum. What stands in its place: the number of fields must be the one announced, and every field must
have one of the protocol's widths, so that a lost byte spoils its own field and no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST = 5  # number of the field that follows STX
LONGEST = 4096  # bytes of a report: three times the longest known one (1225), because newer software appends fields
# Default; vent type, O2 sensor, circuit, leak compensation; dates; ventilator id and humidification.
WIDTHS = frozenset({6, 9, 12, 18})

# The end of the frame is the anchor: a report whose end was lost stands in front of the next one, and is left there.
_REPORT = re.compile(rb"MISC([A-Z]),(\d{1,5}) *,(\d{1,4}) *,\x02([^\x02\x03]*)\x03\Z")


@dataclass(frozen=True, slots=True)
class ReportKind:
    """One kind of report. Numbers of fields, as in the manuals' tables.

    letter: last one of the code; time, date: the ventilator's clock; ident: its id
    silence: ON while the alarm tone is silenced; alarms: fields that hold the state of an alarm
    unsaid: fields that are given to nobody: clock and id, which are told otherwise, and the room, which is typed in
    """

    command: bytes
    letter: str
    date: int
    silence: int
    alarms: tuple[int, ...]
    unsaid: frozenset[int]
    time: int = 5
    ident: int = 6


KINDS = {
    "SNDF": ReportKind(b"SNDF\r", "F", date=7, silence=105, alarms=(95, *range(106, 154)), unsaid=frozenset({5, 6, 7})),
    # 60 and 62 are a second time and date.
    "SNDA": ReportKind(
        b"SNDA\r",
        "A",
        date=8,
        silence=93,
        alarms=(48, 51, 52, 53, 54, 55, 57, 94, 95),
        unsaid=frozenset({5, 6, 7, 8, 60, 62}),
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """One report as cut. announced: how many fields it says; fields: texts from field 5 on, padding and all."""

    letter: str
    announced: int
    fields: tuple[str, ...]

    def text(self, number: int) -> str | None:
        """Return a field without its padding, "" when blank or not in this report, None when bytes of it are lost.

        STX is never part of a field here, so blanks are all there is to strip.
        """
        if not FIRST <= number < FIRST + len(self.fields):
            return ""
        field = self.fields[number - FIRST]
        return field.rstrip(" ") if len(field) in WIDTHS else None


def cut(line: bytes) -> tuple[Report | None, int]:
    """Cut what came before a CR: (the report it ends with, how many bytes in front of it are none of it).

    The byte count is not looked at: what it counts is uncertain (notes: MEDIUM), and it sees nothing that the widths do
    not see.
    """
    found = _REPORT.search(line)
    if found is None:
        return None, len(line)
    letter, _, announced, body = found.groups()
    *fields, rest = body.decode("latin-1").split(",")  # the comma after the last field leaves one empty piece
    if rest:
        fields.append(rest)
    return Report(letter.decode(), int(announced), tuple(fields)), found.start()
