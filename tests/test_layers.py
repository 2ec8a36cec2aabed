"""Imports run one way: each folder of the package, a room, imports those below it alone.

Every import counts, wherever it stands: at the top of a file, in a function, for the type checker,
by a relative name, or as a module's name in a string (the tables from which ``lapilli`` and
``lapilli.cli`` import when first asked).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from places import PACKAGE
from rooms import ROOMS

SHARED_ROOMS = {"hw", "timing", "errors", "printable"}
HANDED_OVER = {"lapilli.program.program"}
DEVICE = {"lapilli.program.device"}
"""All that compiler and emulator may have in common: facts, arithmetic, error texts, and the form
of what is handed over; the emulator knows what a device is, besides. That they agree means
something only while neither looks at the other."""


def module_of(path: Path) -> str:
    """``lapilli.hw.nn`` for lapilli/hw/nn.py; a folder's name for its __init__."""
    parts = ("lapilli", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def as_modules(name: str, members: list[str]) -> set[str]:
    """``from name import members``: the modules among the members, or the module itself."""
    found = {f"{name}.{member}" for member in members if f"{name}.{member}" in FILES}
    own = name if len(found) < len(members) or not members else None
    return found | ({own} if own else set())


def imports_of(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Modules of the package that ``source``, the text of ``module``, imports."""
    for node in ast.walk(ast.parse(source)):
        names: set[str] = set()
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            name = node.module or ""
            if node.level:
                here = module.split(".") + ([""] if is_package else [])
                name = ".".join([*here[: -node.level], *([name] if name else [])])
            names = as_modules(name, [alias.name for alias in node.names])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = {node.value} & set(FILES) - {"lapilli"}
        yield from (name for name in names if name.split(".")[0] == "lapilli")


IMPORTS = {
    module: set(imports_of(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"))
    - {module}
    for module, path in FILES.items()
}


def rooms_imported_by(room: str) -> set[str]:
    own = [module for module in FILES if room_of(module) == room]
    return {room_of(name) for module in own for name in IMPORTS[module]} - {room}


def test_every_room_has_its_place_in_the_order_and_there_are_no_others() -> None:
    assert {room_of(module) for module in FILES} == set(ROOMS)


def test_imports_run_from_higher_rooms_to_lower_ones() -> None:
    upward = [
        f"{module} imports {name}"
        for module in FILES
        for name in sorted(IMPORTS[module])
        if ROOMS.index(room_of(name)) > ROOMS.index(room_of(module))
    ]
    assert not upward


def test_no_files_import_each_other_in_a_circle() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names the circle


def reached_from(room: str) -> set[str]:
    """Modules that a room imports, and that those import, outside of it."""
    found: set[str] = set()
    left = [module for module in FILES if room_of(module) == room]
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left += IMPORTS[module]
    return {module for module in found if room_of(module) != room} - {"lapilli"}


def beyond_what_is_shared(modules: set[str]) -> set[str]:
    return (
        {m for m in modules if room_of(m) not in SHARED_ROOMS} - HANDED_OVER - {"lapilli.program"}
    )


def test_the_emulator_knows_facts_arithmetic_and_bytes_alone() -> None:
    assert beyond_what_is_shared(reached_from("emulator")) == DEVICE


def test_the_compiler_shares_with_the_emulator_what_that_may_know_and_no_device() -> None:
    compiler = reached_from("compiler")
    assert beyond_what_is_shared(compiler & reached_from("emulator")) == set()
    rooms = {room_of(module) for module in compiler}
    assert rooms <= SHARED_ROOMS | {"files", "model", "postprocess", "program", "reference"}


def test_timing_knows_facts_about_chips_and_nothing_else() -> None:
    assert rooms_imported_by("timing") <= {"hw", "errors"}


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import lapilli.hw.nn
from typing import TYPE_CHECKING
from lapilli.model import graph
from lapilli import device
from . import session
from .kernel import Kernel
from ..errors import ModelError
if TYPE_CHECKING:
    from lapilli.profile.events import Profile
def late():
    from lapilli.emulator.machine import EmulatedDevice
TABLE = {"run": ("lapilli.cli.run", "run")}
"""
    assert set(imports_of(source, "lapilli.litert.delegate")) == {
        "lapilli.hw.nn",
        "lapilli.model.graph",
        "lapilli.device",
        "lapilli.litert.session",
        "lapilli.litert.kernel",
        "lapilli.errors",
        "lapilli.profile.events",
        "lapilli.emulator.machine",
        "lapilli.cli.run",
    }
    assert set(imports_of("from .cli import main", "lapilli", True)) == {"lapilli.cli"}
