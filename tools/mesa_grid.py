"""A sample of Mesa's own parameter grid, run by Mesa's driver on the emulated NPU, against LiteRT.

    python tools/mesa_grid.py
    python tools/mesa_grid.py --chip imx8mp --count 200 --seed 1

The grid is that of Mesa's test program (image sizes, kernels, channels, strides, padding); the
models are our own, with random weights whose results use all bytes, so that wrong rounding shows,
and not only wrong operands. The driver is Debian's, from the tree that tools/mesa_check.py makes.
What it gets wrong has to be in ``MISTAKES``, with its cause, and what is in there has to be wrong.
Exit code 6 if it is otherwise.
"""

# ruff: noqa: E402 (tests and tools are found first)

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]

from cases import (
    AdditionCase,
    ConvolutionCase,
    Zeros,
    driver_additions,
    driver_convolutions,
    driver_depthwise,
    feed,
    sample,
    seeded,
    zero_point,
)
from cases import add_convolution as append_convolution
from comparing import run_litert
from mesa_check import DELEGATE, PYTHON, Failure, demand_programs, mesa_version, prepare
from models import ModelBuilder
from rich.console import Console
from rich.table import Table

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.errors import ExitCode, Fault
from lapilli.hw.chips import Chip, find_by_name
from lapilli.program import recording

COUNT, SEED = 48, 0
LARGEST_WEIGHTS, LARGEST_OPERATIONS = 40_000, 30_000_000
"""Of a model: the driver's compiler and its host are slow under qemu, and so is LiteRT there."""
TIMEOUT = 1200


@dataclass(frozen=True)
class ResidualCase:
    """The sum of two convolutions of one image, as Mesa's test program has its additions."""

    size: int
    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: str
    seed: int

    @property
    def name(self) -> str:
        """What it is called; with the seed it says everything."""
        shape = f"{self.size}x{self.size}x{self.inputs}-{self.outputs}"
        return f"residual-{shape}-{self.kernel}s{self.stride}{self.padding.lower()}-{self.seed}"

    def branch(self, number: int) -> ConvolutionCase:
        """One of the convolutions."""
        zeros = Zeros(*seeded("residual", self.seed, number).integers(0, 256, 3).tolist())
        return ConvolutionCase(
            "residual", False, self.size, self.size, self.inputs, self.outputs,
            (self.kernel, self.kernel), self.stride, self.padding, zeros, seed=self.seed + number,
        )  # fmt: skip

    @property
    def operations(self) -> int:
        """Multiplications."""
        return 2 * self.branch(0).operations

    def model(self) -> bytes:
        """The .tflite."""
        rng, builder = seeded(self.name), ModelBuilder()
        x = builder.input((1, self.size, self.size, self.inputs), 0.02, zero_point(rng))
        point = builder.tensors[x].zero_points[0]  # type: ignore[index]
        sums = []
        for number in range(2):
            branch = self.branch(number)
            zeros = dataclasses.replace(branch.zeros, input=point)
            sums.append(
                append_convolution(builder, x, dataclasses.replace(branch, zeros=zeros), rng)
            )
        scales = [builder.tensors[y].scales[0] for y in sums]  # type: ignore[index]
        return builder.build([builder.add(*sums, sum(scales) * 0.7, 128)])

    def feed(self) -> list[Any]:
        """Input values."""
        return [feed((1, self.size, self.size, self.inputs), self.name)]


def residuals() -> list[ResidualCase]:
    """Those of the channels for which Mesa's list names additions, and others."""
    found = []
    for size in (3, 5, 8):
        for inputs, outputs in ((1, 1), (1, 32), (32, 32), (32, 120), (32, 256), (120, 128)):
            for kernel, stride in ((1, 1), (3, 1), (3, 2), (5, 1), (5, 2)):
                for padding in ("SAME", "VALID"):
                    if padding == "SAME" or kernel <= size:
                        found.append(
                            ResidualCase(size, inputs, outputs, kernel, stride, padding, len(found))
                        )
    return found


Case = ConvolutionCase | AdditionCase | ResidualCase


@dataclass(frozen=True)
class Mistake:
    """``applies``: to a convolution, on a generation of chips."""

    cause: str
    applies: Callable[[ConvolutionCase, int], bool]


MISTAKES = (
    Mistake(
        "5x5 over one channel, up to 64 rows: kernels are written in another order than it is read",
        lambda layer, generation: (
            generation == 7
            and kind(layer) == ("convolution", 5, 1)
            and layer.inputs == 1
            and layer.rows <= 64
        ),
    ),
    Mistake(
        "5x5, SAME, stride 2 on 3x3: padded while it is taken apart, and then shifted by -1 again",
        lambda layer, _: (
            kind(layer) == ("convolution", 5, 2) and layer.padding == "SAME" and layer.rows == 3
        ),
    ),
    Mistake(
        "depthwise 5x5, SAME, stride 2, odd size: the offset of even sizes",
        lambda layer, generation: (
            # V8 has the image of up to 5 rows taken apart.
            (generation == 7 or layer.rows > 5)
            and kind(layer) == ("depthwise", 5, 2)
            and layer.padding == "SAME"
            and layer.rows % 2 == 1
        ),
    ),
    Mistake(
        "depthwise 1x1, stride 2, 3 to 7 rows: weights for an image taken apart, which it is not",
        lambda layer, generation: (
            generation == 7 and kind(layer) == ("depthwise", 1, 2) and 2 < layer.rows < 8
        ),
    ),
)
ADDED = "two inputs of a graph are added as NHWC, and the sum is then turned from planes to NHWC"
"""A further one: of additions with more than one channel. A single one is planes and NHWC alike."""


def kind(layer: ConvolutionCase) -> tuple[str, int, int]:
    """Which convolution, kernel and stride."""
    return "depthwise" if layer.depthwise else "convolution", layer.kernel[0], layer.stride


def weights_of(case: Case) -> int:
    """Of all kernels."""
    if isinstance(case, AdditionCase):
        return 0
    one = case if isinstance(case, ConvolutionCase) else case.branch(0)  # both have as many
    return one.outputs * one.kernel[0] * one.kernel[1] * (1 if one.depthwise else one.inputs)


def operations_of(case: Case) -> int:
    """Multiplications, or sums."""
    if isinstance(case, AdditionCase):
        return case.rows * case.columns * case.channels
    return case.operations


def cases_of(count: int, seed: int) -> list[Case]:
    """So many, of each kind a share, always the same ones."""
    grids: list[tuple[list[Any], int]] = [
        (driver_convolutions(), count * 2 // 5),
        (driver_depthwise(), count // 4),
        (residuals(), count // 4),
        (driver_additions(), count - count * 2 // 5 - 2 * (count // 4)),
    ]
    found: list[Case] = []
    for grid, share in grids:
        small = [
            case
            for case in grid
            if weights_of(case) <= LARGEST_WEIGHTS and operations_of(case) <= LARGEST_OPERATIONS
        ]
        found += sample(small, share, seed)
    return found


# ------------------------------------------------------------------------------------------ running


@dataclass(frozen=True)
class Outcome:
    """``worst``: largest difference from LiteRT in output steps; ``submits``: none if the driver
    left the model to the CPU; ``note``: what the emulator said."""

    case: Case
    worst: int
    submits: int
    note: str = ""
    ended: bool = True

    @property
    def wrong(self) -> bool:
        """More apart than rounding explains: one step an operator, and the one behind it."""
        return not self.ended or self.worst > (2 if isinstance(self.case, ResidualCase) else 1)


def run_guest(chip: Chip, cases: Sequence[Case], work: Path) -> Path:
    """The folder with what became of each case. A program that the driver ends is started again,
    for the cases behind."""
    tree, site = prepare(work)
    folder = work / f"grid-{chip.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, case in enumerate(cases):
        (folder / f"{number:04}.tflite").write_bytes(case.model())
        inputs = {f"input_{i}": values for i, values in enumerate(case.feed())}
        np.savez(folder / f"{number:04}.npz", **inputs)
    begun = attempt = 0
    while begun < len(cases):
        log = run_once(chip, tree, site, folder, attempt)
        attempt += 1
        before, begun = begun, len(list(folder.glob("*.started")))
        if begun == before:
            last = (log.strip() or "no message").splitlines()[-1]
            raise Failure(ExitCode.NO_DEVICE, f"the program does not start: {last}")
    return folder


def run_once(chip: Chip, tree: Path, site: Path, folder: Path, attempt: int) -> str:
    """The cases that were not begun yet, up to one that ends the program; what was printed."""
    records = folder / f"records-{attempt}"
    records.mkdir()
    command = [
        sys.executable, "-m", "lapilli", "emulate", "--chip", chip.name, "--record", records,
        "--compiler", "aarch64-linux-gnu-gcc", "--", "qemu-aarch64-static", "-L", tree,
        "-E", f"PYTHONPATH={site}", tree / f"usr/bin/python{PYTHON}", "-S",
        ROOT / "tools" / "mesa_grid_guest.py", folder, tree / DELEGATE, records,
    ]  # fmt: skip
    log = folder / f"log-{attempt}.txt"
    with open(log, "w", encoding="utf-8") as file:
        try:
            subprocess.run(
                list(map(str, command)), cwd=ROOT, timeout=TIMEOUT, check=False,
                stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failure(ExitCode.HANG, f"{folder.name}: no end after {TIMEOUT} s") from error
    return log.read_text(encoding="utf-8", errors="replace")


def outcomes(chip: Chip, cases: Sequence[Case], work: Path) -> Iterator[Outcome]:
    """Of each case."""
    folder = run_guest(chip, cases, work)
    attempt = 0
    for number, case in enumerate(cases):
        path = folder / f"{number:04}.out.npz"
        if not path.exists():
            attempt += 1
            yield Outcome(case, 255, 0, "the driver ends the program", ended=False)
            continue
        with np.load(path) as found:
            output, (first, last) = found["output_0"], found["submits"].tolist()
        (expected,) = run_litert(case.model(), case.feed())
        worst = int(np.abs(output.astype(np.int16) - expected.astype(np.int16)).max())
        note = said(chip, folder / f"records-{attempt}", first, last) if worst > 1 else ""
        yield Outcome(case, worst, last - first, note)


def said(chip: Chip, records: Path, first: int, last: int) -> str:
    """What the emulator says of some submits."""
    for number in range(first, last):
        submit = recording.load(records / f"{number:04}.npz")
        if not submit.buffers:
            continue
        with EmulatedDevice(chip) as device:
            try:
                replay(submit, device)
            except Fault as fault:
                return f"{type(fault).__name__}: {fault}"
            if any(counted.reads_own_output for counted in device.last_counters):
                return "a job writes over its own input"
    return ""


# ------------------------------------------------------------------------------------------ judging


def cause_of(case: Case, chip: Chip) -> str:
    """Why the driver has to be wrong there; "" if it has to be right."""
    if isinstance(case, AdditionCase):
        return ADDED if case.channels > 1 else ""
    layer = case if isinstance(case, ConvolutionCase) else case.branch(0)
    return "; ".join(m.cause for m in MISTAKES if m.applies(layer, chip.generation))


def judge(chip: Chip, found: Sequence[Outcome], console: Console) -> list[str]:
    """Tables; what is not as ``MISTAKES`` says."""
    table = Table(title=f"What Mesa's driver gets wrong on {chip.name}")
    for name in ("case", "largest difference", "cause"):
        table.add_column(name, overflow="fold")
    unexpected = []
    counts: Counter[str] = Counter()
    for outcome in found:
        cause = cause_of(outcome.case, chip)
        counts["left to the CPU" if not outcome.submits else "run"] += 1
        if outcome.wrong:
            counts["wrong"] += 1
            text = cause or f"not known; {outcome.note or 'the emulator has nothing to say'}"
            table.add_row(outcome.case.name, str(outcome.worst), text)
        if outcome.wrong != bool(cause):
            state = "is wrong" if outcome.wrong else "is right"
            unexpected.append(f"{chip.name}: {outcome.case.name} {state}; {cause or outcome.note}")
    console.print(table)
    text = ", ".join(f"{number} {what}" for what, number in counts.items())
    console.print(f"{len(found)} cases on {chip.name}: {text}", markup=False)
    return unexpected


def main() -> int:
    """Arguments, and a table for each chip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--chip", action="append", help="may be repeated (default: a311d, imx8mp)")
    parser.add_argument("--count", type=int, default=COUNT, help="cases (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="which (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "mesa-check",
                        help="where packages are kept (default: %(default)s)")  # fmt: skip
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    work, unexpected = arguments.work.resolve(), []
    try:
        demand_programs()
        prepare(work)
        console.print(f"Mesa {mesa_version(work)}", markup=False)
        for name in arguments.chip or ["a311d", "imx8mp"]:
            chip = find_by_name(name)
            if chip is None:
                raise Failure(ExitCode.USAGE, f"unknown chip {name!r}")
            cases = cases_of(arguments.count, arguments.seed)
            unexpected += judge(chip, list(outcomes(chip, cases, work)), console)
    except Failure as failure:
        print(f"mesa_grid: {failure}", file=sys.stderr)
        return failure.code
    for line in unexpected:
        print(f"mesa_grid: {line}", file=sys.stderr)
    return ExitCode.RESULTS_DIFFER if unexpected else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
