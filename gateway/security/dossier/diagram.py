"""Zones and conduits as a picture: devices on the left, this box in the middle, where data goes on the right.

Drawn from the configuration. A zone is a box whose tint is its trust; a conduit an arrow with protocol, port and
protection on it. What no conduit allows is drawn dashed and red.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.security.dossier.facts import ConduitFact, Facts
from gateway.security.dossier.html import Markup, escape, svg_tag
from gateway.security.dossier.words import Words

WIDTH, ROW, HEAD, PAD, GAP = 760, 40, 30, 10, 14
LEFT, MIDDLE, RIGHT = (0, 240), (365, 475), (595, 760)  # x from, to
TINTS = ("#fbe9e7", "#fff3e0", "#fffde7", "#e8f1fb", "#e6f4ea")  # trust 0 … 4
OUTWARD = ("mqtt", "dns", "ntp", "syslog", "file")
PORTS = {"dns": 53, "ntp": 123, "syslog": 6514}  # IANA; what is meant when a conduit names none


@dataclass(frozen=True)
class Row:
    """One line of a zone: a device, or a conduit outwards."""

    name: str
    detail: str
    arrow: str
    allowed: bool = True


def diagram(facts: Facts, lang: str) -> Markup:
    """Return the picture as inline SVG."""
    left, right = _left(facts, lang), _right(facts, lang)
    height = max(_height(left), _height(right), 150)
    drawn = [_zones(left, LEFT, True), _zones(right, RIGHT, False), _box(facts, height, lang)]
    title = Words("Zones and conduits of {name}", "Zoner og forbindelser for {name}").say(lang, name=facts.config.name)
    marks = svg_tag(
        "defs",
        svg_tag(
            "marker",
            svg_tag("path", d="M0 0 8 4 0 8z", fill="#16202a"),
            id="tip",
            markerWidth=8,
            markerHeight=8,
            refX=7,
            refY=4,
            orient="auto",
        ),
    )
    return svg_tag(
        "svg",
        svg_tag("title", title),
        marks,
        *drawn,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
        font_family="DejaVu Sans, Liberation Sans, Arial, sans-serif",
    )


Zones = list[tuple[str, int, list[Row]]]  # title, trust, rows


def _height(zones: Zones) -> int:
    return sum(HEAD + len(rows) * ROW + PAD + GAP for _, _, rows in zones)


def _left(facts: Facts, lang: str) -> Zones:
    found: dict[str, list[Row]] = {}
    for device in facts.devices:
        ways = [c for c in facts.conduits if device.port in c.users and c.kind not in OUTWARD]
        zone = ways[0].zone if ways else ""
        arrow = _said(ways[0], lang) if ways else Words("no conduit", "ingen forbindelse").say(lang)
        found.setdefault(zone, []).append(Row(device.name, device.profile, arrow, bool(ways)))
    return _titled(facts, found, lang)


def _right(facts: Facts, lang: str) -> Zones:
    found: dict[str, list[Row]] = {}
    for conduit in facts.conduits:
        if conduit.kind in OUTWARD:
            found.setdefault(conduit.zone, []).append(Row(conduit.name, conduit.target, _said(conduit, lang)))
    if not any(c.users and c.kind in OUTWARD for c in facts.conduits):
        arrow = Words("no conduit", "ingen forbindelse").say(lang)
        found.setdefault("", []).append(Row(facts.config.sink_kind, facts.config.sink_host, arrow, False))
    return _titled(facts, found, lang)


def _titled(facts: Facts, found: dict[str, list[Row]], lang: str) -> Zones:
    zones = {zone.name: (zone.title, zone.trust) for zone in facts.zones}
    nobody = Words("in no zone", "i ingen zone").say(lang)
    return [(*zones.get(name, (name or nobody, 0)), rows) for name, rows in sorted(found.items())]


def _said(conduit: ConduitFact, lang: str) -> str:
    port = conduit.port or PORTS.get(conduit.kind, 0)
    safe = Words("encrypted", "krypteret") if conduit.protection == "tls" else Words("in clear", "ukrypteret")
    return f"{conduit.kind}{f' {port}' if port else ''} · {'TLS' if conduit.protection == 'tls' else safe.say(lang)}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _text(x: float, y: float, text: str, size: float = 11, fill: str = "#16202a", **more: str) -> Markup:
    return svg_tag("text", text, "", x=x, y=y, font_size=size, fill=fill, **more)


def _zones(zones: Zones, at: tuple[int, int], devices: bool) -> Markup:
    x, end = at
    y, room = 0, (end - x - 16) // 8  # 8 units for a bold letter of 11: DejaVu Sans is about 0.7 em wide
    drawn: list[Markup] = []
    for title, trust, rows in zones:
        height = HEAD + len(rows) * ROW + PAD
        tint = TINTS[min(trust, 4)]
        drawn.append(
            svg_tag("rect", x=x + 1, y=y + 1, width=end - x - 2, height=height - 2, fill=tint, stroke="#8a97a3", rx=4)
        )
        drawn.append(_text(x + 8, y + 19, _cut(f"{title} ({trust})", room), 11, font_weight="bold"))
        for i, row in enumerate(rows):
            drawn += _row(row, x, end, y + HEAD + i * ROW, devices)
        y += height + GAP
    return Markup("".join(escape(part) for part in drawn))


def _row(row: Row, x: int, end: int, y: int, devices: bool) -> list[Markup]:
    colour = "#16202a" if row.allowed else "#a3161e"
    start, stop = (end - 8, MIDDLE[0]) if devices else (MIDDLE[1], x + 8)
    dash = {} if row.allowed else {"stroke_dasharray": "5 3"}
    arrow = svg_tag(
        "line", x1=start, y1=y + 22, x2=stop, y2=y + 22, stroke=colour, stroke_width=1.2, marker_end="url(#tip)", **dash
    )
    middle = (MIDDLE[0] + LEFT[1]) / 2 if devices else (MIDDLE[1] + RIGHT[0]) / 2
    box = svg_tag("rect", x=x + 8, y=y + 3, width=end - x - 16, height=ROW - 6, fill="#fff", stroke=colour, rx=3)
    letters = (end - x - 22) // 7
    return [
        arrow,
        _text(middle, y + 17, _cut(row.arrow, 19), 10, text_anchor="middle", fill=colour),
        box,
        _text(x + 13, y + 17, _cut(row.name, letters), 11),
        _text(x + 13, y + 30, _cut(row.detail, letters + 2), 9, fill="#55626e"),
    ]


def _box(facts: Facts, height: int, lang: str) -> Markup:
    x, end = MIDDLE
    inner = (
        (Words("ports", "porte"), "mdi acquire"),
        (Words("spool", "spool"), "AES-256-GCM" if facts.seal and facts.seal.on else ""),
        (Words("sender", "afsender"), "mdi forward"),
    )
    parts = [
        svg_tag("rect", x=x, y=1, width=end - x, height=height - 2, fill=TINTS[4], stroke="#16202a", stroke_width=1.6),
        _text((x + end) / 2, 20, _cut(facts.config.name, 13), 11, text_anchor="middle", font_weight="bold"),
        _text((x + end) / 2, 34, Words("this box (4)", "denne boks (4)").say(lang), 9, text_anchor="middle"),
    ]
    for i, (name, detail) in enumerate(inner):
        middle = 60 + i * 30
        parts.append(_text((x + end) / 2, middle, name.say(lang), 10, text_anchor="middle"))
        parts.append(_text((x + end) / 2, middle + 12, detail, 9, text_anchor="middle", fill="#55626e"))
    return Markup("".join(escape(part) for part in parts))
