"""The emulator reads bytes as the chip does: it can't share a mistake with the compiler."""

from __future__ import annotations

import ast
from pathlib import Path

import lapilli

ALLOWED = (
    "lapilli.hw",
    "lapilli.errors",
    "lapilli.program.program",
    "lapilli.program.device",
    "lapilli.emulator",
)


def test_the_emulator_imports_nothing_of_the_compiler() -> None:
    files = sorted((Path(lapilli.__file__).parent / "emulator").glob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                assert not name.startswith("lapilli") or name.startswith(ALLOWED), (path, name)
