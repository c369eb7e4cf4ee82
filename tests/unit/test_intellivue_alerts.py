"""Alert lists of the monitor: what alarms, of what, how urgent, in which words; and when it has ended."""

from __future__ import annotations

import struct

import pytest

from drivers.philips_intellivue.pdu import ALERT_MONITOR, attribute, listed
from gateway.core.frame import Alert
from gateway.core.sample import Flag
from tests.unit.intellivue_rig import Fed, alert, alerts, faults, observation, result


def test_alert_lists() -> None:
    patient = [alert(0x4182, 0xF148, 0x0400, info=b"\0t" * 20), alert(0x4BB8, 0x003E, 0x0200, 0x0100)]
    technical = [alert(0xF222, 0x0047, 0x0002), alert(0x4182, 0x0112, 0x0001, 0x8400), alert(0x4A04, 0x0164, 0)]
    assert Fed().alerts(alerts(patient, technical)) == [
        Alert(0x0F148, 0x4182, 3),
        Alert(0x0003E, 0x4BB8, 2, flags=Flag.DEMO),
        Alert(0x10046, 0, 2, technical=True),  # bit 0 of the code: the source is an object class
        Alert(0x10112, 0x4182, 1, flags=Flag.TEST | Flag.ALERT_INHIBITED, technical=True),
        Alert(0x10164, 0x4A04, 0, technical=True),
    ]


@pytest.mark.parametrize(
    ("state", "flags"),
    [
        (0x8000, Flag.ALERT_INHIBITED),  # inhibited
        (0x4000, Flag.ALERT_INHIBITED),  # suspended
        (0x1000, Flag.ALERT_INHIBITED),  # silenced
        (0x2000, Flag(0)),  # latched
        (0x0400, Flag.TEST),
        (0x0200, Flag(0)),  # standby
        (0x0100, Flag.DEMO),
        (0x0008, Flag(0)),  # new
    ],
)
def test_states_of_alerts(state: int, flags: Flag) -> None:
    (found,) = Fed().alerts(alerts([alert(0x4182, 0xF148, 0x0400, state)], []))
    assert found.flags == flags


def string(text: str, length: int | None = None) -> bytes:
    """Return alert information with a string: instance, TextId, priority, flags, then the string as sent."""
    raw = text.encode("utf-16-be")
    return struct.pack(">HIHHH", 1, 0, 0, 0, len(raw) if length is None else length) + raw


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (string("** SpO₂ LOW 82 < 90\0"), "** SpO₂ LOW 82 < 90"),
        (string("*** Tachy\0behind the end"), "*** Tachy"),
        (string("two\nlines\x07"), "two lines"),
        (string("x" * 200), "x" * 100),
        (string("odd", 5), "od"),
        (
            string("half a pair \ud83d".encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")),
            "half a pair \ufffd",
        ),
        (string("longer than it is", 99), ""),
        (string(""), ""),
        (b"\0" * 11, ""),
        (b"", ""),
    ],
)
def test_the_text_of_an_alert(info: bytes, text: str) -> None:
    """What does not hold costs the wording, never the alert."""
    (found,) = Fed().alerts(alerts([alert(0x4BB8, 0x003E, 0x0200, info=info)], []))
    assert found == Alert(0x003E, 0x4BB8, 2, text)


def test_the_end_of_all_alerts_is_said_and_an_unsent_list_is_unchanged() -> None:
    fed = Fed()
    fed.alerts(alerts([alert(0x4182, 0xF148, 0x0400)], [alert(0x4182, 0x0112, 2)]))
    (left,) = fed.alerts(alerts([], None, sequence=1))
    assert left.object == 0x10112
    assert fed.alerts(alerts(None, [], sequence=2)) == []
    assert fed.alerts(alerts(None, [], sequence=3)) == []  # said with every result: a sign of life
    assert Fed().pdu(alerts(None, None)) == []  # no list: nothing is known


def test_of_two_alerts_of_one_name_the_higher_priority_counts() -> None:
    entries = [alert(0x4182, 0x003E, kind) for kind in (0x0200, 0x0400, 0x0100)]
    assert Fed().alerts(alerts(entries, [])) == [Alert(0x003E, 0x4182, 3)]


def test_alerts_of_a_broken_linked_result_are_not_told() -> None:
    fed = Fed()

    def both(sequence: int) -> tuple[bytes, bytes]:
        one, two = (listed([alert(*entry)]) for entry in ((1, 2, 0x0400), (3, 4, 0x0100)))
        return (
            result(ALERT_MONITOR, observation(1, attribute(0x0902, one)), link=(1, 1), sequence=sequence),
            result(ALERT_MONITOR, observation(2, attribute(0x0902, two)), sequence=sequence),
        )

    first, final = both(0)
    assert fed.pdu(first) == []
    assert [(a.object, a.priority) for a in fed.alerts(final)] == [(2, 3), (4, 1)]
    first, final = both(1)
    assert fed.pdu(first) == []
    assert faults(fed.line(b"\xc0\x11\x01\xc1")) == ["length"]
    assert fed.pdu(final) == []
