"""What a choice costs: the timing model's cycles of a job that is not written yet.

The arithmetic is that of ``lapilli/timing``, so a job's predicted cycles are those that its bytes
take; what is remembered here, for one compilation, are the sizes of coefficient buffers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lapilli.compiler.generations import Generation, generation_of
from lapilli.compiler.jobs import CoefficientSize, ImageSize, Kernels, NnJob, TpJob
from lapilli.compiler.schedule import OnChipMemory, Tiling, tiles
from lapilli.compiler.schedule.legal import Shape, shape_of
from lapilli.compiler.schedule.work import nn_task, nn_work, tp_work
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip, find_by_name
from lapilli.hw.nn import Caching
from lapilli.timing.constants import TimingConstants, constants_of
from lapilli.timing.cycles import charge
from lapilli.timing.nn import nn_work as work_of

UNCACHED = OnChipMemory(Caching.NONE, Caching.NONE, 0, 0, 0, 0, 0, 0, 0)
YARDSTICKS = {7: "a311d", 8: "imx8mp"}
"""Whose constants decide for chips of a generation that have none of their own."""


def deciding_constants(chip: Chip) -> TimingConstants:
    """The constants that choices for a chip are made with."""
    try:
        return constants_of(chip)
    except Unsupported:
        other = find_by_name(YARDSTICKS[chip.generation])
        assert other is not None
        return constants_of(other)


@dataclass
class Costs:
    """Costs of jobs on one chip; lives as long as one compilation."""

    chip: Chip
    constants: TimingConstants
    _sizes: dict[tuple[int, int], CoefficientSize] = field(default_factory=dict)
    _kernels: list[Kernels] = field(default_factory=list)
    """Keeps alive what ``_sizes`` knows by identity."""
    _tilings: dict[tuple[Shape, ImageSize, int], tuple[Tiling, ...]] = field(default_factory=dict)

    @property
    def generation(self) -> Generation:
        """What the chip's generation does in its own way."""
        return generation_of(self.chip)

    def size(self, job: NnJob, superblocks: int) -> CoefficientSize:
        """The job's coefficient buffer with so many superblocks."""
        key = id(job.kernels), superblocks
        if key not in self._sizes:
            self._kernels.append(job.kernels)
            tiling = Tiling(1, 1, superblocks)
            self._sizes[key] = self.generation.measure(job, self.chip, tiling)
        return self._sizes[key]

    def tilings(self, job: NnJob, effort: int) -> tuple[Tiling, ...]:
        """What is tried for a job of that shape."""
        key = shape_of(job), job.output_size, effort
        if key not in self._tilings:
            limits = self.generation.limits
            self._tilings[key] = tuple(tiles.choices(job, self.chip, limits, effort))
        return self._tilings[key]

    def least(self, job: NnJob, tiling: Tiling, known: CoefficientSize) -> int:
        """Cycles that the job takes at least with such tiles, whatever becomes of its coefficients:
        its weights alone, those of a core as many as the average, and its image read once.
        ``known``: the size with some other number of superblocks."""
        counted, cores = known.statistics, known.cores
        mean = sum(counted.weights) // cores
        bare = replace(
            counted,
            header_bytes=0,
            stream_bytes=0,
            weights=(mean,),
            tokens=(mean,),
        )
        task = replace(nn_task(job, tiling, UNCACHED, self.chip), image_sram=(0, 0))
        bare_work = work_of(task, bare, self.chip)
        return charge(replace(bare_work, cached_input=0), self.constants).total_cycles

    def nn(self, job: NnJob, tiling: Tiling, memory: OnChipMemory) -> int:
        """Cycles of an NN job."""
        counted = self.size(job, tiling.superblocks).statistics
        work = nn_work(job, tiling, memory, counted, self.chip)
        return charge(work, self.constants).total_cycles

    def tp(self, job: TpJob) -> int:
        """Cycles of a TP operation."""
        return sum(charge(w, self.constants).total_cycles for w in tp_work(job, self.chip))
