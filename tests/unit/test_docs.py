"""The words cannot drift from the code: what README, docs and units name exists, and says what the code says.

Checked: commands with their options, paths, dotted names, links with their anchors, the SAMPLE table, the tests that
promises name, counters, state lines, exit codes, sizes, and what the systemd units start.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.app import app
from gateway.core.errors import MdiError
from gateway.core.sample import SAMPLE
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ALL = [*PAGES, *sorted((ROOT / "drivers").glob("*/README.md"))]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
TREE = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
INSTALLED = "/opt/mdi/.venv/bin/mdi"  # where docs/operation.md puts it
HEADINGS = [
    "What it is, and what it is not",
    "Two commands",
    "What you see",
    "The walk of one sample",
    "The sample",
    "Where things are",
    "Commands",
    "Who starts where",
    "Requirements",
    "På dansk",
    "Licence",
]
PLACEHOLDER = re.compile(r"[<>{}*…]")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
each_text = pytest.mark.parametrize("page", ALL, ids=name_of)
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def spans(text: str) -> list[str]:
    """Return the inline code of a page."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def fenced_lines(text: str) -> list[str]:
    return [line for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, to the next one of its level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows."""
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


# ---- commands


def wrong_in(command: str) -> str:
    """Return what of a command line `mdi …` the program does not know, or ""."""
    try:
        words = shlex.split(command)[1:]
    except ValueError:  # a quote of the prose
        words = command.split()[1:]
    node: Any = typer.main.get_command(app)
    for word in words:
        if word.startswith("-"):
            known = {option for param in node.params for option in param.opts} | {"--help"}
            if word.split("=")[0] not in known:
                return word
        elif commands := getattr(node, "commands", None):
            if word not in commands:
                return word
            node = commands[word]
    return ""


def commands_in(text: str) -> list[str]:
    lines = [line.strip() for line in fenced_lines(text)]
    return [code for code in [*spans(text), *lines] if code.startswith("mdi ")]


@each_text
def test_every_command_is_one(page: Path) -> None:
    wrong = {command: word for command in commands_in(text_of(page)) if (word := wrong_in(command))}
    assert not wrong


def test_the_readme_names_every_command() -> None:
    def leaves(node: Any, path: str) -> list[str]:
        below = getattr(node, "commands", {})
        return [leaf for name, sub in below.items() for leaf in leaves(sub, f"{path} {name}")] if below else [path]

    named = [row[0].strip("`") for row in rows(section(text_of(ROOT / "README.md"), "Commands"))[2:]]
    assert sorted(named) == sorted(leaves(typer.main.get_command(app), "mdi"))


def test_this_test_would_notice() -> None:
    assert wrong_in("mdi fly") == wrong_in("mdi kita fly") == "fly"
    assert wrong_in("mdi status --fly") == "--fly"
    assert not wrong_in('mdi record port file.mdirec --for 60 --note "why it was made"')


# ---- names


@each_page
def test_every_path_is_there(page: Path) -> None:
    missing = []
    for code in spans(text_of(page)):
        path = code.split("::")[0].rstrip("/")
        at_root = "/" not in path and path.endswith((".toml", ".lock", ".md"))
        in_tree = "/" in path and path.split("/")[0] in TREE and " " not in path
        if (at_root or in_tree) and not PLACEHOLDER.search(path) and not (ROOT / path).exists():
            missing.append(path)
    assert not missing


@pytest.mark.parametrize(("page", "heading"), [("README.md", "Where things are"), ("docs/architecture.md", "Layout")])
def test_the_layout_is_the_tree(page: str, heading: str) -> None:
    lines = fenced_lines(section(text_of(ROOT / page), heading))
    assert len(lines) >= 8
    assert not [line for line in lines if not (ROOT / line.split()[0]).exists()]


@each_text
def test_every_dotted_name_is_there(page: Path) -> None:
    for code in spans(text_of(page)):
        if not re.fullmatch(r"(gateway|drivers|kita)(\.\w+)+", code):
            continue
        found: Any = importlib.import_module(code.split(".")[0])
        path = code.split(".")[0]
        for part in code.split(".")[1:]:
            path = f"{path}.{part}"
            found = getattr(found, part, None) or importlib.import_module(path)


@each_text
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(page))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page as GitHub makes them of its headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@lru_cache(maxsize=1)
def source() -> str:
    """Return all code of the gateway and KITA as one text."""
    files = [path for folder in ("gateway", "kita") for path in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(map(text_of, files))


def test_the_counters_of_the_walk_are_in_the_code() -> None:
    walk = rows(section(text_of(ROOT / "docs" / "architecture.md"), "The walk of one sample: the rooms"))[2:]
    assert len(walk) == 8
    for row in walk:
        counters = re.findall(r"`(\w+)`", row[-1])
        assert counters, row[1]
        for counter in counters:
            assert re.search(rf"\b{counter}\b", source()), counter


# ---- the README


def test_headings_of_the_readme() -> None:
    found = re.findall(r"^## (.+)$", FENCE.sub("", text_of(ROOT / "README.md")), re.MULTILINE)
    assert found == HEADINGS


def test_the_sample_of_the_readme_is_the_dtype() -> None:
    table = rows(section(text_of(ROOT / "README.md"), "The sample"))[2:]
    told = [(row[0].strip("`"), int(row[1]), row[2].strip("`")) for row in table]
    fields = SAMPLE.fields
    assert fields is not None
    assert told == [(name, fields[name][1], fields[name][0].str.replace("|", "")) for name in SAMPLE.names or ()]
    assert f"{SAMPLE.itemsize} bytes" in section(text_of(ROOT / "README.md"), "The sample")


def test_every_page_and_every_driver_is_linked_from_the_readme() -> None:
    readme = text_of(ROOT / "README.md")
    assert not [name_of(page) for page in ALL[1:] if f"]({name_of(page)})" not in readme]


def test_make_has_the_two_commands() -> None:
    targets = re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.MULTILINE)
    named = re.findall(r"^make (\w+)$", "\n".join(fenced_lines(text_of(ROOT / "README.md"))), re.MULTILINE)
    assert named == ["demo", "test"]
    assert set(named) <= set(targets)


def test_the_licence_is_the_one_that_is_named() -> None:
    licence = text_of(ROOT / "LICENSE")
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "Apache-2.0" in text_of(ROOT / "pyproject.toml")


def test_the_size_of_the_core_is_as_told() -> None:
    told = re.search(r"about ([\d,]+) lines of Python", text_of(ROOT / "docs" / "architecture.md"))
    assert told
    lines = sum(len(text_of(path).splitlines()) for path in (ROOT / "gateway" / "core").glob("*.py"))
    assert int(told[1].replace(",", "")) == pytest.approx(lines, rel=0.05)


# ---- promises


@lru_cache(maxsize=64)
def ids_in(path: str) -> frozenset[str]:
    """Return the names a test id may have in a file: functions, classes, and names given to a machine's TestCase."""
    found = set()
    for node in ast.parse(text_of(ROOT / path)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in found if name.lower().startswith("test"))


def promises() -> dict[str, list[str]]:
    """Return sentence -> test ids, of each table row with MUST."""
    return {
        row[1]: re.findall(r"`([\w/]+\.py::\w+)`", row[2])
        for row in rows(text_of(ROOT / "docs" / "guarantees.md"))
        if len(row) == 3 and "MUST" in row[1]
    }


def test_every_promise_names_tests_that_exist() -> None:
    assert len(promises()) > 30
    for sentence, ids in promises().items():
        assert ids, f"no test: {sentence}"
        for path, name in (test.split("::") for test in ids):
            assert (ROOT / path).is_file(), f"{path}: {sentence}"
            assert name in ids_in(path), f"{path}::{name}: {sentence}"


def test_must_stands_in_promises_only() -> None:
    text = text_of(ROOT / "docs" / "guarantees.md")
    lines = [line for line in text.splitlines() if "MUST" in line and not line.startswith("|")]
    assert [line[:40] for line in lines] == ["What is promised, in sentences with MUST"]
    assert "MUST" not in section(text, "Not promised yet")
    numbers = [row[0] for row in rows(text) if re.fullmatch(r"[A-Z]\d+", row[0])]
    assert len(numbers) == len(set(numbers)) == len(promises())


# ---- running it


def test_state_lines_are_those_of_the_code() -> None:
    table = rows(section(text_of(ROOT / "docs" / "operation.md"), "What each state line means"))
    lines = [code for row in table for code in re.findall(r"`([^`]+)`", row[0])]
    assert len(lines) > 15
    for line in lines:
        for part in re.split(r"…|\b[A-Z:]+\b|; |: ", line):  # between what stands for something else
            assert part.strip() in source(), f"{part!r} of {line!r}"


def test_exit_codes_are_those_of_the_code() -> None:
    def kinds(kind: type[MdiError]) -> set[type[MdiError]]:
        return {kind}.union(*(kinds(sub) for sub in kind.__subclasses__()))

    table = rows(section(text_of(ROOT / "docs" / "operation.md"), "Exit codes"))[2:]
    assert {int(row[0]) for row in table} == {0} | {kind.exit_code for kind in kinds(MdiError)}


@each_unit
def test_a_unit_starts_a_command_that_exists(unit: Path) -> None:
    starts = re.findall(r"^ExecStart=(.+)$", text_of(unit), re.MULTILINE)
    assert len(starts) == 1
    assert starts[0].startswith(f"{INSTALLED} ")
    assert not wrong_in(starts[0])
    documentation = re.findall(r"^Documentation=file:///opt/mdi/(.+)$", text_of(unit), re.MULTILINE)
    assert [ROOT / path for path in documentation if (ROOT / path).is_file()]


def test_there_is_one_unit_for_each_role_and_each_is_explained() -> None:
    users = re.findall(r"^u mdi-([a-z]+) ", text_of(ROOT / "systemd" / "mdi.sysusers"), re.MULTILINE)
    assert {unit.stem.split("-")[1] for unit in UNITS} == set(users)
    assert len(users) == len(set(users))
    operation = text_of(ROOT / "docs" / "operation.md")
    for path in (ROOT / "systemd").iterdir():
        assert f"systemd/{path.name}" in operation


@each_unit
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    """Syntax, keys and values. The command is looked up here, because nothing is installed in /opt."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    here = Path(sys.executable).parent / "mdi"
    copy = tmp_path / unit.name
    for one in UNITS:  # they require each other
        (tmp_path / one.name).write_text(text_of(one).replace(INSTALLED, str(here)), encoding="utf-8")
    said = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
