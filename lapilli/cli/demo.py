"""``lapilli demo``: the sample model on its real images, on the emulated NPU and on the CPU."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from lapilli.arrays import load_npz
from lapilli.cli import targets
from lapilli.cli.jobs import job_rows
from lapilli.errors import ModelError
from lapilli.litert import runtime as litert
from lapilli.litert.inference import Inference
from lapilli.model.graph import Values

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Images = NDArray[np.uint8]
SHADES = " ░▒▓█"
DRAWN = 4
PREFERRED = (0, 2, 6, 4, 8, 3)
"""Digits to draw first: shapes a reader knows at once."""


@dataclass(frozen=True, eq=False)
class Demonstration:
    """What was measured: ``report`` is the JSON object; the images, what they show, and what the
    NPU read."""

    report: dict[str, Any]
    images: Images
    labels: Images
    read: NDArray[np.int64]


@click.command()
@targets.device(targets.DEFAULT_EMULATOR, "Where the model runs.")
@click.option("--images", "count", type=click.IntRange(1), help="Use the first N images only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(device: str, count: int | None, as_json: bool) -> None:
    """Read handwritten digits with the sample model that comes with lapilli."""
    found = demonstrate(device, count)
    if as_json:
        click.echo(json.dumps(found.report, indent=2))
        return
    from rich.console import Console

    show(Console(highlight=False), found)


def demonstrate(device: str, count: int | None = None) -> Demonstration:
    """Run the sample model on its first ``count`` images, or all."""
    data = files("lapilli.data")
    with as_file(data / "digits.npz") as path:
        arrays = load_npz(path)
    images: Images = arrays["images"][:count]
    labels: Images = arrays["labels"][:count]
    with as_file(data / "digits.tflite") as path, litert.native_messages():
        inference = Inference(path, device=device, cache=False)
        try:
            npu = _classify(inference, images)
            jobs = job_rows(inference.delegate.parts, inference.graph)
            placement = (len(inference.npu_operators), len(inference.graph.operators))
            cpu = _classify_on_cpu(inference.content, images)
        finally:
            inference.close()
    report = {
        "device": device,
        "images": len(images),
        "npu_accuracy": float(np.mean(npu == labels)),
        "cpu_accuracy": float(np.mean(cpu == labels)),
        "same_answer": int(np.sum(npu == cpu)),
        "npu_operators": placement[0],
        "operators": placement[1],
        "jobs": jobs,
    }
    return Demonstration(report, images, labels, npu)


def _classify(inference: Inference, images: Images) -> NDArray[np.int64]:
    """The digit read on each image."""
    answers = []
    for image in images:
        inference.feed([image[None]])
        inference.run()
        answers.append(_best(inference.outputs()[0]))
    return np.array(answers)


def _classify_on_cpu(model: bytes, images: Images) -> NDArray[np.int64]:
    interpreter = litert.interpreter_class()(model_content=model)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    answers = []
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        answers.append(_best(interpreter.get_tensor(target)))
    return np.array(answers)


def _best(scores: Values) -> int:
    return int(np.argmax(scores))


def show(console: Console, found: Demonstration) -> None:
    """Draw a few images with what was read, then the figures and the jobs."""
    report, images, labels, read = found.report, found.images, found.labels, found.read
    chosen = _choose(labels)
    if not chosen:
        raise ModelError("the sample images hold no digit to draw")
    console.print(f"Handwritten digits, read by an NPU: {report['device']}\n")
    pictures = [images[i, :, :, 0] for i in chosen]
    coloured = console.color_system is not None
    console.print(_half_blocks(pictures) if coloured else _shades(pictures))
    answers = "".join(f"{f'the NPU read {read[i]}':<{DRAWING_WIDTH}}" for i in chosen)
    truths = "".join(f"{f'it is a {labels[i]}':<{DRAWING_WIDTH}}" for i in chosen)
    console.print(answers.rstrip(), style="bold")
    console.print(truths.rstrip() + "\n")
    count = report["images"]
    for name, key in (("NPU", "npu_accuracy"), ("CPU", "cpu_accuracy")):
        right = round(report[key] * count)
        console.print(
            f"Right on the {name}   {right} of {count} held-back images ({100 * report[key]:.1f} %)"
        )
    console.print(f"Same answer        {report['same_answer']} of {count}")
    console.print(
        f"Operators          {report['npu_operators']} of {report['operators']} on the "
        "NPU, the rest on the CPU\n"
    )
    console.print(_job_table(report["jobs"]))


def _job_table(jobs: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(
        title="What the NPU did for one image", title_justify="left", box=None, pad_edge=False
    )
    for name, justify in (
        ("job", "right"),
        ("unit", "left"),
        ("what", "left"),
        ("tensor made", "left"),
        ("shape", "left"),
        ("weights", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in jobs:
        weights = f"{row['coefficient_bytes']:,} B" if row["coefficient_bytes"] else ""
        table.add_row(
            str(row["job"]), row["unit"], row["kind"], row["tensor"], row["shape"], weights
        )
    return table


DRAWING_WIDTH = 19


def _choose(labels: Images) -> list[int]:
    """An image each of a few different digits."""
    found = []
    for digit in PREFERRED:
        places = np.flatnonzero(labels == digit)
        if len(places):
            found.append(int(places[0]))
    return found[:DRAWN]


def _half_blocks(images: list[Images]) -> Text:
    """Images side by side, two rows of pixels to a line: the upper one is the character's colour,
    the lower one its background."""
    from rich.text import Text

    text = Text()
    for row in range(0, images[0].shape[0], 2):
        for image in images:
            for upper, lower in zip(*_stretched(image)[row : row + 2].tolist(), strict=True):
                grey = f"rgb({upper},{upper},{upper}) on rgb({lower},{lower},{lower})"
                text.append("▀", style=grey)
            text.append(" " * (DRAWING_WIDTH - image.shape[1]))
        text.append("\n")
    return text


def _shades(images: list[Images]) -> Text:
    """The same without colours."""
    from rich.text import Text

    lines = []
    for row in range(0, images[0].shape[0], 2):
        line = ""
        for image in images:
            pixels = _stretched(image)[row : row + 2].mean(axis=0)
            shades = (pixels * (len(SHADES) - 1) / 255).round().astype(int)
            line += "".join(SHADES[s] for s in shades).ljust(DRAWING_WIDTH)
        lines.append(line.rstrip())
    return Text("\n".join(lines) + "\n")


def _stretched(image: Images) -> NDArray[np.int64]:
    """Grey values spread over 0 to 255, the middle ones steepened, for a sharper picture."""
    values = image.astype(float) / max(int(image.max()), 1)
    steep = 1 / (1 + np.exp(-9 * (values - 0.5)))
    return np.asarray((steep * 255).round(), np.int64)
