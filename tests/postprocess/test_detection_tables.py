"""What bytes stand for, and equal scores' order, as LiteRT has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from detectors import Detector, DetectorCase, litert_detections
from models import ModelBuilder
from numpy.typing import NDArray

from lapilli.model.graph import Quantization
from lapilli.postprocess.partial_sort import partial_sort
from lapilli.postprocess.tables import logistic, lowest, real_values

EVERY_BYTE = np.arange(256, dtype=np.uint8)


def litert_values(
    kind: str, dtype: str, values: tuple[float, int], result: Any, resolver: OpResolverType
) -> NDArray[Any]:
    """What LiteRT's operator makes of each byte."""
    builder = ModelBuilder(dtype)
    source = builder.input((1, 256), *values)
    target = builder.tensor((1, 256), *result[1], dtype=result[0])
    builder.operator(kind, [source], [target], version=2 if kind == "DEQUANTIZE" else 1)
    interpreter = Interpreter(
        model_content=builder.build([target]), experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, EVERY_BYTE.view(dtype)[None])
    interpreter.invoke()
    found: NDArray[Any] = interpreter.get_tensor(target)[0]
    return found


def quantisations(dtype: str, count: int) -> list[tuple[float, int]]:
    rng = np.random.default_rng(3)
    return [
        (float(np.float32(10 ** rng.uniform(-3, 0))), int(rng.integers(256)) + lowest(dtype))
        for _ in range(count)
    ]


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(
    "resolver",
    [
        OpResolverType.AUTO,
        OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        OpResolverType.BUILTIN_REF,
    ],
)
def test_logistic_is_that_of_all_of_litert_s_kernels(dtype: str, resolver: OpResolverType) -> None:
    for scale, zero_point in quantisations(dtype, 40):
        table = logistic(dtype, Quantization((scale,), (zero_point,))).view(dtype)
        result = (dtype, (1 / 256, lowest(dtype)))
        wanted = litert_values("LOGISTIC", dtype, (scale, zero_point), result, resolver)
        assert table.tolist() == wanted.tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_dequantize_is_litert_s(dtype: str) -> None:
    for scale, zero_point in quantisations(dtype, 40):
        table = real_values(dtype, Quantization((scale,), (zero_point,)))
        result = ("float32", (None, 0))
        values = (scale, zero_point)
        wanted = litert_values("DEQUANTIZE", dtype, values, result, OpResolverType.AUTO)
        assert table.tolist() == wanted.tolist()


def test_the_best_of_equals_are_those_of_litert() -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        columns = int(rng.integers(2, 30))
        count = int(rng.integers(1, columns + 1))
        scores = rng.integers(0, int(rng.choice([2, 4, 10])), (1, columns)) * 20 + 50
        options = {"num_classes": columns, "max_classes_per_detection": count, "max_detections": 1}
        case = DetectorCase(
            Detector(boxes=1, columns=columns, options={**options, "nms_score_threshold": 0.0}),
            np.full((1, 4), 100, np.uint8),
            np.full((1, 4), 128, np.uint8),
            scores.astype(np.uint8),
        )
        wanted = litert_detections(case.model, case.inputs)[1][0]
        assert partial_sort(scores[0].tolist(), count) == wanted.tolist()
