"""mdi probe over pseudo-terminals, as a person runs it: what is found, what is asked first, what is never written."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import registry
from gateway.cli import probe as command
from gateway.core.errors import LinkError
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.links.serial import SerialSettings
from gateway.probe_line import MarkedSerial, Marks
from gateway.simulate import Pty, serve

PROFILES = registry.Profiles()
PROBE = [sys.executable, "-m", "gateway.cli.app", "probe"]
PATIENCE_S = 60.0
WORDS: Any = {"capture_output": True, "text": True, "timeout": PATIENCE_S}
FOUND = {
    "nonin/9560_df2": ["--listen-only"],  # speaks by itself, found among all
    "masimo/rad8": ["--driver", "masimo_ascii"],
    "puritan_bennett/pb840_snda": ["-p", "puritan_bennett/pb840_snda", "-p", "puritan_bennett/pb840_sndf", "--yes"],
    "philips/intellivue_mp": ["--driver", "philips_intellivue", "--yes"],
    "tsi/pressura": ["-p", "tsi/pressura", "-p", "hettich/hettcube", "--yes"],  # Modbus RTU
}


@contextmanager
def simulated(*names: str) -> Iterator[list[str]]:
    """Have a simulated device on a pseudo-terminal for each profile; yield the paths."""
    stop = threading.Event()
    with ExitStack() as stack:
        paths = []
        for name in names:
            profile = PROFILES.get(name)
            device = registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], {}, Scene())
            pty = stack.enter_context(Pty())
            thread = threading.Thread(target=serve, args=(device, pty, stop))
            stack.callback(thread.join)
            stack.callback(stop.set)
            thread.start()
            paths.append(pty.where)
        yield paths


@pytest.fixture(scope="module")
def answers() -> dict[str, subprocess.CompletedProcess[str]]:
    """Probe all at once."""
    done = {}
    with simulated(*FOUND) as paths:
        running = {
            name: subprocess.Popen(
                [*PROBE, path, "--seconds", "1", "--json", *arguments],
                stdin=subprocess.DEVNULL if "--yes" in arguments or "--listen-only" in arguments else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for path, (name, arguments) in zip(paths, FOUND.items(), strict=True)
        }
        for name, process in running.items():
            said, complained = process.communicate(timeout=PATIENCE_S)
            done[name] = subprocess.CompletedProcess(process.args, process.returncode, said, complained)
    return done


@pytest.mark.parametrize("name", FOUND)
def test_what_is_connected_is_found(name: str, answers: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = answers[name]
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    names = [match["profile"] for match in found["found"]]
    assert name in [names[0], *found["equals"]], names
    assert found["found"][0]["rows"] > 0
    assert found["diagnoses"][-1]["trouble"] == "none"
    assert f'profile = "{names[0]}"' in found["stanza"]
    assert bool(found["sent"]) == ("--yes" in FOUND[name])


def test_the_monitor_says_who_it_is(answers: dict[str, subprocess.CompletedProcess[str]]) -> None:
    match = json.loads(answers["philips/intellivue_mp"].stdout)["found"][0]
    assert (match["model"], match["firmware"], match["protocol"]) == ("866062", "L.01.18", "sure")


def test_all_that_may_be_sent_is_listed_before_it_is_sent(
    answers: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    told = answers["puritan_bennett/pb840_snda"].stderr
    assert "sends these bytes, and no others" in told
    for pattern in (r"SNDA\r", r"SNDF\r"):
        assert f"\n  {pattern}\n" in told
    assert "sends these bytes" not in answers["nonin/9560_df2"].stderr


def test_nobody_there_to_agree_is_a_mistake_before_the_port_is_touched(tmp_path: Path) -> None:
    asked = subprocess.run([*PROBE, str(tmp_path / "none")], stdin=subprocess.DEVNULL, check=False, **WORDS)
    assert asked.returncode == 2
    assert "--listen-only or --yes" in asked.stderr


def test_a_port_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "none"), "--listen-only"]
    asked = subprocess.run([*PROBE, *arguments], check=False, **WORDS)
    assert asked.returncode == 1
    assert asked.stderr.count("\n") == 1
    assert "no such port" in asked.stderr


def test_who_says_no_has_sent_nothing() -> None:
    """A person at a terminal is asked; what is on the port is read from the device's end."""
    terminal, theirs = os.openpty()
    os.write(terminal, b"n\n")
    with Pty() as silent:
        arguments = [silent.where, "--driver", "puritan_bennett", "--seconds", "0.1"]
        asked = subprocess.run([*PROBE, *arguments], stdin=theirs, check=False, **WORDS)
        assert silent.read(0.0) == b""
    os.close(terminal)
    os.close(theirs)
    assert "Send them? [y/N]" in asked.stderr
    assert "Nothing was sent." in asked.stdout
    assert "no signal (likely): nothing was heard; the adapter does not tell CTS, DSR and DCD." in asked.stdout
    assert asked.returncode == 1


def test_a_verbose_pattern_is_shown_on_one_line_and_means_the_same() -> None:
    verbose = "(?x:\n  \\x02 [AB]\n  .{2} )"
    assert command._on_one_line(verbose) == r"(?x:\x02[AB].{2})"
    for told in (r"\x02 READ\r", "(?x: a\\ b )", "(?x: [ ab] )", "(?x: a # why\n )"):
        assert command._on_one_line(told) == told
    for pattern in {pattern for profile in PROFILES for pattern in profile.transmit}:
        assert "\n" not in command._on_one_line(pattern)


# ---- the line


def read_all(line: MarkedSerial, length: int) -> bytes:
    data = b""
    while len(data) < length:
        pieces = line.read(1.0)
        assert pieces, f"only {data!r}"
        data += b"".join(piece for _, piece in pieces)
    return data


def test_bytes_of_every_value_pass_with_marks() -> None:
    """PARMRK doubles FF, on a pseudo-terminal too; Marks takes that back."""
    with Pty() as device:
        line = MarkedSerial(SerialSettings(device.where), time.time_ns)
        line.open()
        every = bytes(range(256))
        device.write(every)
        raw = read_all(line, 257)
        assert raw == every + b"\xff"
        assert Marks().take(raw) == (every, every, b"")
        line.write(every)
        assert select.select([device._master], [], [], 1.0)[0]
        assert device.read(1.0) == every
        line.close()


def test_a_pseudo_terminal_has_no_handshake_lines() -> None:
    with Pty() as device:
        line = MarkedSerial(SerialSettings(device.where), time.time_ns)
        line.open()
        assert line.inputs() is None
        line.close()


def test_a_line_that_has_gone_is_an_error() -> None:
    with Pty() as device:
        line = MarkedSerial(SerialSettings(device.where), time.time_ns)
        line.open()
    with pytest.raises(LinkError, match="unplugged"):
        line.read(1.0)
    line.close()
