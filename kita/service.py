"""KITA at work: take what is waiting, check it, store it, and only then answer.

One thread does all of it, so that one connection writes the database. The order is the promise: the transaction is on
the disk before the HL7 ACK is sent, and the HL7 ACK is sent before the broker may forget the message. When the database
is locked or full, nothing is stored and nobody is told otherwise: a sender in enhanced mode gets CE (cannot store now),
one in original mode, which has no such word, gets no answer. Both keep their messages and send them again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.core.ack import Err
from gateway.core.errors import DeliveryError
from kita.check import DUPLICATE_KEY, Checked, Judgement, answer, check_message
from kita.receive import Delivery, Receiver
from kita.settings import KitaSettings
from kita.store import Fate, Store

log = logging.getLogger("mdi.kita")
TICK_S = 0.2  # how soon a stop is seen


@dataclass(frozen=True, slots=True)
class KitaEvent:
    """What KITA did with one message; nothing of a patient. rows: observations stored; apart: rows kept apart."""

    gateway: str
    control_id: str
    what: str  # stored, repeated, conflict, refused; damaged, not stored: the gateway will send it again
    code: str  # MSA-1 of the answer, "" when there was none
    rows: int = 0
    apart: int = 0
    reason: str = ""


def ignore(_event: KitaEvent) -> None:
    """Take an event and do nothing."""


def nothing() -> None:
    """Do nothing."""


def run(
    settings: KitaSettings,
    stop: threading.Event,
    on_event: Callable[[KitaEvent], None] = ignore,
    on_turn: Callable[[], None] = nothing,
) -> None:
    """Receive until `stop`. Both are called in this thread: on_event after an answer has been sent, on_turn whenever a
    batch, perhaps an empty one, is done.

    Raises: ConfigError when the database or the certificates cannot be used.
    """
    store = Store(Path(settings.database), settings.busy_ms)
    try:
        receiver = Receiver(settings)
        receiver.start()
        try:
            desk = _Desk(store, receiver, on_event)
            while not stop.is_set():
                desk.work(receiver.take(settings.batch, TICK_S))
                on_turn()
        finally:
            receiver.stop()
    finally:
        store.close()


class _Desk:
    """Between receiver and store."""

    def __init__(self, store: Store, receiver: Receiver, on_event: Callable[[KitaEvent], None]) -> None:
        self._store = store
        self._receiver = receiver
        self._on_event = on_event
        self._start_ns = time.time_ns()  # makes the control ids of the answers differ from those of the last run
        self._answers = 0
        self._failing = ""

    def work(self, deliveries: list[Delivery]) -> None:
        """Take one batch from delivery to answer."""
        whole: list[tuple[Delivery, Checked]] = []
        for delivery in deliveries:
            checked = check_message(delivery.payload, delivery.correlation)
            if delivery.sha256 and delivery.sha256 != checked.intake.sha256.hex():
                self._damaged(delivery, checked)
            else:
                whole.append((delivery, checked))
        if not whole:
            return
        try:
            fates = self._store.commit([checked.intake for _, checked in whole], time.time_ns())
        except DeliveryError as fault:
            self._not_stored(whole, fault)
            return
        if self._failing:
            self._failing = ""
            log.info("messages are stored again")
        for (delivery, checked), fate in zip(whole, fates, strict=True):
            self._stored(delivery, checked, fate)

    def _stored(self, delivery: Delivery, checked: Checked, fate: Fate) -> None:
        judgement, errors, reason = checked.judgement, checked.errors, checked.where
        if fate is Fate.CONFLICT:
            judgement, errors, reason = Judgement.ERROR, (DUPLICATE_KEY,), DUPLICATE_KEY.text
        code = self._reply(delivery, checked, judgement, errors)
        if judgement is not Judgement.ACCEPT:
            log.warning("%s: message %s refused: %s", delivery.gateway, checked.intake.control_id, reason)
        new = fate is Fate.STORED
        rows, apart = (len(checked.intake.rows), len(checked.intake.apart)) if new else (0, 0)
        self._tell(delivery, checked, fate.value, code, reason, rows, apart)

    def _not_stored(self, batch: list[tuple[Delivery, Checked]], fault: DeliveryError) -> None:
        if str(fault) != self._failing:  # a state that lasts is one line
            self._failing = str(fault)
            log.error("%s", fault)
        for delivery, checked in batch:
            code = self._reply(delivery, checked, Judgement.NOT_NOW, ())
            self._tell(delivery, checked, "not stored", code, fault.what)

    def _damaged(self, delivery: Delivery, checked: Checked) -> None:
        """The bytes are not those that were sent. Without an answer the gateway sends them again."""
        log.warning("%s: a message was damaged on the way", delivery.gateway)
        self._receiver.answer(delivery, None)
        self._tell(delivery, checked, "damaged", "", "its bytes are not those that were sent")

    def _reply(self, delivery: Delivery, checked: Checked, judgement: Judgement, errors: tuple[Err, ...]) -> str:
        self._answers += 1
        control_id = f"{self._start_ns:x}.{self._answers}"
        code, ack = answer(checked.header, judgement, control_id, time.time_ns(), errors)
        self._receiver.answer(delivery, ack)
        return code

    def _tell(
        self, delivery: Delivery, checked: Checked, what: str, code: str, reason: str, rows: int = 0, apart: int = 0
    ) -> None:
        self._on_event(KitaEvent(delivery.gateway, checked.header.control_id, what, code, rows, apart, reason))
