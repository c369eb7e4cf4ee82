"""The encoder of alerts: one row of an alert to one ORU^R40^ORU_R40, profile IHE PCD-04 (ACM).

Below the metric path P that the alert is about stand its facets:
    P.1 event   P.2 source   P.3 phase   P.4 state   P.5 inactivation state   P.6 priority   P.7 type of alert
A row that is not of an alert but counts them (gateway.core.alert) becomes the watchdog: the same message with the event
MDCX_ALERT_WATCHDOG, the number of active alerts and the time after which its absence means "not known".

Where the first design differs: the source is always a coded facet (MDC_ATTR_ALERT_SOURCE), also for a physiological
alert. Its number and limits are in the observations of the same second; repeating a number here that may be older than
the alert would be worse than naming what it is.

For documentation only: this is not an alarm system, and nobody may rely on it to be called.

Sources: IHE DEV TF-2 (PCD-04; facets, phases), ISO/IEEE 11073-10101. The watchdog is as Dräger sends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Final

import numpy as np

from gateway.core.alert import Phase, read_note, unpack, unpack_count
from gateway.core.clock import NOTHING_SAID, ClockQuality, ClockState
from gateway.core.er7 import escape
from gateway.core.errors import InternalError
from gateway.core.hl7_message import PCD_04, DeviceIdentity, Envelope, Sender, clock_rows, coded, device_rows, path_of
from gateway.core.metric import Metric
from gateway.core.plan import Plan
from gateway.core.sample import NOT_FOR_CHARTING, Block, Flag, Validity

UNKNOWN: Final = "MDC_EVT_ALARM"  # an event without a term of its own: its text tells it from others
ALARM: Final = f"196616^{UNKNOWN}^MDC"
WATCHDOG: Final = "0^MDCX_ALERT_WATCHDOG^MDC"
ACTIVE_COUNT: Final = "0^MDCX_ALERTS_ACTIVE^MDC"
TIMEOUT: Final = "67860^MDC_ATTR_CONFIRM_TIMEOUT^MDC"
SOURCE: Final = "68480^MDC_ATTR_ALERT_SOURCE^MDC"
FACETS: Final = (
    "68481^MDC_ATTR_EVENT_PHASE^MDC",
    "68482^MDC_ATTR_ALARM_STATE^MDC",
    "68483^MDC_ATTR_ALARM_INACTIVATION_STATE^MDC",
    "68484^MDC_ATTR_ALARM_PRIORITY^MDC",
    "68485^MDC_ATTR_ALERT_TYPE^MDC",
)
PRIORITIES: Final = ("PN", "PL", "PM", "PH")
TYPES: Final = {"physiological": "SP", "technical": "ST", "advisory": "SA"}
PHASES: Final = {phase: phase.name.lower() for phase in Phase}
MISSED = 2.5  # so many intervals of the watchdog without one: one may be late, two are not
_SECONDS = "264320^MDC_DIM_SEC^MDC^s^s^UCUM"
_COUNT = "262656^MDC_DIM_DIMLESS^MDC^1^1^UCUM"


class AlertEncoder:
    """Encodes alert rows of one device under one plan, one row to a message. note: text of a row's note."""

    def __init__(
        self,
        plan: Plan,
        sender: Sender,
        device: DeviceIdentity,
        timezone: tzinfo,
        note: Callable[[int], str],
        watchdog_s: float,
    ) -> None:
        self._metrics = plan.metrics
        self._by_path = {metric.path: metric for metric in plan.metrics}
        self._envelope = Envelope(sender, device, timezone, "ORU^R40^ORU_R40", PCD_04)
        self._device_rows = device_rows(plan, device)
        self._time_sync = sender.time_sync
        self._device = f"{plan.rows[0].code}^{escape(plan.rows[0].ref_id)}^MDC"
        self._note = note
        self._timeout_s = MISSED * watchdog_s
        self._first: dict[tuple[int, str, str], str] = {}  # alert -> OBR-3 of its first message

    def encode(self, block: Block, control_id: str, now_ns: int, clock: ClockState = NOTHING_SAID) -> bytes:
        """Return the message of one row; see hl7.Encoder.encode. Raises: InternalError when there are more."""
        if len(block) != 1:
            raise InternalError(f"{len(block)} alerts in one message")
        row = block[0]
        metric = self._metrics[row["metric"]]
        if metric.kind != "alert":
            raise InternalError(f"{metric.ref_id} is no alert")
        control_id = escape(control_id)
        flags, time = Flag(int(row["flags"])), self._envelope.dtm.text(int(row["t_ns"]))
        number = f"{control_id}.1{self._envelope.namespace}"
        active = unpack_count(float(row["value"]))
        if active is not None:
            parent, facets, at = "", self._watchdog(active), metric.path
        else:
            path, text = read_note(self._note(int(row["note"])))
            state = unpack(float(row["value"]))
            told_by_text = text if metric.ref_id == UNKNOWN else ""
            parent = self._parent((int(row["metric"]), path, told_by_text), number, state[0])
            facets = self._alert(metric, path, text or metric.text, state, row, time)
            at = path or metric.path
        tree = path_of(at)
        mds, *below = (self._device_rows[tree[:level] + (0,) * (4 - level)] for level in (1, 2, 3))
        said = clock_rows(clock, self._time_sync) if clock.quality is not ClockQuality.NOT_KNOWN else {}
        rows = [mds, *said.values(), *below]
        rows += [facet.replace("<P>", at) for facet in facets]
        obx = "".join(f"OBX|{n}{text}" for n, text in enumerate(dict.fromkeys(rows), 1))
        obr = f"OBR|1|{number}|{number}|{ALARM}|||{time}{'|' * 22 + parent if parent else ''}\r"
        return f"{self._envelope.open(control_id, now_ns, not flags & NOT_FOR_CHARTING)}{obr}{obx}".encode()

    def _parent(self, key: tuple[int, str, str], number: str, phase: Phase) -> str:
        """Return OBR-29, which names the first message of this alert; "" in that one itself."""
        first = self._first.get(key)
        if first is None or phase is Phase.START:
            self._first[key] = first = number
        if phase is Phase.END:
            del self._first[key]
        return "" if first == number else f"^{first.replace('^', '&')}"

    def _alert(
        self, metric: Metric, path: str, text: str, state: tuple[Phase, int], row: np.void, time: str
    ) -> list[str]:
        (phase, priority), flags = state, Flag(int(row["flags"]))
        kind = TYPES[metric.alert]
        mark = PRIORITIES[priority]
        shown = escape(text)
        marks = f"{mark}~{kind}" + ("~QUES" if row["validity"] == Validity.QST else "")  # of an experimental profile
        if metric.alert == "physiological":
            event = f"|ST|{coded(metric)}|<P>.1|{shown or escape(metric.ref_id)}|||{marks}"
        else:
            event = f"|CWE|{ALARM}|<P>.1|{coded(metric)}^^^^^^{shown}|||{marks}"
        source = self._by_path.get(path)
        values = (
            PHASES[phase],
            "active" if Flag.ALERT_ACTIVE in flags else "inactive",
            "audio-paused" if Flag.ALERT_INHIBITED in flags else "enabled",
            mark,
            kind,
        )
        return [
            f"{event}|||R|||{time}\r",
            f"|CWE|{SOURCE}|<P>.2|{coded(source) if source else self._device}||||||R\r",
            *_facets(values),
        ]

    def _watchdog(self, active: int) -> list[str]:
        return [
            f"|CWE|{ALARM}|<P>.1|{WATCHDOG}|||PN~SA|||R\r",
            f"|CWE|{SOURCE}|<P>.2|{self._device}||||||R\r",
            *_facets(("continue", "inactive", "enabled", "PN", "SA")),
            f"|NM|{ACTIVE_COUNT}|<P>.8|{active}|{_COUNT}|||||R\r",
            f"|NM|{TIMEOUT}|<P>.9|{self._timeout_s:g}|{_SECONDS}|||||R\r",
        ]


def _facets(values: Sequence[str]) -> list[str]:
    """Return P.3 to P.7."""
    pairs = zip(FACETS, values, strict=True)
    return [f"|ST|{facet}|<P>.{n}|{value}||||||R\r" for n, (facet, value) in enumerate(pairs, 3)]
