"""hl7apy as a judge: it agrees with right messages, refuses wrong ones, and every packaged profile passes it once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import hl7_validate, registry
from gateway.core.errors import ConfigError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.hl7_validate import validate, validate_encoder
from tests.unit.hl7_rig import GOLDEN, SENDER, encoder_of, er7_of, plan_of

GOOD = (GOLDEN / "vitals" / "expected.er7").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("|20261121103000.120+0100", "|2026-11-21"),
        ("PV1||U|", "PV1||U||||||||||||||||||||||||||||||||||||||||||||||||||||||"),
        ("ORU^R01^ORU_R01", "ORU^R01^NO_SUCH"),
        ("|2.6|", "|9.9|"),
        ("OBR|1|", "XBR|1|"),
    ],
)
def test_wrong_messages(old: str, new: str) -> None:
    assert validate(er7_of(GOOD)) == []
    assert validate(er7_of(GOOD.replace(old, new, 1))) != []


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_any_bytes_get_an_answer(payload: bytes) -> None:
    assert validate(payload) != []


def test_a_good_plan_is_judged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(hl7_validate, "validate", lambda payload: asked.append(payload) or [])
    plan, done = plan_of("enumerations"), tmp_path / "state" / "validated"
    for _ in range(3):
        validate_encoder(plan, encoder_of(plan), done)
    assert len(asked) == 1
    validate_encoder(plan, encoder_of(plan, replace(SENDER, facility="OUH")), done)
    assert len(asked) == 2  # another text of the configuration: judged anew


def test_a_plan_that_makes_wrong_hl7_is_refused_each_time(tmp_path: Path) -> None:
    plan = plan_of("vitals")
    plan.metrics = (replace(plan.metrics[0], code=150456), *plan.metrics[1:])  # a pressure with the code of SpO2
    for _ in range(2):
        with pytest.raises(ConfigError, match="MDC_PRESS_BLD_NONINV_SYS is 150021, not 150456"):
            validate_encoder(plan, encoder_of(plan), tmp_path)


def test_hl7apy_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7_validate, "validate", lambda _: ["Missing required child OBX_1"])
    plan = plan_of("enumerations")
    with pytest.raises(ConfigError, match="Missing required child OBX_1"):
        validate_encoder(plan, encoder_of(plan), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    plan = plan_of("enumerations")
    (tmp_path / "state").write_text("a file, not a folder")
    with pytest.raises(ConfigError, match="cannot be written"):
        validate_encoder(plan, encoder_of(plan), tmp_path / "state" / "validated")


@pytest.mark.parametrize("profile", list(registry.Profiles()), ids=lambda profile: profile.id)
def test_every_packaged_profile(profile: Profile, tmp_path: Path) -> None:
    plan = Plan(profile, "", nomenclature())
    validate_encoder(plan, encoder_of(plan), tmp_path)
    kinds = {metric.kind for metric in plan.metrics}
    assert len(list(tmp_path.iterdir())) == (1 if kinds & {"numeric", "enumeration"} else 0)
