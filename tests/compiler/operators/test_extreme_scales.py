"""Scales at both ends of what a float32 can be: an operator is refused by a rule, or compiled to
what LiteRT computes; nothing ends in an internal error."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from comparing import CHIPS, SCHEDULES, Array, compare_all, device, run_litert
from extreme_cases import PLAIN, ExtremeCase, extreme_cases
from forked import Ended, in_child

from lapilli.compiler.encode.requantise import AdditionScales
from lapilli.compiler.generations import GENERATIONS
from lapilli.compiler.operators.registry import BY_KIND
from lapilli.compiler.stages import chip_named, compile_part
from lapilli.compiler.verdict import judge_all
from lapilli.device.runner import LoadedPart
from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.graph import Graph, Quantization

SAMPLE, ALL = 2, 40
"""Cases of each kind."""
ELSEWHERE = {
    "CUSTOM:Convolution2DTransposeBias": "no kernel in LiteRT; the same rules as TRANSPOSE_CONV"
}


def outcome(case: ExtremeCase, kinds: set[str]) -> Counter[str]:
    """How often it ``ran`` and was ``refused``; fails if it went wrong."""
    builder, outputs = case.built()
    kinds.update(operator.kind for operator in builder.operators)
    model = builder.build(outputs)
    try:
        graph = tflite.parse(model, case.name)
    except ModelError:
        return Counter(["unread"])
    found: Counter[str] = Counter()
    rights: list[list[Array]] | None = None
    for chip, schedule in itertools.product(CHIPS, SCHEDULES):
        (verdict,) = judge_all(graph, chip_named(chip))
        if not verdict.supported:
            assert verdict.reason
            found["refused"] += 1
            continue
        results = run(graph, case.feed(), chip, schedule)
        if rights is None:
            rights = by_litert(case, model)
        differences = [compare_all(results, right).worst for right in rights]
        assert min(differences, default=0) <= 1, (case.name, chip, schedule, differences)
        found["ran" if rights else "alone"] += 1
    return found


def run(graph: Graph, inputs: list[Array], chip: str, schedule: str) -> list[Array]:
    part = compile_part(graph, [0], chip_named(chip), schedule)
    with LoadedPart(device(chip), part) as loaded:
        results = loaded.run(dict(zip(graph.inputs, inputs, strict=True)))
    return [results[tensor] for tensor in graph.outputs]


def by_litert(case: ExtremeCase, model: bytes) -> list[list[Array]]:
    """The results of both of LiteRT's kernels, as far as they take the model: XNNPACK's sums wrap
    where the others' are clamped. Neither may stop the process over what a rule has let pass."""
    inputs = case.feed()
    found = []
    for reference in (False, True):
        values = in_child(lambda r=reference: run_litert(model, inputs, reference=r))
        if isinstance(values, Ended):
            assert values.text, f"{case.name}: LiteRT stops the process"
        else:
            found.append(values)
    return found


def check(cases: Iterable[ExtremeCase]) -> tuple[Counter[str], set[str]]:
    total: Counter[str] = Counter()
    kinds: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in cases:
            total += outcome(case, kinds)
    return total, kinds


def test_operators_with_extreme_scales_are_refused_or_right() -> None:
    total, kinds = check(extreme_cases(SAMPLE))
    assert set(BY_KIND) - kinds == set(ELSEWHERE)
    assert min(total["ran"], total["refused"]) > total.total() // 4
    # What LiteRT refuses to prepare, as a bias of another scale, there is nothing to compare with.
    assert total["alone"] < total.total() // 20 + 4 * SAMPLE * len(PLAIN)


@pytest.mark.long
def test_many_operators_with_extreme_scales_are_refused_or_right() -> None:
    check(extreme_cases(ALL))


@pytest.mark.parametrize("as_recorded", [True, False])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_addition_whose_weights_have_a_scale_has_fields_for_it(
    generation: int, as_recorded: bool
) -> None:
    """All powers of two: what the closest weights can do, the recorded driver's need not."""
    functions = GENERATIONS[generation]
    fitting = 0
    # Near the ends of the fields, and between.
    factors = (*range(-126, -96), *range(-96, 12, 12), *range(12, 30))
    for first, ratio, factor in itertools.product(range(-126, 127, 21), (-9, 0, 7), factors):
        scales = [2.0**first, 2.0 ** (first + ratio), 2.0 ** (first - factor)]
        if not all(2.0**-126 <= scale < 2.0**128 for scale in scales):
            continue
        tensors = [
            Quantization((np.float32(scale).item(),), (3 * i,)) for i, scale in enumerate(scales)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            closest = functions.addition_numbers(AdditionScales(*tensors), False)
            numbers = functions.addition_numbers(AdditionScales(*tensors), as_recorded)
        if functions.fits(closest.scale):
            fitting += 1
            assert functions.fits(numbers.scale), scales
            layout = functions.layout.fields["post_shift"]
            assert 0 <= functions.multiplier(numbers.scale).shift < 1 << layout.width
    assert fitting > 200
