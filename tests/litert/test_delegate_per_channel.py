"""The delegate and per-channel weights: taken, left, counted; the loss is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from per_channel_models import inverted_residuals

from lapilli.errors import UsageError
from lapilli.litert.delegate import Delegate

DEVICE = "emulator:a311d"


@pytest.fixture(scope="module")
def model() -> bytes:
    return inverted_residuals(2, spread=100.0, blocks=1)


def run(model: bytes, *delegates: Delegate, seed: int = 0) -> np.ndarray:
    interpreter = Interpreter(model_content=model, experimental_delegates=list(delegates))
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    values = np.random.default_rng(seed).integers(-128, 128, detail["shape"]).astype(np.int8)
    interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def test_the_whole_model_is_one_part_and_the_loss_is_told(model: bytes) -> None:
    delegate = Delegate(DEVICE, strict=True)
    found = run(model, delegate).astype(int)
    assert len(delegate.partitions) == 1
    assert delegate.loss is not None and delegate.loss.mode == "fast"
    wanted = run(model).astype(int)
    assert np.abs(found - wanted).mean() < 3.0
    assert delegate.compile_seconds > 0.0


def test_off_leaves_them_to_the_cpu(model: bytes) -> None:
    delegate = Delegate(DEVICE, per_channel="off")
    np.testing.assert_array_equal(run(model, delegate), run(model))
    assert delegate.loss is None
    assert [len(part) for part in delegate.partitions] == [1]  # the addition


def test_small_parts_are_left_as_before(model: bytes) -> None:
    delegate = Delegate(DEVICE, min_partition=100)
    run(model, delegate)
    assert delegate.partitions == () and delegate.loss is None


def test_the_user_s_samples_are_used(model: bytes, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-128, 128, (3, 1, 16, 16, 3)).astype(np.int8)
    np.savez(tmp_path / "x.npz", input_0=samples)
    delegate = Delegate(DEVICE, calibration=str(tmp_path / "x.npz"))
    run(model, delegate)
    assert delegate.loss is not None
    assert (delegate.loss.source, delegate.loss.samples) == ("samples of x.npz", 3)


@pytest.mark.parametrize(
    "options", [{"per_channel": "quick"}, {"per_channel": 1}, {"calibration": 3}]
)
def test_options_that_can_t_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"per-channel|per_channel|calibration"):
        Delegate(DEVICE, **options)
