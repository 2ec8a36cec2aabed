"""``lapilli run``: a model file and an input in, the answer out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from lapilli import labels as label_files
from lapilli import results
from lapilli.cli.text import clean
from lapilli.errors import ModelError, Unsupported, UsageError
from lapilli.inference import Inference, Times, Values, load_input


@click.command()
@click.argument("model")
@click.option("--input", "inputs", multiple=True, metavar="IMAGE|X.npy",
              help="A picture or an .npy file; once for each input of the model.")
@click.option("--device", default="auto", show_default=True,
              help="emulator:a311d, a render node, or auto (a board only).")
@click.option("--schedule", type=click.Choice(["reference", "best"]), default="best",
              show_default=True, help="How jobs are laid out on the NPU.")
@click.option("--labels", metavar="FILE", help="Class names, one a line.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1),
              help="Classes to print.")
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1),
              help="Timed runs after the first; the best one counts.")
@click.option("--output", metavar="OUT.npz", help="Write the raw output tensors here.")
@click.option("--strict", is_flag=True, help="Fail if an operator stays on the CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(
    model: str, inputs: tuple[str, ...], device: str, schedule: str, labels: str | None, top: int,
    runs: int, output: str | None, strict: bool, as_json: bool,
) -> None:
    """Run MODEL.tflite on the NPU; what the NPU doesn't take runs on the CPU."""
    names = label_files.load(labels) if labels else None
    inference = Inference(model, device=device, schedule=schedule)
    try:
        left = inference.cpu_operators()
        if strict and left:
            raise Unsupported(f"{inference.graph.name}: {len(left)} operators stay on the CPU; "
                              f"the first is {left[0].index} {left[0].kind}: {left[0].reason}")
        inference.feed(_load_inputs(inference, inputs))
        times = inference.run_timed(runs)
        values = inference.outputs()
        if names is None:
            names = label_files.embedded(inference.content)
        if output:
            _save(output, inference, values)
        report = _report(inference, values, times, names, top)
    finally:
        inference.close()
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)


def _load_inputs(inference: Inference, paths: Sequence[str]) -> list[Values]:
    tensors = inference.input_tensors
    if len(paths) != len(tensors):
        wanted = ", ".join(
            f"{clean(t.name)} ({t.dtype} {list(t.shape)})" for t in tensors)
        raise UsageError(f"{inference.graph.name} has {len(tensors)} inputs: {wanted}; "
                         f"--input was given {len(paths)} times")
    return [load_input(path, tensor) for path, tensor in zip(paths, tensors, strict=True)]


def _save(path: str, inference: Inference, values: Sequence[Values]) -> None:
    """The outputs as arrays called after their tensors, and in order as output_0 ..."""
    arrays = {f"output_{i}": array for i, array in enumerate(values)}
    try:
        with open(path, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise ModelError(f"{path}: can't write ({error.strerror})") from error


def _report(
    inference: Inference, values: Sequence[Values], times: Times, names: dict[int, str], top: int
) -> dict[str, Any]:
    """The whole result as JSON has it."""
    tensors = inference.output_tensors
    report: dict[str, Any] = {
        "model": inference.graph.name,
        "device": inference.device,
        "operators": len(inference.graph.operators),
        "npu_operators": list(inference.npu_operators),
        "npu_kinds": _kinds(inference),
        "cpu_operators": [vars(operator) for operator in inference.cpu_operators()],
        "partitions": [list(part) for part in inference.delegate.partitions],
        "times_ms": {name: round(seconds * 1000, 3) for name, seconds in vars(times).items()},
        "outputs": [
            {"name": t.name, "shape": list(v.shape), "dtype": str(v.dtype)}
            for t, v in zip(tensors, values, strict=True)],
    }
    if results.is_classifier([v.shape for v in values]):
        scores = results.dequantise(values[0], tensors[0].quantization)
        found = results.top_classes(scores, names, top)
        report["classes"] = [
            {"class": s.number, "label": s.label, "score": round(s.score, 6)} for s in found]
    return report


def _kinds(inference: Inference) -> dict[str, int]:
    on_npu = set(inference.npu_operators)
    return dict(Counter(o.kind for o in inference.graph.operators if o.index in on_npu))


def _print(report: dict[str, Any]) -> None:
    if "classes" in report:
        for found in report["classes"]:
            label = clean(found["label"]) or f"class {found['class']}"
            click.echo(f"{found['score']:8.4f}  {label}")
    else:
        for i, tensor in enumerate(report["outputs"]):
            click.echo(f"output_{i}  {clean(tensor['name'])}  {tensor['dtype']} "
                       f"{tensor['shape']}")
    _print_placement(report)
    times = report["times_ms"]
    click.echo("Times    " + ", ".join(
        f"{name.replace('_', ' ')} {times[name]:.1f} ms"
        for name in ("load", "compile", "first_run", "run")))


def _print_placement(report: dict[str, Any]) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in report["npu_kinds"].items())
    click.echo(f"\nNPU      {len(report['npu_operators'])} of {report['operators']} operators on "
               f"{report['device']}, in {len(report['partitions'])} "
               f"{'part' if len(report['partitions']) == 1 else 'parts'}: {kinds}")
    reasons: dict[str, list[str]] = {}
    for operator in report["cpu_operators"]:
        reasons.setdefault(operator["reason"], []).append(
            f"{operator['index']} {clean(operator['kind'])}")
    head = "CPU      "
    if not reasons:
        click.echo(head + "nothing")
    for reason, operators in reasons.items():
        shown = ", ".join(operators[:6]) + (" ..." if len(operators) > 6 else "")
        click.echo(f"{head}{shown}: {clean(reason)}")
        head = " " * len(head)
