"""The web application: GET and HEAD of three paths, and who may. Starlette; every answer has the same strict headers.

Without a proxy whoever reaches the socket or the loopback of this machine may look; a request that came through some
proxy all the same is refused. With a proxy each request must say, once, who asks; it can only come over the socket,
which the proxy's group alone may open.
"""

from __future__ import annotations

import fnmatch
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import Config
from gateway.config_security import AccessSettings, WebSettings
from gateway.core.errors import MdiError
from gateway.security.access.gate import Gate
from gateway.security.access.web.pages import STYLE, page
from gateway.security.access.web.view import collect, dossier_path
from gateway.security.access.web.words import LANGUAGES, word
from gateway.security.audit import Audit, Event

log = logging.getLogger("mdi.web")

METHODS = ("GET", "HEAD")
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
OF_DOSSIER = POLICY.replace("'self'", "'unsafe-inline'") + "; img-src data:"  # one file with its style inside
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
LOCAL = ("127.0.0.1", "localhost", "[::1]")  # what a browser on this machine says as Host; another is DNS rebinding
PER_MINUTE = 300  # of all together; a page is two requests, and reads files
MAX_USER = 128


class Guard:
    """Stands before every path: method, host, who asks, how often. Audits."""

    def __init__(self, inner: ASGIApp, settings: WebSettings, audit: Audit, mono: Callable[[], float]) -> None:
        self._inner, self._settings, self._audit, self._mono = inner, settings, audit, mono
        self._gate = Gate(AccessSettings(per_minute=PER_MINUTE))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._inner(scope, receive, send)
            return
        code, why, user = self._judge(scope["method"], Headers(scope=scope))
        if code:
            self._audit.write(Event.ACCESS_DENIED, "web", rule=why, via="web")
            log.warning("refused: %s", why)
            extra = {"Allow": ", ".join(METHODS)} if code == 405 else {}
            await PlainTextResponse(why + "\n", code, HEADERS | extra)(scope, receive, send)
            return
        if user and scope["path"] == "/":
            self._audit.write(Event.ACCESS_GRANTED, "web", actor=user, verb="page", role="viewer", via="web")
        await self._inner(scope, receive, send)

    def _judge(self, method: str, headers: Headers) -> tuple[int, str, str]:
        """Return a status code with its reason, or 0; and who asks, as the proxy says it."""
        if self._gate.refusal(0, self._mono()):
            return 429, "too-often", ""
        if method not in METHODS:
            return 405, "read-only", ""
        users = headers.getlist(self._settings.user_header)
        if not self._settings.proxy:
            if users or any(name in headers for name in FORWARDED):
                return 403, "proxy-not-configured", ""
            host = headers.get("host", "").rsplit(":", 1)[0] if self._settings.listen else LOCAL[0]
            return (0, "", "") if host in LOCAL else (403, "other-host", "")
        if len(users) != 1 or not users[0].strip() or len(users[0]) > MAX_USER or not users[0].isprintable():
            return 401, "nobody-named", ""
        if not any(fnmatch.fnmatchcase(users[0], pattern) for pattern in self._settings.users):
            return 403, "not-allowed", ""
        return 0, "", users[0]


def application(
    settings: WebSettings,
    read: Callable[[], Config],
    audit: Audit,
    mono: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ASGIApp:
    """Return the application. read: reads and checks the configuration, for each page anew."""

    async def overview(request: Request) -> Response:
        language = request.query_params.get("lang", settings.language)
        language = language if language in LANGUAGES else settings.language
        try:
            text = await run_in_threadpool(lambda: page(collect(read(), now()), language))
        except (MdiError, OSError) as fault:
            log.warning("no page: %s", fault)
            return PlainTextResponse(word("broken", language) + "\n", 503, HEADERS)
        return Response(text, 200, HEADERS, "text/html; charset=utf-8")

    async def style(_: Request) -> Response:
        return Response(STYLE, 200, HEADERS, "text/css; charset=utf-8")

    async def dossier(_: Request) -> Response:
        try:
            data = await run_in_threadpool(lambda: dossier_path(read()).read_bytes())
        except (MdiError, OSError):
            return PlainTextResponse("404\n", 404, HEADERS)
        return Response(data, 200, HEADERS | {"Content-Security-Policy": OF_DOSSIER}, "text/html; charset=utf-8")

    async def missing(_: Request, __: Exception) -> Response:
        return PlainTextResponse("404\n", 404, HEADERS)

    routes = [Route("/", overview), Route("/style.css", style), Route("/dossier", dossier)]
    inner = Starlette(routes=routes, exception_handlers={404: missing})
    inner.router.redirect_slashes = False
    return Guard(inner, settings, audit, mono)
