"""The simulator's usual image: what it shows is the scene, row by row, and what it cannot know it does not say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.constants import ExcCodes

from drivers.modbus import DRIVER
from drivers.modbus.blocks import read_blocks
from drivers.modbus.scene_image import SceneImage
from gateway.core.frame import Frame
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene, Table
from tests.unit.modbus_rig import PROFILES, Line, block, profile, shipped


def row(at: int, type_: str, **more: object) -> MetricSpec:
    return MetricSpec(f"1.1.1.{at + 1}", "MDCX_ROOM_PRESS", "t:1", "a", unit="Pa", at=at, type=type_, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("profile_id", PROFILES)
def test_what_the_plan_reads_is_what_the_scene_shows(profile_id: str) -> None:
    """Scale, offset, raw unit, byte order and place are those of the driver's way back, to half a step of the wire."""
    found = shipped(profile_id)
    plan, scene = Plan(found, "", nomenclature()), Scene(still=True)
    device = [DeviceSpec(0, found)]
    line = Line(DRIVER.protocol(device, {}), DRIVER.simulator(device, {}, scene)).run(0.0)  # type: ignore[arg-type]
    line.run(31.0)
    specs = {spec.path: spec for channel in found.channels for spec in channel.metrics}
    seen = set()
    for _, frame in line.frames():
        for sample in plan.decode(frame, 0):
            metric = plan.metrics[sample["metric"]]
            spec = specs[metric.path]
            if metric.kind == "numeric":
                shown = scene.raw(replace(spec, raw_unit="", scale=1, offset=0), 0.0)
                assert shown is not None
                assert float(sample["value"]) == pytest.approx(shown, abs=0.51 * step(spec)), metric.path
            elif metric.kind == "enumeration":
                assert metric.tokens[int(sample["value"])] == spec.values[0][1]
            seen.add(metric.path)
    assert {path for path, spec in specs.items() if spec.kind != "alert"} <= seen


def step(spec: MetricSpec) -> float:
    """One step of the wire in the unit of the row, at least."""
    units = {"[in_i'H2O]": 249.1, "[ft_i]3/min": 0.472, "[degF]": 0.556, "": 1.0}
    return 1e-4 if spec.type == "f32" else spec.scale * units[spec.raw_unit]


@pytest.mark.parametrize("profile_id", PROFILES)
def test_every_state_and_every_alert_comes_and_goes(profile_id: str) -> None:
    found = shipped(profile_id)
    plan = Plan(found, "", nomenclature())
    device = [DeviceSpec(0, found)]
    line = Line(DRIVER.protocol(device, {}), DRIVER.simulator(device, {}, Scene())).run(90.0)  # type: ignore[arg-type]
    told: dict[str, set[float]] = {}
    for _, frame in line.frames():
        for sample in plan.decode(frame, 0):
            told.setdefault(plan.metrics[sample["metric"]].path, set()).add(float(sample["value"]))
    for channel in found.channels:
        for spec in channel.metrics:
            if spec.kind == "enumeration":
                assert told[spec.path] == set(map(float, range(len(spec.values)))), spec.path
            elif spec.kind == "alert" and spec.object is None:
                assert {4.0 + spec.priority, 20.0 + spec.priority} <= told[spec.path], spec.path  # start, end
    assert not plan.unmapped


@pytest.mark.parametrize("profile_id", PROFILES)
def test_where_nothing_is_measured_no_measured_number_is_read(profile_id: str) -> None:
    found = shipped(profile_id)
    plan = Plan(found, "", nomenclature())
    device = [DeviceSpec(0, found)]
    simulator = DRIVER.simulator(device, {}, Scene(nothing=True))
    line = Line(DRIVER.protocol(device, {}), simulator).run(60.0)  # type: ignore[arg-type]
    for _, frame in line.frames():
        for sample in plan.decode(frame, 0):
            metric = plan.metrics[sample["metric"]]
            if metric.kind == "numeric" and metric.category == "measurement":
                assert sample["validity"] == Validity.NA, metric.path
    silent = {
        b.name
        for b in read_blocks(found)
        if any(
            s.kind == "numeric" and s.category == "measurement" and not s.raw_invalid and s.frame == b.name
            for channel in found.channels
            for s in channel.metrics
        )
    }
    assert set(line.faults()) == ({"exception_04"} if silent else set())
    assert {b.name for b in read_blocks(found)} - {frame.kind for _, frame in line.frames()} == silent


def image(*rows: MetricSpec, scene: Scene | None = None, count: int = 8, **driver: object) -> SceneImage:
    return SceneImage(profile({"block": [block("a", count=count)], **driver}, rows), scene or Scene(still=True))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (row(0, "i16"), [0xFFFE]),
        (row(0, "u8"), [0x0000]),  # what the type cannot hold stays at the end of its range
        (row(0, "i8"), [0xFE00]),
        (row(1, "i8"), [0x00FE]),
        (row(0, "i16", scale=0.00001), [0x8000]),
        (row(0, "i16", scale=-0.5, offset=1), [0x0006]),
        (row(0, "i32", scale=0.1), [0xFFFF, 0xFFEC]),
        (row(0, "i32", scale=0.1, order="CDAB"), [0xFFEC, 0xFFFF]),
        (row(0, "i32", scale=0.1, order="DCBA"), [0xECFF, 0xFFFF]),
        (row(0, "f32"), [0xC000, 0x0000]),
        (row(0, "f32", order="BADC"), [0x00C0, 0x0000]),
        (row(0, "f64"), [0xC000, 0, 0, 0]),
        (row(0, "i64", scale=0.1), [0xFFFF, 0xFFFF, 0xFFFF, 0xFFEC]),
        (row(0, "i16", raw_unit="hPa", scale=0.001), [0xFFEC]),
    ],
)
def test_a_number_is_written_in_its_type_and_order(spec: MetricSpec, words: list[int]) -> None:
    """-2 Pa, from a table."""
    table = Table([0.0], {"MDCX_ROOM_PRESS": ("Pa", [-2.0])})
    held = image(spec, scene=Scene(table=table)).read(3, 0, 8, 1.0)
    assert held == words + [0] * (8 - len(words))


def test_bits_of_one_register_come_from_several_rows() -> None:
    rows = [
        MetricSpec(f"1.1.1.{bit}", "MDC_EVT_ALARM", "t:1", "a", kind="alert", at=0, type="bit", bit=bit)
        for bit in range(1, 16)
    ]
    door = MetricSpec(
        "1.1.1.99", "MDCX_ROOM_DOOR", "t:1", "a", kind="enumeration", at=0, type="bit", values=((0, "c"), (1, "o"))
    )
    found = image(door, *rows)
    words = [found.read(3, 0, 1, float(t)) for t in range(40)]
    assert len({str(word) for word in words}) > 3
    assert {word[0] & 1 for word in words if isinstance(word, list)} == {0}  # the scene stands still


def test_a_value_that_is_missing_for_a_while_refuses_its_block_for_that_while() -> None:
    table = Table([0.0, 10.0, 20.0], {"MDCX_ROOM_PRESS": ("Pa", [7.0, float("nan"), 9.0])})
    bare, coded = row(0, "i16"), row(0, "i16", raw_invalid=(-32768,))
    for spec, missing in ((bare, ExcCodes.DEVICE_FAILURE), (coded, [0x8000])):
        found = image(spec, scene=Scene(table=table))
        assert [found.read(3, 0, 1, t) for t in (5.0, 15.0, 25.0)] == [[7], missing, [9]]


def test_outside_of_the_blocks_there_is_no_register() -> None:
    found = image(row(0, "i16"), count=2)
    assert isinstance(found.read(3, 0, 2, 0.0), list)
    assert isinstance(found.read(3, 1, 1, 0.0), list)
    for fc, address, count in ((3, 0, 3), (3, 2, 1), (4, 0, 1), (1, 0, 1), (3, 65535, 2)):
        assert found.read(fc, address, count, 0.0) == ExcCodes.ILLEGAL_ADDRESS
    by_bytes = image(row(0, "i16"), count=2, byte_addressed=True)
    assert isinstance(by_bytes.read(3, 2, 1, 0.0), list)
    assert by_bytes.read(3, 1, 1, 0.0) == ExcCodes.ILLEGAL_ADDRESS


def test_coils_are_played_too() -> None:
    rows = [
        MetricSpec("1.1.1.1", "MDC_EVT_ALARM", "t:1", "a", kind="alert", at=2, type="u8"),
        MetricSpec("1.1.1.2", "MDC_EVT_ALARM", "t:1", "a", kind="alert", object="*"),
    ]
    device = [DeviceSpec(0, profile({"block": [block("a", fc=1, count=3)]}, rows))]
    line = Line(DRIVER.protocol(device, {}), DRIVER.simulator(device, {}, Scene())).run(60.0)  # type: ignore[arg-type]
    assert {frame.payload for _, frame in line.frames()} == {b"\0\0\0", b"\0\0\1"}


@given(st.sampled_from(PROFILES), st.floats(0, 1e6), st.integers(0, 99))
def test_the_same_scene_at_the_same_time_is_the_same(profile_id: str, now: float, seed: int) -> None:
    found = shipped(profile_id)
    for row_ in read_blocks(found):
        once, again = (
            SceneImage(found, Scene(seed=seed)).read(row_.fc, row_.address, row_.count, now) for _ in range(2)
        )
        assert once == again
        assert isinstance(once, list)


def test_a_frame_of_the_room_is_the_example_of_the_notes() -> None:
    """01 04 02 FF 9C F8 A9 in the notes, section 1: -100 is -0.0100 in. w.c. or -2.49 Pa."""
    for profile_id in ("tsi/pressura", "tsi/pressura_rpm20"):
        plan = Plan(shipped(profile_id), "", nomenclature())
        block_ = plan.decode(Frame("room", bytes.fromhex("FF9C 0000 0000 0000 0000"), 0), 0)
        told = {plan.metrics[s["metric"]].path: (round(float(s["value"]), 4), s["validity"]) for s in block_}
        assert told.pop("1.1.1.1") == (-2.4909, Validity.VLD)
        assert {validity for _, validity in told.values()} == {Validity.NA}  # an option that is not fitted reads 0
