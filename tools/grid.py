"""Thousands of generated models on the emulated NPU against LiteRT: the whole of tests/cases.py.

    python tools/grid.py                       everything, on two processes
    python tools/grid.py --only conv --only add --sample 200 --seed 1 --json failures.json

Every case is compiled with both schedules. The exit code is 6 if anything differs by more than 1
or fails.
"""

# ruff: noqa: E402 (see the lines in front of the late imports)

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread a process, set before NumPy is loaded: the processes share the work.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from cases import (
    driver_additions,
    driver_convolutions,
    driver_depthwise,
    issue_grid,
    sample,
    subtractions,
)
from comparing import CHIPS, SCHEDULES, GraphCase, Outcome, check
from operator_cases import FAMILIES, operator_cases
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from table_operators import TableCase, table_cases

from lapilli.errors import ExitCode

if TYPE_CHECKING:
    from cases import Case

GRAPHS = 500
TABLES = 3000
OPERATORS, FURTHER = 250, 250
GROUPS: dict[str, Callable[[], Sequence[Any]]] = {
    "conv": driver_convolutions,
    "depthwise": driver_depthwise,
    "add": driver_additions,
    "subtract": subtractions,
    "issue2": issue_grid,
    "tables": lambda: table_cases(TABLES),
    **{name: functools.partial(operator_cases, name, OPERATORS) for name in FAMILIES},
    "graphs": lambda: [GraphCase(seed) for seed in range(GRAPHS)],
    "further": lambda: [GraphCase(seed, further=True) for seed in range(FURTHER)],
}
TITLES = {
    "conv": "Conv2D of the driver's grid",
    "depthwise": "depthwise of the driver's grid",
    "add": "Add of the driver's grid",
    "subtract": "subtractions",
    "issue2": "odd sizes, any kernels",
    "tables": "functions of a byte",
    "reshape": "RESHAPE, SQUEEZE, EXPAND_DIMS",
    "join": "CONCATENATION, PACK",
    "split": "SPLIT, SPLIT_V, UNPACK",
    "slice": "SLICE, STRIDED_SLICE",
    "pad": "PAD, PADV2, MIRROR_PAD",
    "dense": "FULLY_CONNECTED",
    "rescale": "QUANTIZE",
    "extremum": "MAXIMUM, MINIMUM",
    "constant": "ADD, SUB, MUL with constants",
    "stored": "ADD, SUB, MUL, MAXIMUM with constant tensors",
    "broadcast": "ADD, SUB of smaller operands",
    "doubled": "a + a",
    "average": "AVERAGE_POOL_2D",
    "largest": "MAX_POOL_2D",
    "mean": "MEAN",
    "total": "SUM",
    "most": "REDUCE_MAX, REDUCE_MIN",
    "product": "MUL of two tensors",
    "dimensions": "batches and five dimensions",
    "window": "convolutions of any stride, dilation, kernel",
    "nearest": "RESIZE_NEAREST_NEIGHBOR",
    "transposed": "TRANSPOSE_CONV",
    "bilinear": "RESIZE_BILINEAR",
    "transpose": "TRANSPOSE",
    "blocks": "DEPTH_TO_SPACE, SPACE_TO_DEPTH",
    "graphs": "random graphs",
    "further": "random graphs of all kinds",
}
Result = tuple[str, float, list[Outcome]]


def chosen_cases(arguments: argparse.Namespace) -> list[tuple[str, Case | TableCase | GraphCase]]:
    """(group, case) of all groups asked for, the slowest spread evenly."""
    cases: list[tuple[str, Case | TableCase | GraphCase]] = []
    for group in arguments.only or GROUPS:
        members = GROUPS[group]()
        count = len(members) if arguments.sample is None else arguments.sample
        cases += [(group, case) for case in sample(members, count, arguments.seed)]
    return cases


def work(task: tuple[str, Case | TableCase | GraphCase, Sequence[str], str]) -> Result:
    """One case, in a worker process."""
    group, case, schedules, chip = task
    start = time.perf_counter()
    outcomes = check(case, schedules, chip)
    return group, time.perf_counter() - start, outcomes


def run(
    cases: Sequence[tuple[str, Case | TableCase | GraphCase]],
    schedules: Sequence[str],
    chip: str,
    processes: int,
) -> Iterator[Result]:
    """Results as they come."""
    tasks = [(group, case, schedules, chip) for group, case in cases]
    # Not forked: LiteRT has threads.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(work, tasks, chunksize=4)


def with_progress(results: Iterator[Result], total: int) -> list[Result]:
    """All results; on a terminal with a bar that counts what went wrong."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    found, wrong = [], 0
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("no failures", total=total)
        for result in results:
            found.append(result)
            wrong += sum(not outcome.right for outcome in result[2])
            text = f"[red]{wrong} failures" if wrong else "no failures"
            bar.update(task, advance=1, description=text)
    return found


def summary(results: Sequence[Result], chip: str) -> Table:
    """A line for each group and schedule."""
    table = Table(title=f"NPU (emulated {chip}) against LiteRT's CPU (XNNPACK)")
    for name in ("cases", "schedule", "count", "equal", "off by 1", "by more", "failed"):
        table.add_column(name, justify="left" if name in ("cases", "schedule") else "right")
    table.add_column("unequal values", justify="right")
    table.add_column("refused operators, by rule")
    groups = dict.fromkeys(group for group, _, _ in results)
    for group in sorted(groups, key=list(GROUPS).index):
        outcomes = [o for name, _, some in results if name == group for o in some]
        for schedule in dict.fromkeys(outcome.schedule for outcome in outcomes):
            these = [outcome for outcome in outcomes if outcome.schedule == schedule]
            table.add_row(TITLES[group], schedule, *_counts(these))
    return table


def _counts(outcomes: Sequence[Outcome]) -> list[str]:
    refused = Counter(rule for outcome in outcomes for rule in outcome.refused)
    ran = [outcome for outcome in outcomes if outcome.values and not outcome.error]
    values = sum(outcome.values for outcome in ran)
    worst = Counter(min(outcome.worst, 2) for outcome in ran)
    share = sum(outcome.unequal for outcome in ran) / max(values, 1)
    return [
        str(len(outcomes)),
        str(worst[0]),
        str(worst[1]),
        str(worst[2]),
        str(sum(bool(outcome.error) for outcome in outcomes)),
        f"{share:.4%}",
        ", ".join(f"{rule} {count}" for rule, count in refused.most_common()) or "none",
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="may be repeated")
    parser.add_argument("--sample", type=int, help="so many of each group instead of all")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default 0)")
    parser.add_argument("--schedule", action="append", choices=SCHEDULES, help="default: both")
    parser.add_argument("--chip", choices=CHIPS, default=CHIPS[0], help="default a311d")
    parser.add_argument("--processes", type=int, default=2, help="default 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the failures there")
    return parser.parse_args(arguments)


def main(command_line: Sequence[str] | None = None) -> int:
    """The exit code."""
    arguments = parse(command_line)
    start = time.perf_counter()
    cases = chosen_cases(arguments)
    results = with_progress(
        run(cases, arguments.schedule or SCHEDULES, arguments.chip, arguments.processes), len(cases)
    )
    failures = [outcome for _, _, some in results for outcome in some if not outcome.right]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(o) for o in failures], indent=1) + "\n")
    # Wide enough for the whole table where the output is a file.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(summary(results, arguments.chip))
    for outcome in failures[:20]:
        console.print(
            f"{outcome.case} ({outcome.schedule}): {outcome.error or f'off by {outcome.worst}'}"
            f" {outcome.note}",
            markup=False,
        )
    worst = max((outcome.worst for _, _, some in results for outcome in some), default=0)
    seconds = time.perf_counter() - start
    console.print(
        f"{len(cases)} cases, {sum(len(some) for _, _, some in results)} programs: "
        f"{len(failures)} failures, largest difference {worst}, {seconds:.0f} s"
    )
    return ExitCode.RESULTS_DIFFER if failures else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
