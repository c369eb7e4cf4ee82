"""HTML built from calls: what is text is escaped, always; only what this module made is markup.

    tag("p", "a < b", cls="note")  →  <p class="note">a &lt; b</p>

`Markup` is what `tag` returns. A plain str, whoever it comes from, is text: a device named "<script>" is shown as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

VOID = {"meta", "br", "hr", "link", "rect", "line", "path", "circle"}
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
LONG = 16  # letters of a word from which a column would be too wide
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


@dataclass(frozen=True, slots=True)
class Markup:
    """Text that is HTML already. Made by `tag` and `join` only."""

    text: str


Child = Markup | str | int | float | None


def escape(value: Child) -> str:
    """Return text as HTML: the five characters, and no control or direction character (CVE-2021-42574)."""
    if isinstance(value, Markup):
        return value.text
    if value is None:
        return ""
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", str(value)).translate(_ENTITIES)


def join(children: Iterable[Child], between: str = "") -> Markup:
    """Return children one after the other, texts escaped."""
    return Markup(escape(between).join(escape(child) for child in children))


def tag(name: str, /, *children: Child, cls: str = "", **attributes: Child) -> Markup:
    """Return one element. cls: its class; viewBox="…" and the like as they are, font_size as font-size."""
    given = {"class": cls or None, **attributes}
    words = "".join(f' {key.replace("_", "-")}="{escape(value)}"' for key, value in given.items() if value is not None)
    inner = "".join(escape(child) for child in children)
    return Markup(f"<{name}{words}>" if name in VOID and not inner else f"<{name}{words}>{inner}</{name}>")


def svg_tag(name: str, /, *children: Child, cls: str = "", **attributes: Child) -> Markup:
    """Return one element of an SVG: what is empty closes itself."""
    made = tag(name, *children, cls=cls, **attributes).text
    return Markup(made[:-1] + "/>" if name in VOID and not children else made)


def table(head: Sequence[str], rows: Iterable[Sequence[Child]], cls: str = "") -> Markup:
    """Return a table whose head is repeated on each page, and that says the column again on a narrow screen."""
    cells = (
        tag("tr", *(tag("td", soft(cell), data_head=head[i]) for i, cell in enumerate(row)), cls="row") for row in rows
    )
    top = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in head)))
    return tag("table", top, tag("tbody", *cells), cls=cls)


def soft(cell: Child) -> Child:
    """Return a cell in which a long word may be broken: after a mark of a path, a name or a hash, else anywhere."""
    if not isinstance(cell, str) or not any(len(word) > LONG for word in cell.split()):
        return cell
    pieces = [piece for part in re.split(r"(?<=[/_:.@-])", cell) for piece in _slices(part)]
    return join(Markup(escape(piece) + "<wbr>") for piece in pieces)


def _slices(part: str) -> Iterable[str]:
    if max(map(len, part.split()), default=0) <= LONG:
        return [part]
    return [part[i : i + LONG] for i in range(0, len(part), LONG)]


def pairs(rows: Iterable[tuple[str, Child]]) -> Markup:
    """Return a list of names and values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in rows))


def items(texts: Iterable[Child]) -> Markup:
    """Return a list."""
    return tag("ul", *(tag("li", text) for text in texts))
