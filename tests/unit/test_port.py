"""A port with a scripted line: it reads, answers, publishes, survives the line and refuses the wrong device by name."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.core.clock import ClockQuality, ClockState, Kernel, state_of
from gateway.core.errors import LinkError
from gateway.core.frame import NEED_DATA, Event, Fault, Frame, Identified, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import buffer_size, format_buffer
from gateway.core.ring_reader import RingReader
from gateway.core.transmit import Gate
from gateway.links.base import LinkEnded
from gateway.port import Clocks, Port, PortDevice, guarded
from tests.unit.test_plan import HEAD, SPO2

PROFILE = parse_profile(
    HEAD.replace("[units]", '[firmware]\nranges = [{ min = "1", max = "2" }]\n[units]') + SPO2 + "\n]\n",
    "test/test",
    "test.toml",
)
Step = list[tuple[int, bytes]] | Exception | Callable[[], None]


@dataclass
class ScriptedLink:
    """Plays a script of reads; sets `stop` when it is over."""

    stop: threading.Event
    script: deque[Step]
    opens: list[Exception | None] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)
    last_words: list[bytes] = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    def open(self) -> None:
        self.opened += 1
        fault = self.opens.pop(0) if self.opens else None
        if fault:
            raise fault

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        assert 0 <= timeout <= 1
        if b"bye" in self.written and self.last_words:
            return [(9, self.last_words.pop())]
        if not self.script:
            self.stop.set()
            return []
        step = self.script.popleft()
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step()
            return []
        return step

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed += 1


class EchoProtocol:
    """One byte in is one reading; some bytes have a meaning of their own."""

    def __init__(self) -> None:
        self.frames_ok = 0
        self.started = 0
        self.parting = self.waiting = self.expects_answer = False
        self.asked = True
        self._events: deque[Event] = deque()

    def start(self, now: float) -> None:
        self.started += 1
        self.asked = False

    def receive_data(self, data: bytes, t_ns: int) -> None:
        self.waiting = False
        for byte in data:
            if byte == ord("!"):
                self._events.append(Fault("fcs", "wrong", bad_frame=True))
            elif byte == ord("?"):
                self._events.append(Fault("silence", "nothing for 5 s"))
            elif byte in b"1239":
                self._events.append(Identified("Test", "Test", chr(byte)))
            else:
                self.frames_ok += 1
                self._events.append(Frame("numeric", [Reading(1, 0, 0x0220, float(byte))], t_ns))

    def next_event(self) -> Event:
        return self._events.popleft() if self._events else NEED_DATA

    def data_to_send(self, now: float) -> bytes:
        if self.parting:
            self.parting = False
            self.waiting = self.expects_answer
            return b"bye"
        asked, self.asked = self.asked, True
        return b"" if asked else b"hello"

    def next_wake(self) -> float | None:
        return 1000.1 if self.parting or self.waiting else None

    def stop(self, now: float) -> None:
        self.parting = True


class Rig:
    def __init__(
        self,
        *script: Step,
        opens: list[Exception | None] | None = None,
        allow: str = "[a-z]+",
        clocks: Clocks | None = None,
    ) -> None:
        self.stop = threading.Event()
        self.link = ScriptedLink(self.stop, deque(script), opens or [])
        self.protocol = EchoProtocol()
        buffer = memoryview(bytearray(buffer_size(256)))
        format_buffer(buffer, 256)
        self.reader = RingReader(buffer)
        self.device = PortDevice(3, "device", "test/test", "", self.compile("test/test", ""))
        gate = Gate([allow] if allow else [])
        clocks = clocks or Clocks(lambda: 1000.0, lambda: 5)
        self.port = Port(
            "port", self.link, self.protocol, [self.device], RingWriter(buffer), self.compile, gate, clocks
        )

    def compile(self, _: str, firmware: str) -> Plan:
        return Plan(PROFILE, firmware, nomenclature())

    def run(self) -> list[tuple[int, float]]:
        thread = threading.Thread(target=guarded, args=(self.port, self.stop))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        return [(int(row["source"]), float(row["value"])) for b in self.reader.read(1000) for row in b.rows]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.port.PAUSES_S", (0.0,))


def test_it_reads_answers_publishes_and_parts() -> None:
    rig = Rig([(1, b"ab")], [], [(2, b"c")])
    assert rig.run() == [(3, 97.0), (3, 98.0), (3, 99.0)]
    assert rig.link.written == [b"hello", b"bye"]
    assert (rig.port.counters.frames_ok, rig.port.counters.samples, rig.port.counters.bytes_in) == (3, 3, 3)
    assert rig.port.state == "stopped"
    assert rig.link.closed


@pytest.mark.parametrize(("allow", "written"), [("hello", [b"hello"]), ("bye", [b"bye"]), ("hell", []), ("", [])])
def test_nothing_outside_the_transmit_grammar_is_written(
    allow: str, written: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a question nor the parting; what the device says is read all the same."""
    rig = Rig([(1, b"ab")], allow=allow)
    assert rig.run() == [(3, 97.0), (3, 98.0)]
    assert rig.link.written == written
    assert rig.port.counters.refused_writes == 2 - len(written)
    assert rig.port.counters.bytes_out == sum(map(len, written))
    assert caplog.text.count("does not allow were not sent") == 1  # said once, counted each time


def test_values_that_come_with_the_answer_to_the_release_are_kept() -> None:
    rig = Rig([(1, b"a")])
    rig.link.last_words, rig.protocol.expects_answer = [b"z"], True
    assert rig.run() == [(3, 97.0), (3, 122.0)]


def test_one_read_is_one_block() -> None:
    rig = Rig([(1, b"ab"), (2, b"cd")])
    rig.run()
    rig.reader.rewind()
    assert [len(b.rows) for b in rig.reader.read(1000)] == [4]


def test_a_line_that_fails_is_opened_again_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    gone = [LinkError("no such port", "/dev/ttyX", "plug it in") for _ in range(5)]
    rig = Rig([(1, b"a")], LinkError("unplugged", "/dev/ttyX"), [(2, b"b")], opens=[*gone, None, None])
    with caplog.at_level(logging.WARNING):
        assert [value for _, value in rig.run()] == [97.0, 98.0]
    assert rig.port.counters.link_errors == 6
    assert rig.protocol.started == 2
    assert [r.getMessage() for r in caplog.records] == [
        "port port: /dev/ttyX: no such port → plug it in",
        "port port: /dev/ttyX: unplugged",
    ]


def test_bad_frames_are_counted_and_not_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig([(1, b"!!a!")])
    with caplog.at_level(logging.WARNING):
        assert rig.run() == [(3, 97.0)]
    assert rig.port.counters.frames_bad == {"fcs": 3}
    assert not caplog.records


def test_a_fault_of_the_line_is_one_line_for_the_person(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig([(1, b"???")])
    with caplog.at_level(logging.WARNING):
        rig.run()
    assert [r.getMessage() for r in caplog.records] == ["port port: device: silence"]
    assert rig.port.counters.faults == {"silence": 3}


def test_a_fault_that_comes_with_every_value_is_said_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    """Found with an echoing line: after each fault each good frame was said."""
    with caplog.at_level(logging.INFO, "mdi.port"):
        Rig(*([(n, b"?a")] for n in range(4))).run()
    said = [record.getMessage() for record in caplog.records]
    assert sum("silence" in line for line in said) == 1
    assert sum("receiving" in line for line in said) == 1


def test_the_firmware_that_the_device_says_gives_the_plan() -> None:
    rig = Rig([(1, b"a1b")])
    rig.run()
    rig.reader.rewind()
    names = [rig.reader.plan_name(b.plan).firmware for b in rig.reader.read(100)]
    assert names == ["", "1"]


def test_a_device_of_another_firmware_is_refused_by_name_and_taken_when_it_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []
    rig = Rig([(1, b"9ab")], [(2, b"c2d")])
    rig.link.script.insert(1, lambda: seen.append(rig.port.state))
    with caplog.at_level(logging.WARNING):
        assert [value for _, value in rig.run()] == [100.0]
    assert "firmware '9' is outside the range of profile test/test" in seen[0]
    assert rig.port.counters.refused_frames == 3
    assert len([r for r in caplog.records if "outside" in r.getMessage()]) == 1


def test_the_end_of_a_recording_is_not_played_again() -> None:
    rig = Rig([(1, b"a")], LinkEnded("at its end"))
    threading.Timer(0.3, rig.stop.set).start()
    assert rig.run() == [(3, 97.0)]
    assert rig.link.opened == 1


def test_a_bug_ends_this_port_only_and_is_said_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig([(1, b"a")], ZeroDivisionError("a bug"), [(2, b"b")])
    assert [value for _, value in rig.run()] == [97.0, 98.0]
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info is not None


# ---- the clock


class TurnedClock:
    """Clocks of a machine; a step of the script sets the wall clock."""

    def __init__(self, utc_ns: int = 1_795_253_401_000_000_000) -> None:
        self.mono, self.utc_ns, self.kernel = 1000.0, utc_ns, Kernel(False)

    def set(self, step_ns: int) -> Callable[[], None]:
        def turn() -> None:
            self.utc_ns += step_ns

        return turn

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.mono, lambda: self.utc_ns, lambda: self.kernel)


def test_the_block_after_a_step_says_so_and_no_block_before_it() -> None:
    hour, clock = 3_600_000_000_000, TurnedClock()
    script: list[Step] = [[(1, b"a")], clock.set(-hour), [(2, b"b")], [(3, b"c")]]
    rig = Rig(*script, clocks=clock.clocks())
    rig.run()
    rig.reader.rewind()
    told = [state_of(block.clock, rig.reader.note) for block in rig.reader.read(1000)]
    assert told == [
        ClockState(ClockQuality.UNSYNCHRONISED),
        ClockState(ClockQuality.STEPPED, -hour),
        ClockState(ClockQuality.STEPPED),
    ]


def test_a_step_seen_while_the_ring_was_full_is_told_with_the_next_block_that_fits() -> None:
    clock = TurnedClock()
    rig = Rig(*[[(1, b"a" * 60)]] * 4, clock.set(10**9), [(2, b"a" * 60)], clocks=clock.clocks())  # the last: no room

    def taken() -> None:
        list(rig.reader.read(1000))
        rig.reader.release()

    rig.link.script.append(taken)
    rig.link.script.append([(3, b"c")])
    rig.run()
    rig.reader.rewind()
    (block,) = rig.reader.read(1000)
    assert rig.port.ring.dropped
    assert state_of(block.clock, rig.reader.note) == ClockState(ClockQuality.STEPPED, 10**9)


def test_1970_at_boot_is_marked_until_somebody_sets_the_clock() -> None:
    clock = TurnedClock(40_000_000_000)
    rig = Rig([(1, b"a")], clock.set(1_795_253_361_000_000_000), [(2, b"b")], clocks=clock.clocks())
    rig.run()
    rig.reader.rewind()
    told = [state_of(block.clock, rig.reader.note).quality for block in rig.reader.read(1000)]
    assert told == [ClockQuality.UNSET, ClockQuality.STEPPED]


def test_of_a_barred_device_nothing_is_taken_until_it_is_free_again() -> None:
    rig = Rig([(1, b"a")], [(2, b"b")], [(3, b"c")])
    device = rig.port.devices[0]
    rig.link.script.insert(1, lambda: setattr(device, "barred", "suspended"))
    rig.link.script.insert(3, lambda: setattr(device, "barred", ""))
    assert [value for _, value in rig.run()] == [97.0, 99.0]
    assert rig.port.counters.refused_frames == 1
