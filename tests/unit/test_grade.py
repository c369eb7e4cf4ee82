"""Grades: what is promised, from the configuration alone, and shown wherever the state is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway.config import read_config
from gateway.grade import grade
from gateway.registry import find, names
from gateway.sinks.base import ReleasedBy
from gateway.sinks.file import FileSettings
from gateway.sinks.mqtt_settings import MqttSettings
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("processing_id", "released_by", "made_up", "letter", "reasons"),
    [
        ("P", ReleasedBy.RECEIVER, (), "A", ()),
        ("P", ReleasedBy.BROKER, (), "B", ('release = "puback"',)),
        ("P", ReleasedBy.NOBODY, (), "C", ("the sink has no receiver",)),
        ("T", ReleasedBy.RECEIVER, (), "C", ("processing id T, not P",)),
        ("D", ReleasedBy.BROKER, (), "C", ("processing id D, not P",)),
        ("P", ReleasedBy.RECEIVER, ("bed",), "C", ("port bed carries no device's present values",)),
        ("T", ReleasedBy.NOBODY, ("a", "b"), "C", None),
    ],
)
def test_the_worst_that_holds_is_the_grade(
    processing_id: str, released_by: ReleasedBy, made_up: tuple[str, ...], letter: str, reasons: tuple[str, ...] | None
) -> None:
    found = grade(processing_id, released_by, made_up)
    assert found.letter == letter
    assert found.reasons == reasons if reasons is not None else len(found.reasons) == 4
    assert str(found).startswith(f"guarantee {letter}: ")
    assert all(reason in str(found) for reason in found.reasons)


def test_a_lab_is_never_better_than_c_whatever_it_is_made_of() -> None:
    for released_by in ReleasedBy:
        for processing_id in "PTD":
            found = grade(processing_id, released_by, (), lab=True)
            assert (found.letter, found.reasons[0]) == ("C", "lab")


def test_every_sink_says_whose_word_releases() -> None:
    said = {
        "mqtt": find("sink", "mqtt").released_by(MqttSettings(host="broker")),
        "file": find("sink", "file").released_by(FileSettings("folder")),
    }
    assert said == {"mqtt": ReleasedBy.RECEIVER, "file": ReleasedBy.NOBODY}
    assert set(names("sink")) == set(said)
    puback = MqttSettings(host="broker", release="puback")
    assert find("sink", "mqtt").released_by(puback) is ReleasedBy.BROKER


@pytest.mark.parametrize(("line", "letter"), [("", "A"), ('release = "puback"', "B")])
def test_a_configuration_has_a_grade(tmp_path: Path, line: str, letter: str) -> None:
    path = tmp_path / "mdi_config.toml"
    sample = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")
    path.write_text(sample.replace('kind = "mqtt"\n', f'kind = "mqtt"\n{line}\n', 1), encoding="utf-8")
    assert read_config(path).grade.letter == letter


def test_less_than_the_whole_promise_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    from gateway.serve import say_grade

    caplog.set_level(logging.INFO)
    for released_by in (ReleasedBy.RECEIVER, ReleasedBy.BROKER):
        say_grade(grade("P", released_by, ()))
    assert [(r.levelname, r.message[:12]) for r in caplog.records] == [
        ("INFO", "guarantee A:"),
        ("WARNING", "guarantee B:"),
    ]
