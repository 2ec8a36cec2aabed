"""What the documents for contributors say of files and functions is there, and nothing is left out.

A path in backticks lies in the package or in the repository. A name in backticks with a capital, or
with ``()`` behind it, is defined in a file named in the same row or paragraph (if any is).
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from places import PACKAGE
from places import REPOSITORY as ROOT

from lapilli.compiler.schedule.levers.registry import EVERYTHING

sys.path.insert(0, str(ROOT / "tools"))

import make_architecture_picture as drawing
from rooms import ROOMS

ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = (ARCHITECTURE, ROOT / "CONTRIBUTING.md", ROOT / "docs" / "schedules.md")
A_FILE_EACH = ("cli", "compiler/fusions", "compiler/operators", "compiler/ways", "reference")
"""A file in these is called like the command, operator or way it is about, as the page says."""
PATH = re.compile(r"[\w./-]+\.(?:py|md|json|js|css|c|svg)|[\w./-]+/")
NAME = re.compile(r"((?:\w+\.)?[a-z_]\w*)\(\)|((?:[A-Z]\w*[a-z]\w*)(?:\.\w+)?)")


def blocks(document: Path) -> Iterator[list[str]]:
    """What stands in backticks, of each table row, list item and paragraph."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.S)
    for block in re.split(r"\n\s*\n|\n(?=\||\*|\d+\. )", text):
        yield re.findall(r"`([^`]+)`", block)


def found(path: str) -> Path | None:
    return next(
        (base / path for base in (PACKAGE, PACKAGE.parent, ROOT) if (base / path).exists()), None
    )


@cache
def defined_in(file: Path) -> set[str]:
    """Names at the top of a file, and ``Class.member``."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        names |= own_names(node)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for each in node.body for name in own_names(each)}
    return names


def own_names(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def missing(document: Path) -> list[str]:
    """Paths that are not there, and names that are not defined where their block says."""
    wrong = []
    for block in blocks(document):
        paths = [mention for mention in block if PATH.fullmatch(mention)]
        wrong += [path for path in paths if found(path) is None]
        files = [place for path in paths if (place := found(path)) and place.suffix == ".py"]
        defined = set().union(*map(defined_in, files if paths else PACKAGE.rglob("*.py")))
        names = [(mention, match) for mention in block if (match := NAME.fullmatch(mention))]
        wrong += [mention for mention, match in names if (match[1] or match[2]) not in defined]
    return wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_functions_named_in_it_exist(document: Path) -> None:
    assert missing(document) == []


def test_a_wrong_file_or_function_is_seen(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "| `Chip`, `Nothing`, `none()` | `hw/chips.py`: `Chip.has()` |\n"
        "| `Chip` | `hw/nn.py`, `hw/gone.py` |\n\n* `nowhere/`, `hw/`\n\n`Program`, `Programme`\n"
    )
    wrong = ["Nothing", "none()", "hw/gone.py", "Chip", "nowhere/", "Programme"]
    assert missing(document) == wrong


def test_every_file_of_the_package_answers_a_question() -> None:
    named = {mention for block in blocks(ARCHITECTURE) for mention in block}
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    files = [f for f in files if f.name not in ("__init__.py", "__main__.py")]
    silent = {str(f) for f in files if str(f.parent) not in A_FILE_EACH} - named
    assert sorted(silent) == []


def test_the_picture_is_what_its_script_draws_and_its_boxes_are_there() -> None:
    assert (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8") == drawing.picture()
    boxes = [box for band in drawing.BANDS for box in band.boxes]
    folders = {room for room in ROOMS if (PACKAGE / room).is_dir()} - {"data"}
    assert {box.name.rstrip("/") for box in boxes} == folders
    for box in boxes:
        for step in box.steps:
            place = PACKAGE / box.name / step
            assert place.is_dir() if step.endswith("/") else place.with_suffix(".py").is_file()


def test_bands_of_the_picture_stand_in_the_order_of_imports() -> None:
    heights = [[ROOMS.index(box.name.rstrip("/")) for box in band.boxes] for band in drawing.BANDS]
    for upper, lower in itertools.pairwise(heights):
        assert min(upper) > max(lower)


def test_the_texts_of_the_picture_fit_their_boxes() -> None:
    """By the letters of DejaVu: 9.1 pixels in names, 7.3 in steps, some 7 in questions."""
    for row in (row for band in drawing.BANDS for row in band.rows):
        for box, width in zip(row, drawing.widths_of(row), strict=True):
            longest = max(7 * len(line) for line in box.question)
            longest = max(longest, 9.1 * len(box.name), *(7.3 * len(step) for step in box.steps))
            assert longest <= width - 2 * drawing.PADDING, box.name


PAGES = [
    "make_cuts_page",
    "make_glossary",
    "make_man_page",
    "make_operator_table",
    "make_python_reference",
    "make_schedule_page",
]


@pytest.mark.parametrize("tool", PAGES)
def test_a_generated_page_is_current(tool: str) -> None:
    found = subprocess.run(
        [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_every_lever_has_a_section_with_a_picture() -> None:
    page = (ROOT / "docs" / "schedules.md").read_text()
    sections = {part.splitlines()[0]: part for part in page.split("\n### ")[1:]}
    assert set(sections) == {lever.name for lever in EVERYTHING}
    for name, section in sections.items():
        assert section.count("```") == 2, name
