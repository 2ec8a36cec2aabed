"""The name of a compiled program: everything that can change a byte of it.

A program depends on what it is made of, on the chip, on the schedule and the compiler's options,
and on the compiler. The compiler is told by its version and by sizes and dates of its files:
someone who works on it never gets a program of yesterday's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.stages import CompileOptions
from lapilli.hw.chips import Chip
from lapilli.model.graph_digest import plain
from lapilli.version import VERSION

_PACKAGE = Path(__file__).resolve().parents[1]


def program_key(
    model_digest: str, name: str, chip: Chip, schedule: str, options: CompileOptions
) -> str:
    """Of a whole program; ``model_digest`` is that of the file, ``name`` is kept in the program."""
    return _key("program", [model_digest, name], chip, schedule, options)


def part_key(
    source: str,
    inputs: Iterable[int],
    outputs: Iterable[int],
    chip: Chip,
    schedule: str,
    options: CompileOptions,
) -> str:
    """Of one part; ``source`` is the digest of its graph, inputs and outputs are in their order."""
    return _key("part", [source, list(inputs), list(outputs)], chip, schedule, options)


def units_key(source: str, parts: Sequence[Sequence[int]], wish: PerChannel) -> str:
    """Of what became of per-channel weights; ``source`` is the digest of the whole graph."""
    described = ["units", source, plain(parts), plain(wish.described), VERSION]
    text = json.dumps([*described, compiler_fingerprint()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _key(kind: str, source: list[Any], chip: Chip, schedule: str, options: CompileOptions) -> str:
    chosen = {
        each.name: plain(getattr(options, each.name))
        for each in fields(options)
        if each.name != "per_channel"
    }
    chosen["per_channel"] = plain(options.per_channel.described)
    described = [kind, source, plain(chip), schedule, chosen, VERSION, compiler_fingerprint()]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@cache
def compiler_fingerprint() -> str:
    """Of the package's files as they were when first asked for."""
    total = hashlib.sha256()
    for name, status in sorted(_files(_PACKAGE)):
        total.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The package's Python files with what the system knows of them; none inside an archive."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    yield from _files(Path(entry.path))
                elif entry.name.endswith(".py"):
                    yield entry.path, entry.stat()
    except OSError:
        return
