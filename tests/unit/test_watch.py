"""What the counters of a running gateway say is written once, when it happens."""

from types import SimpleNamespace
from typing import Any

from gateway.core.clock import ClockQuality, ClockState
from gateway.security.audit import Event
from gateway.watch import Watch


class Notes:
    """An audit log that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[Event, str, dict[str, Any]]] = []

    def write(self, event: Event, subject: str = "", /, *, actor: str = "", **facts: object) -> None:
        self.said.append((event, subject, facts))

    def status(self) -> dict[str, Any]:
        return {}

    def take(self) -> list[tuple[Event, str, dict[str, Any]]]:
        said, self.said = self.said, []
        return said


def port(opened: int = 0, writes: int = 0, refused: str = "") -> Any:
    device = SimpleNamespace(name="scale", refused=refused, profile_id="a/b")
    return SimpleNamespace(
        name="line", devices=[device], counters=SimpleNamespace(opened=opened, refused_writes=writes)
    )


def test_a_line_that_opens_bytes_that_are_not_written_and_a_device_that_is_refused():
    notes = Notes()
    watch = Watch(notes)
    watch.ports([port()])
    assert notes.take() == []
    watch.ports([port(opened=1)])
    assert notes.take() == [(Event.DEVICE_OPENED, "line", {})]
    watch.ports([port(opened=1, writes=3)])
    assert notes.take() == [(Event.TRANSMIT_REFUSED, "line", {"count": 3})]
    watch.ports([port(opened=1, writes=3, refused="what the device said of itself")])
    assert notes.take() == [(Event.DEVICE_REFUSED, "scale", {"port": "line", "profile": "a/b"})]
    watch.ports([port(opened=1, writes=3, refused="what the device said of itself")])
    assert notes.take() == []


def test_losses_rejections_and_a_broker_that_refuses():
    def forwarder(lost: int, rows: int, rejected: int, refused: int) -> Any:
        return SimpleNamespace(
            spool=SimpleNamespace(counters=SimpleNamespace(lost=lost, tampered=0, damaged=0)),
            counters=SimpleNamespace(rows_lost=rows, rejected=rejected),
            sink=SimpleNamespace(counters=SimpleNamespace(puback_refused=refused)),
        )

    notes = Notes()
    watch = Watch(notes)
    watch.forwarder(forwarder(0, 0, 0, 0))
    assert notes.take() == []
    watch.forwarder(forwarder(2, 5, 1, 4))
    assert [event for event, _, _ in notes.take()] == [
        Event.SPOOL_LOSS,
        Event.SPOOL_LOSS,
        Event.MESSAGE_REJECTED,
        Event.BROKER_REFUSED,
    ]
    watch.forwarder(forwarder(2, 5, 1, 4))
    assert notes.take() == []


def test_a_step_of_the_clock_and_what_it_is_worth():
    notes = Notes()
    watch = Watch(notes)
    watch.clock(ClockState(ClockQuality.SYNCHRONISED, 0))
    watch.clock(ClockState(ClockQuality.STEPPED, 3_600_000_000_000))
    assert notes.take() == [
        (Event.CLOCK_QUALITY, "", {"now": "synchronised", "was": "unknown"}),
        (Event.CLOCK_STEP, "", {"step_s": 3600.0}),
        (Event.CLOCK_QUALITY, "", {"now": "stepped", "was": "synchronised"}),
    ]
