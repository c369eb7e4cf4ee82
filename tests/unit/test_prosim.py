"""mdi prosim: commands and answers as the protocol notes have them, the comparison, and the whole way over two ptys."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import registry
from gateway.core.errors import ConfigError, DeviceError, LinkError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.protocol import DeviceSpec, Simulator
from gateway.core.sample import SAMPLE, Block, Flag, Validity
from gateway.prosim import ERRORS, PARAMETERS, Comparison, ProSim, Setting, read_setting
from gateway.simulate import Pty, serve
from tests.parts.prosim import ProSimSimulator, SimulatedPatient

MONITOR = "philips/intellivue_mp"
T0 = 1_767_225_600_000_000_000


# ---- what can be set


@pytest.mark.parametrize(
    ("text", "commands"),
    [  # "Worked examples" of the notes
        ("hr=80", ["NSRA=080"]),
        ("hr-paediatric=140", ["NSRP=140"]),
        ("spo2=92", ["SAT=092"]),
        ("spo2=100", ["SAT=100"]),
        ("rr=20", ["RESPRATE=020", "RESPRUN=TRUE"]),
        ("nibp=120/80", ["NIBPP=120,080", "NIBPRUN=TRUE"]),
        ("p1=120/80", ["IBPP=1,120,080", "IBPW=1,ART"]),
        ("p2=25/10", ["IBPP=2,025,010", "IBPW=2,PA"]),
        ("p1-static=-5", ["IBPS=1,-005"]),
        ("p2-static=20", ["IBPS=2,+020"]),
    ],
)
def test_commands(text: str, commands: list[str]) -> None:
    assert read_setting(text).commands == commands


def test_error_of_a_public_source_negative_static_pressure_has_one_sign() -> None:
    """Its zero padding of -10 gave --10."""
    assert read_setting("p1-static=-10").commands == ["IBPS=1,-010"]


@pytest.mark.parametrize(
    "text", ["pulse=80", "hr", "hr=", "hr=80.5", "hr=9", "hr=361", "hr=80/60", "p1=120", "spo2=101", "p1-static=-11"]
)
def test_what_cannot_be_set_is_refused_before_anything_is_opened(text: str) -> None:
    with pytest.raises(ConfigError):
        read_setting(text)


def test_every_term_is_in_the_nomenclature_and_has_the_unit() -> None:
    known = nomenclature()
    for parameter in PARAMETERS.values():
        for read in parameter.reads:
            for term in read.terms:
                assert known.fits(known.term(term), known.unit(parameter.unit, known.term(term))), term


def test_what_the_simulator_takes_is_what_the_table_sends() -> None:
    device = ProSimSimulator({})
    device.receive_data(b"REMOTE\r", 0.0)
    for parameter in PARAMETERS.values():
        for end in (parameter.low, parameter.high):
            for command in Setting(parameter, (end,) * len(parameter.reads)).commands:
                device.receive_data(command.encode() + b"\r", 0.0)
    assert set(device.data_to_send(0.0).split(b"\r\n")) == {b"RMAIN", b"*", b""}


# ---- a session


@dataclass
class Wire:
    """A Link to a simulator, in virtual time: an empty read takes all the time it may."""

    device: Simulator
    now: float = 0.0
    open_: bool = False
    sent: list[bytes] = field(default_factory=list)
    late: bytes = b""

    def open(self) -> None:
        self.open_ = True

    def close(self) -> None:
        self.open_ = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self.device.receive_data(data, self.now)

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        data = self.device.data_to_send(self.now)
        if not data:
            self.now += timeout
            return []
        return [(0, data[i : i + 1]) for i in range(len(data))]


def session(device: Simulator) -> tuple[ProSim, Wire]:
    wire = Wire(device)
    return ProSim(wire, lambda: wire.now, "/dev/x"), wire


def test_a_session_as_the_notes_have_it() -> None:
    device = ProSimSimulator({})
    prosim, wire = session(device)
    prosim.open()
    assert (prosim.model, prosim.firmware, device.mode) == ("PROSIM6", "1.00.06", "RMAIN")
    prosim.set(read_setting("hr=80"))
    prosim.set(read_setting("spo2=92"))
    assert device.numbers["MDC_ECG_HEART_RATE"] == 80
    prosim.close()
    assert device.mode == "LOCAL"
    assert not wire.open_
    assert wire.sent == [b"IDENT\r", b"REMOTE\r", b"NSRA=080\r", b"SAT=092\r", b"LOCAL\r"]


def test_validation_diagnosis_and_calibration_are_never_asked_for() -> None:
    device = ProSimSimulator({})
    prosim, wire = session(device)
    prosim.open()
    for parameter in PARAMETERS.values():
        prosim.set(Setting(parameter, (parameter.high,) * len(parameter.reads)))
    prosim.close()
    said = {line.split(b"=")[0].strip() for line in wire.sent}
    assert said == {b"IDENT", b"REMOTE", b"LOCAL", b"NSRA", b"NSRP", b"SAT", b"RESPRATE", b"RESPRUN"} | {
        *(b"NIBPP", b"NIBPRUN", b"IBPP", b"IBPW", b"IBPS")
    }


@pytest.mark.parametrize("answer", [*ERRORS, "ERR=03", "?"])
def test_what_the_prosim_refuses_is_told(answer: str) -> None:
    prosim, _ = session(ProSimSimulator({}, refuses={"SAT": answer}))
    prosim.open()
    with pytest.raises(DeviceError, match="SAT=092 was refused") as caught:
        prosim.set(read_setting("spo2=92"))
    assert ERRORS.get(answer, answer) in str(caught.value)


def test_the_answers_of_older_relatives_are_understood() -> None:
    """ProSim 2 and MPS450 say OK where others say *."""
    prosim, _ = session(ProSimSimulator({}, refuses={"SAT": "OK", "REMOTE": "OK"}))
    prosim.open()
    prosim.set(read_setting("spo2=92"))


def test_one_that_stays_local_is_given_up() -> None:
    prosim, wire = session(ProSimSimulator({}, refuses={"REMOTE": "!02"}))
    with pytest.raises(DeviceError, match="not allowed now"):
        prosim.open()
    assert not wire.open_


class Silent:
    """Something that is no ProSim: it says nothing, or never ends its line."""

    def __init__(self, says: bytes) -> None:
        self.says = says

    def receive_data(self, data: bytes, now: float) -> None: ...

    def data_to_send(self, now: float) -> bytes:
        return self.says

    def next_wake(self) -> float | None:
        return None


@pytest.mark.parametrize("says", [b"", b"x"])
def test_silence_and_noise_end_in_time(says: bytes) -> None:
    prosim, wire = session(Silent(says))
    with pytest.raises(DeviceError, match="no answer to IDENT"):
        prosim.open()
    assert wire.now <= 2.0
    assert not wire.open_


def test_a_line_that_breaks_is_a_link_error() -> None:
    prosim, wire = session(ProSimSimulator({}))

    def broken(_: float) -> list[tuple[int, bytes]]:
        raise LinkError("unplugged")

    wire.read = broken  # type: ignore[method-assign]
    with pytest.raises(LinkError):
        prosim.open()
    assert not wire.open_


# ---- the comparison


def plan() -> Plan:
    return registry.Profiles().plan(MONITOR, "")


def row(
    ref_id: str, value: float, validity: int = Validity.VLD, t_ns: int = T0, flags: int = 0, path: str = ""
) -> Block:
    metrics = plan().metrics
    index = next(m.index for m in metrics if m.ref_id == ref_id and path in ("", m.path) and m.kind == "numeric")
    return np.array([(t_ns, 0, value, index, 0, validity, flags, 0)], SAMPLE)


def compared(*settings: str, **tolerances: float) -> Comparison:
    return Comparison([read_setting(text) for text in settings], tolerances, T0)


def test_a_reading_within_its_tolerance_is_right() -> None:
    found = compared("hr=80", "spo2=97")
    assert not found.met
    found.take(plan(), row("MDC_ECG_HEART_RATE", 81))
    found.take(plan(), row("MDC_PULS_OXIM_SAT_O2", 94.9))
    assert [(line.name, line.read, line.ok) for line in found.result()] == [("hr", 81, True), ("spo2", 94.9, False)]
    found.take(plan(), row("MDC_PULS_OXIM_SAT_O2", 95))
    assert found.met


def test_a_tolerance_of_ones_own() -> None:
    found = compared("hr=80", hr=5)
    found.take(plan(), row("MDC_ECG_HEART_RATE", 84))
    assert found.met


def test_two_numbers_are_two_lines() -> None:
    found = compared("p1=120/80")
    found.take(plan(), row("MDC_PRESS_BLD_ART_ABP_SYS", 121))
    found.take(plan(), row("MDC_PRESS_BLD_ART_ABP_DIA", 70))
    assert [(line.name, line.set, line.ok) for line in found.result()] == [("p1 sys", 120, True), ("p1 dia", 80, False)]


@pytest.mark.parametrize(
    "block",
    [
        row("MDC_ECG_HEART_RATE", 80, t_ns=T0 - 1),  # measured before it was set
        row("MDC_ECG_HEART_RATE", 80, Validity.ONG),
        row("MDC_ECG_HEART_RATE", 80, flags=Flag.DEMO),
        row("MDC_ECG_HEART_RATE", 80, flags=Flag.TEST),
        row("MDC_ECG_HEART_RATE", math.nan, Validity.NA),
        row("MDC_PULS_OXIM_SAT_O2", 80),
    ],
)
def test_what_is_no_measurement_of_it_does_not_count(block: Block) -> None:
    found = compared("hr=80")
    found.take(plan(), block)
    assert not found.met


def test_a_probe_that_falls_off_takes_its_reading_back() -> None:
    found = compared("hr=80")
    found.take(plan(), row("MDC_ECG_HEART_RATE", 80))
    found.take(plan(), row("MDC_ECG_HEART_RATE", math.nan, Validity.NA))
    assert not found.met


def test_the_heart_rate_is_that_of_the_ecg_where_there_is_one() -> None:
    found = compared("hr=80")
    found.take(plan(), row("MDC_PULS_OXIM_PULS_RATE", 80))
    assert found.met
    found.take(plan(), row("MDC_ECG_HEART_RATE", 60))
    assert not found.met


# ---- the whole way


@contextmanager
def simulated(folder: Path, patient: SimulatedPatient) -> Iterator[ProSimSimulator]:
    """Have a ProSim on folder/prosim, and on folder/monitor a monitor into which it is plugged."""
    prosim = ProSimSimulator(patient.numbers)
    spec = DeviceSpec(0, registry.Profiles().get(MONITOR))
    monitor = registry.driver("philips_intellivue").simulator([spec], {}, patient)
    stop = threading.Event()
    with ExitStack() as stack:
        for name, device in (("prosim", prosim), ("monitor", monitor)):
            wire = stack.enter_context(Pty(folder / name))
            thread = threading.Thread(target=serve, args=(device, wire, stop))
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        yield prosim


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli.app", "prosim", str(folder / "prosim"), "--hold", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def given(folder: Path) -> tuple[str, ...]:
    return "-p", MONITOR, "--port", str(folder / "monitor")


def by_name(said: str) -> dict[str, dict[str, Any]]:
    return {line["parameter"]: line for line in json.loads(said)["parameters"]}


@pytest.mark.e2e
@pytest.mark.slow
def test_what_is_set_on_the_prosim_is_read_from_the_monitor(tmp_path: Path) -> None:
    with simulated(tmp_path, SimulatedPatient()) as prosim:
        wanted = ("--set", "hr=104", "--set", "spo2=86", "--set", "rr=31", "--set", "p1=97/51")
        done = run(tmp_path, *wanted, *given(tmp_path), "--json", "--timeout", "30")
    assert done.returncode == 0, done.stderr
    found = by_name(done.stdout)
    assert {name: line["set"] for name, line in found.items()} == {
        "hr": 104,
        "spo2": 86,
        "rr": 31,
        "p1 sys": 97,
        "p1 dia": 51,
    }
    assert all(line["ok"] and line["read"] == pytest.approx(line["set"], abs=1) for line in found.values())
    assert json.loads(done.stdout)["prosim"] == {"model": "PROSIM6", "firmware": "1.00.06"}
    assert prosim.said[:2] == ["IDENT", "REMOTE"]
    assert prosim.said[-1] == "LOCAL"


@pytest.mark.e2e
@pytest.mark.slow
def test_a_monitor_that_shows_something_else_is_found_out(tmp_path: Path) -> None:
    """The ProSim is not plugged in: the monitor has a patient of its own."""
    with simulated(tmp_path, SimulatedPatient()) as prosim:
        prosim.numbers = {}
        done = run(tmp_path, "--set", "hr=200", *given(tmp_path), "--timeout", "6")
    assert done.returncode == 1
    assert "NO" in done.stdout
    assert "200 /min" in done.stdout
    assert prosim.mode == "LOCAL"


@pytest.mark.e2e
@pytest.mark.slow
def test_the_monitor_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "mdi_config.toml").write_text(
        f"""
[security]
mode = "lab"
[gateway]
name = "gw-test"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{tmp_path}"
run_dir = "{tmp_path}"
[sink]
kind = "file"
directory = "{tmp_path}/out"
[[route]]
interval_s = 0.0
[[port]]
name = "bed"
driver = "philips_intellivue"
link = {{ kind = "serial", device = "{tmp_path}/monitor", baud = 115200 }}
[[port.device]]
name = "stue3-seng2"
profile = "{MONITOR}"
eui64 = "0009FBFFFE012345"
"""
    )
    config = ("--config", str(tmp_path / "mdi_config.toml"))
    with simulated(tmp_path, SimulatedPatient()):
        done = run(tmp_path, "--set", "hr=104", "--monitor", "stue3-seng2", *config, "--timeout", "30")
        other = run(tmp_path, "--set", "hr=104", "--monitor", "seng9", *config)
    assert (done.returncode, done.stderr.count("PROSIM6 1.00.06")) == (0, 1)
    assert "MDC_ECG_HEART_RATE" in done.stdout
    assert (other.returncode, "stue3-seng2" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "pulse=80"], "cannot be set"),
        (["--set", "hr=80"], "no monitor"),
        (["--set", "hr=80", "--tolerance", "hr=x", "-p", MONITOR, "--port", "/nowhere"], "is no number"),
        (["--set", "hr=80", "--tolerance", "x=1", "-p", MONITOR, "--port", "/nowhere"], "cannot be set"),
        ([], "--set"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
