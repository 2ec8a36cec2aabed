"""What a part is given is all of it and of its kind; futures may call the pipeline."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from models import ModelBuilder
from patience import PATIENCE
from virtual_npu import chip_called, small_input, small_part

from lapilli.compiler.stages import compile_graph
from lapilli.device.open import open_device
from lapilli.device.pipeline import Pipeline
from lapilli.device.runner import LoadedPart
from lapilli.emulator.machine import EmulatedDevice
from lapilli.errors import DeviceError, UsageError
from lapilli.model import tflite
from lapilli.program.program import Program

PART = small_part()
EMULATOR = "emulator:a311d"


def addition() -> Program:
    builder = ModelBuilder()
    a, b = (builder.input((1, 8, 6, 4), 1.0, 0, name=name) for name in "ab")
    graph = tflite.parse(builder.build([builder.add(a, b, 1.0, 0)]), "add.tflite")
    return compile_graph(graph, chip_called("a311d"))


PROGRAM = addition()
A = np.full((1, 8, 6, 4), 100, np.uint8)
WRONG: dict[str, tuple[dict[int, Any], str]] = {
    "nothing": ({}, r"missing for input 0 \(a\), 1 \(b\)"),
    "one missing": ({0: A}, r"missing for input 1 \(b\)"),
    "an unknown one": ({0: A, 1: A, 9: A}, r"tensor 9 is no input; the inputs are 0 \(a\), 1"),
    "an output": ({0: A, 1: A, 2: A}, "tensor 2 is no input"),
    "another type": ({0: A, 1: A.astype(np.int8)}, "takes uint8 .* not int8"),
    "wider values": ({0: A, 1: A.astype(np.uint16)}, "not uint16"),
    "another order": ({0: A, 1: A.reshape(1, 6, 8, 4)}, r"shape \[1, 8, 6, 4\], not .* \[1, 6, 8"),
    "flat": ({0: A, 1: A.reshape(-1)}, r"not uint8 of shape \[192\]"),
    "too few": ({0: A, 1: A[:, :4]}, r"shape \[1, 4, 6, 4\]"),
}


@pytest.mark.parametrize(("inputs", "message"), WRONG.values(), ids=WRONG)
def test_incomplete_or_wrong_inputs_are_refused(inputs: dict[int, Any], message: str) -> None:
    """Never computed on what an earlier inference left."""
    with open_device(EMULATOR) as device:  # type: ignore[attr-defined]
        with LoadedPart(device, PROGRAM.parts[0]) as loaded:
            loaded.run({0: A, 1: A})
            with pytest.raises(UsageError, match=message):
                loaded.run(inputs)
        with Pipeline(device, PROGRAM) as pipeline:
            for _ in range(3):
                assert int(pipeline.submit({0: A, 1: A}).result(PATIENCE)[2].max()) == 200
                with pytest.raises(UsageError, match=message):
                    pipeline.submit(inputs)


def test_ones_in_front_may_be_left_out() -> None:
    with open_device(EMULATOR) as device, LoadedPart(device, PROGRAM.parts[0]) as loaded:  # type: ignore[attr-defined]
        assert int(loaded.run({0: A[0], 1: A[None]})[2].max()) == 200


def test_a_program_for_another_chip_is_refused_when_loaded() -> None:
    with (
        open_device("emulator:imx8mp") as device,  # type: ignore[attr-defined]
        pytest.raises(UsageError, match=r"add\.tflite was compiled for a311d.* is imx8mp"),
    ):
        Pipeline(device, PROGRAM)


# --------------------------------------------------------------------------------------- callbacks


@pytest.mark.parametrize("depth", [1, 2])
def test_a_futures_callback_may_submit(depth: int) -> None:
    """Also while no place is free: the reader of results doesn't wait for it."""
    futures: list[Future[Any]] = []
    ended = threading.Event()

    def again(done: Future[Any]) -> None:
        futures.append(pipeline.submit(small_input(len(futures))))
        if len(futures) < 12:
            futures[-1].add_done_callback(again)
        else:
            ended.set()

    with open_device(EMULATOR) as device, Pipeline(device, PART, depth) as pipeline:  # type: ignore[attr-defined]
        for seed in range(3):
            pipeline.submit(small_input(seed)).add_done_callback(again)
        assert ended.wait(PATIENCE)
        for future in list(futures):
            assert future.result(PATIENCE)


def test_a_futures_callback_may_close_the_pipeline() -> None:
    device = open_device(EMULATOR)
    closed = threading.Event()
    pipeline = Pipeline(device, PART)

    def close(done: Future[Any]) -> None:
        pipeline.close()
        closed.set()

    pipeline.submit(small_input()).add_done_callback(close)
    assert closed.wait(PATIENCE)
    with pytest.raises(DeviceError, match="closed"):
        pipeline.submit(small_input())
    pipeline.close()


def test_results_are_told_before_close_returns() -> None:
    told: list[object] = []
    with open_device(EMULATOR) as device, Pipeline(device, PART) as pipeline:  # type: ignore[attr-defined]
        for seed in range(4):
            pipeline.submit(small_input(seed)).add_done_callback(told.append)
    assert len(told) == 4


def test_a_part_frees_all_it_can_of_a_device_that_was_closed() -> None:
    device = open_device(EMULATOR)
    loaded = LoadedPart(device, PART)
    freed: list[object] = []
    first, *others = loaded._buffers

    class Watched:
        def __init__(self, buffer: Any) -> None:
            self.buffer = buffer

        def free(self) -> None:
            freed.append(self.buffer)
            self.buffer.free()

    loaded._buffers = [Watched(buffer) for buffer in (first, *others)]  # type: ignore[misc]
    assert isinstance(device, EmulatedDevice)
    device.close()
    loaded.close()
    assert freed == [first, *others]
