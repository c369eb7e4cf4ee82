"""The dossier in a real browser and on paper, as the command writes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.security.dossier.page import SECTIONS, page
from gateway.security.dossier.paper import paper, refuse
from tests.conftest import ROOT
from tests.parts.dossier import good
from tests.unit.test_dossier import spoiled

pytestmark = pytest.mark.e2e
AT = "2026-11-21T12:00:00+00:00"
CHROMIUM = Path("/usr/bin/chromium")
PHONE, DESK = (390, 844), (1280, 900)


def mdi(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli.app", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no chromium")
    with sync.sync_playwright() as play:
        found = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.mark.parametrize("lang", ["da", "en"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("devices", [1, 12])
def test_a_browser_shows_it_without_a_request_or_a_complaint(
    browser: Any, tmp_path: Path, size: tuple[int, int], lang: str, devices: int
) -> None:
    path = tmp_path / "dossier.html"
    path.write_text(page(good(devices), lang), encoding="utf-8")
    tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
    requests, said = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda fault: said.append(str(fault)))
    tab.goto(path.as_uri())
    assert requests == [path.as_uri()]
    assert not said
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    for key, name, _ in SECTIONS:
        assert tab.locator(f"section#{key} h2").inner_text().endswith(name.say(lang))
        assert tab.locator(f"section#{key}").bounding_box()["height"] > 30
    assert tab.locator("table.points tbody tr").count() == 56
    assert tab.locator("svg text").count() >= devices * 3
    tab.close()


def test_a_hostile_name_runs_nothing_and_breaks_no_width(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "dossier.html"
    path.write_text(page(spoiled(good(), "<script>document.title='x'</script>" + "W" * 300), "da"), encoding="utf-8")
    tab = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]})
    tab.goto(path.as_uri())
    assert tab.title() != "x"
    assert tab.evaluate("document.scripts.length") == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    tab.close()


def pages_of(pdf: Path) -> list[str]:
    text = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], capture_output=True, check=True).stdout.decode()
    return text.split("\f")[:-1]


@pytest.mark.parametrize("lang", ["da", "en"])
@pytest.mark.parametrize("devices", [1, 12])
def test_on_paper_every_page_has_text_its_number_and_nothing_beyond_the_edge(
    tmp_path: Path, lang: str, devices: int
) -> None:
    pdf = tmp_path / "dossier.pdf"
    pdf.write_bytes(paper(page(good(devices), lang)))
    sheets = pages_of(pdf)
    assert 6 <= len(sheets) <= 20
    for number, sheet in enumerate(sheets, start=1):
        assert len(sheet.split()) > 25, f"page {number} is almost empty"
        assert re.search(rf"\b{number} / {len(sheets)}\b", sheet)
        assert "gw-ita-03 · 7b7b7b7b7b7b" in sheet, f"page {number} does not say whose it is"
    text = "".join(sheets)
    for number in range(1, 57):
        assert re.search(rf"^\s*{number}\s+\S", text, re.MULTILINE), f"point {number}"
    boxes = subprocess.run(["pdftotext", "-bbox", str(pdf), "-"], capture_output=True, check=True).stdout.decode()
    edges = [float(x) for x in re.findall(r'xMax="([0-9.]+)"', boxes)]
    assert max(edges) <= 595.28 - 14 / 25.4 * 72, "a table is cut at the right edge"  # A4 less its margin, in points


def test_the_same_facts_give_the_same_paper() -> None:
    text = page(good(), "da")
    assert paper(text) == paper(text)
    assert paper(text) != paper(page(replace(good(), made="2026-11-22T12:00:00+00:00"), "da"))
    with pytest.raises(ValueError, match="fetches nothing"):
        refuse("https://example.org/x.png")


def test_the_command_writes_both_and_the_same_again(tmp_path: Path) -> None:
    config = str(ROOT / "mdi_config.toml")
    made = []
    for name in ("a", "b"):
        words = ["onboard", "report", "--config", config, "--at", AT, "--out", f"{name}.html", "--pdf", f"{name}.pdf"]
        result = mdi(*words, "--json", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        told = json.loads(result.stdout)
        assert told["made"] == AT
        made.append([(tmp_path / f"{name}.{kind}").read_bytes() for kind in ("html", "pdf")])
    assert made[0][0] == made[1][0]
    assert made[0][1] == made[1][1]
    assert made[0][1].startswith(b"%PDF-")


def test_the_report_of_one_device_is_of_that_one(tmp_path: Path) -> None:
    config = str(ROOT / "mdi_config.toml")
    result = mdi("onboard", "report", "mp70-17", "--config", config, "--lang", "en", "--out", "x.html", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "mp70-17" in text
    assert "varmeskab-1" not in text.split('id="flow"')[0]
    assert mdi("onboard", "report", "nobody", "--config", config, cwd=tmp_path).returncode != 0


def test_selfcheck_tells_all_points_and_its_exit_code_says_whether_one_fails(tmp_path: Path) -> None:
    result = mdi("security", "selfcheck", "--config", str(ROOT / "mdi_config.toml"), "--json", cwd=tmp_path)
    told = json.loads(result.stdout)["points"]
    assert [row["number"] for row in told] == list(range(1, 57))
    assert result.returncode == (2 if any(row["state"] == "fail" for row in told) else 0)
    assert all(row["evidence"] for row in told)
