"""``lapilli chips``: the chips known, their figures, and how sure we are of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from lapilli.cli import text
from lapilli.device.open import EMULATOR_PREFIX, emulators
from lapilli.hw.chips import CHIPS, Chip, Evidence


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def chips(as_json: bool) -> None:
    """List the chips that programs can be made for, and how sure each is."""
    if as_json:
        click.echo(json.dumps({"chips": [_json(chip) for chip in CHIPS]}, indent=2))
        return
    for line in _listing(text.width()):
        click.echo(line)


def _listing(width: int) -> Iterator[str]:
    """A table for each kind of evidence, the better one first."""
    names = max(len(chip.name) for chip in CHIPS)
    for evidence in Evidence:
        chosen = [chip for chip in CHIPS if chip.evidence is evidence]
        yield f"{evidence.value.capitalize()}:"
        yield f"  {'name':{names}}  gen  NN  TP  VIP SRAM   what it is"
        for chip in chosen:
            head = (
                f"  {chip.name:{names}}  V{chip.generation}   {chip.nn_cores:2}  {chip.tp_cores:2}"
                f"  {text.size(chip.vip_sram_bytes):9}  "
            )
            yield from text.wrapped(head, text.clean(chip.description), width)
        yield ""
    yield f"NN, TP: cores. Every one can be emulated: --device {EMULATOR_PREFIX}NAME"


def _json(chip: Chip) -> dict[str, Any]:
    emulator = EMULATOR_PREFIX + chip.name
    return {
        "name": chip.name,
        "description": chip.description,
        "generation": chip.generation,
        "evidence": chip.evidence.name.lower(),
        "evidence_text": chip.evidence.value,
        "nn_cores": chip.nn_cores,
        "mads_per_core": chip.mads_per_core,
        "tp_cores": chip.tp_cores,
        "tp_lite_cores": chip.tp_lite,
        "vip_sram_bytes": chip.vip_sram_bytes,
        "axi_sram_bytes": chip.axi_sram_bytes,
        "model": chip.model,
        "revision": chip.revision,
        "product_id": chip.product_id,
        "eco_id": chip.eco_id,
        "customer_id": chip.customer_id,
        "emulator": emulator if emulator in emulators() else None,
    }
