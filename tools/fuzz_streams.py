"""Thousands of damaged command streams on the emulated NPU: each has to end in a fault that names
instruction and field, or stay inside the job's buffers (tests/stream_mutants.py, stream_judge.py).

    python tools/fuzz_streams.py                          20,000, on two processes
    python tools/fuzz_streams.py --count 100000 --seed 1 --json failures.json

The exit code is 1 if any does not.
"""

# ruff: noqa: E402 (see the lines in front of the late imports)

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

# One thread a process, set before NumPy is loaded: the processes share the work.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from stream_judge import Judge, Verdict
from stream_mutants import choose
from stream_sources import (
    GRAPHS,
    LARGE,
    LARGE_GRAPHS,
    RECORDED,
    Source,
    compiled_sources,
    recorded_sources,
    roomy_sources,
)

from lapilli.errors import ExitCode

COUNT = 20_000
CHUNK = 50
MEMORY_LIMIT = 4 << 30
"""Of a worker's address space: whoever asks for more gets a MemoryError, which is a failure."""
Task = tuple[int, int, int]
"""(first mutant, count of all, seed)."""
Done = tuple[list[Verdict], int]
"""Verdicts, and the most memory the process ever had."""


def all_sources() -> list[Source]:
    """Recorded and compiled jobs; without test data only the compiled ones."""
    try:
        recorded = recorded_sources((*RECORDED, *LARGE))
    except pytest.skip.Exception:
        recorded = []
    return recorded + compiled_sources((*GRAPHS, *LARGE_GRAPHS)) + roomy_sources()


@functools.cache
def _judge() -> Judge:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    return Judge(all_sources())


@functools.cache
def _mutants(count: int, seed: int) -> list:
    return choose(all_sources(), count, seed)


def work(task: Task) -> Done:
    """A chunk of the mutants, in a worker process."""
    first, count, seed = task
    verdicts = [_judge().judge(m) for m in _mutants(count, seed)[first : first + CHUNK]]
    return verdicts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def run(count: int, seed: int, processes: int) -> Iterator[Done]:
    """Results as they come."""
    tasks = [(first, count, seed) for first in range(0, count, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(work, tasks)


def with_progress(results: Iterator[Done], total: int) -> tuple[list[Verdict], int]:
    """All verdicts and the most memory; on a terminal with a bar that counts what went wrong."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    found: list[Verdict] = []
    memory, wrong = 0, 0
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("no failures", total=total)
        for verdicts, peak in results:
            found += verdicts
            memory = max(memory, peak)
            wrong += sum(bool(verdict.problem) for verdict in verdicts)
            text = f"[red]{wrong} failures" if wrong else "no failures"
            bar.update(task, advance=len(verdicts), description=text)
    return found, memory


def summary(verdicts: Sequence[Verdict]) -> Table:
    """A line for each family of mutants."""
    table = Table(title="Damaged jobs on the emulated NPU")
    names = ("family", "mutants", "fault", "other values", "same values", "failures", "slowest")
    for name in names:
        table.add_column(name, justify="left" if name == "family" else "right")
    for family, _ in Counter(verdict.mutant.family for verdict in verdicts).most_common():
        these = [verdict for verdict in verdicts if verdict.mutant.family == family]
        ended = Counter(verdict.ended for verdict in these)
        table.add_row(
            family,
            str(len(these)),
            *(str(ended[name]) for name in names[2:5]),
            str(sum(bool(verdict.problem) for verdict in these)),
            f"{1000 * max(verdict.seconds for verdict in these):.0f} ms",
        )
    return table


def report(console: Console, verdicts: Sequence[Verdict], memory: int) -> None:
    """Extremes and failures."""
    slowest = max(verdicts, key=lambda verdict: verdict.seconds)
    largest = max(verdicts, key=lambda verdict: verdict.peak)
    text = f"slowest: {slowest.seconds:.3f} s ({slowest.mutant.source}: {slowest.mutant.change})"
    console.print(text, markup=False)
    console.print(
        f"most memory: a mutant {largest.peak >> 20} MiB ({largest.mutant.source}: "
        f"{largest.mutant.change}), a process {memory >> 20} MiB",
        markup=False,
    )
    for verdict in [verdict for verdict in verdicts if verdict.problem][:20]:
        text = f"{verdict.mutant.source}: {verdict.mutant.change}: {verdict.problem}"
        console.print(text, markup=False)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description="Damaged command streams on the emulated NPU.")
    parser.add_argument("--count", type=int, default=COUNT, help=f"mutants (default {COUNT})")
    parser.add_argument("--seed", type=int, default=4, help="which ones (default 4)")
    parser.add_argument("--processes", type=int, default=2, help="default 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the failures there")
    return parser.parse_args(arguments)


def main(command_line: Sequence[str] | None = None) -> int:
    """The exit code."""
    arguments = parse(command_line)
    start = time.perf_counter()
    results = run(arguments.count, arguments.seed, arguments.processes)
    verdicts, memory = with_progress(results, arguments.count)
    failures = [verdict.to_json() for verdict in verdicts if verdict.problem]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(failures, indent=1) + "\n")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(summary(verdicts))
    report(console, verdicts, memory)
    seconds = time.perf_counter() - start
    console.print(f"{len(verdicts)} mutants: {len(failures)} failures, {seconds:.0f} s")
    return ExitCode.BUG if failures else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
