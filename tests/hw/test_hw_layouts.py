"""Layouts against recordings, and chips against the published databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from recorded_jobs import STARTS, extents_of, find, load, recording_names
from shared_data import shared_data

from lapilli.hw import commands as packets
from lapilli.hw.bits import Layout
from lapilli.hw.chips import CHIPS, Chip, Evidence, find_by_identity, find_by_name
from lapilli.hw.nn import NN_V7, NN_V8
from lapilli.hw.tp import TP
from lapilli.program.recording import Recording

# ---------------------------------------------------------------------------- recorded instructions


def instructions(source: Recording, nn: Layout) -> list[tuple[Layout, list[int]]]:
    """Layout and words of every instruction that a stream starts."""
    found = []
    words = source.commands.tolist()
    for head, value in zip(words[::2], words[1::2], strict=True):
        if head in STARTS:
            layout = nn if STARTS[head] == "NN" else TP
            address = packets.INSTRUCTION_ADDRESS.decode([value])["address"]
            number, offset = find(extents_of(source), address)
            data = source.buffers[number].data[offset : offset + 4 * layout.size]
            padded = np.zeros(4 * layout.size, np.uint8)
            padded[: len(data)] = data
            found.append((layout, padded.view("<u4").tolist()))
    return found


@pytest.mark.parametrize(
    ("chip", "nn", "recordings", "nn_count", "tp_count"),
    [("a311d", NN_V7, 153, 372, 388), ("imx8mp", NN_V8, 152, 371, 351)],
)
def test_no_recorded_instruction_has_an_undeclared_bit(
    chip: str, nn: Layout, recordings: int, nn_count: int, tp_count: int
) -> None:
    shared_data()
    names = recording_names(chip)
    assert len(names) == recordings
    seen = {nn.name: 0, TP.name: 0}
    for name in names:
        for number, (layout, words) in enumerate(instructions(load(name, chip), nn)):
            seen[layout.name] += 1
            assert layout.stray_bits(words) == [], f"{name}, instruction {number}"
            assert layout.encode(**layout.decode(words)) == words
    assert seen == {nn.name: nn_count, TP.name: tp_count}


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_recorded_streams_hold_only_known_packets(chip: str) -> None:
    shared_data()
    known = {int(register) for register in packets.Register}
    for name in recording_names(chip):
        words = load(name, chip).commands.tolist()
        assert len(words) % 2 == 0
        assert words[: packets.LEADING_FILLERS] == [0] * packets.LEADING_FILLERS
        assert words[-packets.TRAILING_FILLERS :] == [0] * packets.TRAILING_FILLERS
        body = words[packets.LEADING_FILLERS : -packets.TRAILING_FILLERS]
        for head in body[::2]:
            values = packets.LOAD_STATE.decode([head])
            assert values["opcode"] == packets.Opcode.LOAD_STATE
            assert values["count"] == 1 and values["fixed_point"] == 0
            assert values["address"] in known


# -------------------------------------------------------------------------------------------- chips


def table(title: str) -> dict[str, list[str]]:
    """Rows of the table in chips.md whose head starts with ``title``: first cell -> the others."""
    text = (shared_data() / "hardware" / "chips.md").read_text(encoding="utf-8")
    rows: dict[str, list[str]] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == title:
            inside = True
        elif inside and not re.fullmatch(r"-*", cells[0]):
            rows[cells[0]] = cells[1:]
    assert rows, f"no table {title!r} in chips.md"
    return rows


def number(cell: str) -> int:
    return int(cell, 0)


COLUMNS = [f"N{i}" for i in range(12)]
EVERY_CHIP = pytest.mark.parametrize("column", range(12), ids=COLUMNS)

FIGURES: dict[str, Callable[[Chip], int]] = {
    "NN cores": lambda chip: chip.nn_cores,
    "active NN cores": lambda chip: chip.nn_cores,
    "MAD per core": lambda chip: chip.mads_per_core,
    "cores for int8": lambda chip: chip.nn_cores,
    "cores for int16": lambda chip: chip.int16_cores,
    "cores for float16": lambda chip: 0,
    "cores for bfloat": lambda chip: 0,
    "TP cores": lambda chip: chip.tp_cores,
    "TP-lite mask/count": lambda chip: chip.tp_lite,
    "VIP SRAM bytes": lambda chip: chip.vip_sram_bytes,
    "AXI SRAM bytes": lambda chip: chip.axi_sram_bytes,
    "ZRL bits": lambda chip: chip.zero_run_bits,
    "TP ZRL bits": lambda chip: chip.tp_zero_run_bits,
    "input buffer depth": lambda chip: chip.input_buffer_depth,
    "accum buffer depth": lambda chip: chip.accumulation_buffer_depth,
    "in-image offset bits": lambda chip: chip.image_offset_bits,
    "NN_X_OFFSET mask": lambda chip: (1 << chip.image_offset_bits) - 1,
    "max kernel x": lambda chip: chip.maximum_kernel_columns,
    "max kernel y": lambda chip: chip.maximum_kernel_rows,
    "max kernel z": lambda chip: chip.maximum_kernel_channels,
    "PWL table entries": lambda chip: chip.table_entries,
    "PWL table entry bits": lambda chip: chip.table_entry_bits,
    "TP reorder in-image size": lambda chip: chip.tp_reorder_image_size,
    "kernel DDR burst bytes": lambda chip: chip.kernel_burst_bytes,
    "VIP SRAM width (bytes)": lambda chip: chip.vip_sram_width_bytes,
    "AXI bus width (bytes)": lambda chip: chip.axi_bus_width_bytes,
    "out y-stride bits": lambda chip: chip.out_y_stride_bits,
    "lanes per out cycle": lambda chip: chip.output_lanes_per_cycle,
    "max outstanding": lambda chip: chip.maximum_outstanding,
}


@cache
def chip_of(column: int) -> Chip:
    """The chip whose identity is that of row N<column>."""
    _, _, model, revision, product, eco, customer, *_ = table("id")[f"N{column}"]
    chip = find_by_identity(*map(number, (model, revision, product, eco, customer)))
    assert chip is not None, f"no chip for N{column}"
    return chip


def test_there_are_twelve_chips_with_different_names() -> None:
    assert len(CHIPS) == 12
    assert len({chip.name for chip in CHIPS}) == 12
    shared_data()
    assert {chip_of(column).name for column in range(12)} == {chip.name for chip in CHIPS}


@EVERY_CHIP
def test_identity_and_generation(column: int) -> None:
    _, database_name, model, revision, product, eco, customer, formal, version = table("id")[
        f"N{column}"
    ]
    chip = chip_of(column)
    assert chip.database_name == database_name
    found = chip.model, chip.revision, chip.product_id, chip.eco_id, chip.customer_id
    assert found == tuple(map(number, (model, revision, product, eco, customer)))
    assert (formal, chip.generation) == ("0", int(version))
    assert chip.generation == (8 if chip.has("NN_XYDP0") else 7)


@EVERY_CHIP
def test_figures_are_those_of_the_databases(column: int) -> None:
    rows = table("value")
    assert rows.keys() == FIGURES.keys()
    chip = chip_of(column)
    found = {name: figure(chip) for name, figure in FIGURES.items()}
    assert found == {name: number(cells[column]) for name, cells in rows.items()}


@EVERY_CHIP
def test_features_are_those_of_the_databases(column: int) -> None:
    rows = table("feature bit")
    wanted = {name for name, cells in rows.items() if cells[column] == "1"}
    assert chip_of(column).features == wanted
    assert not chip_of(column).has("NN_40BIT_BIAS")


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_identity_ignores_the_last_four_bits_of_the_revision(chip: Chip) -> None:
    rest = chip.product_id, chip.eco_id, chip.customer_id
    for low in range(16):
        assert find_by_identity(chip.model, chip.revision & ~0xF | low, *rest) is chip
    assert find_by_identity(chip.model, chip.revision ^ 0x8000, *rest) is None
    assert find_by_identity(chip.model ^ 0x1000, chip.revision, *rest) is None
    for position in range(3):
        other = [value ^ (0x40 if i == position else 0) for i, value in enumerate(rest)]
        assert find_by_identity(chip.model, chip.revision, *other) is None


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_names_find_chips_in_any_case(chip: Chip) -> None:
    assert find_by_name(chip.name) is chip
    assert find_by_name(chip.name.upper()) is chip
    assert find_by_name(chip.name + "x") is None


def test_recorded_chips() -> None:
    recorded = [chip.name for chip in CHIPS if chip.evidence is Evidence.RECORDED]
    assert sorted(recorded) == ["a311d", "imx8mp"]
    a311d = find_by_name("a311d")
    assert a311d is not None and a311d.smallest_image_offset == -8 and a311d.first_pixel_pooling
