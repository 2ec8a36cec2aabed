"""Damaged .tflite files through reader, rules, compiler (both chips) and emulator: each has to be
refused with a LapilliError or to run (tests/model_mutants.py).

    python tools/fuzz_models.py                        for 60 seconds, on two processes
    python tools/fuzz_models.py --seconds 600 --seed 7 --json failures.json

The exit code is 1 if any does not. Files that failed are kept in build/fuzz/.
"""

# ruff: noqa: E402 (see the lines in front of the late imports)

from __future__ import annotations

import argparse
import itertools
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

from model_mutants import Outcome, mutants, travel
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lapilli.errors import ExitCode

SECONDS = 60
CHUNK = 50
KEPT = ROOT / "build" / "fuzz"
MEMORY_LIMIT = 4 << 30
"""Of a worker's address space: whoever asks for more gets a MemoryError, which is a failure."""
Done = tuple[list[Outcome], int]
"""Outcomes, and the most memory the process ever had."""


def limit_memory() -> None:
    """What each worker starts with."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def work(seed: int) -> Done:
    """A chunk of mutants, in a worker process."""
    outcomes = [travel(mutant) for mutant in mutants(CHUNK, seed)]
    return outcomes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def run(seed: int, processes: int, end: float) -> Iterator[Done]:
    """Results as they come; no new ones once ``end`` is past."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=limit_memory) as pool:
        seeds = itertools.count(seed << 32)
        waiting = [pool.apply_async(work, (next(seeds),)) for _ in range(2 * processes)]
        while waiting:
            yield waiting.pop(0).get()
            if time.monotonic() < end:
                waiting.append(pool.apply_async(work, (next(seeds),)))


def with_progress(results: Iterator[Done], seconds: float) -> tuple[list[Outcome], int]:
    """All outcomes and the most memory; on a terminal with a bar that counts what went wrong."""
    console = Console(stderr=True)
    found: list[Outcome] = []
    memory, wrong, start = 0, 0, time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=seconds)
        for outcomes, peak in results:
            found += outcomes
            memory = max(memory, peak)
            wrong += sum(bool(outcome.problem) for outcome in outcomes)
            text = f"[red]{wrong} failures" if wrong else "no failures"
            done = min(time.monotonic() - start, seconds)
            bar.update(task, completed=done, description=f"{len(found)} models, {text}")
    return found, memory


def summary(outcomes: Sequence[Outcome]) -> Table:
    """A line for each model that was damaged."""
    table = Table(title="Damaged models")
    names = ("model", "mutants", "refused", "compiled", "ran", "failures", "slowest")
    for name in names:
        table.add_column(name, justify="left" if name == "model" else "right")
    for model, count in sorted(Counter(o.mutant.seed_model for o in outcomes).items()):
        these = [outcome for outcome in outcomes if outcome.mutant.seed_model == model]
        ended = Counter(outcome.ended for outcome in these if not outcome.problem)
        table.add_row(
            model,
            str(count),
            *(str(ended[name]) for name in names[2:5]),
            str(sum(bool(outcome.problem) for outcome in these)),
            f"{1000 * max(outcome.seconds for outcome in these):.0f} ms",
        )
    return table


def keep(failures: Sequence[Outcome]) -> list[dict[str, object]]:
    """Write the files that failed; what a report says about each."""
    found: list[dict[str, object]] = []
    for number, outcome in enumerate(failures):
        KEPT.mkdir(parents=True, exist_ok=True)
        path = KEPT / f"{number}.tflite"
        path.write_bytes(outcome.mutant.data)
        found.append(
            {
                "file": str(path),
                "model": outcome.mutant.seed_model,
                "change": outcome.mutant.change,
                "problem": outcome.problem,
                "seconds": round(outcome.seconds, 3),
            }
        )
    return found


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description="Damaged models through compiler and emulator.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"default {SECONDS}")
    parser.add_argument("--seed", type=int, default=1, help="where to start (default 1)")
    parser.add_argument("--processes", type=int, default=2, help="default 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the failures there")
    return parser.parse_args(arguments)


def main(command_line: Sequence[str] | None = None) -> int:
    """The exit code."""
    arguments = parse(command_line)
    start = time.monotonic()
    results = run(arguments.seed, arguments.processes, start + arguments.seconds)
    outcomes, memory = with_progress(results, arguments.seconds)
    failures = keep([outcome for outcome in outcomes if outcome.problem])
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(failures, indent=1) + "\n")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(summary(outcomes))
    for failure in failures[:20]:
        console.print(str(failure), markup=False)
    slowest = max(outcome.seconds for outcome in outcomes)
    console.print(
        f"{len(outcomes)} models: {len(failures)} failures, slowest {slowest:.2f} s, "
        f"a process took {memory >> 20} MiB, {time.monotonic() - start:.0f} s"
    )
    return ExitCode.BUG if failures else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
