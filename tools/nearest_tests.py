"""The test files nearest to a file of the package.

Nearest is what is named after it, then what lies in the folder that mirrors its own, then what
reaches it by the fewest imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

FAR = 9
"""Imports; more than there are."""


@cache
def imports_of(path: Path, root: Path) -> frozenset[Path]:
    """Files of package and tests that a file imports by itself."""
    return frozenset(_imported(ast.parse(path.read_text(encoding="utf-8")), root))


def _imported(tree: ast.Module, root: Path) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            for base in (root, root / "tests"):
                path = base.joinpath(*name.split("."))
                yield from (p for p in (path.with_suffix(".py"), path / "__init__.py")
                            if p.is_file())  # fmt: skip


def distances(start: Path, root: Path) -> Mapping[Path, int]:
    """How many imports away each file is that ``start`` reaches."""
    found, edge, steps = {start: 0}, {start}, 0
    while edge:
        steps += 1
        edge = {p for path in edge for p in imports_of(path, root)} - found.keys()
        found |= dict.fromkeys(edge, steps)
    return found


@cache
def _test_distances(root: Path) -> Mapping[Path, Mapping[Path, int]]:
    return {path: distances(path, root) for path in sorted((root / "tests").rglob("test_*.py"))}


def nearest(path: Path, root: Path, most: int) -> list[Path]:
    """At most so many test files for ``path``, a file of ``root``/lapilli, nearest first."""
    folder = root / "tests" / path.relative_to(root / "lapilli").parent
    room = root / "tests" / path.relative_to(root / "lapilli").parts[0]

    def order(test: Path) -> tuple[bool, int, int, str]:
        apart = 0 if test.parent == folder else 1 if room in test.parents else 2
        steps = _test_distances(root)[test].get(path, FAR)
        named = path.stem in test.stem and apart < 2
        return (not named, apart, steps, test.name)

    reached = [test for test, far in _test_distances(root).items() if path in far]
    return sorted(reached, key=order)[:most]


def grids(path: Path, root: Path) -> list[Path]:
    """Those of the same room that compare values with LiteRT, model by model; they take long."""
    room = root / "tests" / path.relative_to(root / "lapilli").parts[0]
    return [
        test
        for test, far in _test_distances(root).items()
        if room in test.parents and "grid" in test.stem and path in far
    ]
