"""mdi profile test: from bytes to OBX, and what a profile leaves unread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway import registry
from gateway.cli.app import app
from gateway.core.frame import Wave
from gateway.decode import find_profile
from gateway.profile_trace import Trace, Traced, recorded_settings
from tests.conftest import ROOT

CAPTURES = ROOT / "drivers"
HETTCUBE = CAPTURES / "modbus/captures/hettcube_tcp.mdirec"
INTELLIVUE = "philips/intellivue_mp"
TCP = {"framing": "tcp"}


def traced(profile: str, path: Path, most: int = 0, options: dict[str, Any] | None = None) -> tuple[list[Traced], Any]:
    profiles = registry.Profiles()
    trace = Trace(find_profile(profile, profiles), profiles, options or {}, {})
    return list(trace.frames(path, most)), trace.unread()


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["profile", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def changed(tmp_path: Path, profile: str, *changes: tuple[str, str]) -> str:
    """Return a copy of a profile with other words."""
    text = (ROOT / "firmware_profiles" / f"{profile}.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "acme" / "copy.toml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_register_becomes_an_obx() -> None:
    frames, _ = traced("hettich/hettcube", HETTCUBE, 1, TCP)
    first = next(frame for frame in frames if frame.frame.kind == "temperature")
    assert isinstance(first.frame.payload, bytes)
    raw = int.from_bytes(first.frame.payload, "big")
    item = first.items[0]
    assert (item.field, item.raw, item.unit, item.validity) == ("at 0 i16", str(raw), "Cel", "Vld")
    assert item.row == "1.1.1.1 MDCX_LAB_INCUBATOR_TEMP"
    assert float(item.value) == raw / 10
    assert item.obx.startswith("OBX|")
    assert f"|1.1.1.1|{item.value}|268192^MDC_DIM_DEGC^MDC^Cel^Cel^UCUM|" in item.obx
    assert dict(first.owners) == {0: 0, 1: 0}


def test_bytes_that_no_row_reads_are_told(tmp_path: Path) -> None:
    """Without its row for the door, the first register of the block is unread."""
    door = next(
        line
        for line in (ROOT / "firmware_profiles/hettich/hettcube.toml").read_text(encoding="utf-8").splitlines()
        if "MDCX_LAB_INCUBATOR_DOOR" in line
    )
    _, left = traced("hettich/hettcube", HETTCUBE, 1, TCP)
    assert not any("0-1" in place for place in left["bytes"]["status"])
    copy = changed(tmp_path, "hettich/hettcube", (door + "\n", ""), (', of = "1.1.1.2"', ""))
    _, left = traced(copy, HETTCUBE, 1, TCP)
    assert left["bytes"]["status"][0] == "0-1"
    assert left["bytes"]["temperature"] == []
    shown = run("test", copy, "--on", HETTCUBE, "--frames", "1", "-o", "framing=tcp")
    assert "bytes of status that no row reads" in shown


def test_the_wrong_options_give_bad_frames_and_rows_that_never_came() -> None:
    frames, left = traced("hettich/hettcube", HETTCUBE)
    assert frames == []
    assert left["bad_frames"]["garbled"] > 0
    assert "1.1.1.1 MDCX_LAB_INCUBATOR_TEMP" in left["never_seen"]


def test_an_object_without_a_row_is_counted(tmp_path: Path) -> None:
    text = (ROOT / "firmware_profiles/masimo/radical7.toml").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if 'object = "PI"' in line)
    copy = changed(tmp_path, "masimo/radical7", (row + "\n", ""))
    path = CAPTURES / "masimo_ascii/captures/radical7.bin"
    frames, left = traced(copy, path, 1)
    line = next(frame for frame in frames if frame.frame.kind == "line")
    item = next(item for item in line.items if item.field == "PI")
    assert (item.row, item.metric, item.obx) == ("no row", None, "")
    assert item.raw.endswith(" [%]")
    assert left["unmapped"] == {"line PI": left["frames"]["line"]}
    _, whole = traced("masimo/radical7", path, 1)
    assert (whole["unmapped"], whole["never_seen"], whole["unused_units"]) == ({}, [], [])


def test_each_reading_has_its_own_raw_number() -> None:
    frames, _ = traced("datascope/accutorr_3", CAPTURES / "ascii_line/captures/accutorr_3.mdirec")
    cuff = next(frame for frame in frames if any(i.field == "3" and i.value != "—" for i in frame.items))
    assert cuff.heard.startswith(b"P:")
    assert [item.field for item in cuff.items] == ["1", "2", "3", "4", "5"]
    assert all(item.raw == item.value for item in cuff.items)  # whole numbers in the unit of the row
    assert [item.validity for item in cuff.items] == ["Qst"] * 5  # experimental
    assert "episodic" in cuff.items[2].marks
    assert "NONCTS" in cuff.items[2].obx


def test_no_value_is_told_as_no_value() -> None:
    frames, _ = traced("datascope/accutorr_3", CAPTURES / "ascii_line/captures/accutorr_3.mdirec", 1)
    item = frames[0].items[2]
    assert (item.raw, item.value, item.validity) == ("—", "—", "NA")
    assert "|NAV|||X|" in item.obx


def test_waves_are_counted_and_drawn() -> None:
    path = CAPTURES / "philips_intellivue/captures/waves.bin"
    frames, left = traced(INTELLIVUE, path, 1)
    wave = next(frame for frame in frames if isinstance(frame.frame.payload, Wave) and frame.samples)
    assert wave.items[0].value == f"{len(wave.samples)} samples"
    assert "ms" in wave.items[0].raw
    assert not wave.items[0].obx
    assert left["unused_units"]
    shown = run("test", INTELLIVUE, "--on", path, "--frames", "1")
    assert "▁" in shown
    assert " … " in shown


def test_alerts_have_their_phase_and_their_obx() -> None:
    path = CAPTURES / "philips_intellivue/captures/demo_alarms_linked.bin"
    frames, _ = traced(INTELLIVUE, path)
    items = [item for frame in frames for item in frame.items if item.value.startswith("start")]
    assert items
    assert all("|1.17." in item.obx or "<P>" not in item.obx for item in items)
    assert all(item.obx.startswith("OBX|") for item in items)
    counts = [item for frame in frames for item in frame.items if item.field == "alerts"]
    assert counts
    assert all("MDCX_ALERTS_ACTIVE" in item.obx for item in counts)


def test_only_so_many_frames_of_each_kind_are_shown_and_all_are_counted() -> None:
    few, left = traced("hettich/hettcube", HETTCUBE, 2, TCP)
    every, again = traced("hettich/hettcube", HETTCUBE, 0, TCP)
    assert sorted(frame.frame.kind for frame in few) == ["status", "status", "temperature", "temperature"]
    assert left == again
    assert len(every) == sum(left["frames"].values())


def test_can_signals() -> None:
    frames, left = traced("smartecla/bedside_network", CAPTURES / "can_signals/captures/ecmo_patient.bin", 1)
    assert frames[0].items[0].obx.startswith("OBX|")
    assert len(frames[0].heard) % 16 == 0
    assert left["frames"]["signal"] > 10


def test_the_json_is_one_object() -> None:
    words = ("test", "hettich/hettcube", "--on", HETTCUBE, "--frames", "1", "-o", "framing=tcp", "--json")
    told = json.loads(run(*words))
    assert set(told) == {"profile", "frames", "unread"}
    assert told["frames"][0]["values"][0].keys() == {
        "field", "raw", "row", "value", "unit", "validity", "marks", "obx",
    }  # fmt: skip
    assert bytes.fromhex(told["frames"][0]["bytes"])
    assert told["unread"].keys() >= {"bytes", "unmapped", "never_seen", "bad_frames", "unused_units"}


def test_a_recording_brings_its_own_settings(tmp_path: Path) -> None:
    assert recorded_settings(HETTCUBE, "hettich/hettcube").options == {}
    assert recorded_settings(CAPTURES / "masimo_ascii/captures/radical7.bin", "masimo/radical7").firmware == ""


def test_an_empty_file_leaves_every_row(tmp_path: Path) -> None:
    path = tmp_path / "nothing.bin"
    path.write_bytes(b"")
    frames, left = traced("masimo/rad8", path)
    assert frames == []
    assert len(left["never_seen"]) > 5
    assert "frames: none" in run("test", "masimo/rad8", "--on", path)


@pytest.mark.parametrize(
    ("profile", "file"),
    [
        ("masimo/rad8", "masimo_rad8/rad8_ascii1.txt"),
        ("philips/intellivue_mp", "philips_mp90/mp90_1A.bin"),
        ("contec/cms50e_v7", "contec_cms50/cms50e_data.bin"),
        ("nonin/oem3_df2", "nonin_df2/synthetic_df2.bin"),
        ("zephyr/hxm", "zephyr_hxm/120-second-bt-stream-hxm.dat"),
    ],
)
def test_real_recordings(profile: str, file: str, shared: Path) -> None:
    frames, left = traced(profile, shared / "captures" / file, 2)
    assert [frame for frame in frames if frame.items]
    assert sum(left["frames"].values()) >= len(frames)
    assert "frames: " in run("test", profile, "--on", shared / "captures" / file, "--frames", "1")
