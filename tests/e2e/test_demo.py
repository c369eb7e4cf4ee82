"""`mdi demo`, whole: three devices, gateway, broker and KITA, each a process; what it leaves behind is checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.demo_beds import BEDS
from gateway.demo_broker import _mosquitto
from tests.parts.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
EUI64 = {"0009FBFFFE012345", "0011223344550001", "0011223344550003"}


def mdi(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli.app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_all_three_devices_arrive(tmp_path: Path, broker: str) -> None:
    if broker == "mosquitto" and not _mosquitto():
        pytest.skip("mosquitto is not installed")
    folder, svg = tmp_path / "demo", tmp_path / "demo.svg"
    result = mdi("demo", "--for", "6", "--folder", str(folder), "--broker", broker, "--svg", str(svg))
    assert result.returncode == 0, result.stderr + result.stdout
    assert "ok: 3 of 3 devices in KITA" in result.stdout
    assert " 0 waiting, 0 samples lost" in result.stdout
    latest = mdi("kita", "latest", "--apart", "--json", "--database", str(folder / "kita.db"))
    rows = json.loads(latest.stdout)
    assert {row["device"] for row in rows} == EUI64
    assert any(row["ref_id"] == "MDC_ECG_HEART_RATE" and row["value"] for row in rows)
    counts = json.loads(mdi("kita", "count", "--json", "--database", str(folder / "kita.db")).stdout)
    assert counts["apart"] > 100
    assert (counts["observations"], counts["dead_letters"]) == (0, 0)
    picture = svg.read_text(encoding="utf-8")
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert str(tmp_path) not in picture
    assert "@font-face" not in picture
    for log in folder.glob("*.log"):
        assert "Traceback" not in log.read_text(encoding="utf-8"), log


def test_a_full_bed_arrives_with_waves_and_alerts(tmp_path: Path) -> None:
    """Monitor, ventilator, two pumps, oximeter, room pressure, ECMO: KITA shows all of it."""
    folder = tmp_path / "bed"
    result = mdi("demo", "--bed", "icu", "--for", "14", "--folder", str(folder))
    assert result.returncode == 0, result.stderr + result.stdout
    assert "ok: 7 of 7 devices in KITA" in result.stdout
    database = ("--apart", "--json", "--database", str(folder / "kita.db"))
    rows = json.loads(mdi("kita", "latest", *database).stdout)
    read = {row["ref_id"] for row in rows if row["value"] is not None}
    assert {row["device"] for row in rows} == {device.eui64 for device in BEDS["icu"]}
    assert read >= {
        "MDC_ECG_HEART_RATE",
        "MDC_VOL_AWAY_TIDAL",
        "MDC_FLOW_FLUID_PUMP",
        "MDC_PULS_OXIM_SAT_O2",
        "MDCX_ROOM_PRESS",
    }
    heart = next(row["value"] for row in rows if row["ref_id"] == "MDC_ECG_HEART_RATE")
    pulse = [row["value"] for row in rows if row["ref_id"] == "MDC_PULS_OXIM_PULS_RATE" and row["value"]]
    assert pulse  # of two devices, and of the one patient
    assert all(abs(heart - value) < 6 for value in pulse)
    waves = json.loads(mdi("kita", "waves", "--seconds", "600", *database).stdout)
    assert {"MDC_ECG_ELEC_POTL_II", "MDC_PULS_OXIM_PLETH"} <= {run["ref_id"] for run in waves}
    alerts = json.loads(mdi("kita", "alerts", *database).stdout)
    assert len(alerts["alerting"]) >= 3  # devices that say what alarms
    for log in folder.glob("*.log"):
        assert "Traceback" not in log.read_text(encoding="utf-8"), log


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_or_ctrl_c_leaves_no_process_behind(tmp_path: Path, how: signal.Signals) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "gateway.cli.app", "demo", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as demo:
        files = [folder / "run" / f"status-{role}.json" for role in ("acquire", "forward")]
        wait_until(lambda: all(file.exists() for file in files), timeout_s=40)
        gateway = json.loads(files[0].read_text())["pid"]
        demo.send_signal(how)
        assert demo.wait(40) in (0, 1)  # 1: ended before all three devices had arrived
        assert demo.stdout
        assert b"Traceback" not in demo.stdout.read()
    with pytest.raises(ProcessLookupError):
        os.kill(gateway, 0)
