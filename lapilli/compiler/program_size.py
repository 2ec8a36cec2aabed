"""How large a program may become, told before memory is asked for.

A file of some bytes can ask for much more than it has: V7's depthwise kernels are written over all
planes of the image, layers may share one constant, and a single operator may take thousands of
instructions. So what a part needs is added up while its operators are lowered, again once the ways
are chosen, and a last time before coefficients are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lapilli.compiler.intents import ConvolutionIntent, Step
from lapilli.compiler.jobs import NnJob, Storage, TpJob
from lapilli.errors import ModelError
from lapilli.hw.chips import Chip
from lapilli.program.program import Part

MOST_BYTES = 1 << 28
"""Of a program's coefficients and instructions, unless the user says otherwise. The largest model
tried has 42 MiB."""
MOST_ADDRESSES = 1 << 32
"""Bytes of all buffers of a part: the NPU's address space."""
INSTRUCTION_BYTES = 4096
"""What an instruction takes while a program is made: its fields, addresses and place in reports."""

KernelBytes: TypeAlias = "Callable[[NnJob, Chip], int]"


@dataclass
class Budget:
    """What has been asked for so far; ``most``: where it ends."""

    most: int
    bytes: int = 0

    def spend(self, more: int) -> None:
        """ModelError if there is not so much left."""
        self.bytes += more
        if self.bytes > self.most:
            raise ModelError(
                f"the program would need {self.bytes} bytes of coefficients and instructions, or "
                f"more; left of what is allowed: {self.most}; lapilli compile "
                "--max-program-bytes allows another size"
            )


def of_steps(steps: Iterable[Step]) -> int:
    """Bytes of what is to be done: kernels as the model has them, and instructions."""
    found = 0
    for step in steps:
        if isinstance(step, ConvolutionIntent):
            found += step.kernels.values.size
        found += _instructions(step)
    return found


def of_jobs(jobs: Sequence[NnJob | TpJob], chip: Chip, of_kernels: KernelBytes) -> int:
    """Bytes of jobs whose kernels take ``of_kernels``, with the instructions."""
    return sum(
        _instructions(job) + (of_kernels(job, chip) if isinstance(job, NnJob) else 0)
        for job in jobs
    )


def of_part(part: Part) -> int:
    """The same of a part that is done."""
    data = sum(b.data.size for b in part.buffers if b.role == "coefficients" and b.data is not None)
    return data + INSTRUCTION_BYTES * len(part.jobs)


def check_addresses(storages: Sequence[Storage], more: int) -> None:
    """ModelError if the NPU can't address all of a part's memory; ``more``: bytes of what is no
    storage."""
    total = more + sum(storage.size for storage in storages)
    if total > MOST_ADDRESSES:
        raise ModelError(
            f"the part's buffers take {total} bytes; allowed: {MOST_ADDRESSES}, what the NPU can "
            "address"
        )


def _instructions(step: Step | NnJob) -> int:
    return INSTRUCTION_BYTES * (len(step.instructions) if isinstance(step, TpJob) else 1)


def stored(job: NnJob) -> int:
    """Weights of a job's kernels that are kept as an array."""
    return int(job.kernels.values.size)


def whole(job: NnJob) -> int:
    """All weights of the kernels, with those that are not kept."""
    kernels = job.kernels
    return kernels.output_channels * kernels.input_channels * kernels.rows * kernels.columns
