"""The dossier: 56 points that are functions of facts, and a page on which every foreign text is text."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import read_config
from gateway.security.dossier.checklist import State, judge, judge_point, points
from gateway.security.dossier.exam import exam, noise, with_code
from gateway.security.dossier.facts import Facts
from gateway.security.dossier.html import escape, tag
from gateway.security.dossier.known_answers import known_answers
from gateway.security.dossier.page import SECTIONS, page
from gateway.security.dossier.results import parse_results, read_results
from gateway.security.dossier.threats import THREATS, as_markdown
from gateway.security.dossier.words import Words
from tests.conftest import ROOT
from tests.parts.dossier import SPOILS, blank, good, spoils

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><b>",
    "'-->",
    "\u202egpj.exe",
    "a" * 400,
)
each_lang = pytest.mark.parametrize("lang", ["da", "en"])


# ---- the points


def test_there_are_56_points_each_with_two_languages_and_references() -> None:
    assert [point.number for point in points()] == list(range(1, 57))
    for point in points():
        assert point.refs
        assert all(w.en and w.da for w in (point.title, point.how, point.group)), point.number


def test_on_a_good_box_nothing_fails_and_only_what_the_site_holds_is_left() -> None:
    states = {a.point.number: a.state for a in judge(good())}
    assert {n for n, s in states.items() if s in (State.FAIL, State.UNKNOWN)} == set()
    assert {n for n, s in states.items() if s is State.DUTY} == {10, 26}
    assert {n for n, s in states.items() if s is State.NOT_APPLICABLE} == set()


@pytest.mark.parametrize("number", sorted(spoils()))
def test_every_point_that_can_pass_can_fail(number: int) -> None:
    """None is hard-coded to pass: each has at least one change of the facts after which it fails."""
    point = points()[number - 1]
    assert spoils()[number], f"point {number} has no way to fail"
    for spoil in spoils()[number]:
        finding = judge_point(point, spoil(good()))
        assert finding.state is State.FAIL
        assert finding.evidence.en
        assert finding.evidence.da


def test_what_is_missing_is_unknown_and_never_a_pass() -> None:
    """Of a box of which only the configuration is known, only what the configuration shows passes."""
    passed = {a.point.number for a in judge(blank()) if a.state is State.PASS}
    assert passed <= {33, 40}


@pytest.mark.parametrize("name", [f.name for f in fields(Facts) if f.default is None or f.name in ("host",)])
def test_taking_a_fact_away_makes_no_point_pass(name: str) -> None:
    before = {a.point.number: a.state for a in judge(good())}
    facts = replace(good(), **{name: getattr(blank(), name)})
    after = {a.point.number: a.state for a in judge(facts)}
    better = {n for n, s in after.items() if s is State.PASS and before[n] is not State.PASS}
    assert not better


def test_results_of_tests_of_another_version_count_for_nothing() -> None:
    facts = replace(good(), version="0.2.0")
    assert judge_point(points()[15], facts).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "0.2.0"}, "of version 0.2.0"),
        ({"software": "ab" * 32}, "another program"),
        ({"made": "2025-11-20T00:00:00+00:00"}, "out of date"),
        ({"made": "2026-11-24"}, "out of date"),
        ({"made": "yesterday"}, "out of date"),
    ],
)
def test_results_of_another_program_or_old_ones_are_unknown(change: dict[str, str], said: str) -> None:
    """Also those that failed: whoever brings results of another program has shown nothing about this one."""
    tests = good().tests
    assert tests is not None
    facts = replace(good(), tests=replace(tests, **change))
    for point in points():
        if point.tests:
            finding = judge_point(point, facts)
            assert finding.state is State.UNKNOWN
            assert said in finding.evidence.en


def test_a_test_that_did_not_run_shows_nothing() -> None:
    tests = good().tests
    assert tests is not None
    facts = replace(good(), tests=replace(tests, results={16: (("a", True), ("b", None))}))
    finding = judge_point(points()[15], facts)
    assert (finding.state, finding.evidence.en.endswith("not shown: b")) == (State.UNKNOWN, True)
    facts = replace(good(), tests=replace(tests, results={16: (("a", False), ("b", None))}))
    assert judge_point(points()[15], facts).state is State.FAIL


def test_a_lab_box_is_told_from_a_production_box() -> None:
    lab = replace(good(), config=replace(good().config, mode="lab"))
    assert judge_point(points()[2], lab).state is State.FAIL
    assert "LAB" in page(lab, "en")
    assert "LAB" not in page(good(), "en")


# ---- what is looked at


def test_the_modbus_gate_is_tried_with_all_function_codes() -> None:
    config = read_config(ROOT / "mdi_config.toml")
    port = next(p for p in config.ports if p.driver.name == "modbus")
    found = exam(port, port.devices[0])
    assert found.tried > 512 + 256
    assert found.allowed == ("FC 4",)
    assert not found.wrong


def test_a_grammar_that_lets_everything_through_is_found() -> None:
    config = read_config(ROOT / "mdi_config.toml")
    port = next(p for p in config.ports if p.driver.name == "modbus")
    device = port.devices[0]
    profile = replace(device.spec.profile, transmit=(".{2,80}",))
    found = exam(port, replace(device, spec=replace(device.spec, profile=profile)))
    assert {"FC 5", "FC 6", "FC 15", "FC 16"} <= set(found.wrong)
    assert len(found.wrong) > 256


def test_requests_keep_their_checksum_with_another_code() -> None:
    assert with_code(bytes.fromhex("010400000001"), 6)[:2] == b"\x01\x06"
    assert with_code(b":010400000001FA\r\n", 5) == b":010500000001F9\r\n"  # LRC: the sum of all bytes is 0
    tcp = bytes.fromhex("000100000006") + bytes.fromhex("010400000001")
    assert with_code(tcp, 16) == bytes.fromhex("000100000006") + bytes.fromhex("011000000001")
    assert len(set(noise())) == 512


def test_known_answers_are_right() -> None:
    assert all(ok for _, ok in known_answers())


RESULTS = {"version": "1", "commit": "c", "software": "s", "made": "2026-11-21"}


def test_results_are_read_and_a_wrong_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "tests.json"
    assert read_results(path) is None
    path.write_text(json.dumps({**RESULTS, "points": {"11": [{"test": "a", "passed": True}]}}))
    found = read_results(path)
    assert found is not None
    assert found.results == {11: (("a", True),)}
    for wrong in ("[]", "{}", json.dumps({**RESULTS, "software": "", "points": {}}), "[" * 100_000):
        path.write_text(wrong)
        with pytest.raises(ValueError):
            read_results(path)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        ).map(lambda points: json.dumps({**RESULTS, "points": points}).encode()),
    )
)
def test_any_bytes_are_results_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        for rows in parse_results(data).results.values():
            assert all(isinstance(name, str) and passed in (True, False, None) for name, passed in rows)


# ---- the page


class Reading(HTMLParser):
    """Elements, attributes and ids of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Reading:
    found = Reading()
    found.feed(text)
    assert not found.open, "an element is not closed"
    return found


@each_lang
@pytest.mark.parametrize("facts", [good(), blank(), good(1), good(12)], ids=["good", "blank", "one", "twelve"])
def test_the_page_is_whole_and_fetches_nothing(facts: Facts, lang: str) -> None:
    text = page(facts, lang)
    found = read(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(found.tags)
    assert not [n for n, _ in found.attributes if n.startswith("on") or n == "src"]
    assert all(v.startswith("#") for n, v in found.attributes if n == "href")
    ids = [v for n, v in found.attributes if n == "id"]
    assert len(ids) == len(set(ids))
    assert {key for key, _, _ in SECTIONS} <= set(ids)
    assert {v[1:] for n, v in found.attributes if n == "href"} <= set(ids)
    assert "url(" not in text.replace("url(#tip)", "")
    assert "@import" not in text
    assert text == page(facts, lang)


@each_lang
def test_no_text_is_left_unfilled_or_untranslated(lang: str) -> None:
    for facts in (good(), blank()):
        text = re.sub(r"<style>.*?</style>", "", page(facts, lang), flags=re.DOTALL)
        assert not re.search(r"\{[^}]*\}", text)
        assert ">None<" not in text
    if lang == "da":
        assert "Sikkerhedsdossier" in text
        assert not re.search(r"\b(unknown|fail|approval)\b", re.sub(r"<[^>]+>", " ", text))


def spoiled(value: Any, text: str) -> Any:
    """Return facts with every free text replaced; states and kinds, which decide, stay."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: spoiled(getattr(value, f.name), text) for f in fields(value) if f.name not in KEPT}
        )
    if isinstance(value, tuple):
        return tuple(spoiled(item, text) for item in value)
    if isinstance(value, dict):
        return {key: spoiled(item, text) for key, item in value.items()}
    return text if isinstance(value, str) else value


KEPT = {
    "made",
    "state",
    "kind",
    "mode",
    "day",
    "link",
    "driver",
    "tests",
    "scanned",
    "until",
    "secure_boot",
    "disk_encryption",
    "tpm",
    "swap",
    "tls_min",
    "role",
}


@each_lang
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_text(text: str, lang: str) -> None:
    found = read(page(spoiled(good(), text), lang))
    assert not {"script", "img"} & set(found.tags)
    assert not [n for n, _ in found.attributes if n.startswith("on")]
    assert found.tags.count("style") == 1
    assert found.tags.count("b") == 4  # the four lights
    assert "\u202e" not in page(spoiled(good(), text), lang)


@given(st.text())
def test_escaped_text_is_read_back_as_it_was(text: str) -> None:
    class Back(HTMLParser):
        seen = ""

        def handle_data(self, data: str) -> None:
            self.seen += data

    reader = Back(convert_charrefs=True)
    reader.feed(tag("p", text).text)
    reader.close()
    assert "<" not in escape(text)
    assert reader.seen.replace("\ufffd", "") == "".join(c for c in text if escape(c) != "\ufffd" and c != "\ufffd")


def test_words_fill_the_same_names_in_both_languages() -> None:
    def words(value: Any, depth: int = 0) -> list[Words]:
        return [value] if isinstance(value, Words) else []

    from gateway.security.dossier import page as p
    from gateway.security.dossier import sections_connection, sections_judgement, sections_software

    source = "".join(
        Path(str(m.__file__)).read_text() for m in (p, sections_connection, sections_judgement, sections_software)
    )
    pairs = re.findall(r'Words\(\s*((?:"[^"]*"\s*)+),\s*((?:"[^"]*"\s*)+),?\s*\)', source)
    assert len(pairs) > 80
    for en, da in pairs:
        assert sorted(re.findall(r"\{(\w+)\}", en)) == sorted(re.findall(r"\{(\w+)\}", da)), en


# ---- the threats, in code and in words


def test_the_threats_of_the_page_are_those_of_the_docs() -> None:
    assert as_markdown() in (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert {n for threat in THREATS for n in threat.points} <= set(range(1, 57))
    assert len({threat.key for threat in THREATS}) == len(THREATS) == 14


def test_spoils_are_of_points() -> None:
    assert set(SPOILS) <= set(range(1, 57))


# ---- which test shows which point


def test_each_point_that_tests_must_show_has_tests_that_exist_or_is_said_to_be_open(tmp_path: Path) -> None:
    from tests.points import OPEN, POINTS, document
    from tests.unit.test_docs import ids_in

    for number, tests in POINTS.items():
        assert len(set(tests)) == len(tests)
        for test in tests:
            path, name = test.split("::")
            assert name in ids_in(path), f"{number}: {test}"
    assert {p.number for p in points() if p.tests} <= set(POINTS) | set(OPEN)
    path = tmp_path / "tests.json"
    path.write_text(document({t: True for tests in POINTS.values() for t in tests}, POINTS, "2026-11-21"))
    found = read_results(path)
    assert found is not None
    facts = replace(good(), tests=found, version=found.version, software=found.software)
    states = {p.number: judge_point(p, facts).state for p in points() if p.tests}
    assert {n for n, s in states.items() if s is State.UNKNOWN} == {*OPEN, 16}  # 16: too few inputs


def test_what_is_open_is_named_in_the_docs() -> None:
    """A reader of the docs learns which points no test shows, and nobody forgets to take one out."""
    from tests.points import OPEN

    text = " ".join((ROOT / "docs/security.md").read_text(encoding="utf-8").split())
    said = re.search(r"No test shows yet: points? ([\d, ]+)\.", text)
    assert said
    assert {int(n) for n in said[1].split(",")} == set(OPEN)
