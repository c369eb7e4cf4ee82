"""The pages: who may ask for what, what stands in them, and that they read well in a browser, also on a phone."""

from __future__ import annotations

import json
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from gateway.config import read_config
from gateway.config_security import WebSettings
from gateway.core.errors import ConfigError
from gateway.security.access.web.app import HEADERS, PER_MINUTE, application
from gateway.security.access.web.serve import listen, serve
from gateway.security.access.web.words import STATES, WORDS, word
from gateway.security.audit import Event
from gateway.security.onboard.life import State
from tests.parts.onboarding import Ward
from tests.parts.wait import wait_until
from tests.unit.test_access import Clock, Kept

STATUS = {
    "acquire": {
        "ports": [
            {
                "name": "line",
                "state": "receiving",
                "frames_ok": 12345,
                "frames_bad": {"checksum": 2},
                "ring": {"fill": 0.25},
            }
        ]
    },
    "forward": {
        "sink": "connected",
        "spool": {"waiting": 7, "fill": 0.5},
        "certificates": [
            {"role": "gateway", "days_left": 12.0, "kinds": []},
            {"role": "ca", "days_left": -1.0, "kinds": ["expired"]},
        ],
    },
}


def ward_with_status(folder: Path, mode: str = "production") -> Ward:
    """A ward whose roles have written a status once."""
    ward = Ward(folder, mode=mode)
    ward.approve()
    (folder / "run").mkdir()
    for role, status in STATUS.items():
        whole = {"pid": 1, "mono_ns": time.monotonic_ns(), **status}
        (folder / f"run/status-{role}.json").write_text(json.dumps(whole))
    return ward


class Site:
    """The application over a ward, without a network."""

    def __init__(self, ward: Ward, **settings: Any) -> None:
        self.ward, self.audit, self.clock = ward, Kept(), Clock()
        config = ward.config
        self.app = application(WebSettings(**settings), lambda: config, self.audit, self.clock, lambda: ward.now)
        self.client = TestClient(self.app, base_url="http://localhost")

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        return self.client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def denied(self) -> list[object]:
        return [facts["rule"] for event, _, _, facts in self.audit.entries if event is Event.ACCESS_DENIED]


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return ward_with_status(tmp_path)


def test_the_page_shows_states_and_no_values(ward: Ward) -> None:
    text = Site(ward).get().text
    for said in ("pump", "A-1", "godkendt", "jkr, mso", "receiving", "12345", "25%", "connected", ">7<", "50%", ">12<"):
        assert said in text, said
    assert 'class="bad">-1' in text
    assert 'class="warn">12' in text
    assert "SN-A-1" not in text
    assert "Ærø" not in text


def test_every_answer_has_the_strict_headers_and_needs_nothing_from_elsewhere(ward: Ward) -> None:
    site = Site(ward)
    for path in ("/", "/style.css", "/dossier", "/nothing", "/../etc/passwd", "//evil"):
        answer = site.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
        assert "server" not in answer.headers
    text = site.get().text + site.get("/style.css").text
    for word_ in ("<script", "http://", "https://", "url(", "@import", "onclick", "<form", "<img", "style="):
        assert word_ not in text, word_
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "XYZ"])
@pytest.mark.parametrize("path", ["/", "/dossier", "/nothing"])
def test_only_reading_is_possible(ward: Ward, method: str, path: str) -> None:
    site = Site(ward)
    answer = site.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert site.denied() == ["read-only"]


def test_head_is_as_get_without_a_body(ward: Ward) -> None:
    answer = Site(ward).client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("users", "code"),
    [
        ([], 401),
        ([""], 401),
        ([" "], 401),
        (["a" * 200], 401),
        (["anna@rm.dk", "bo@rm.dk"], 401),
        (["anna@rm.dk"], 200),
        (["mallory@example.org"], 403),
    ],
)
def test_behind_a_proxy_somebody_must_be_named(ward: Ward, users: list[str], code: int) -> None:
    site = Site(ward, proxy=True, users=("*@rm.dk",))
    answer = site.client.get("/", headers=[("X-Remote-User", user) for user in users])
    assert answer.status_code == code
    if code == 200:
        assert [(e, a) for e, _, a, _ in site.audit.entries] == [(Event.ACCESS_GRANTED, "anna@rm.dk")]
    else:
        assert len(site.denied()) == 1
        assert "pump" not in answer.text


@pytest.mark.parametrize("name", ["X_Remote_User", "X_Forwarded_For", "Forwarded"])
def test_a_proxy_that_is_not_configured_is_refused(ward: Ward, name: str) -> None:
    site = Site(ward)
    assert site.get(**{name: "anna"}).status_code == 403
    assert site.denied() == ["proxy-not-configured"]


def test_on_the_loopback_another_host_name_is_refused(ward: Ward) -> None:
    site = Site(ward, listen="127.0.0.1:8080")
    assert site.get(host="127.0.0.1:8080").status_code == 200
    assert site.get(host="rebound.example.org:8080").status_code == 403


def test_too_many_requests_are_refused_for_a_minute(ward: Ward) -> None:
    site = Site(ward)
    codes = [site.get("/style.css").status_code for _ in range(PER_MINUTE + 1)]
    assert codes == [200] * PER_MINUTE + [429]
    site.clock.s += 60
    assert site.get("/style.css").status_code == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": "0.0.0.0:8080"},
        {"listen": "10.1.2.3:8080"},
        {"listen": "[::]:8080"},
        {"listen": "8080"},
        {"listen": "localhost:8080"},
        {"listen": "127.0.0.1:0"},
        {"listen": "127.0.0.1:http"},
        {"listen": "127.0.0.1:8080", "proxy": True},
    ],
)
def test_no_address_but_this_machine(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="listen"):
        WebSettings(**settings)


def test_both_languages_and_lab(tmp_path: Path) -> None:
    ward = ward_with_status(tmp_path, mode="lab")
    site = Site(ward)
    danish, english = site.get().text, site.get("/?lang=en").text
    assert '<html lang="da">' in danish
    assert '<html lang="en">' in english
    assert '<html lang="da">' in site.get("/?lang=../x").text
    assert word("lab", "da") in danish
    assert word("lab", "en") in english
    assert "<title>LAB gw" in danish
    assert STATES.keys() == {str(state) for state in State}
    assert all(len(texts) == 2 and all(texts) for texts in WORDS.values())


def test_names_are_escaped(ward: Ward) -> None:
    status = {"pid": 1, "mono_ns": time.monotonic_ns(), **STATUS["forward"], "sink": '<script>alert("x")</script>'}
    (ward.folder / "run/status-forward.json").write_text(json.dumps(status))
    text = Site(ward).get().text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_gateway_that_has_not_run_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    assert word("silent", "da") in Site(ward).get().text

    def broken() -> Any:
        raise ConfigError("secret detail", "/etc/mdi/secret")

    app = application(WebSettings(), broken, Kept())
    answer = TestClient(app, base_url="http://localhost").get("/")
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_the_dossier_is_shown_if_there_is_one(ward: Ward) -> None:
    site = Site(ward)
    assert "/dossier" not in site.get().text
    (ward.folder / "state").mkdir(exist_ok=True)
    (ward.folder / "state/dossier.html").write_text("<!doctype html><title>d</title>")
    assert 'href="/dossier"' in site.get().text
    answer = site.get("/dossier")
    assert answer.status_code == 200
    assert "script" not in answer.headers["content-security-policy"]


@contextmanager
def served(ward: Ward, settings: WebSettings) -> Iterator[None]:
    config = replace(read_config(ward.config.path), web=settings)
    stop = threading.Event()
    app = application(settings, lambda: config, Kept(), now=lambda: ward.now)
    with listen(settings) as listening:
        thread = threading.Thread(target=serve, args=(app, listening, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()


def test_over_the_unix_socket_that_its_group_alone_may_open(ward: Ward) -> None:
    path = ward.folder / "web/web.sock"
    with served(ward, WebSettings(socket=str(path))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        client = httpx.Client(transport=httpx.HTTPTransport(uds=str(path)))

        def answers() -> bool:
            try:
                return client.get("http://localhost/").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers)
        answer = client.get("http://localhost/")
        assert "server" not in answer.headers
        client.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def brightness(colour: str) -> int:
    """The sum of red, green and blue of a computed colour."""
    return sum(map(int, re.findall(r"[0-9]+", colour)[:3]))


@pytest.mark.e2e
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_well_in_a_browser(tmp_path: Path, width: int, scheme: str) -> None:
    """Content and layout, not pixels: all tables are visible, nothing sticks out, nothing is blocked or fetched."""
    playwright = pytest.importorskip("playwright.sync_api")
    ward = ward_with_status(tmp_path, mode="lab")
    port = free_port()
    settings = WebSettings(listen=f"127.0.0.1:{port}")
    with served(ward, settings), playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        fetched: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: fetched.append(request.url))
        page.on("console", lambda message: said.append(message.text))

        def loaded() -> bool:
            try:
                return bool(page.goto(f"http://127.0.0.1:{port}/").ok)
            except playwright.Error:
                return False

        wait_until(loaded)
        page.screenshot(path=str(tmp_path / f"page-{width}-{scheme}.png"), full_page=True)
        assert page.locator("h1").inner_text() == "Gateway gw"
        assert page.locator(".lab").is_visible()
        assert page.locator("section").count() == 5
        assert all(page.locator("td").nth(i).is_visible() for i in range(page.locator("td").count()))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
        assert (brightness(ink) < brightness(paper)) == (scheme == "light"), (ink, paper)
        page.get_by_role("link", name="English").click()
        assert page.locator("h2").first.inner_text() == "Processes"
        assert all(url.startswith(f"http://127.0.0.1:{port}/") for url in fetched)
        assert [text for text in said if "favicon" not in text and "404" not in text] == []
        browser.close()
