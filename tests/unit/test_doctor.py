"""The port doctor: five troubles and a healthy line told apart, through a UART and a cable modelled bit by bit.

The devices are the simulators of several drivers; what the probe hears of them at its own setting goes to the doctor.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from gateway import registry
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.doctor import REMEDIES, Heard, Inputs, LineFormat, Trouble, diagnose, fits, off_speed, sent_parity
from gateway.probe import Findings, Probe
from gateway.probe_line import Marks
from gateway.probe_trial import candidates
from tests.conftest import ROOT
from tests.parts.uart import CROSSED, NONE, STRAIGHT, Bench, Setting, levels, over, receive

PROFILES = registry.Profiles()
SPEAKERS = ("nonin/9560_df2", "masimo/rad8", "contec/cms50_old", "zephyr/hxm", "ivy/450c")  # binary, text, odd parity
ASKED = ("draeger/evita_4", "philips/intellivue_mp", "puritan_bennett/pb840_snda", "bbraun/space")
WANTS_NULL_MODEM = ("draeger/evita_4", "draeger/savina", "ge/s5_dri")
TEXT = b"".join(
    b"%02d:%02d SPO2=%03d%% BPM=%03d PI=%05.2f%%\r\n" % (n, n * 7 % 60, 90 + n % 9, n, n / 9) for n in range(20)
)
BINARY = Random(1).randbytes(600)


def bench_of(name: str) -> Bench:
    """Return the simulated device of a profile, set as the profile says."""
    profile = PROFILES.get(name)
    assert profile.wiring
    device = registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], {}, Scene())
    return Bench(device, Setting.of(profile.wiring.lines[0]))


def probed(bench: Bench, *names: str, ask: bool = False, seconds: float = 5.0) -> Findings:
    """Probe with these profiles only, as with --profile."""
    tried = candidates([PROFILES.get(name) for name in names], experimental=True)
    session = Probe(tried, bench.line, lambda: bench.now, seconds)
    if not session.listen() and ask:
        session.ask()
    return session.findings()


def first(found: Findings) -> Trouble:
    return found.diagnoses[0].trouble


def heard_of(data: bytes, sender: Setting, ours: Setting, gap_bits: int = 0, resync: str = "edge") -> Heard:
    heard = Heard(LineFormat(*ours[:3]))
    heard.take(*Marks().take(over(data, sender, ours, gap_bits, resync)))
    return heard


# ---- the model and the marks


@pytest.mark.parametrize("setting", [Setting(9600, *rest) for rest in product((7, 8), ("none", "even", "odd"), (1, 2))])
def test_the_model_hears_what_is_sent_at_its_own_setting(setting: Setting) -> None:
    data = bytes(range(1 << setting.data_bits))
    for gap in (0, 1, 30):
        assert receive(levels(data, setting, gap), setting.baud, setting) == [(value, False) for value in data]


def test_marks_are_taken_apart_in_any_split() -> None:
    raw = b"a\xff\xff\xff\x00\xff\xff\x00\x00b\xff\xff\x00c"
    expected = (b"a\xff\x00\x00b\xff\x00c", b"a\xffb\xff\x00c", b"\xff\x00")
    for cut in range(len(raw) + 1):
        marks = Marks()
        pieces = [marks.take(raw[:cut]), marks.take(raw[cut:])]
        assert tuple(map(b"".join, zip(*pieces, strict=True))) == expected
    one_by_one = Marks()
    pieces = [one_by_one.take(raw[i : i + 1]) for i in range(len(raw))]
    assert tuple(map(b"".join, zip(*pieces, strict=True))) == expected


def test_a_tty_that_marks_nothing_loses_nothing() -> None:
    assert Marks().take(b"\xff\x01\xfe") == (b"\xff\x01\xfe", b"\xff\x01\xfe", b"")


# ---- a healthy line


@pytest.mark.parametrize("name", SPEAKERS + ASKED)
def test_a_healthy_line_is_healthy(name: str) -> None:
    found = probed(bench_of(name), name, ask=True)
    assert found.matches[0].candidate.profile.id == name
    assert [d.trouble for d in found.diagnoses] == [Trouble.NONE]


@pytest.mark.parametrize("name", SPEAKERS)
def test_no_byte_is_written_while_listening(name: str) -> None:
    bench = bench_of(name)
    probed(bench, name)
    assert not bench.written


# ---- silence


@pytest.mark.parametrize("name", ["masimo/rad8", "nonin/9560_df2", "bbraun/space"])
@pytest.mark.parametrize("handshake", [True, False])
@pytest.mark.parametrize("trouble", ["unplugged", "off"])
def test_no_signal(name: str, handshake: bool, trouble: str) -> None:
    bench = replace(bench_of(name), handshake=handshake, cable=NONE if trouble == "unplugged" else CROSSED)
    bench.on = trouble == "unplugged"
    assert first(probed(bench, name, ask=True)) is Trouble.NO_SIGNAL


@pytest.mark.parametrize("name", WANTS_NULL_MODEM)
def test_null_modem_missing(name: str) -> None:
    """Two transmitters on one wire: nothing reaches us, neither data nor a handshake line."""
    found = probed(replace(bench_of(name), cable=STRAIGHT), name, ask=True)
    assert first(found) is Trouble.NULL_MODEM
    assert found.diagnoses[1].trouble is Trouble.NO_SIGNAL, "an empty socket looks the same: it must be named"


def test_a_straight_cable_is_named_also_where_the_profile_does_not_say_which() -> None:
    found = probed(replace(bench_of("masimo/rad8"), cable=STRAIGHT), "masimo/rad8")
    assert [d.trouble for d in found.diagnoses] == [Trouble.NO_SIGNAL, Trouble.NULL_MODEM]
    assert found.diagnoses[1].certainty == "possible"


def test_a_device_that_is_there_and_says_nothing() -> None:
    bench = bench_of("puritan_bennett/pb840_snda")  # speaks only when asked
    found = probed(bench, "puritan_bennett/pb840_snda")
    assert first(found) is Trouble.QUIET
    assert "CTS DSR DCD" in found.diagnoses[0].what


def test_one_handshake_line_once_on_counts() -> None:
    heard = Heard(LineFormat())
    for inputs in (None, Inputs(False, True, False), Inputs(False, False, False)):
        heard.look(inputs)
    assert diagnose([heard], False)[0].trouble is Trouble.QUIET


# ---- echo


@pytest.mark.parametrize("name", ASKED)
def test_an_echo_and_nothing_else(name: str) -> None:
    bench = replace(bench_of(name), cable=NONE, echo=True)
    found = probed(bench, name, ask=True)
    assert [d.trouble for d in found.diagnoses] == [Trouble.ECHO]
    assert "nothing else" in found.diagnoses[0].what


@pytest.mark.parametrize("name", ["puritan_bennett/pb840_snda", "thermo/ult_freezer"])
def test_an_echo_before_the_answers(name: str) -> None:
    found = probed(replace(bench_of(name), echo=True), name, ask=True)
    assert first(found) is Trouble.ECHO


def test_an_answer_that_begins_as_the_question_is_no_echo() -> None:
    heard = Heard(LineFormat())
    for _ in range(5):
        heard.sent(b"\x02READ\x03")
        heard.take(b"\x02READY\x03", b"\x02READY\x03", b"")
    assert heard.echoes == 0


def test_an_echo_in_pieces_is_one() -> None:
    heard = Heard(LineFormat())
    heard.sent(b"SNDA\r")
    for piece in (b"SN", b"", b"DA\rMISCA,"):
        heard.take(piece, piece, b"")
    assert (heard.echoes, heard.echoed_bytes) == (1, 5)


# ---- speed


@pytest.mark.parametrize("name", SPEAKERS)
@pytest.mark.parametrize("factor", [1 / 8, 1 / 4, 1 / 2, 2 / 3, 1.5, 2, 4])
def test_wrong_baud(name: str, factor: float) -> None:
    bench = bench_of(name)
    bench.setting = bench.setting._replace(baud=round(bench.setting.baud * factor))
    found = probed(bench, name, seconds=10.0)
    assert not found.matches
    assert first(found) is Trouble.WRONG_BAUD, found.diagnoses


@pytest.mark.parametrize("data", [TEXT, BINARY], ids=("text", "binary"))
@pytest.mark.parametrize("resync", ["edge", "at once"])
def test_the_shape_of_characters_tells_the_direction(data: bytes, resync: str) -> None:
    for times in (2, 8, 12, 16)[resync == "at once" :]:  # such a UART hears twice the speed as noise
        slow = heard_of(data, Setting(9600), Setting(9600 * times), resync=resync)
        assert off_speed(slow) == "slower", times
    assert off_speed(heard_of(data, Setting(19200), Setting(9600), gap_bits=40)) == "faster"
    for format_ in product((7, 8), ("none", "even", "odd")):
        right = Setting(9600, *format_)
        assert off_speed(heard_of(data, right, right)) == ""


# ---- parity


@pytest.mark.parametrize("name", SPEAKERS)
def test_wrong_parity(name: str) -> None:
    bench = bench_of(name)
    bench.setting = bench.setting._replace(parity={"none": "even", "odd": "even"}[bench.setting.parity])
    found = probed(bench, name, seconds=10.0)
    assert not found.matches
    assert first(found) is Trouble.WRONG_PARITY, found.diagnoses
    assert "even parity" in found.diagnoses[0].what


@pytest.mark.parametrize("name", SPEAKERS)
def test_wrong_parity_is_at_least_named_with_a_uart_that_takes_the_bit_for_a_start_bit(name: str) -> None:
    bench = replace(bench_of(name), resync="at once")
    bench.setting = bench.setting._replace(parity={"none": "even", "odd": "even"}[bench.setting.parity])
    found = probed(bench, name, seconds=10.0)
    assert not found.matches
    assert Trouble.WRONG_PARITY in [d.trouble for d in found.diagnoses]


@pytest.mark.parametrize(
    ("sent", "ours", "data", "told"),
    [
        ((7, "even"), (8, "none"), TEXT, "7 data bits and even parity"),
        ((7, "odd"), (8, "none"), TEXT, "7 data bits and odd parity"),
        ((8, "even"), (8, "none"), TEXT, "8 data bits and even parity"),
        ((8, "odd"), (8, "none"), BINARY, "8 data bits and odd parity"),
        ((8, "none"), (8, "even"), BINARY, "8 data bits and no parity"),
        ((8, "none"), (8, "odd"), TEXT, "8 data bits and no parity"),
        ((8, "none"), (7, "even"), TEXT, "8 data bits"),
        ((8, "odd"), (8, "even"), BINARY, "odd parity, or none,"),
        ((7, "odd"), (7, "even"), TEXT, "odd parity, or none,"),
        ((7, "even"), (7, "odd"), TEXT, "even parity, or none,"),
    ],
)
def test_what_the_bits_show(sent: tuple[int, str], ours: tuple[int, str], data: bytes, told: str) -> None:
    assert sent_parity(heard_of(data, Setting(9600, *sent), Setting(9600, *ours), gap_bits=2)) == told


@pytest.mark.parametrize("data", [TEXT, BINARY], ids=("text", "binary"))
def test_a_right_setting_shows_nothing_against_it(data: bytes) -> None:
    for bits, parity in product((8,) if data is BINARY else (7, 8), ("none", "even", "odd")):
        setting = Setting(9600, bits, parity)
        assert fits(heard_of(data, setting, setting))


# ---- too little, noise, words


@pytest.mark.parametrize("said", [b"", b"\x05", b"\x05" * 100, b"OK\r\n"])
def test_little_is_not_made_much_of(said: bytes) -> None:
    heard = Heard(LineFormat())
    heard.take(said, said, b"")
    assert diagnose([heard], False)[0].trouble is (Trouble.FEW if said else Trouble.NO_SIGNAL)


def test_a_line_that_is_read_and_noisy() -> None:
    heard = Heard(LineFormat())
    heard.take(BINARY, BINARY, BINARY[:30])
    assert [d.trouble for d in diagnose([heard], True)] == [Trouble.DAMAGE, Trouble.NONE]


def test_each_trouble_has_one_sentence() -> None:
    assert set(REMEDIES) == set(Trouble)
    for remedy in REMEDIES.values():
        assert remedy.endswith(".")
        assert ". " not in remedy


def test_the_manual_has_the_table_of_troubles() -> None:
    manual = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")
    for trouble, remedy in REMEDIES.items():
        if trouble is not Trouble.NONE:
            assert f"| {trouble} |" in manual
            assert remedy in manual
