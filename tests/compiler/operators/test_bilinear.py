"""Resizing to one and two rows or columns: where corners that are aligned are the whole image, and
where there is only one corner. Values to LiteRT's, others than these in the grid of operators."""

from __future__ import annotations

import itertools

import on_npu
import pytest
from comparing import CHIPS
from image_operators import resize
from models import ModelBuilder

FORMS = {"plain": (False, False), "aligned": (True, False), "halves": (False, True)}
SIZES = [*itertools.product((1, 2), (1, 2, 3)), (5, 2), (2, 4)]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("form", FORMS)
def test_to_few_rows_and_columns(form: str, chip: str) -> None:
    aligned, halves = FORMS[form]
    for rows, columns in SIZES:
        builder = ModelBuilder()
        x = builder.input((1, 5, 7, 8), 0.1, 30)
        y = resize(builder, "RESIZE_BILINEAR", x, (rows, columns), aligned, halves)
        assert on_npu.worst(builder, [y], chip) <= 1, (rows, columns)
