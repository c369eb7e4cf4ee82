"""What a person can set for an IntelliVue port, and what is refused."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from drivers import philips_intellivue
from drivers.philips_intellivue import DRIVER
from drivers.philips_intellivue.options import FAULTS
from drivers.philips_intellivue.record import drain
from gateway.core.errors import ConfigError
from gateway.core.frame import Fault
from gateway.core.profile import parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

PROFILE = """
[profile]
vendor = "Philips"
model = "IntelliVue"
driver = "philips_intellivue"
source = "a test"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_ECG_VMD"
chan = "MDC_DEV_ECG_CHAN"
metric = [
  { n = 1, id = "MDC_ECG_HEART_RATE", frame = "numeric", object = 0x4182 },
  { n = 2, id = "MDC_ECG_ELEC_POTL_II", kind = "waveform", frame = "wave", object = 0x0102 },
  { n = 3, id = "MDC_PULS_OXIM_PLETH", kind = "waveform", frame = "wave", object = 0x4BB4, instance = 0x00024BB4 },
]
"""
DEVICE = DeviceSpec(3, parse_profile(PROFILE, "philips/test", "test.toml"))


def build(**options: Any) -> Any:
    return DRIVER.protocol([DEVICE], options)


def test_waves_by_metric_id_or_text_id() -> None:
    protocol = build(waves=["MDC_ECG_ELEC_POTL_II", "MDC_PULS_OXIM_PLETH", 0x0002_5000])
    assert protocol._session._waves == (0x0002_0102, 0x0002_4BB4, 0x0002_5000)
    protocol.start(0.0)
    protocol.receive_data(b"\xc1", 0)
    assert drain(protocol) == [Fault("garbage", "1 bytes outside of frames", source=3, bad_frame=True)]


def test_the_waves_that_are_asked_for_when_nothing_is_said_are_the_monitors_own() -> None:
    assert build()._session._waves is None
    assert build(waves=["*"])._session._waves is None
    assert build(waves=[])._session._waves == ()


@pytest.mark.parametrize(
    "options",
    [
        {"waves": ["MDC_ECG_HEART_RATE"]},
        {"waves": ["ECG"]},
        {"waves": [-1]},
        {"waves": [True]},
        {"waves": list(range(1, 14))},
        {"waves": "MDC_ECG_ELEC_POTL_II"},
        {"poll_s": 5},
        {"poll_s": 60.5},
        {"pol_s": 60},
        {"transport": "tcp"},
        {"waves": ["*", "MDC_PULS_OXIM_PLETH"]},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build(**options)


def test_one_monitor_to_a_line() -> None:
    for devices in ([], [DEVICE, DEVICE]):
        with pytest.raises(ConfigError):
            DRIVER.protocol(devices, {})
        with pytest.raises(ConfigError):
            DRIVER.simulator(devices, {}, Scene())


def test_scenarios_are_checked() -> None:
    assert DRIVER.simulator([DEVICE], {"hr": 130, "leads_off_s": [1, 2], "poll_s": 60}, Scene())
    for wrong in ({"hart": 80}, {"hr": "fast"}, {"mtu": 10}, {"leads_off_s": 5}, {"transport": "pigeon"}):
        with pytest.raises(ConfigError):
            DRIVER.simulator([DEVICE], wrong, Scene())


def test_every_fault_has_a_sentence_and_every_sentence_is_needed() -> None:
    words = set()
    for path in Path(philips_intellivue.__path__[0]).glob("*.py"):
        if path.name != "options.py":
            words |= {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert {reason for reason in FAULTS if reason not in words} == set()
    assert all(sentence.endswith(".") for sentence in FAULTS.values())
