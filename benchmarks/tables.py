"""How many look-up tables store a function within one step, for many scales; prints a table.

    python benchmarks/tables.py [--count 400] [--seed 0]

For each function ``count`` random input scales (1/1024 to 1), zero points (the ends, the middle and
others) and outputs (fitting, up to eight times wider or narrower, 1/256, the input's). "sampled"
takes the function itself as entries; what is not taken stays on the CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from rich.console import Console
from rich.table import Table as Printed
from table_cases import FUNCTIONS, cases

from lapilli.compiler.encode import tables
from lapilli.compiler.encode.table_functions import Function
from lapilli.errors import ExitCode


@dataclass(frozen=True)
class Row:
    """Counts for a function; ``different``: bytes of 256 that are off by one, in tables taken."""

    cases: int
    sampled: int
    taken: int
    exact: int
    worst: int
    different: float
    milliseconds: float


def measure(function: Function, count: int, seed: int) -> Row:
    """Fit a table for every case."""
    judged, sampled, seconds = [], 0, 0.0
    for case in cases(function, count, seed):
        ends = case.input_zero_point, case.output_zero_point
        wanted = tables.wanted_bytes(case.target, case.output_zero_point)
        began = time.process_time()
        table = tables.fit(case.target, *ends)
        seconds += time.process_time() - began
        judged.append(tables.judge(table, wanted))
        sampled += tables.judge(tables.sample(case.target, *ends), wanted).usable
    taken = [judgement for judgement in judged if judgement.usable]
    return Row(
        cases=count,
        sampled=sampled,
        taken=len(taken),
        exact=sum(judgement.different == 0 for judgement in judged),
        worst=max(judgement.worst for judgement in judged),
        different=float(np.mean([judgement.different for judgement in taken])) if taken else 0.0,
        milliseconds=1000 * seconds / count,
    )


def main(command_line: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Which functions of a byte fit a table.")
    parser.add_argument("--count", type=int, default=400, help="cases a function (default 400)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default 0)")
    arguments = parser.parse_args(command_line)
    printed = Printed(title="Tables within one step of the function")
    names = ("function", "cases", "sampled", "taken", "exact", "worst", "bytes off by 1", "ms")
    for name in names:
        printed.add_column(name, justify="left" if name == "function" else "right")
    for name, function in FUNCTIONS.items():
        row = measure(function, arguments.count, arguments.seed)
        counts = (row.cases, row.sampled, row.taken, row.exact, row.worst)
        cells = [*map(str, counts), f"{row.different:.2f}", f"{row.milliseconds:.1f}"]
        printed.add_row(name, *cells)
    Console(width=None if sys.stdout.isatty() else 100).print(printed)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
