"""Questions about bytes, put to devices that answer as a board might."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from rule_checks import chip

from lapilli.compiler.stages import compile_graph
from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
from lapilli.emulator import EmulatedDevice
from lapilli.errors import Refused
from lapilli.hw.nn import NN_V8
from lapilli.model.graph import Activation
from lapilli.program.device import DeviceBuffer
from lapilli.program.program import Words
from lapilli.selftest import models, value_experiments
from lapilli.selftest.asking import PLAIN, Answer, Experiment, Finding
from lapilli.selftest.value_experiments import EXPERIMENTS, halves

BY_NAME = {each.name: each for each in EXPERIMENTS}
SMALL = [name for name in BY_NAME if name not in ("wide-kernels", "plane-offsets")]


class Board:
    """An emulated NPU that calls itself a board; ``flaw``: adds one to every byte."""

    def __init__(self, name: str, flaw: bool = False) -> None:
        self._emulated = open_device(f"emulator:{name}")
        self.name, self.chip = "board", self._emulated.chip
        self._flaw = flaw
        self.alloc, self.wait = self._emulated.alloc, self._emulated.wait
        self.close = self._emulated.close

    def submit(self, commands: Words, buffers: Sequence[DeviceBuffer]) -> int:
        fence = self._emulated.submit(commands, buffers)
        self._emulated.wait(fence)
        if self._flaw:
            for buffer in buffers[2:]:
                buffer.data[:] += 1
        return fence


def asked(experiment: Experiment, board: Board) -> Finding:
    return experiment.run(experiment, board, 1)


@pytest.mark.reads_own_output
@pytest.mark.parametrize("chip_name", ["a311d", "imx8mp"])
@pytest.mark.parametrize("name", SMALL)
def test_a_board_that_is_as_emulated_says_yes(name: str, chip_name: str) -> None:
    found = asked(BY_NAME[name], Board(chip_name))
    assert found.answer is Answer.YES, found
    assert found.detail.startswith("all ") and found.detail.endswith(" bytes as emulated")


@pytest.mark.parametrize("name", ["ties", "relu-clamp", "addition-bytes"])
def test_bytes_that_differ_are_told(name: str) -> None:
    found = asked(BY_NAME[name], Board("a311d", flaw=True))
    assert found.answer is Answer.WRONG
    assert " bytes differ, by " in found.detail and "the first is byte 0: " in found.detail


def test_differences_are_counted() -> None:
    expected = np.arange(256, dtype=np.uint8)
    found = expected.copy()
    found[[7, 9]] = (8, 4)
    assert value_experiments.compared(found, expected) == (
        Answer.WRONG,
        "2 of 256 bytes differ, by 5 at most; the first is byte 7: 8 instead of 7",
    )


@pytest.mark.long
@pytest.mark.parametrize("chip_name", ["a311d", "imx8mp"])
def test_the_largest_convolution_of_the_list(chip_name: str) -> None:
    assert asked(BY_NAME["wide-kernels"], Board(chip_name)).answer is Answer.YES


@pytest.mark.parametrize("name", BY_NAME)
def test_an_emulator_is_not_asked(name: str) -> None:
    experiment = BY_NAME[name]
    found = experiment.run(experiment, open_device("emulator:imx8mp"), 1)
    assert found.answer is Answer.NOT_ASKED


def bytes_of(asked: value_experiments.Asked) -> np.ndarray:
    part = compile_graph(asked.graph, chip("imx8mp")).parts[0]
    with LoadedPart(EmulatedDevice(chip("imx8mp")), part) as loaded:
        (found,) = loaded.run({asked.graph.inputs[0]: asked.image}).values()
    return found.reshape(256, 8)


def test_halves_are_ties_on_both_sides_of_the_zero_point() -> None:
    found = bytes_of(halves())
    exact = 128 + (np.arange(256) - 128) / 2
    assert np.count_nonzero(exact % 1) == 128
    assert np.abs(found - exact[:, None]).max() == 0.5
    assert (found == found[:, :1]).all()
    assert bytes_of(halves(Activation.RELU, 40)).min() == 40


def test_wide_kernels_use_the_bytes_of_their_output() -> None:
    """On some of its pixels: otherwise nothing but 0 and 255 would be compared."""
    model = value_experiments.wide_kernels()
    weights = model.graph.tensors[1].data
    assert weights is not None
    window = model.image[0, 50:55, 60:65].astype(np.int64) - 128
    sums = ((weights.astype(np.int64) - 127) * window).sum(axis=(1, 2, 3))
    steps = 128 + sums * 0.02 * 0.01 / 2.0
    inside = np.count_nonzero((steps > 0) & (steps < 255))
    assert inside > 0.9 * len(steps) and np.ptp(steps) > 150


def test_what_the_emulator_refuses_is_asked_of_a_board() -> None:
    case = models.small_convolution()
    part = compile_graph(case.graph, chip("imx8mp"), options=PLAIN).parts[0]
    changed = value_experiments.with_plane_offsets(part)
    fields = [NN_V8.decode(changed.job_words(j).tolist()) for j in part.jobs if j.unit == "NN"]
    assert [each["no_z_offset"] for each in fields] == [0]
    with pytest.raises(Refused, match="no_z_offset"):
        asked(BY_NAME["plane-offsets"], Board("imx8mp"))
