"""Small wrong changes to the package, one at a time: does a test notice?

    python tools/mutants.py                             25 of them in compiler, emulator, delegate,
                                                        device and reader
    python tools/mutants.py --count 100 --seed 7
    python tools/mutants.py --in lapilli/device --list

The working tree is never touched: each change is made in a copy, and taken back there. The tests
nearest to the changed file run first, then the next ones. What takes too long is measured by the
time that the tests compute, which a busy machine doesn't change. A test that notices is run without
the change too, and has to pass.

Changes that nobody notices and that are not known to be harmless (tools/mutants_accepted.py) make
the exit code 6. Which are tried depends on seed and text alone: a change elsewhere in the package
leaves the choice as it was.
"""

# ruff: noqa: E402 (the packages beside this file are found first)

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from mutants_accepted import ACCEPTED
from mutations import Mutation, changes_something, mutations
from nearest_tests import grids, nearest
from rich.console import Console
from rich.table import Table

from lapilli.errors import ExitCode

PLACES = tuple(f"lapilli/{room}" for room in ("compiler", "emulator", "litert", "device", "model"))
COUNT, SEED = 25, 0
NEAREST, FURTHER = 4, 6
"""Test files that are run for each change, and those for what the first let pass, beside grids."""
COMPUTING_SECONDS = 30
"""A test file may compute for; those of this project take up to 15."""
WAITING_SECONDS = 900
"""By the clock, for who waits for what never comes and computes nothing."""
MEMORY = 6 << 30
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+(?: \S+)*?)(?: - |$)", re.M)


@dataclass(frozen=True)
class Mutant:
    """A change to a file, named from the repository."""

    path: str
    change: Mutation
    turn: int
    """Among the equal changes of a function: which."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What ``ACCEPTED`` knows it by."""
        return self.path, self.change.shown, str(self.change)

    def rank(self, seed: int) -> bytes:
        """The lowest ones of a seed are tried."""
        change = self.change
        text = repr(
            (seed, self.path, change.place, str(change), change.kind, change.shown, self.turn)
        )
        return hashlib.sha256(text.encode()).digest()


@dataclass
class Result:
    """``by``: the test that noticed, or what stopped it."""

    mutant: Mutant
    noticed: bool
    by: str


@dataclass
class Copy:
    """The tree that the changes are made in."""

    root: Path
    passing: dict[str, bool] = field(default_factory=dict)
    """Whether a test passes without a change."""

    def environment(self) -> dict[str, str]:
        """Tests and the processes that they start find the copy."""
        data = os.environ.get("LAPILLI_TEST_DATA", ROOT.parent / "shared")
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "MKL", "OMP", "NUMBA")}
        return {
            **os.environ, **threads, "PYTHONPATH": str(self.root), "LAPILLI_TEST_DATA": str(data),
            "NUMBA_CACHE_DIR": str(self.root / "numba"),
        }  # fmt: skip

    def run(self, tests: Sequence[str]) -> tuple[str, str]:
        """("passed" | "failed" | "stopped", the test that failed or what stopped it)."""
        limit = COMPUTING_SECONDS * len(tests)

        def bounded() -> None:
            os.nice(10)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        command = [
            sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
            "--no-header", *tests,
        ]  # fmt: skip
        child = subprocess.Popen(
            command, cwd=self.root, env=self.environment(), text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=bounded,
        )  # fmt: skip
        try:
            output, _ = child.communicate(timeout=WAITING_SECONDS)
        except subprocess.TimeoutExpired:
            return "stopped", f"waited for {WAITING_SECONDS} s"
        finally:
            _end_group(child)
        if child.returncode == 0:
            return "passed", ""
        if child.returncode < 0:
            return "stopped", f"computed for {limit} s" if child.returncode in (
                -signal.SIGXCPU, -signal.SIGKILL
            ) else f"signal {-child.returncode}"  # fmt: skip
        failed = FAILED.search(output)
        return "failed", failed[1] if failed else output.strip().splitlines()[-1]

    def passes(self, test: str) -> bool:
        """Whether it does without a change, so that it was the change that it noticed."""
        if test not in self.passing:
            self.passing[test] = self.run([test])[0] == "passed"
        return self.passing[test]

    def judge(self, mutant: Mutant) -> Result:
        """Make the change, run the tests, take it back."""
        path = self.root / mutant.path
        source = path.read_text(encoding="utf-8")
        close = nearest(path, self.root, NEAREST + FURTHER)
        first = close[:NEAREST]
        rest = dict.fromkeys((*grids(path, self.root), *close[NEAREST:]))
        ordered = [*first, *(test for test in rest if test not in first)]
        files = [str(test.relative_to(self.root)) for test in ordered]
        for chosen in (files[:NEAREST], files[NEAREST:]):
            path.write_text(mutant.change.apply(source), encoding="utf-8")
            try:
                outcome, what = self.run(chosen) if chosen else ("passed", "")
            finally:
                path.write_text(source, encoding="utf-8")
            if outcome == "stopped":
                return Result(mutant, False, what)
            if outcome == "failed":
                if "::" in what and not self.passes(what):
                    return Result(mutant, False, f"{what} fails without the change")
                return Result(mutant, True, what)
        return Result(mutant, False, f"nothing in {len(files)} test files")


def _end_group(child: subprocess.Popen[str]) -> None:
    """What the tests started and did not wait for ends with them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def copied(folder: Path) -> Copy:
    """The files that git knows, as they are in the working tree."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # By content: a change and its end may fall into the same second, and have the same size.
    by_hash = ["--invalidation-mode", "checked-hash"]
    command = [sys.executable, "-m", "compileall", "-q", *by_hash, "lapilli"]
    subprocess.run(command, cwd=folder, check=True)
    copy = Copy(folder)
    found = subprocess.run(
        [sys.executable, "-c", "import lapilli; print(lapilli.__file__)"],
        cwd=folder, env=copy.environment(), capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if Path(found).resolve() != (folder / "lapilli/__init__.py").resolve():
        raise SystemExit(f"the tests would run {found}, not the copy")
    return copy


def all_mutants(places: Sequence[str]) -> Iterator[Mutant]:
    """Every change to the files in ``places``, files or folders named from the repository."""
    for place in places:
        top = ROOT / place
        for path in [top] if top.is_file() else sorted(top.rglob("*.py")):
            seen: Counter[tuple[str, str, str]] = Counter()
            for change in mutations(path.read_text(encoding="utf-8")):
                name = str(path.relative_to(ROOT))
                key = (change.place, str(change), change.shown)
                yield Mutant(name, change, seen[key])
                seen[key] += 1


def chosen(places: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """So many of them."""
    found: list[Mutant] = []
    for mutant in sorted(all_mutants(places), key=lambda each: each.rank(seed)):
        if len(found) == count:
            break
        if changes_something(mutant.change, (ROOT / mutant.path).read_text(encoding="utf-8")):
            found.append(mutant)
    return found


def report(results: Sequence[Result], console: Console) -> list[Result]:
    """What nobody noticed as a table; those of it that have no reason."""
    table = Table(title="Not noticed")
    for name in ("place", "change", "tests", "accepted because"):
        table.add_column(name, overflow="fold")
    missed = [result for result in results if not result.noticed]
    for result in missed:
        change = result.mutant.change
        reason = ACCEPTED.get(result.mutant.key, "")
        place = f"{result.mutant.path}:{change.line} {change.place}"
        table.add_row(place, f"{change.kind}: {change}", result.by, reason)
    if missed:
        console.print(table)
    console.print(f"{len(results)} changes, {len(results) - len(missed)} noticed", markup=False)
    return [result for result in missed if result.mutant.key not in ACCEPTED]


def main() -> int:
    """Arguments, the copy, a line for each change, and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=COUNT, help="changes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="which (default: %(default)s)")
    parser.add_argument("--in", dest="places", action="append", metavar="PLACE",
                        help="a file or folder; may be repeated")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="tell the changes, and run nothing")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the tests too
    mutants = chosen(arguments.places or PLACES, arguments.count, arguments.seed)
    results = []
    with tempfile.TemporaryDirectory(prefix="lapilli-mutants-") as folder:
        copy = None if arguments.list else copied(Path(folder).resolve())
        for number, mutant in enumerate(mutants, 1):
            change = mutant.change
            line = f"{number}/{len(mutants)} {mutant.path}:{change.line} {change.kind}: {change}"
            if copy is None:
                print(line)
                continue
            known = mutant.key in ACCEPTED
            results.append(Result(mutant, False, "not run") if known else copy.judge(mutant))
            word = "noticed by" if results[-1].noticed else "NOT NOTICED:"
            word = "accepted," if known else word
            print(f"{line}\n    {word} {results[-1].by}", flush=True)
    if copy is None:
        return ExitCode.OK
    return ExitCode.RESULTS_DIFFER if report(results, console) else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
