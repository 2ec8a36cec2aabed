"""Programs and parts of them from the cache, or from the compiler and then kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapilli.cache.folder import cache_folder
from lapilli.cache.key import part_key, program_key
from lapilli.cache.store import Store
from lapilli.compiler.stages import (
    DEFAULT_OPTIONS,
    CompileOptions,
    Prepared,
    compile_graph,
    compile_part,
    compile_prepared,
)
from lapilli.errors import ModelError
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph
from lapilli.model.graph_digest import part_digest
from lapilli.program import program_file
from lapilli.program.program import Part, Program
from lapilli.version import VERSION

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A program; ``kept``: it came from the cache."""

    program: Program
    kept: bool


def store_for(wish: bool | str) -> Store | None:
    """True: the user's cache, if there is to be one; False: none; a text: the folder."""
    if isinstance(wish, str):
        return Store(Path(wish))
    folder = cache_folder() if wish else None
    return None if folder is None else Store(folder)


def program_of(
    store: Store | None,
    graph: Graph,
    chip: Chip,
    schedule: str,
    model_digest: str,
    options: CompileOptions = DEFAULT_OPTIONS,
    prepared: Prepared | None = None,
) -> Found:
    """The program of a whole model; see ``compile_graph``, whose errors it raises. ``prepared``:
    the same graph, where the first stages are done already."""

    def compiled() -> Program:
        if prepared is None:
            return compile_graph(graph, chip, schedule, model_digest, options)
        return compile_prepared(prepared, chip, schedule, model_digest, options)

    key = program_key(model_digest, graph.name, chip, schedule, options)

    def fits(program: Program) -> bool:
        found = (program.chip, program.schedule, program.model, program.model_digest)
        return found == (chip.name, schedule, graph.name, model_digest)

    return _kept_or_made(store, key, fits, compiled)


def part_of(
    store: Store | None,
    graph: Graph,
    operators: Sequence[int],
    chip: Chip,
    schedule: str,
    inputs: Sequence[int],
    outputs: Sequence[int],
    options: CompileOptions = DEFAULT_OPTIONS,
) -> tuple[Part, bool]:
    """One part of a graph, and whether it came from the cache; see ``compile_part``."""

    def compiled() -> Program:
        part = compile_part(graph, operators, chip, schedule, inputs, outputs, options)
        return Program(chip.name, schedule, graph.name, "", (part,))

    if store is None:
        return compiled().parts[0], False
    source = part_digest(graph, operators, inputs, outputs)
    key = part_key(source, inputs, outputs, chip, schedule, options)

    def fits(program: Program) -> bool:
        return len(program.parts) == 1 and program.parts[0].source == source

    found = _kept_or_made(store, key, fits, compiled)
    return found.program.parts[0], found.kept


def _kept_or_made(
    store: Store | None, key: str, fits: Callable[[Program], bool], make: Callable[[], Program]
) -> Found:
    kept = None if store is None else _kept(store, key)
    if kept is not None and fits(kept):
        return Found(kept, True)
    program = make()
    if store is not None:
        try:
            store.put(key, program_file.to_bytes(program), _note(program))
        except ModelError as error:  # a program that no file can hold
            log.info("nothing is kept in the cache: %s", error)
    return Found(program, False)


def _kept(store: Store, key: str) -> Program | None:
    data = store.get(key)
    if data is None:
        return None
    try:
        return program_file.from_bytes(data, f"the cache's {key}")
    except ModelError as error:
        log.info("%s", error)
        store.drop(key)
        return None


def _note(program: Program) -> dict[str, Any]:
    """For a list of what is kept."""
    return {
        "model": program.model,
        "chip": program.chip,
        "schedule": program.schedule,
        "parts": len(program.parts),
        "operators": sum(len(part.operators) for part in program.parts),
        "lapilli": VERSION,
    }
