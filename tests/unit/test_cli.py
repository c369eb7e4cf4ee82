"""The command line as its users meet it: exit codes, one line for a mistake, JSON for programs, a manual for people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.record import Direction, Header, RecordingWriter

MONITOR = "philips/intellivue_mp"
GARBAGE = bytes(range(256)) * 8
COMMANDS = ["demo", "run", "acquire", "forward", "check", "status", "decode", "record", "replay", "simulate"]
COMMANDS += ["profile lint", "profile show", "hl7 check", "kita run", "kita latest"]
COMMANDS += ["kita alerts", "kita waves", "kita count"]


def mdi(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, as a user does."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LC_", "LANG"))}
    command = [sys.executable, "-m", "gateway.cli.app", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, env=clean | environment)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with all kinds of files that are not what a command wants."""
    (tmp_path / "folder").mkdir()
    for name in ("garbage", "garbage.toml", "garbage.mdirec", "garbage.asc", "garbage.blf"):
        (tmp_path / name).write_bytes(GARBAGE)
    (tmp_path / "empty").touch()
    (tmp_path / "empty.toml").touch()
    return tmp_path


MISTAKES = [
    "check -c {}/none",
    "check -c {}/folder",
    "check -c {}/garbage",
    "check -c {}/empty.toml",
    "run -c {}/none",
    "acquire -c {}/folder",
    "forward -c {}/garbage",
    "status -c {}/garbage",
    "record bed {}/new.mdirec -c {}/none",
    "decode -p philips/intellivue_mp {}/none",
    "decode -p philips/intellivue_mp {}/folder",
    "decode -p philips/intellivue_mp {}/garbage.mdirec",
    "decode -p smartecla/bedside_network {}/garbage.asc",
    "decode -p smartecla/bedside_network {}/garbage.blf",
    "decode -p nosuch {}/garbage",
    "decode -p philips/intellivue_m {}/garbage",
    "decode -p {}/garbage.toml {}/garbage",
    "decode -p {}/none.toml {}/garbage",
    "decode -p philips/intellivue_mp -o nosuch=1 {}/garbage",
    "decode -p philips/intellivue_mp -o poll_s {}/garbage",
    "decode -p philips/intellivue_mp -o poll_s=x {}/garbage",
    "decode -p philips/intellivue_mp --firmware Z.99 {}/garbage",
    "decode {}/garbage",
    "decode --nosuch {}/garbage",
    "replay {}/none",
    "replay {}/folder",
    "replay {}/garbage.mdirec",
    "replay {}/garbage --tcp 0 --can 0",
    "replay {}/garbage --speed -1",
    "simulate nosuch -p philips/intellivue_mp",
    "simulate philips_intellivue -p nosuch",
    "simulate philips_intellivue -p hettich/hettcube",
    "simulate philips_intellivue -p philips/intellivue_mp -o nosuch=1",
    "simulate philips_intellivue -p philips/intellivue_mp --pty {}/garbage",
    "simulate philips_intellivue -p philips/intellivue_mp --pty {}/folder",
    "simulate modbus -p hettich/hettcube --tcp 99999",
    "profile show nosuch",
    "profile show {}/garbage.toml",
    "profile show philips/intellivue_mp --firmware Z.99",
    "hl7 check {}/none",
    "hl7 check {}/folder",
    "kita count -d {}/none",
    "kita alerts -d {}/none",
    "kita waves -d {}/garbage",
    "kita latest -d {}/garbage",
    "kita count -d {}/empty",
    "kita run -d {}/k.db --protocol nosuch",
    "kita run -d {}/folder",
    "demo --broker nosuch",
    "demo --svg {}/none/x.svg",
    "nosuch",
]


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(place: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.cli import app as module

    said: list[str] = []
    monkeypatch.setattr(module, "print_mistake", lambda fault: said.append(" ".join(str(fault).split())))
    monkeypatch.setattr(sys, "argv", ["mdi", *line.format(*[place] * 3).split()])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 2
    assert len(said) == 1
    assert len(said[0]) > 15


def test_the_line_is_one_line_on_standard_error_without_a_trace(place: Path) -> None:
    for arguments in (["check", "-c", place / "garbage"], ["decode"], ["nosuch"]):
        result = mdi(*arguments)
        assert result.returncode == 2
        assert not result.stdout
        assert result.stderr.count(b"\n") == 1
        assert result.stderr.startswith(b"mdi: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_an_unreadable_file_is_a_line(place: Path) -> None:
    (place / "garbage").chmod(0)
    result = mdi("check", "-c", place / "garbage")
    assert (result.returncode, result.stderr.count(b"\n")) == (2, 1)
    assert b"Permission denied" in result.stderr


def test_what_a_person_keeps_is_never_replaced(place: Path) -> None:
    (place / "folder" / "mdi_config.toml").write_text("# somebody's own\n")
    monitor = ("simulate", "philips_intellivue", "-p", MONITOR, "--for", "1")
    for arguments in (
        (*monitor, "--pty", place / "garbage"),
        ("demo", "--for", "1", "--folder", place / "folder"),
        ("demo", "--for", "1", "--folder", place / "garbage"),
    ):
        assert mdi(*arguments).returncode == 2
    assert (place / "garbage").read_bytes() == GARBAGE
    assert (place / "folder" / "mdi_config.toml").read_text() == "# somebody's own\n"


def test_a_port_in_use_is_a_line() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = mdi("simulate", "modbus", "-p", "hettich/hettcube", "--tcp", port, "-o", "framing=tcp", "--for", "1")
    assert (result.returncode, result.stderr.count(b"\n")) == (1, 1)
    assert b"in use" in result.stderr


def test_bytes_that_are_no_device_are_said_to_be_none(place: Path) -> None:
    result = mdi("decode", "-p", MONITOR, place / "garbage")
    assert (result.returncode, result.stdout) == (0, b"")
    assert b"bad frames" in result.stderr
    assert b"no good frame" in result.stderr


@pytest.mark.parametrize("command", ["", "profile", "hl7", "kita", *COMMANDS])
def test_help_reads_like_a_manual(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    body = result.output.partition("\n\n")[2]
    first = body.partition("\n\n")[0].strip()
    assert first[0].isupper() or command == ""
    assert first.endswith((".", ":"))
    assert "..." not in first
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX", "da_DK.ISO-8859-1"])
def test_danish_letters_are_safe_in_any_locale(locale: str) -> None:
    for more in ({}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        result = mdi("profile", "show", "hettich/hettcube", LC_ALL=locale, **more)
        assert result.returncode == 0
        assert "Varmeskab, dør" in result.stdout.decode("utf-8")
        assert not result.stderr


def test_a_table_in_a_pipe_cuts_no_code() -> None:
    told = mdi("profile", "show", "hettich/hettcube", COLUMNS="40").stdout.decode()
    listed = json.loads(mdi("profile", "show", "hettich/hettcube", "--json").stdout)
    assert all(metric["ref_id"] in told for metric in listed["metrics"])


def test_profile_show_names_firmware_and_digest() -> None:
    shown = json.loads(mdi("profile", "show", MONITOR, "--firmware", "L.01.18", "--json").stdout)
    assert (shown["profile"], shown["verified"], len(shown["digest"])) == (MONITOR, "capture", 64)
    rate = next(metric for metric in shown["metrics"] if metric["ref_id"] == "MDC_ECG_HEART_RATE")
    assert (rate["code"], rate["unit"], rate["kind"]) == (147842, "/min", "numeric")


def test_profile_lint_names_file_and_line(tmp_path: Path) -> None:
    good = (Path(__file__).parents[2] / "firmware_profiles" / "hettich" / "hettcube.toml").read_text(encoding="utf-8")
    broken = tmp_path / "hettcube.toml"
    broken.write_text(good.replace('"MDCX_LAB_INCUBATOR_TEMP"', '"MDC_NO_SUCH_TERM"', 1), encoding="utf-8")
    line = next(n for n, text in enumerate(broken.read_text("utf-8").splitlines(), 1) if "MDC_NO_SUCH_TERM" in text)
    result = mdi("profile", "lint", broken)
    assert result.returncode == 2
    assert f"{broken}:{line}:" in result.stderr.decode()
    found = json.loads(mdi("profile", "lint", broken, "--json").stdout)
    assert f"{broken}:{line}" in [finding["where"] for finding in found]
    assert mdi("profile", "lint").returncode == 0


def test_check_says_what_is_configured() -> None:
    sample = Path(__file__).parents[2] / "mdi_config.toml"
    checked = json.loads(mdi("check", "-c", sample, "--json").stdout)
    assert {violation["rule"] for violation in checked["violations"]} <= {"signed"}  # nobody has signed it here
    assert checked["ok"] == (not checked["violations"])
    assert {"port", "driver", "link", "device", "profile", "metrics", "digest"} <= set(checked["ports"][0])


def test_hl7_check(shared: Path, place: Path) -> None:
    example = shared / "captures" / "hl7" / "ex1_vitals_monitor.er7"
    findings = json.loads(mdi("hl7", "check", example, "--json").stdout)
    assert all(
        "line feeds" in finding["what"] for finding in findings
    )  # it is stored with line feeds; no other finding
    wire = place / "wire.er7"
    wire.write_bytes(example.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r"))
    result = mdi("hl7", "check", wire)
    assert (result.returncode, result.stderr) == (0, b"")
    for name in ("garbage", "empty"):
        result = mdi("hl7", "check", place / name)
        assert result.returncode == 1
        assert b"Traceback" not in result.stderr
        assert result.stderr


def test_a_closed_pipe_is_no_trace(shared: Path) -> None:
    file = shared / "captures" / "philips_mp90" / "mp90_1A.bin"
    command = [sys.executable, "-m", "gateway.cli.app", "decode", "-p", MONITOR, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["ref_id"]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


@pytest.mark.parametrize("name", ["A", "B", "D"])
def test_decode_agrees_with_the_expected_counts(shared: Path, name: str) -> None:
    """Expected: "physio id/unit" -> n, min, max. A physio id of the base partition 2 has code 131072 + id."""
    folder = shared / "captures" / "philips_mp90"
    expected = json.loads((folder / f"mp90_1{name}.expected.json").read_text())
    counted = json.loads(mdi("decode", "-p", MONITOR, "--stats", folder / f"mp90_1{name}.bin").stdout)
    assert (counted["frames_ok"], counted["frames_bad"]) == (expected["frames_ok"], expected["frames_bad"])
    codes = _codes(MONITOR)
    by_code = {codes[ref_id]: row for ref_id, row in counted["metrics"].items()}
    compared = 0
    for key, want in expected["numerics"].items():
        got = by_code.get(131072 + int(key.partition("/")[0], 16))
        if got is not None:
            compared += 1
            assert (got["n"], got["min"], got["max"]) == (want["n"], want["min"], want["max"]), key
    assert compared >= min(3, len(expected["numerics"]))
    for key, n in expected["no_value"].items():
        got = by_code.get(131072 + int(key, 16))
        assert got is None or got["no_value"] >= n
    waves = {codes[ref_id]: n for ref_id, n in counted["waveforms"].items()}
    assert sorted(waves.values()) == sorted(expected["wave_samples"].values())


def _codes(profile: str) -> dict[str, int]:
    shown: Any = json.loads(mdi("profile", "show", profile, "--json").stdout)
    return {metric["ref_id"]: metric["code"] for metric in shown["metrics"]}


def test_one_sample_is_one_object(shared: Path) -> None:
    file = shared / "captures" / "philips_mp90" / "mp90_1A.bin"
    lines = mdi("decode", "-p", MONITOR, file).stdout.splitlines()
    samples = [json.loads(line) for line in lines[:5000]]
    assert all({"t", "code", "ref_id", "value", "unit", "validity", "waveform"} <= set(sample) for sample in samples)
    pressure = next(sample for sample in samples if sample["ref_id"] == "MDC_PRESS_BLD_NONINV_SYS")
    assert (pressure["value"], pressure["validity"], pressure["code"]) == (None, "NA", 150021)
    assert any(sample["waveform"] for sample in samples)


def test_a_recording_names_its_profile(tmp_path: Path, shared: Path) -> None:
    data = (shared / "captures" / "philips_mp90" / "mp90_1A.bin").read_bytes()[:40_000]
    header = Header("2026-01-31T12:00:00Z", "0.1.0", "bed", "philips_intellivue", "line", ((MONITOR, "0" * 64),))
    writer = RecordingWriter(tmp_path / "bed.mdirec", header)
    writer.append(1_700_000_000_000_000_000, Direction.FROM_DEVICE, data)
    writer.close()
    result = mdi("decode", "--stats", tmp_path / "bed.mdirec")
    assert json.loads(result.stdout)["frames_ok"] > 50
    two = Header("2026-01-31T12:00:00Z", "0.1.0", "bed", "x", "line", ((MONITOR, "0"), ("hettich/hettcube", "0")))
    RecordingWriter(tmp_path / "two.mdirec", two).close()
    result = mdi("decode", tmp_path / "two.mdirec")
    assert result.returncode == 2
    assert b"several devices" in result.stderr
