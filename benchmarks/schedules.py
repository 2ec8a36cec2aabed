"""What the best schedule gives, by the timing model: every model, both chips, lever by lever.

    python benchmarks/schedules.py [--sensitivity] [--json] [--record] [--models PART[,PART]]

For each model the reference and the best schedule: NPU time, bytes by kind, cycles that wait for
coefficients and TPs, jobs, bytes of buffers, CPU time of compiling; and the bound, below which no
order of jobs comes: every operator's tensors and coefficients once over the bus, and a start-up.
For the models in ``LADDER`` what each lever gives: after those before it, alone, and to the others.
``--sensitivity``: the same programs under other constants (benchmarks/constant_sets.py).
``--record`` writes benchmarks/schedules.json, which docs/schedules.md is made from. Models are
taken from LAPILLI_TEST_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from constant_sets import NOMINAL, SETS, SLOWEST_BUS, milliseconds, refitted
from schedule_jobs import Scheduled, graph_of, options, scheduled

from lapilli.compiler.schedule.levers.registry import CHOICES, LEVERS, MEMORY, NAMES, TILES
from lapilli.compiler.stages import SCHEDULES, CompileOptions, chip_named, compile_graph
from lapilli.errors import ModelError
from lapilli.timing.constants import constants_of
from lapilli.timing.cycles import charge

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LAPILLI_TEST_DATA", HERE.parents[1] / "shared"))
RECORD = HERE / "schedules.json"
CHIPS = ("a311d", "imx8mp")
LADDER = {
    "MobileNetV1": "models/mobilenet_v1_1.0_224_quant",
    "MobileNetV2": "models/mobilenet_v2_1.0_224_quant",
    "MobileDet": "models/ssdlite_mobiledet_coco_qat_postprocess",
}
MODELS = {
    **LADDER,
    "MobileNetV1 0.25 128": "models/mobilenet_v1_0.25_128_quant",
    "DeepLab dm05": "models/deeplabv3_mnv2_dm05_pascal_quant",
    "MobileNetV2 int8": "today/mobilenet_v2_1.0_224_int8_per_tensor",
    "DeepLab int8": "today/deeplabv3_257_int8_per_tensor",
    "ToyCar int8": "today/model_ToyCar_quant_fullint_micro_intio",
}
ORDER = ("tp-cores", "one-pass", "fold", TILES, MEMORY, "groups", "output-split")
STEPS = (*ORDER, *(name for name in NAMES if name not in ORDER))
"""The ladder's order: those that published times say least against first."""
VARIED = (*LADDER, "MobileNetV2 int8")
"""Models looked at under other constants: those of the ladder, and one that has a use for what they
have none for."""
FITTED = ("MobileNetV1", "MobileDet")
"""Whose reference's times are published."""


@dataclass(frozen=True)
class Row:
    """A model's program by a schedule. Times in ms, bytes in MB, compiling in CPU seconds."""

    model: str
    chip: str
    schedule: str
    npu_ms: float
    coefficients: float
    input: float
    output: float
    coefficient_ms: float
    tp_ms: float
    start_ms: float
    instructions: int
    operations: int
    buffers: float
    compile_s: float
    bound_ms: float


@dataclass(frozen=True)
class Step:
    """What a lever gives a model, ms: ``cumulated`` is the time with it and those before it."""

    model: str
    chip: str
    lever: str
    cumulated: float
    alone: float
    to_the_others: float


@dataclass(frozen=True)
class Changed:
    """Times under other constants, ms; ``gains``: what each lever gives to the others."""

    model: str
    constants: str
    bus: float
    plausible: bool
    reference: float
    best: float
    refitted_reference: float
    refitted_best: float
    gains: dict[str, float]


def path_of(model: str) -> Path:
    """Of the file."""
    return DATA / f"{MODELS[model]}.tflite"


def row(model: str, chip_name: str, schedule: str) -> Row | None:
    """None if the NPU takes none of the model."""
    chip, graph = chip_named(chip_name), graph_of(path_of(model))
    began = time.process_time()
    try:
        program = compile_graph(graph, chip, schedule)
    except ModelError:
        return None
    seconds = time.process_time() - began
    found = scheduled(path_of(model), chip_name, schedule, CompileOptions())
    constants = constants_of(chip)
    times = [charge(job.work, constants) for job in found.jobs]
    traffic = [each.work.traffic for each in times]
    ms = 1e3 / constants.clock_hz
    bound = found.least_bytes / constants.bus_bytes + found.operators * constants.nn_start_cycles
    return Row(
        model=model,
        chip=chip_name,
        schedule=schedule,
        npu_ms=ms * sum(each.total_cycles for each in times),
        coefficients=sum(each.coefficients for each in traffic) / 1e6,
        input=sum(each.input for each in traffic) / 1e6,
        output=sum(each.output for each in traffic) / 1e6,
        coefficient_ms=ms * sum(each.cycles.coefficients for each in times),
        tp_ms=ms * sum(each.total_cycles for each in times if each.work.unit == "TP"),
        start_ms=ms * sum(each.cycles.start_up for each in times),
        instructions=len(times),
        operations=sum(each.work.first for each in times),
        buffers=sum(b.size for part in program.parts for b in part.buffers) / 1e6,
        compile_s=seconds,
        bound_ms=ms * bound,
    )


def nominal_ms(model: str, chip_name: str, chosen: CompileOptions) -> float:
    """Of the best schedule with such levers."""
    found = scheduled(path_of(model), chip_name, "best", chosen)
    return milliseconds(found.jobs, NOMINAL, constants_of(chip_named(chip_name)))


def ladder(model: str, chip_name: str) -> list[Step]:
    """A step for each lever that the chip has, the first without any."""
    generation = chip_named(chip_name).generation
    others = {lever.name for lever in (*LEVERS, *CHOICES) if generation not in lever.generations}
    names = [name for name in STEPS if name not in others]
    nothing = nominal_ms(model, chip_name, options(()))
    everything = nominal_ms(model, chip_name, options(names))
    steps = [Step(model, chip_name, "none", nothing, 0, 0)]
    for number, name in enumerate(names):
        rest = [each for each in names if each != name]
        steps.append(
            Step(
                model,
                chip_name,
                name,
                nominal_ms(model, chip_name, options(names[: number + 1])),
                nothing - nominal_ms(model, chip_name, options([name])),
                nominal_ms(model, chip_name, options(rest)) - everything,
            )
        )
    return steps


def sensitivity() -> list[Changed]:
    """The A311D's programs, chosen with its own constants, under each set."""
    nominal = constants_of(chip_named("a311d"))
    references = {m: _jobs(m, "reference", CompileOptions()) for m in VARIED}
    bests = {m: _jobs(m, "best", CompileOptions()) for m in VARIED}
    without = {
        (m, name): _jobs(m, "best", CompileOptions(without=frozenset({name})))
        for m in VARIED
        for name in STEPS
    }
    fitted = [references[m].jobs for m in FITTED]
    found = []
    for changed in SETS:
        constants, fit = changed.constants(nominal), refitted(changed, fitted, nominal)
        bus = constants.bus_bytes if "bus_bytes" in changed.values else fit.bus_bytes
        for model in VARIED:
            best = milliseconds(bests[model].jobs, changed, constants)
            found.append(
                Changed(
                    model=model,
                    constants=changed.name,
                    bus=bus,
                    plausible=bus >= SLOWEST_BUS,
                    reference=milliseconds(references[model].jobs, changed, constants),
                    best=best,
                    refitted_reference=milliseconds(references[model].jobs, changed, fit),
                    refitted_best=milliseconds(bests[model].jobs, changed, fit),
                    gains={
                        n: milliseconds(without[model, n].jobs, changed, constants) - best
                        for n in STEPS
                    },
                )
            )
    return found


def _jobs(model: str, schedule: str, chosen: CompileOptions) -> Scheduled:
    return scheduled(path_of(model), "a311d", schedule, chosen)


def show_rows(rows: Iterable[Row]) -> None:
    """As a table."""
    print(
        f"{'model':<22}{'chip':<8}{'schedule':<11}{'NPU ms':>8}{'share':>7}{'coef MB':>9}"
        f"{'in MB':>8}{'out MB':>8}{'coef ms':>9}{'TP ms':>7}{'start':>7}{'instr':>7}{'ops':>5}"
        f"{'buf MB':>8}{'CPU s':>7}{'bound':>8}{'above':>7}"
    )
    reference = 1.0
    for each in rows:
        reference = each.npu_ms if each.schedule == "reference" else reference
        print(
            f"{each.model:<22}{each.chip:<8}{each.schedule:<11}{each.npu_ms:>8.3f}"
            f"{each.npu_ms / reference:>7.3f}{each.coefficients:>9.2f}{each.input:>8.2f}"
            f"{each.output:>8.2f}{each.coefficient_ms:>9.3f}{each.tp_ms:>7.3f}{each.start_ms:>7.2f}"
            f"{each.instructions:>7}{each.operations:>5}{each.buffers:>8.2f}{each.compile_s:>7.2f}"
            f"{each.bound_ms:>8.3f}{each.npu_ms / each.bound_ms - 1:>+7.0%}"
        )


def show_steps(steps: Sequence[Step]) -> None:
    """As tables, one a chip."""
    for chip in CHIPS:
        print(f"\nThe ladder on {chip}, ms: with it and those above; alone; to all the others")
        print(f"{'lever':<16}" + "".join(f"{model:>26}" for model in LADDER))
        here = [step for step in steps if step.chip == chip]
        for name in dict.fromkeys(step.lever for step in here):
            cells = [
                f"{step.cumulated:>10.3f}{step.alone:>8.3f}{step.to_the_others:>8.3f}"
                for step in here
                if step.lever == name
            ]
            print(f"{name:<16}" + "".join(cells))


def show_changed(found: Sequence[Changed]) -> None:
    """As a table a model, and which lever loses where."""
    for model in dict.fromkeys(each.model for each in found):
        print(f"\n{model} on a311d under other constants, ms; then with the bus fitted again")
        print(f"{'constants':<34}{'reference':>10}{'best':>8}{'share':>7}{'bus':>7}", end="")
        print(f"{'reference':>11}{'best':>8}{'share':>7}   levers that lose")
        for each in (each for each in found if each.model == model):
            lost = [f"{name} {-gain:.3f}" for name, gain in each.gains.items() if gain < -0.0005]
            print(
                f"{each.constants:<34}{each.reference:>10.3f}{each.best:>8.3f}"
                f"{each.best / each.reference:>7.3f}{each.bus:>7.2f}"
                f"{each.refitted_reference:>11.3f}{each.refitted_best:>8.3f}"
                f"{each.refitted_best / each.refitted_reference:>7.3f}   {', '.join(lost)}"
                f"{'' if each.plausible else ' (needs too slow a bus)'}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--sensitivity", action="store_true", help="under other constants, too")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name} as well")
    parser.add_argument("--models", default="", help="only models with one of these in the name")
    arguments = parser.parse_args()
    wanted = [m for m in MODELS if any(part in m for part in arguments.models.split(","))]
    asked = [(m, c, s) for m in wanted for c in CHIPS for s in SCHEDULES]
    rows = [found for each in asked if (found := row(*each)) is not None]
    if not arguments.json:
        show_rows(rows)
    steps = [step for m in wanted if m in LADDER for c in CHIPS for step in ladder(m, c)]
    if not arguments.json:
        show_steps(steps)
    changed = sensitivity() if arguments.sensitivity else []
    if not arguments.json:
        show_changed(changed)
    every = {"programs": rows, "ladder": steps, "sensitivity": changed}
    found = {name: [_rounded(asdict(each)) for each in part] for name, part in every.items()}
    if arguments.json:
        print(json.dumps(found, indent=1))
    if arguments.record:
        lines = [
            f' "{name}": [\n' + ",\n".join(f"  {json.dumps(each)}" for each in part) + "\n ]"
            for name, part in found.items()
        ]
        RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _rounded(values: dict[str, object]) -> dict[str, object]:
    """To what the tables show; times of compiling are this machine's and stay out."""
    kept = {name: value for name, value in values.items() if name != "compile_s"}
    for name, value in kept.items():
        if isinstance(value, float):
            kept[name] = round(value, 3)
        elif isinstance(value, dict):
            kept[name] = {key: round(each, 3) for key, each in value.items()}
    return kept


if __name__ == "__main__":
    sys.exit(main())
