"""Intents to jobs: for each one the way that the chip's generation chooses (see ``ways/``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lapilli.compiler import program_size
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import AdditionIntent, ConvolutionIntent, Lowered
from lapilli.compiler.jobs import NnJob, PartJobs, TpJob
from lapilli.compiler.options import LoweringOptions
from lapilli.compiler.storages import settle
from lapilli.compiler.ways.dilated import dilated_way, zeros_between
from lapilli.compiler.ways.way import Done, Terms
from lapilli.hw.chips import Chip


def realise(lowered: Lowered, chip: Chip, options: LoweringOptions) -> PartJobs:
    """The jobs of a part, on storages of which none lies in another any more. Raises ModelError
    if that is more than a program may hold."""
    jobs: list[NnJob | TpJob] = []
    storages = list(lowered.storages)
    generation = generation_of(chip)
    budget = program_size.Budget(options.most_bytes)
    for step in lowered.steps:
        if isinstance(step, TpJob):
            jobs.append(step)
            continue
        done = _done(step, chip, options, len(storages))
        known = _made_before(done, jobs)
        if known is not None:
            done = known
        budget.spend(program_size.of_jobs(done.jobs, chip, generation.bytes_to_measure))
        jobs += done.jobs
        storages += done.storages
    unsettled = PartJobs(
        operators=lowered.operators,
        jobs=tuple(jobs),
        storages=tuple(storages),
        inputs=lowered.inputs,
        outputs=lowered.outputs,
    )
    return settle(unsettled, lowered.placed)


def _made_before(done: Done, jobs: Sequence[NnJob | TpJob]) -> Done | None:
    """Without the layout change in front, if the same operator's job before made the same: those of
    a layer in several jobs, which differ in their kernels alone."""
    if len(jobs) < 2 or len(done.jobs) != 2:
        return None
    (move, job), (before, last) = done.jobs, jobs[-2:]
    if not (isinstance(move, TpJob) and isinstance(before, TpJob) and isinstance(job, NnJob)):
        return None
    reader = isinstance(last, NnJob) and last.source == before.target
    if not reader or replace(before, target=move.target) != move:
        return None
    return Done((replace(job, source=before.target),), done.storages[:0])


def _done(
    intent: ConvolutionIntent | AdditionIntent,
    chip: Chip,
    options: LoweringOptions,
    next_storage: int,
) -> Done:
    generation = generation_of(chip)
    terms = Terms(
        chip, options, generation.native_depthwise, generation.nearest_scale, next_storage
    )
    if isinstance(intent, AdditionIntent):
        numbers = generation.addition_numbers(intent.scales, options.as_recorded)
        return generation.addition_way(intent, numbers, terms)
    apart = dilated_way(intent, terms)
    if apart is not None:
        return apart(intent, terms)
    intent = zeros_between(intent)
    return generation.convolution_way(intent, chip)(intent, terms)
