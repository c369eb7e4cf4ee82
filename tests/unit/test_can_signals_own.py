"""A network of the user's own: a DBC and a profile in a folder, no code. As drivers/can_signals/README.md tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway import registry
from gateway.core.frame import Frame, NeedData
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile_lint import lint
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE, Block, Validity
from gateway.core.scene import Scene
from tests.conftest import ROOT
from tests.unit.can_signals_rig import record

README = ROOT / "drivers" / "can_signals" / "README.md"


def blocks_of_readme(kind: str) -> list[str]:
    """Return the fenced blocks of one kind in the how-to."""
    text = README.read_text(encoding="utf-8")
    how_to = text[text.index("## A network of your own") : text.index("## Options")]
    return [part.split("```", 1)[0] for part in how_to.split(f"```{kind}\n")[1:]]


@pytest.fixture
def own(tmp_path: Path) -> registry.Profiles:
    """The files of the how-to, where a site keeps its own."""
    folder = tmp_path / "profiles" / "acme"
    folder.mkdir(parents=True)
    (folder / "warmer.dbc").write_text(blocks_of_readme("dbc")[0], encoding="utf-8")
    (folder / "warmer.toml").write_text(blocks_of_readme("toml")[0], encoding="utf-8")
    return registry.Profiles([tmp_path / "profiles"])


def decoded(profiles: registry.Profiles, data: bytes) -> tuple[Plan, Block]:
    """Read records end to end: registry, driver, plan."""
    profile = registry.read_profile(profiles.path("acme/warmer"))
    plan = Plan(profile, "", nomenclature())
    protocol = registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})
    protocol.start(0.0)
    protocol.receive_data(data, 1)
    found = []
    while not isinstance(event := protocol.next_event(), NeedData):
        assert isinstance(event, Frame)
        found.append(plan.decode(event, 0))
    return plan, np.concatenate(found)


def test_a_frame_becomes_values_in_the_units_of_the_profile(own: registry.Profiles) -> None:
    """371 x 0.1 degC; 2500 x 0.1 mL/h; state 2."""
    plan, block = decoded(own, record(0x123, bytes.fromhex("7301 C409 02 000000")))
    assert [(plan.metrics[row["metric"]].path, float(row["value"])) for row in block] == [
        ("1.1.1.1", 37.1),
        ("1.1.1.2", 250.0),
        ("1.1.1.3", 2.0),
    ]
    assert plan.metrics[2].tokens == ("off", "warming", "alarm")
    assert (block["validity"] == Validity.VLD).all()
    assert not plan.unmapped


def test_no_value_and_out_of_range_are_told_apart(own: registry.Profiles) -> None:
    _, block = decoded(own, record(0x123, bytes.fromhex("FF7F E02E 00 000000")))  # 7FFFh = no sensor; 1200.0 mL/h
    assert block["validity"].tolist() == [Validity.NA, Validity.OFLW, Validity.VLD]


def test_it_is_linted_and_simulated_like_a_packaged_profile(own: registry.Profiles) -> None:
    profile = own.get("acme/warmer")
    driver = registry.driver(profile.driver)
    assert not lint(profile, nomenclature(), driver.frames)
    bus = driver.simulator([DeviceSpec(0, profile)], {}, Scene())
    bus.data_to_send(0.0)
    plan, block = decoded(own, b"".join(bus.data_to_send(float(t)) for t in range(1, 30)))
    usable = block[IS_USABLE[block["validity"]]]
    assert set(usable["metric"].tolist()) == {0, 1, 2}
    temperature = usable["value"][usable["metric"] == 0]
    assert 36.9 < temperature.min() <= temperature.max() < 37.2  # MDC_TEMP_BLD of the scene
    assert set(usable["value"][usable["metric"] == 2].tolist()) == {0.0, 1.0, 2.0}
    nothing = driver.simulator([DeviceSpec(0, profile)], {}, Scene(nothing=True))
    nothing.data_to_send(0.0)
    assert nothing.data_to_send(10.0) == b""  # the rate has no number for "no value", so its frame is not sent
    assert plan.model == "Acme Infusion warmer"
