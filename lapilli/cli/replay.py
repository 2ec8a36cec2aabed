"""``lapilli replay``: run a recording of a submit and write what is in its tensors afterwards."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any

import click
import numpy as np

from lapilli.arrays import load_npz
from lapilli.cli import hang, text
from lapilli.cli.completion import FILE
from lapilli.cli.targets import DEFAULT_CHIP
from lapilli.device.names import chip_called
from lapilli.device.open import EMULATOR_PREFIX, chosen, open_device
from lapilli.device.replay import MOST_BYTES
from lapilli.device.replay import replay as run
from lapilli.errors import ModelError, UsageError
from lapilli.files import check_regular, replacing
from lapilli.program import recording
from lapilli.program.program import Bytes
from lapilli.program.recording import Recording

TENSOR_ROLES = ("input", "tensor", "output")
_NAME = re.compile(r"buffer_(0|[1-9][0-9]{0,5})")


@click.command()
@click.argument("path", metavar="RECORDING.npz", type=FILE)
@click.option("--chip", help=f"The chip it was made for.  [default: {DEFAULT_CHIP}]")
@click.option("--device", help="Where to run it.  [default: emulator:CHIP]")
@click.option("-o", "--output", required=True, metavar="OUT.npz", help="Gets buffer_0, ...")
@click.option("--inputs", metavar="IN.npz", help="buffer_<i> contents to put in first.")
@click.option("--save-hang", metavar="OUT.npz", help=hang.OPTION_HELP)
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=MOST_BYTES,
    show_default=True,
    help="Refuse recordings whose buffers have more together.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON object.")
def replay(
    path: str,
    chip: str | None,
    device: str | None,
    output: str,
    inputs: str | None,
    save_hang: str | None,
    max_bytes: int,
    as_json: bool,
) -> None:
    """Run a recorded submit; write every tensor buffer's content afterwards to OUT.npz."""
    if chip is not None:
        chip_called(chip)
    name = _device_name(chip, device)
    check_regular(path, "a recording (.npz)")
    recorded = recording.load(path)
    contents = _contents(inputs, recorded) if inputs is not None else None
    began = time.perf_counter()
    opened = open_device(name)
    try:
        if chip is not None and opened.chip != chip_called(chip):
            raise UsageError(f"--chip {chip} was asked for, but {name} is {opened.chip.name}")
        with hang.saving(save_hang):
            results = run(recorded, opened, contents, max_bytes)
    finally:
        opened.close()
    seconds = time.perf_counter() - began
    arrays: dict[str, Any] = {f"buffer_{i}": data for i, data in sorted(results.items())}
    with replacing(output) as file:
        np.savez(file, **arrays)
    done = f"{output}: {text.count(len(results), 'buffer')} after {path} on {name}"
    click.echo(text.clean(f"{done}; {seconds:.2f} s"), err=True)
    if as_json:
        summary = _summary(recorded, results)
        head = {"recording": path, "device": name, "output": output, "seconds": round(seconds, 6)}
        click.echo(json.dumps({**head, "buffers": summary}, indent=2))


def _device_name(chip: str | None, device: str | None) -> str:
    """The device to open; raises UsageError for a chip that does not exist."""
    if device is not None:
        return chosen(device)
    return EMULATOR_PREFIX + chip_called(chip or DEFAULT_CHIP).name


def _contents(path: str, recorded: Recording) -> dict[int, Bytes]:
    """Buffer contents by number; raises ModelError for any that does not fit the recording."""
    numbers = [i for i, b in enumerate(recorded.buffers) if b.role in TENSOR_ROLES]
    found = {}
    check_regular(path, "an .npz file")
    for name, array in load_npz(path).items():
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) not in numbers:
            allowed = ", ".join(f"buffer_{i}" for i in numbers) or "none, it has no tensors"
            raise ModelError(f"{path}: found an array called {name!r}; allowed: {allowed}")
        size = recorded.buffers[int(match[1])].size
        if array.dtype.itemsize != 1 or array.dtype.kind not in "uib" or array.size > size:
            raise ModelError(
                f"{path}: {name} is {array.size} of {array.dtype}; "
                f"allowed: up to {size} values of uint8 or int8"
            )
        found[int(match[1])] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return found


def _summary(recorded: Recording, results: Mapping[int, Bytes]) -> list[dict[str, Any]]:
    return [
        {
            "buffer": i,
            "role": recorded.buffers[i].role,
            "bytes": int(data.size),
            "sha256": hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest(),
        }
        for i, data in sorted(results.items())
    ]
