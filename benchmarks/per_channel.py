"""What per-channel weights cost as one scale a layer; prints a table.

    python benchmarks/per_channel.py [MODEL ...] [--views 260] [--json OUT.json]

Each way of rewriting a model is executed by LiteRT (XNNPACK) and compared with the original on
XNNPACK, on crops and flips of the shared pictures and on made-up ones (one in ten) that are not
those of the calibration. The first row is the original on LiteRT's builtin kernels: the noise
floor. Columns: share of views with the same first class, or the median distance of key points in
pixels and the share within 8; signal to noise in decibels, relative to the outputs' variation over
the views; mean difference in output steps (real outputs: 255ths of their range); jobs of the
layers; CPU seconds to make it. Needs the package, the shared test data (LAPILLI_TEST_DATA), Pillow
and ai-edge-litert.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from ai_edge_litert.interpreter import Interpreter, OpResolverType
from PIL import Image
from shared_data import shared_data

from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.stages import CompileOptions, chip_named, prepare
from lapilli.compiler.units.calibration import synthetic
from lapilli.compiler.units.layers import Layer, layers_of
from lapilli.compiler.units.options import unit_options
from lapilli.compiler.units.rewrite import NewWeights, rewrite
from lapilli.compiler.units.scale import nearest
from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.model.rewriting import rewritten

MODELS = (
    "models/tf2_mobilenet_v2_1.0_224_ptq",
    "models/movenet_single_pose_lightning_ptq",
    "today/vww_96_int8",
    "today/pretrainedResnet_large_int8",
    "today/kws_ref_model",
    "today/str_ww_ref_model",
    "today/blazeface_128x128_quant",
    "today/selfie_segmentation_aeq_int8",
)
CHIP = "a311d"
VIEW_SEED = 1
SYNTHETIC_SEED = 1001
KEY_POINTS = (1, 1, 17, 3)
LEAST_SCORE = 0.3


@dataclass(frozen=True)
class Row:
    """One way, measured; None where a measure is none of this model's."""

    model: str
    way: str
    jobs: int
    seconds: float
    same_first: float | None
    pixels: float | None
    within_8: float | None
    decibels: float
    steps: float


def views(graph: Graph, count: int) -> np.ndarray:
    """[count, *input shape]: crops of half to all of a picture's side, flipped at random, and
    every tenth made up. Inputs that are no pictures are all made up."""
    tensor = graph.tensors[graph.inputs[0]]
    made_up = synthetic(tensor, count, SYNTHETIC_SEED)
    if len(tensor.shape) != 4 or tensor.shape[3] != 3 or min(tensor.shape[1:3]) < 24:
        return made_up
    folder = shared_data() / "images"
    pictures = [
        Image.open(path).convert("RGB")
        for path in sorted(folder.iterdir())
        if path.suffix in (".bmp", ".jpg")
    ]
    random = np.random.default_rng(VIEW_SEED)
    for number in range(count):
        if number % 10 == 9:
            continue
        picture = pictures[number % len(pictures)]
        side = random.uniform(0.5, 1.0) * min(picture.size)
        left, top = (random.uniform(0, extent - side) for extent in picture.size)
        box = (left, top, left + side, top + side)
        size = (tensor.shape[2], tensor.shape[1])
        pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box))
        pixels = pixels[:, ::-1] if random.random() < 0.5 else pixels
        made_up[number] = _as_type(pixels, tensor.dtype)
    return made_up


def _as_type(pixels: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "int8":
        return (pixels.astype(np.int16) - 128).astype(np.int8)
    return pixels if dtype == "uint8" else (pixels / 127.5 - 1.0).astype(np.float32)


def run(model: bytes, inputs: np.ndarray, builtin: bool = False) -> list[np.ndarray]:
    """Each output for all views, [views, ...]."""
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if builtin else OpResolverType.AUTO
    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=kind, num_threads=1
    )
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]
    outputs = interpreter.get_output_details()
    found: list[list[np.ndarray]] = [[] for _ in outputs]
    for values in inputs:
        interpreter.set_tensor(place, values)
        interpreter.invoke()
        for values_, detail in zip(found, outputs, strict=True):
            values_.append(interpreter.get_tensor(detail["index"]))
    return [np.stack(each).astype(np.float64) for each in found]


def plain_groups(layer: Layer, groups: int) -> np.ndarray:
    """The scale of each channel with so many for the layer, as it stands: sorted by what they need
    and cut where the sum of (scale / own scale)^2 is least."""
    largest = np.abs(layer.weights).max(axis=(1, 2)) * layer.factors / 127
    own = np.maximum(largest, largest.max() * 1e-9)
    order = np.argsort(own)
    needed = own[order]
    inverse = np.concatenate([[0.0], np.cumsum(needed**-2.0)])
    count = len(needed)
    costs = needed**2 * inverse[1:]
    cuts = [np.zeros(count, np.int64)]
    for _ in range(min(groups, count) - 1):
        # costs of ending at j with the last group from i on
        starts = np.concatenate([[0.0], costs[:-1]])
        table = starts[:, None] + needed[None, :] ** 2 * (inverse[None, 1:] - inverse[:-1, None])
        table[np.tril_indices(count, -1)] = np.inf
        cuts.append(table.argmin(axis=0))
        costs = table.min(axis=0)
    scales = np.empty(count)
    end = count
    for cut in reversed(cuts):
        start = int(cut[end - 1])
        scales[start:end] = needed[end - 1]
        end = start
        if end == 0:
            break
    result = np.empty(count)
    result[order] = scales
    return result


def plainly(graph: Graph, parts: Sequence[Sequence[int]], groups: int) -> tuple[Graph, int]:
    """One scale a layer, or several, as they stand, to the nearest; and the jobs."""
    new, jobs = [], 0
    for layer in (layer for part in parts for layer in layers_of(graph, part)):
        scales = plain_groups(layer, groups)
        ones = np.ones(graph.tensors[layer.source].shape[-1])
        steps = layer.steps(ones, np.ones(layer.outputs))
        whole = nearest(steps, scales).astype(np.int64)
        bias = np.rint(layer.bias / scales).astype(np.int64)
        new.append(NewWeights(layer, whole, bias, scales))
        jobs += len(np.unique(scales))
    return rewrite(graph, new), jobs


def ways(data: bytes, graph: Graph) -> Iterator[tuple[str, Callable[[], tuple[bytes, int]]]]:
    """What is compared: a name, and what gives the model and its jobs."""
    chip = chip_named(CHIP)

    def units(mode: str) -> tuple[bytes, int]:
        options = CompileOptions(per_channel=PerChannel(unit_options(mode)))
        prepared = prepare(graph, chip, options)
        assert prepared.loss is not None, prepared.note
        return rewritten(data, prepared.graph), prepared.loss.jobs

    verdicts = CompileOptions().verdicts(graph, chip)
    from lapilli.compiler.partition import partition

    parts = [
        part.operators
        for part in partition(graph, [verdict.supported for verdict in verdicts])
        if part.on_npu
    ]

    def plain(groups: int) -> tuple[bytes, int]:
        new, jobs = plainly(graph, parts, groups)
        return rewritten(data, new), jobs

    yield "1 scale, as it stands", lambda: plain(1)
    yield "4 scales, as they stand", lambda: plain(4)
    yield "8 scales, as they stand", lambda: plain(8)
    yield "fast", lambda: units("fast")
    yield "best", lambda: units("best")


def compared(wanted: list[np.ndarray], found: list[np.ndarray]) -> dict[str, Any]:
    """The measures of ``Row``."""
    signal = noise = difference = 0.0
    for first, second in zip(wanted, found, strict=True):
        unit = 255.0 / max(np.ptp(first), 1e-12) if np.any(first != np.rint(first)) else 1.0
        variation = float((((first - first.mean(axis=0)) * unit) ** 2).mean())
        error = (first - second) * unit
        # Each output counts alike, by its own variation.
        signal += 1.0
        noise += float((error**2).mean()) / max(variation, 1e-12)
        difference += float(np.abs(error).mean()) / len(wanted)
    measures: dict[str, Any] = {
        "decibels": 10 * np.log10(signal / max(noise, 1e-12)),
        "steps": difference,
        "same_first": None,
        "pixels": None,
        "within_8": None,
    }
    first, second = wanted[0], found[0]
    if first.shape[1:] == KEY_POINTS:
        seen = first[..., 2] > LEAST_SCORE
        away = np.hypot(*np.moveaxis((first - second)[..., :2] * 192, -1, 0))[seen]
        measures |= {"pixels": float(np.median(away)), "within_8": float((away < 8).mean())}
    elif len(wanted) == 1 and first[0].size == first.shape[-1] > 1:
        rows = [each.reshape(len(each), -1).argmax(axis=1) for each in (first, second)]
        measures["same_first"] = float((rows[0] == rows[1]).mean())
    return measures


def measure(name: str, count: int) -> Iterator[Row]:
    """All rows of one model."""
    path = shared_data() / f"{name}.tflite"
    data, graph = path.read_bytes(), tflite.load(path)
    inputs = views(graph, count)
    wanted = run(data, inputs)
    short = path.stem
    floor = compared(wanted, run(data, inputs, builtin=True))
    yield Row(short, "the CPU's builtin kernels", 0, 0.0, **floor)
    for way, make in ways(data, graph):
        began = time.process_time()
        model, jobs = make()
        seconds = time.process_time() - began
        yield Row(short, way, jobs, seconds, **compared(wanted, run(model, inputs)))


def line(row: Row) -> str:
    agreement = "-"
    if row.same_first is not None:
        agreement = f"{100 * row.same_first:.1f} %"
    if row.pixels is not None and row.within_8 is not None:
        agreement = f"{row.pixels:.1f} px, {100 * row.within_8:.0f} % < 8"
    return (
        f"{row.model[:28]:28}  {row.way:26}  {agreement:>18}  {row.decibels:7.1f}  "
        f"{row.steps:8.4f}  {row.jobs:5}  {row.seconds:6.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--views", type=int, default=260)
    parser.add_argument("--json", metavar="OUT.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"{'model':28}  {'way':26}  {'same as original':>18}  {'dB':>7}  {'steps':>8}  "
        f"{'jobs':>5}  {'CPU s':>6}"
    )
    rows = []
    for name in arguments.models:
        try:
            for row in measure(name, arguments.views):
                rows.append(row)
                print(line(row), flush=True)
        except ModelError as error:
            print(f"{name}: {error}")
    if arguments.json:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        Path(arguments.json).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
