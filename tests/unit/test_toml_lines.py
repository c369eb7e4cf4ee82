"""line_of names the line on which a key stands. The oracle writes the document and remembers where it put what."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, ProfileError
from gateway.core.toml_lines import Path, line_of, load

NAMES = st.text("abcdexyz_-09", min_size=1, max_size=6)
TRAPS = ["plain", "a = b", "[x]", "{ n = 1", "] # no", "}]", "it's", "#", "=", "[[", "0x0AA0"]


class Writer:
    """Writes TOML line by line and notes the line of each path."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.where: dict[Path, int] = {}

    def put(self, text: str, *paths: Path) -> None:
        if self.draw(st.booleans()):
            self.lines.append(self.draw(st.sampled_from(["", "# comment [x] = {", "  # ]", "\t"])))
        tail = self.draw(st.sampled_from(["", "  # ] } = [", "# x"])) if text else ""
        self.lines.append(text + tail)
        for path in paths:
            self.where.setdefault(path, len(self.lines))

    def text(self) -> str:
        return self.draw(st.sampled_from(["\n", "\r\n"])).join(self.lines)

    def scalar(self) -> str:
        trap = self.draw(st.sampled_from(TRAPS))
        forms = [
            f'"{trap}"',
            '"\\"] {"',
            "12",
            "0x1F",
            "1.5",
            "true",
            "[1, [2, 3]]",
            f"['''{trap}''']",
        ]
        return self.draw(st.sampled_from(forms))

    def key(self, name: str) -> str:
        return self.draw(st.sampled_from([name, f'"{name}"', f"'{name}'"]))

    def body(self, path: Path) -> None:
        """Keys of a table: scalars, multi-line strings, inline tables, arrays of inline tables."""
        for name in self.draw(st.lists(NAMES, max_size=4, unique=True)):
            here = (*path, name)
            form = self.draw(st.sampled_from(["scalar", "text", "table", "array", "line"]))
            if form == "scalar":
                self.put(f"{self.key(name)} = {self.scalar()}", here)
            elif form == "text":
                quote = self.draw(st.sampled_from(['"""', "'''"]))
                self.put(f"{self.key(name)} = {quote}", here)
                self.lines += ["[no.table]", "no = key", f"{quote}  # end"]
            elif form == "table":
                self.put(f"{self.key(name)} = {{ p = {self.scalar()}, q = 1 }}", here, (*here, "p"), (*here, "q"))
            elif form == "line":
                self.put(f"{self.key(name)} = [{{ p = 1 }}, {{ q = 2 }}]", here, (*here, 0), (*here, 1, "q"))
            else:
                self.array(name, here)

    def array(self, name: str, here: Path) -> None:
        self.put(f"{self.key(name)} = [", here)
        items = self.draw(st.integers(0, 3))
        for i in range(items):
            item = (*here, i)
            end = " ]" if i == items - 1 and self.draw(st.booleans()) else ","
            self.put(f"  {{ n = {i}, {self.key('id')} = {self.scalar()} }}{end}", item, (*item, "n"), (*item, "id"))
            if end == " ]":
                return
        self.put("]")


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    writer = Writer(draw)
    writer.body(())
    taken = {path[0] for path in writer.where}
    for name in draw(st.lists(NAMES.filter(lambda name: name not in taken), max_size=3, unique=True)):
        if draw(st.booleans()):
            writer.put(f"[ {writer.key(name)} ]", (name,))
            writer.body((name,))
            continue
        for i in range(draw(st.integers(1, 3))):
            writer.put(f"[[{writer.key(name)}]]", (name,), (name, i))
            writer.body((name, i))
            if (name, i, "sub") in writer.where:
                continue
            for j in range(draw(st.integers(0, 2))):
                writer.put(f"[[{name}.sub]]", (name, i, "sub"), (name, i, "sub", j))
                writer.body((name, i, "sub", j))
    return writer.text(), writer.where


def exists(document: Any, path: Path) -> bool:
    for step in path:
        document = document[step]
    return True


@given(documents())
def test_every_key_is_found_on_its_line(document: tuple[str, dict[Path, int]]) -> None:
    text, where = document
    parsed = tomllib.loads(text)  # the oracle wrote TOML, and what it noted is really there
    assert all(exists(parsed, path) for path in where)
    assert {path: line_of(text, path) for path in where} == where


@given(st.text(), st.lists(st.one_of(NAMES, st.integers(0, 3)), max_size=4).map(tuple))
def test_any_text_has_a_line_for_any_path(text: str, path: Path) -> None:
    assert 1 <= line_of(text, path) <= text.count("\n") + 1


def test_what_is_missing_is_placed_at_its_parent() -> None:
    text = "[a]\nb = 1\n[[c]]\nmetric = [\n  { n = 1 },\n]\n"
    assert line_of(text, ("c", 0, "metric", 0, "absent")) == 5
    assert line_of(text, ("c", 0, "metric", 7)) == 4
    assert line_of(text, ("a", "absent")) == 1
    assert line_of(text, ("nothing", "at", "all")) == 1


def test_a_long_line_takes_no_long_time() -> None:
    """Each of these took quadratic time in a first version: half a megabyte would have stopped the start."""
    half = 250_000
    text = f'a = "{"x" * half}"\nb = 0.{"1" * half}\nc = [0{", 1" * half}]\nd = 1\n'
    tomllib.loads(text)
    assert line_of(text, ("d",)) == 4


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a = 1\nb = \nc = 3\n", 2, "Invalid value"),
        ("a = 1\na = 2\n", 2, "overwrite"),
        ("[a\n", 1, "Expected"),
        ('x = 1\ny = """\nnever closed', 3, "Unterminated"),
        ("a = " + "1" * 5000, 1, "integer"),
        ("a = " + "[" * 50_000, 1, "nested too deep"),
    ],
)
def test_what_is_no_toml_is_named_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(ProfileError, match=what) as fault:
        load(text, "some/file.toml", ProfileError)
    assert fault.value.where == f"some/file.toml:{line}"
    assert fault.value.hint


def test_the_error_is_of_the_callers_kind() -> None:
    with pytest.raises(ConfigError, match="not TOML"):
        load("=", "mdi_config.toml", ConfigError)
    assert load("a = 1", "mdi_config.toml", ConfigError) == {"a": 1}
