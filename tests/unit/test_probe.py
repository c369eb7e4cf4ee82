"""What is on a port: every family of device is told from all others, nothing is written that was not stated."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import registry
from gateway.cli import probe as command
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.core.frame import Identified
from gateway.core.plan import Plan
from gateway.core.profile import FirmwareRange, Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.doctor import LineFormat, Trouble
from gateway.probe import Findings, Probe, grammar
from gateway.probe_trial import Candidate, Trial, candidates
from tests.conftest import ROOT
from tests.parts.uart import NONE, Bench, Setting

PROFILES = registry.Profiles()
ALL = candidates(PROFILES)
EVERY = candidates(PROFILES, experimental=True)
HEAD = (ROOT / "mdi_config.toml").read_text(encoding="utf-8").partition("[[port]]")[0]


def compiled(profile: Profile, _firmware: str) -> Plan:
    return PROFILES.plan(profile.id, "")


def bench_of(profile: Profile) -> Bench:
    assert profile.wiring
    device = registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], {}, Scene())
    return Bench(device, Setting.of(profile.wiring.lines[0]))


def probed(bench: Bench, tried: list[Candidate], ask: bool = True, seconds: float = 5.0) -> Findings:
    session = Probe(tried, bench.line, lambda: bench.now, seconds)
    if not session.listen() and ask:
        session.ask()
    return session.findings()


def of(*names: str) -> list[Candidate]:
    return candidates([PROFILES.get(name) for name in names], experimental=True)


# ---- among all that is known


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("nonin/9560_df2", "likely"),
        ("nonin/9847_ascii", "likely"),
        ("masimo/radical7", "likely"),
        ("nellcor/n595", "likely"),
        ("contec/cms50_old", "likely"),
        ("zephyr/hxm", "sure"),
        ("ivy/450c", "likely"),
        ("puritan_bennett/pb980_waves", "likely"),
        ("puritan_bennett/pb980_sndf", "likely"),
        ("draeger/evita_4", "likely"),
        ("philips/intellivue_mp", "sure"),
        ("fresenius/agilia", "sure"),
        ("bbraun/space", "sure"),
        ("tsi/pressura", "sure"),
    ],
)
def test_a_device_is_told_from_all_that_are_known(name: str, protocol: str) -> None:
    profile = PROFILES.get(name)
    bench = bench_of(profile)
    found = probed(bench, ALL)
    best = found.matches[0]
    assert best.candidate.driver.name == profile.driver
    assert best.confidence == protocol
    assert name in [trial.candidate.profile.id for trial in found.matches], "its own profile is among those that fit"
    assert profile.wiring
    assert best.candidate.format == LineFormat(*bench.setting[:3])
    assert [d.trouble for d in found.diagnoses] == [Trouble.NONE]
    assert bool(found.sent) == best.asked


def test_each_format_is_listened_at_once() -> None:
    bench = Bench(None, Setting())
    probed(bench, ALL, ask=False, seconds=1.0)
    formats = [setting[:3] for setting in bench.opened]
    assert len(formats) == len(set(formats)) == len({c.format for c in ALL})
    assert not bench.written


def test_what_cannot_be_told_apart_is_named() -> None:
    found = probed(bench_of(PROFILES.get("nonin/oem3_df2")), ALL)
    names = [trial.candidate.profile.id for trial in (found.matches[0], *found.equals)]
    assert set(names) >= {"nonin/oem3_df2", "nonin/9560_df2"}


@pytest.mark.parametrize("name", ["puritan_bennett/pb840_sndf", "puritan_bennett/pb980_sndf", "draeger/savina"])
def test_the_name_that_the_device_gives_itself_decides_among_siblings(name: str) -> None:
    profile = PROFILES.get(name)
    found = probed(bench_of(profile), candidates(PROFILES, profile.driver))
    assert found.matches[0].candidate.profile.id == name
    assert found.matches[0].named


def test_model_and_firmware_are_told() -> None:
    who = probed(bench_of(PROFILES.get("philips/intellivue_mp")), of("philips/intellivue_mp")).matches[0].identity
    assert who is not None
    assert (who.vendor, who.model, who.firmware) == ("Philips", "866062", "L.01.18")


def test_a_device_set_to_another_speed_than_its_profile_says_is_found() -> None:
    bench = bench_of(PROFILES.get("masimo/radical7"))
    bench.setting = bench.setting._replace(baud=19200)
    found = probed(bench, ALL, ask=False)
    assert found.matches[0].candidate.profile.id == "masimo/radical7"
    assert found.matches[0].candidate.line["baud"] == 19200
    assert "baud = 19200" in command.stanza("/dev/ttyS0", found.matches[0])


def test_bytes_at_a_wrong_speed_are_no_device() -> None:
    """A format whose only sync is one bit finds itself in noise: damaged characters count against it."""
    found = probed(bench_of(PROFILES.get("puritan_bennett/pb840_waves")), of("contec/cms50_old"))
    assert not found.matches


@pytest.mark.parametrize("name", ["bbraun/space", "philips/intellivue_mp", "puritan_bennett/pb840_snda"])
def test_its_own_echo_is_no_device(name: str) -> None:
    bench = replace(bench_of(PROFILES.get(name)), cable=NONE, echo=True)
    found = probed(bench, of(name))
    assert not found.matches
    assert found.diagnoses[0].trouble is Trouble.ECHO


# ---- what may be written


def test_every_byte_passes_the_gate_of_the_profile_that_asks() -> None:
    bench = Bench(None, Setting())
    found = probed(bench, ALL, seconds=3.0)
    assert not found.matches
    stated = grammar(ALL)
    assert set(found.sent) <= set(stated)
    for name, messages in found.sent.items():
        assert messages
        assert all(Gate(stated[name]).allows(data) for data in messages), name
    everything = {data for messages in found.sent.values() for data in messages}
    assert set(bench.written) == everything, "what was written is what is told"


def test_what_a_profile_does_not_allow_is_not_written() -> None:
    profile = replace(PROFILES.get("puritan_bennett/pb840_snda"), transmit=("X",))
    bench = bench_of(profile)
    session = Probe(candidates([profile]), bench.line, lambda: bench.now, 5.0)
    session.ask()
    assert not bench.written
    assert not session.findings().sent


def test_a_profile_without_a_grammar_never_asks() -> None:
    session = Probe(of("nonin/9560_df2"), Bench(None, Setting()).line, lambda: 0.0, 5.0)
    assert not session.questions
    assert not grammar(of("nonin/9560_df2"))


def test_a_device_is_released() -> None:
    bench = bench_of(PROFILES.get("philips/intellivue_mp"))
    probed(bench, of("philips/intellivue_mp"))
    assert b"\x09\x18" in bench.written[-1], "the association is released (session head of a finish)"


def test_when_one_has_answered_only_its_siblings_ask() -> None:
    found = probed(bench_of(PROFILES.get("bbraun/space")), of("bbraun/space", "fresenius/agilia", "draeger/savina"))
    assert set(found.sent) == {"bbraun/space"}


def test_a_person_may_end_it() -> None:
    stop = threading.Event()
    bench = bench_of(PROFILES.get("masimo/rad8"))
    ends = iter([1.0])
    session = Probe(
        ALL, bench.line, lambda: bench.now, 5.0, stop, lambda done: stop.set() if done > next(ends, 0) else None
    )
    session.listen()
    session.ask()
    assert len(bench.opened) == 1
    assert not bench.written
    assert session.findings().diagnoses


# ---- candidates


def test_experimental_profiles_are_left_out_unless_wanted() -> None:
    assert not [c for c in ALL if c.profile.experimental]
    assert [c for c in EVERY if c.profile.experimental]


def test_mistakes_of_a_person_are_one_line() -> None:
    with pytest.raises(ConfigError, match="no driver 'nonim' → did you mean 'nonin'"):
        candidates(PROFILES, "nonim")
    with pytest.raises(ConfigError, match="names a serial line"):
        candidates([PROFILES.get("smartecla/bedside_network")])
    with pytest.raises(ConfigError, match="experimental"):
        candidates([PROFILES.get("ge/dash")])


# ---- scores


def trial_of(name: str) -> Trial:
    return Trial(of(name)[0], False, compiled)


def test_a_score_grows_with_evidence_and_with_what_the_checksum_sees() -> None:
    strong, weak = trial_of("bbraun/space"), trial_of("ivy/450c")
    before = 0.0
    for trial in (weak, strong):
        assert trial.score == 0.0
        trial.good = trial.rows = trial.usable = 10
        assert trial.score > before
        before = trial.score
    assert (strong.confidence, weak.confidence) == ("sure", "possible")
    clean = strong.score
    strong.bad = 10
    assert strong.score == pytest.approx(clean / 2)
    strong.bad, strong.characters, strong.damaged = 0, 100, 20
    assert strong.score == 0.0


def test_frames_that_the_profile_does_not_read_are_no_match() -> None:
    trial = trial_of("bbraun/space")
    trial.good = 1000
    assert 0 < trial.score < 0.25


def test_a_firmware_outside_of_the_profile_is_told_and_counts_against_it() -> None:
    profile = replace(PROFILES.get("philips/intellivue_mp"), firmware=(FirmwareRange("A", "B"),))
    found = probed(bench_of(profile), candidates([profile]))
    assert "outside the range" in found.matches[0].refusal
    assert found.matches[0].score < 0.5


def test_what_a_device_says_of_itself_in_pieces_is_joined() -> None:
    trial = trial_of("zephyr/bioharness")
    for said in (Identified("", "", "1.2"), Identified("", "", "", "SN1"), Identified("", "BH3", "")):
        trial.protocol.events.append(said)  # type: ignore[attr-defined]  # the queue of every driver
    trial.drain()
    assert trial.identity == Identified("", "BH3", "1.2", "SN1")


# ---- the stanza


def test_the_stanza_of_every_line_loads_in_a_complete_configuration(tmp_path: Path) -> None:
    """All at once: a device on a port of its own for each. A person gives two of one name another; so does this."""
    text = HEAD
    for n, candidate in enumerate(EVERY):
        trial = Trial(candidate, False, compiled)
        text += command.stanza(f"/dev/ttyUSB{n}", trial, (trial,)).replace('name = "', f'name = "n{n}-')
    path = tmp_path / "mdi_config.toml"
    path.write_text(text, encoding="utf-8")
    config = read_config(path)
    for n, (candidate, port) in enumerate(zip(EVERY, config.ports, strict=True)):
        assert port.driver is candidate.driver
        assert port.devices[0].spec.profile.id == candidate.profile.id
        assert port.link.device == f"/dev/ttyUSB{n}"
        assert {name: getattr(port.link, name) for name in candidate.line} == dict(candidate.line)


def test_a_stanza_loads_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mdi_config.toml"
    found = probed(bench_of(PROFILES.get("nonin/oem3_df2")), of("nonin/oem3_df2", "nonin/9560_df2"))
    path.write_text(HEAD + command.stanza("/dev/ttyUSB0", found.matches[0], found.equals), encoding="utf-8")
    assert read_config(path).ports[0].devices[0].spec.profile.id == found.matches[0].candidate.profile.id


def test_the_stanza_of_an_own_profile_says_what_else_is_needed(tmp_path: Path) -> None:
    own = tmp_path / "profiles" / "hospital" / "finger_clip.toml"
    own.parent.mkdir(parents=True)
    own.write_text(PROFILES.path("nonin/9560_df2").read_text(encoding="utf-8"), encoding="utf-8")
    trial = Trial(candidates([registry.read_profile(own)])[0], False, compiled)
    text = command.stanza("/dev/ttyUSB0", trial)
    assert "# an own profile: name its folder in [gateway] profiles" in text
    path = tmp_path / "mdi_config.toml"
    folder = f'[gateway]\nprofiles = ["{own.parent.parent}"]\n'
    path.write_text(HEAD.replace("[gateway]\n", folder) + text, encoding="utf-8")
    assert read_config(path).ports[0].devices[0].spec.profile.id == "hospital/finger_clip"


def test_the_port_gets_its_lasting_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, by_id = tmp_path / "ttyUSB0", tmp_path / "by-id"
    port.touch()
    by_id.mkdir()
    (by_id / "usb-other").symlink_to(tmp_path / "ttyUSB1")
    (by_id / "usb-FTDI-port0").symlink_to(port)
    monkeypatch.setattr(command, "BY_ID", by_id)
    text = command.stanza(str(port), trial_of("masimo/rad8"))
    assert f'device = "{by_id}/usb-FTDI-port0"' in text
