"""``lapilli compile``: a model in, a program file out."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lapilli.cache.programs import program_of, store_for
from lapilli.cache.units import keeper
from lapilli.cli import options, targets, text
from lapilli.cli.completion import FILE
from lapilli.cli.per_channel import loss_json, loss_notes, per_channel_of
from lapilli.cli.remaining import remaining
from lapilli.cli.text import say
from lapilli.compiler import stages as compiler
from lapilli.compiler.blocking import blocking
from lapilli.compiler.program_size import MOST_ADDRESSES, MOST_BYTES
from lapilli.compiler.schedule.search_options import SearchOptions
from lapilli.compiler.verdict import Verdict, left_over
from lapilli.cpu_rates import cuts_of
from lapilli.errors import Unsupported
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.model.input_shapes import Shapes
from lapilli.program import program_file
from lapilli.program.program import Program

SUFFIX = ".lapilli"


@dataclass(frozen=True)
class Summary:
    """What a compile did."""

    program: Program
    output: str
    file_bytes: int
    operators: int
    on_cpu: int
    seconds: float
    from_cache: bool

    @property
    def jobs(self) -> int:
        """Instructions of all parts."""
        return sum(len(part.jobs) for part in self.program.parts)

    @property
    def tensor_bytes(self) -> int:
        """Buffers of all parts' tensors."""
        return sum(part.memory.taken for part in self.program.parts if part.memory is not None)

    @property
    def coefficient_bytes(self) -> int:
        """Header and core streams of all jobs."""
        jobs = (job for part in self.program.parts for job in part.jobs)
        return sum(job.coefficients[1] for job in jobs if job.coefficients is not None)


@click.command("compile")
@click.argument("model", metavar="MODEL.tflite", type=FILE)
@options.shapes()
@targets.chip("What to compile for, or a board such as vim3.")
@click.option(
    "--schedule",
    default="best",
    show_default=True,
    metavar="[best|reference]",
    help="The fastest known, or the recorded driver's.",
)
@click.option(
    "-o",
    "--output",
    metavar="OUT.lapilli",
    help="The program; by default the model's name, here.",
)
@click.option("--strict", is_flag=True, help="Exit with 4 if any operator stays on the CPU.")
@options.cache()
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON object.")
@click.option("--no-zero-runs", is_flag=True, help="Code every weight (V7).")
@click.option("--no-image-cache", is_flag=True, help="Read the input for every superblock.")
@click.option("--no-kernel-cache", is_flag=True, help="Read the coefficients for every tile.")
@click.option(
    "--only-divisible-channels",
    is_flag=True,
    help="Leave convolutions whose output channels are no multiple of 8 to the CPU.",
)
@click.option(
    "--no-postprocess",
    is_flag=True,
    help="Let the NPU take what the delegate does on the host behind a detector.",
)
@click.option("--no-memory-reuse", is_flag=True, help="Give every tensor memory of its own.")
@click.option(
    "--max-program-bytes",
    type=click.IntRange(1, MOST_ADDRESSES),
    default=MOST_BYTES,
    metavar="N",
    help="Refuse what needs more coefficients and instructions.  [default: 2^28]",
)
@options.search()
@options.cuts("fastest; all with --strict or --schedule reference")
@options.per_channel("best")
def compile_command(
    model: str,
    shapes: Shapes,
    chip: str,
    schedule: str,
    output: str | None,
    strict: bool,
    cache: bool,
    as_json: bool,
    no_zero_runs: bool,
    no_image_cache: bool,
    no_kernel_cache: bool,
    only_divisible_channels: bool,
    no_postprocess: bool,
    no_memory_reuse: bool,
    max_program_bytes: int,
    search: SearchOptions,
    partition: str | None,
    per_channel: str,
    calibration: str | None,
) -> None:
    """Compile MODEL.tflite to a program for an NPU."""
    began = time.perf_counter()
    found, schedule = compiler.chip_named(chip), compiler.schedule_named(schedule)
    data = tflite.read_file(model, shapes)
    graph = tflite.parse(data, Path(model).name, source=model)
    wishes = compiler.CompileOptions(
        not no_zero_runs,
        not no_image_cache,
        not no_kernel_cache,
        only_divisible_channels,
        not no_postprocess,
        not no_memory_reuse,
        max_program_bytes,
        per_channel=per_channel_of(per_channel, calibration, graph, data),
        cuts=cuts_of(partition, schedule, strict),
    ).searched(search)
    store = store_for(cache)
    prepared = compiler.prepare(graph, found, wishes, keeper(store, wishes.per_channel))
    verdicts = prepared.verdicts
    say(loss_notes(prepared))
    on_cpu = [verdict for verdict in verdicts if not verdict.supported]
    left = left_over(verdicts)
    if strict and left:
        _refuse(graph, left)
    made = program_of(store, graph, found, schedule, tflite.digest(data), wishes, prepared)
    program = made.program
    path = Path(model).stem + SUFFIX if output is None else output
    program_file.save(program, path)
    summary = Summary(
        program,
        path,
        len(program_file.to_bytes(program)),
        len(graph.operators),
        len(on_cpu),
        time.perf_counter() - began,
        made.kept,
    )
    text.say(graph.remarks)
    click.echo(_line(summary), err=True)
    blocked = blocking(graph, verdicts)
    for line in remaining(blocked, model, found.name, text.width()):
        click.echo(line, err=True)
    if as_json:
        told = {**_json(summary, prepared), "notes": list(graph.remarks)}
        told["blocking"] = blocked.to_dict() if blocked else None
        click.echo(json.dumps(told, indent=2))


def _refuse(graph: Graph, left: list[Verdict]) -> None:
    """Name the operators the NPU does not take, then raise Unsupported."""
    kinds = {operator.index: operator.kind for operator in graph.operators}
    for verdict in left:
        name = f"operator {verdict.operator} {kinds[verdict.operator]}"
        click.echo(text.clean(f"{name}: {verdict.reason}"), err=True)
    raise Unsupported(
        f"{graph.name}: {len(left)} of {text.count(len(graph.operators), 'operator')} would stay "
        f"on the CPU, which --strict does not allow; nothing was written"
    )


def _line(summary: Summary) -> str:
    program = summary.program
    return text.clean(
        f"{summary.output}: {program.chip}, schedule {program.schedule}: "
        f"{text.count(len(program.parts), 'part')}, {text.count(summary.jobs, 'job')}, "
        f"{text.size(summary.coefficient_bytes)} of coefficients, "
        f"{text.size(summary.tensor_bytes)} for tensors, "
        f"{summary.operators - summary.on_cpu} of {text.count(summary.operators, 'operator')} "
        f"on the NPU; {summary.seconds:.2f} s{', from the cache' if summary.from_cache else ''}"
    )


def _json(summary: Summary, prepared: compiler.Prepared) -> dict[str, Any]:
    program = summary.program
    return {
        "model": program.model,
        "model_sha256": program.model_digest,
        "output": summary.output,
        "output_bytes": summary.file_bytes,
        "chip": program.chip,
        "schedule": program.schedule,
        "digest": program.digest(),
        "operators": summary.operators,
        "operators_on_npu": summary.operators - summary.on_cpu,
        "parts": [
            {
                "operators": list(part.operators),
                "jobs": len(part.jobs),
                "command_words": len(part.commands),
                "buffer_bytes": sum(buffer.size for buffer in part.buffers),
                "tensor_bytes": part.memory.taken if part.memory else None,
                "tensor_bytes_apart": part.memory.apart if part.memory else None,
                "tensor_bytes_alive": part.memory.alive if part.memory else None,
            }
            for part in program.parts
        ],
        "jobs": summary.jobs,
        "coefficient_bytes": summary.coefficient_bytes,
        "per_channel": loss_json(prepared.loss),
        "seconds": round(summary.seconds, 6),
        "from_cache": summary.from_cache,
    }
