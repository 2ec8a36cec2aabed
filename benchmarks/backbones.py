"""What operators bring to networks that people use: parts, borders and modelled time, both chips.

    python benchmarks/backbones.py [--json FILE] [--models DIRECTORY] [NAME ...]

Structures with random weights (tests/backbones.py), compiled by the best schedule. Another state of
the package is measured by running this file with that package first in PYTHONPATH, and the models
that ``--models`` has written: then nothing of tests/ is asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lapilli.compiler.stages import CompileOptions, chip_named, compile_prepared, prepare
from lapilli.emulator.work import time_stream
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.model.macs import macs
from lapilli.timing.constants import constants_of

CHIPS = ("a311d", "imx8mp")
TESTS = Path(__file__).resolve().parents[1] / "tests"


@dataclass(frozen=True)
class Row:
    """A network on a chip. ``taken`` of ``operators``; ``share``: of the multiplications;
    ``parts``: the NPU's; ``border``: bytes of tensors that enter or leave them; ``ms``: modelled
    time of the NPU alone."""

    network: str
    chip: str
    taken: int
    operators: int
    share: float
    parts: int
    border: int
    ms: float


def row(graph: Graph, name: str, chip_name: str) -> Row:
    """One line of the table."""
    chip, options = chip_named(chip_name), CompileOptions()
    prepared = prepare(graph, chip, options)
    program = compile_prepared(prepared, chip, "best", "", options)
    constants = constants_of(chip)
    cycles = sum(
        each.total_cycles
        for part in program.parts
        for each in time_stream(part.commands, part.buffers, chip, constants)
    )
    counts = [macs(graph, operator) for operator in graph.operators]
    taken = [verdict.supported for verdict in prepared.verdicts]
    crossing = [t for part in prepared.parts for t in (*part.inputs, *part.outputs)]
    done = sum(count for count, on_npu in zip(counts, taken, strict=True) if on_npu)
    return Row(
        name,
        chip_name,
        sum(taken),
        len(taken),
        done / max(sum(counts), 1),
        len(prepared.parts),
        sum(graph.tensors[t].size for t in crossing),
        1e3 * float(cycles) / constants.clock_hz,
    )


def models(names: Iterable[str], directory: Path | None) -> Iterator[tuple[str, bytes]]:
    """(name, .tflite); those of ``directory`` if it has any, else made, and written there."""
    kept = sorted(directory.glob("*.tflite")) if directory and directory.is_dir() else []
    if kept:
        yield from ((path.stem, path.read_bytes()) for path in kept)
        return
    sys.path.insert(0, str(TESTS))
    from backbones import BACKBONES

    for name in names or BACKBONES:
        data = BACKBONES[name]().model()
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{name}.tflite").write_bytes(data)
        yield name, data


def printed(found: Row) -> str:
    """A line of a Markdown table."""
    return (
        f"| {found.network} | {found.chip} | {found.taken} of {found.operators} "
        f"| {100 * found.share:.0f} % | {found.parts} | {found.border / 1e3:.0f} "
        f"| {found.ms:.2f} |"
    )


def main() -> None:
    """See the module's text."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--models", type=Path, metavar="DIRECTORY", help="keep the models there")
    arguments = parser.parse_args()
    print("| network | chip | operators | MACs | parts | border, kB | ms |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for name, data in models(arguments.names, arguments.models):
        graph = tflite.parse(data, name)
        for chip in CHIPS:
            rows.append(row(graph, name, chip))
            print(printed(rows[-1]), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(found) for found in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
