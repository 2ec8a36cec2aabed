"""Tensors that are written more than once, or that are inputs: one rule for file and delegate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_npu import new_interpreter
from models import ModelBuilder

from lapilli.compiler.stages import chip_named
from lapilli.compiler.verdict import judge_all
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite

interpreters = pytest.importorskip("ai_edge_litert.interpreter")
PLAIN = {
    "experimental_op_resolver_type": (interpreters.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
}


def _image(model: ModelBuilder) -> int:
    return model.input((1, 8, 8, 4), 0.05, 100)


def _conv(model: ModelBuilder, image: int, into: int | None = None) -> int:
    random = np.random.default_rng(5)
    weights = random.integers(0, 256, (4, 3, 3, 4)).astype(np.uint8)
    bias = random.integers(-500, 500, 4)
    made = model.conv(image, weights, bias, 0.01, 120, 0.05, 100)
    if into is None:
        return made
    model.operators[-1].outputs = [into]
    return into


def an_input_that_nobody_read(model: ModelBuilder) -> list[int]:
    x, written = _image(model), _image(model)
    _conv(model, x, written)
    return [model.add(written, written, 0.1, 100)]


def an_input_that_was_read(model: ModelBuilder) -> list[int]:
    x, written = _image(model), _image(model)
    before = model.add(x, written, 0.1, 100)
    _conv(model, x, written)
    return [model.add(written, before, 0.1, 100)]


def twice_and_read_between(model: ModelBuilder) -> list[int]:
    x = _image(model)
    written = _conv(model, x)
    between = model.add(written, x, 0.1, 100)
    _conv(model, between, written)
    return [written, between]


def twice_in_a_row(model: ModelBuilder) -> list[int]:
    x = _image(model)
    written = _conv(model, x)
    _conv(model, _conv(model, x), written)
    return [model.add(written, x, 0.1, 100)]


@pytest.mark.parametrize(
    ("build", "on_npu"),
    [
        (an_input_that_nobody_read, True),
        (an_input_that_was_read, False),
        (twice_and_read_between, False),
        (twice_in_a_row, False),
    ],
)
def test_the_later_value_counts_and_explain_and_the_delegate_agree(
    build: Callable[[ModelBuilder], list[int]], on_npu: bool
) -> None:
    model = ModelBuilder()
    data = model.build(build(model))
    verdicts = judge_all(tflite.parse(data, "x"), chip_named("a311d"))
    told = [verdict.operator for verdict in verdicts if verdict.supported]
    delegate = Delegate(device="emulator:a311d", partition="all")
    # Without XNNPACK, with which LiteRT exchanges operators, too.
    ours, reference = (new_interpreter(data, *d, **PLAIN) for d in ((delegate,), ()))
    assert sorted(sum(delegate.partitions, ())) == told
    assert bool(told) == on_npu
    for seed in range(3):
        for one in (ours, reference):
            for i, detail in enumerate(one.get_input_details()):
                random = np.random.default_rng(seed + 10 * i)
                image = random.integers(0, 256, detail["shape"]).astype(np.uint8)
                one.set_tensor(detail["index"], image)
            one.invoke()
        for detail in reference.get_output_details():
            found, expected = (
                one.get_tensor(detail["index"]).astype(int) for one in (ours, reference)
            )
            assert np.abs(found - expected).max() <= 1
