"""What scheduled jobs have to do, before any byte of them is written.

The emulator says the same of the bytes afterwards; both leave the arithmetic to ``lapilli/timing``.
"""

from __future__ import annotations

from collections.abc import Mapping

from lapilli.compiler.jobs import NnJob, TpInstruction, TpJob
from lapilli.compiler.schedule import OnChipMemory, Tiling, legal
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching
from lapilli.hw.tables import TABLE_BYTES
from lapilli.hw.tp import TP
from lapilli.timing import nn, tp
from lapilli.timing.coefficients import CoefficientStatistics
from lapilli.timing.nn import Axis, NnTask
from lapilli.timing.tp import TpTask, Window
from lapilli.timing.work import Work


def nn_work(
    job: NnJob, tiles: Tiling, memory: OnChipMemory, counted: CoefficientStatistics, chip: Chip
) -> Work:
    """Work of an NN job with such a schedule; ``counted``: by the encoder's ``measure`` for it."""
    return nn.nn_work(nn_task(job, tiles, memory, chip), counted, chip)


def nn_task(job: NnJob, tiles: Tiling, memory: OnChipMemory, chip: Chip) -> NnTask:
    """What the job asks of the NN cores with such a schedule."""
    kernels, source, target = job.kernels, job.input_size, job.output_size
    step = 2 if job.first_pixel else 1
    return NnTask(
        columns=Axis(
            size=target.columns * step,
            tile=tiles.columns,
            offset=job.column_offset,
            kernel=kernels.columns,
            image=source.columns,
        ),
        rows=Axis(
            size=target.rows * step,
            tile=tiles.rows,
            offset=job.row_offset,
            kernel=kernels.rows,
            image=source.rows,
        ),
        input_channels=source.channels,
        output_channels=target.channels,
        kernels_at_once=legal.kernels_of_a_superblock(
            kernels.output_channels, tiles.superblocks, chip
        ),
        native_depthwise=job.native_depthwise,
        first_pixel=job.first_pixel,
        kernel_sram=_range(
            memory.kernel_caching_mode,
            memory.kernel_cache_start_address,
            memory.kernel_cache_end_address,
        ),
        image_sram=_range(
            memory.image_caching_mode,
            memory.image_cache_start_address,
            memory.image_cache_end_address,
        ),
    )


def _range(mode: int, start: int, end: int) -> tuple[int, int] | None:
    return None if mode == Caching.NONE else (start, max(start, end))


def tp_work(job: TpJob, chip: Chip) -> tuple[Work, ...]:
    """Work of each instruction of a TP job."""
    return tp.tp_work([tp_task(each) for each in job.instructions], chip.tp_cores)


def tp_task(instruction: TpInstruction) -> TpTask:
    """What an instruction asks of a TP core."""
    fields = {name: field.default for name, field in TP.fields.items()}
    fields.update(instruction.fields)
    before, behind = (fields[f"in_window_z_{end}_overfetch"] for end in ("start", "end"))
    return TpTask(
        columns=_window(fields, "x"),
        rows=_window(fields, "y"),
        planes=fields["in_image_z_size"],
        border_planes=before + behind,
        table_bytes=TABLE_BYTES if fields["alu_load_pwl_lut"] else 0,
    )


def _window(fields: Mapping[str, int], axis: str) -> Window:
    return Window(
        start=fields[f"in_window_{axis}_start"],
        end=fields[f"in_window_{axis}_end"],
        tile=fields[f"in_tile_{axis}_size"],
        step=fields[f"in_tile_{axis}_inc"],
        image=fields[f"in_image_{axis}_size"],
    )
