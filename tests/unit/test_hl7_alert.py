"""Alerts as IHE PCD-04, and the watchdog: what goes in comes out at KITA."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.alert import Phase, note_of, pack, pack_count
from gateway.core.errors import InternalError
from gateway.core.hl7_alert import AlertEncoder
from gateway.core.hl7_check import check
from gateway.core.nomenclature import nomenclature
from gateway.core.notes import NoteList
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import SAMPLE, Block, Flag
from kita.check import check_message
from kita.measured import AlertLife
from tests.unit.hl7_rig import CONTROL_ID, COPENHAGEN, DEVICE, NOW_NS, SENDER

T = NOW_NS - 1_400_000_000
PROFILE = """
[profile]
vendor = "Golden"
model = "Monitor"
driver = "none"
source = "made for this test"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "alert"
metric = [
  { n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 1 },
  { n = 2, id = "MDC_EVT_LO", kind = "alert", alert = "physiological", object = 7 },
  { n = 3, id = "MDC_EVT_ALARM", kind = "alert", alert = "technical", object = "*" },
]
"""
PLAN = Plan(parse_profile(PROFILE, "golden/monitor", "monitor.toml"), "", nomenclature())
NOTES = NoteList()


def row(metric: int, value: float, active: bool, note: str = "", flags: int = 0) -> Block:
    block = np.zeros(1, SAMPLE)
    block["metric"], block["value"], block["t_ns"] = metric, value, T
    block["flags"] = flags | (int(Flag.ALERT_ACTIVE) if active else 0)
    block["note"] = NOTES.index(note) if note else 0
    return block


def encoder() -> AlertEncoder:
    return AlertEncoder(PLAN, SENDER, DEVICE, COPENHAGEN, NOTES.text, watchdog_s=30)


LOW = note_of("1.1.1.1", "Lav iltmætning 84 < 90")


def test_a_message_a_person_can_read() -> None:
    said = encoder().encode(row(1, pack(Phase.START, 2), True, LOW), CONTROL_ID, NOW_NS).decode().split("\r")
    assert said[0].split("|")[8:9] + said[0].split("|")[20:21] == [
        "ORU^R40^ORU_R40",
        "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.4.1^ISO",
    ]
    assert said[7:-1] == [
        "OBX|4|ST|196670^MDC_EVT_LO^MDC|1.1.1.1.1|Lav iltmætning 84 < 90|||PM~SP|||R|||20261121103000.000+0100",
        "OBX|5|CWE|68480^MDC_ATTR_ALERT_SOURCE^MDC|1.1.1.1.2|150456^MDC_PULS_OXIM_SAT_O2^MDC||||||R",
        "OBX|6|ST|68481^MDC_ATTR_EVENT_PHASE^MDC|1.1.1.1.3|start||||||R",
        "OBX|7|ST|68482^MDC_ATTR_ALARM_STATE^MDC|1.1.1.1.4|active||||||R",
        "OBX|8|ST|68483^MDC_ATTR_ALARM_INACTIVATION_STATE^MDC|1.1.1.1.5|enabled||||||R",
        "OBX|9|ST|68484^MDC_ATTR_ALARM_PRIORITY^MDC|1.1.1.1.6|PM||||||R",
        "OBX|10|ST|68485^MDC_ATTR_ALERT_TYPE^MDC|1.1.1.1.7|SP||||||R",
    ]


def test_later_messages_of_an_alert_name_the_first() -> None:
    coder = encoder()
    first = coder.encode(row(1, pack(Phase.START, 2), True, LOW), "gw.1", NOW_NS).decode().split("\r")[3].split("|")
    then = coder.encode(row(1, pack(Phase.END, 2), False, LOW), "gw.2", NOW_NS).decode().split("\r")[3].split("|")
    assert first[3].startswith("gw.1.1^")
    assert len(first) == 8
    assert then[29] == "^" + first[3].replace("^", "&")
    again = coder.encode(row(1, pack(Phase.START, 2), True, LOW), "gw.3", NOW_NS).decode().split("\r")[3].split("|")
    assert len(again) == 8


def test_the_end_of_one_unknown_event_does_not_name_the_beginning_of_another() -> None:
    coder = encoder()

    def obr(phase: Phase, text: str, control_id: str) -> list[str]:
        block = row(2, pack(phase, 1), phase is not Phase.END, note_of("", text))
        return coder.encode(block, control_id, NOW_NS).decode().split("\r")[3].split("|")

    first, _ = obr(Phase.START, "event 7", "gw.1"), obr(Phase.START, "event 8", "gw.2")
    assert obr(Phase.END, "event 7", "gw.3")[29] == "^" + first[3].replace("^", "&")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            row(1, pack(Phase.START, 3), True, LOW),
            ("MDC_EVT_LO", "1.1.1.1", "MDC_PULS_OXIM_SAT_O2", "Lav iltmætning 84 < 90", "start", "active", "PH", "SP"),
        ),
        (
            row(1, pack(Phase.END, 3), False, LOW),
            ("MDC_EVT_LO", "1.1.1.1", "MDC_PULS_OXIM_SAT_O2", "Lav iltmætning 84 < 90", "end", "inactive", "PH", "SP"),
        ),
        (
            row(2, pack(Phase.START, 0), True, note_of("", "Batteri & | ^ lavt")),
            (
                "MDC_EVT_ALARM",
                "1.1.1.3",
                "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS",
                "Batteri & | ^ lavt",
                "start",
                "active",
                "PN",
                "ST",
            ),
        ),
    ],
)
def test_what_kita_reads(block: Block, expected: tuple[str, ...]) -> None:
    payload = encoder().encode(block, CONTROL_ID, NOW_NS)
    assert [f for f in check(payload, nomenclature()) if f.severity == "E"] == []
    checked = check_message(payload)
    assert not checked.errors
    (a,) = checked.intake.more.alerts
    assert (a.ref_id, a.path, a.source, a.text, a.phase, a.state, a.priority, a.type) == expected
    assert a.t_utc_ns == T
    assert not checked.intake.rows


def test_silenced_is_told() -> None:
    payload = encoder().encode(row(1, pack(Phase.UPDATE, 2), True, LOW, int(Flag.ALERT_INHIBITED)), CONTROL_ID, NOW_NS)
    (alert,) = check_message(payload).intake.more.alerts
    assert (alert.phase, alert.silenced) == ("update", "audio-paused")


def test_the_watchdog_says_how_many_and_how_long_it_holds() -> None:
    payload = encoder().encode(row(2, pack_count(2), False), CONTROL_ID, NOW_NS)
    assert [f for f in check(payload, nomenclature()) if f.severity == "E"] == []
    more = check_message(payload).intake.more
    assert (more.alerts, more.life) == ((), AlertLife(T, 75.0, 2))


def test_what_is_no_alert_is_a_bug() -> None:
    with pytest.raises(InternalError, match="is no alert"):
        encoder().encode(row(0, 97.0, False), CONTROL_ID, NOW_NS)
    with pytest.raises(InternalError, match="2 alerts"):
        encoder().encode(np.concatenate([row(1, 5.0, True)] * 2), CONTROL_ID, NOW_NS)
