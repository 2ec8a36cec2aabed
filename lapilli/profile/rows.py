"""A profile as rows of plain values: what table, CSV, JSON and page are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lapilli.errors import UsageError
from lapilli.profile.events import JobRecord, OperatorRecord, Processor, Profile

Row = dict[str, Any]

SORTS = ("order", "time", "cycles", "macs", "bytes", "utilisation", "bandwidth", "kind", "name")
"""What operators can be sorted by; numbers from high to low."""
_KEYS = {"order": "row", "time": "seconds"}


def operator_rows(profile: Profile) -> list[Row]:
    """One row an operator, in execution order. ``docs/profile.md`` says what the keys mean."""
    return [_operator_row(profile, op) for op in profile.operators]


def job_rows(profile: Profile) -> list[Row]:
    """One row an instruction, in stream order."""
    return [_job_row(profile, job) for job in profile.jobs]


def by(rows: Sequence[Row], sort: str) -> list[Row]:
    """The rows sorted; raises UsageError for a key there is not."""
    if sort not in SORTS:
        raise UsageError(f"can't sort by {sort!r}; allowed: {', '.join(SORTS)}")
    key = _KEYS.get(sort, sort)
    if sort in ("order", "kind", "name"):
        return sorted(rows, key=lambda row: (row[key], row["row"]))
    return sorted(rows, key=lambda row: (-(row[key] or 0), row["row"]))


def totals(profile: Profile) -> Row:
    """The sums. NPU times are modelled; ``*_measured`` are None where nothing was measured."""
    operators = profile.operators
    cycles = profile.npu_cycles
    useful = sum(op.macs_useful for op in operators)
    traffic = [op.traffic.total for op in operators]
    stored = sum(op.coefficients.stored for op in operators)
    dense = sum(op.coefficients.dense for op in operators)
    seconds = profile.npu_seconds
    return {
        "npu_seconds": seconds,
        "npu_seconds_measured": profile.executing_seconds,
        "npu_cycles": cycles,
        "cpu_seconds_measured": profile.cpu_seconds,
        "copying_seconds_measured": profile.copying_seconds,
        "operators": sum(len(op.operators) or 1 for op in operators),
        "operators_on_npu": sum(op.processor is Processor.NPU for op in operators),
        "jobs": len(profile.jobs),
        "parts": len(profile.parts),
        "macs": sum(op.macs for op in operators),
        "macs_dense": sum(op.macs_dense for op in operators),
        "macs_useful": useful,
        "utilisation": profile.utilisation(useful, cycles),
        "bytes": sum(traffic),
        "bytes_input": sum(op.traffic.input for op in operators),
        "bytes_output": sum(op.traffic.output for op in operators),
        "bytes_coefficients": sum(op.traffic.coefficients for op in operators),
        "bytes_instruction": sum(op.traffic.instruction for op in operators),
        "bytes_on_chip": sum(op.on_chip for op in operators),
        "bandwidth": sum(traffic) / seconds if seconds else 0.0,
        "coefficients_stored": stored,
        "coefficients_dense": dense,
        "compression": dense / stored if stored else 0.0,
        "cycles_by_bound": _cycles_by_bound(profile),
    }


def _cycles_by_bound(profile: Profile) -> dict[str, int]:
    spent: dict[str, int] = {}
    for job in profile.jobs:
        name = job.cycles.bound.value
        spent[name] = spent.get(name, 0) + job.cycles.total
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def _operator_row(profile: Profile, op: OperatorRecord) -> Row:
    return {
        "row": op.row,
        "operators": list(op.operators),
        "kind": op.kind,
        "on": op.processor.value,
        "name": op.name,
        "shape": op.shape,
        "part": op.part,
        "jobs": list(op.jobs),
        "seconds": op.seconds,
        "origin": op.origin.value,
        "share": profile.share(op),
        **_work(profile, op, op.total_cycles),
        "bound": op.bound.value if op.bound else None,
        "macs": op.macs,
        "sram_kernels": op.kernel_sram,
        "sram_image": op.image_sram,
    }


def _job_row(profile: Profile, job: JobRecord) -> Row:
    cycles = job.cycles.total
    return {
        "job": job.number,
        "row": job.row,
        "part": job.part,
        "operator": job.operator,
        "operation": job.operation,
        "unit": job.unit,
        "kind": job.kind,
        "shape": job.shape,
        "start_cycles": job.start,
        "seconds": profile.seconds(cycles),
        "share": cycles / profile.npu_cycles if profile.npu_cycles else 0.0,
        **_work(profile, job, cycles),
        "bound": job.cycles.bound.value,
        "zero_run_bits": job.zero_run_bits,
        "sram_kernels": list(job.sram.kernels) if job.sram.kernels else None,
        "sram_image": list(job.sram.image) if job.sram.image else None,
        "after": list(job.after),
    }


def _work(profile: Profile, record: OperatorRecord | JobRecord, cycles: int) -> Row:
    """What operators and jobs have in common."""
    traffic, terms = record.traffic, record.cycles
    return {
        "cycles": cycles,
        "cycles_memory": terms.memory,
        "cycles_coefficients": terms.coefficients,
        "cycles_tp": terms.tp,
        "cycles_start_up": terms.start_up,
        "macs_dense": record.macs_dense,
        "macs_useful": record.macs_useful,
        "utilisation": profile.utilisation(record.macs_useful, cycles),
        "bytes": traffic.total,
        "bytes_input": traffic.input,
        "bytes_output": traffic.output,
        "bytes_coefficients": traffic.coefficients,
        "bytes_instruction": traffic.instruction,
        "bytes_on_chip": record.on_chip,
        "bandwidth": profile.bandwidth(traffic, cycles),
        "tiles": record.tiles,
        "superblocks": record.superblocks,
        "coefficients_stored": record.coefficients.stored,
        "coefficients_dense": record.coefficients.dense,
        "compression": record.coefficients.compression,
    }
