"""Board experiments: what they say of boards that answer one way or another, played by devices that
do to the memory what such a board would."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import call
from rule_checks import chip

from lapilli.compiler.generations import generation_of
from lapilli.compiler.stages import CompileOptions, compile_graph
from lapilli.device.open import open_device
from lapilli.emulator.front_end import walk
from lapilli.hw.commands import LOAD_STATE, Register
from lapilli.hw.nn import Caching
from lapilli.program.device import DeviceBuffer
from lapilli.program.program import Part, Words
from lapilli.selftest import experiments, models, value_experiments
from lapilli.selftest.asking import PLAIN, Answer, Finding
from lapilli.selftest.experiments import EXPERIMENTS, POISON, run, windowed

STARTS = LOAD_STATE.encode(address=Register.GL_OCB_REMAP_START, count=1)[0]
ENDS = LOAD_STATE.encode(address=Register.GL_OCB_REMAP_END, count=1)[0]


class Board:
    """An emulated NPU that takes on-chip windows. ``kept``: bytes written there do not reach the
    memory; ``lost``: what is read from there is not what was written."""

    def __init__(self, name: str = "a311d", kept: bool = True, lost: bool = False) -> None:
        self._emulated = open_device(f"emulator:{name}")
        self.name, self.chip = "board", self._emulated.chip
        self._kept, self._lost = kept, lost
        self.windows: list[tuple[int, int]] = []
        self.alloc, self.close = self._emulated.alloc, self._emulated.close
        self.wait = self._emulated.wait

    def submit(self, commands: Words, buffers: Sequence[DeviceBuffer]) -> int:
        words, window = commands.copy(), [0, 0]
        for at in range(0, len(words), 2):
            for side, header in enumerate((STARTS, ENDS)):
                if words[at] == header:
                    window[side] = max(window[side], int(words[at + 1]))
                    words[at + 1] = 0
        fence = self._emulated.submit(words, buffers)
        self._emulated.wait(fence)
        if window[1]:
            assert [int(commands[at + 1]) for at in range(0, len(words), 2)
                    if commands[at] in (STARTS, ENDS)][-2:] == [0, 0], "not set back"  # fmt: skip
            (covered,) = [b for b in buffers if b.address == window[0]]
            self.windows.append((window[0], window[1] - window[0]))
            if self._kept:
                covered.data[:] = POISON
            if self._lost:
                for buffer in buffers[2:]:
                    buffer.data[:] = POISON
        return fence


def findings(board: Board) -> dict[str, Finding]:
    told: list[Finding] = []
    found = run(board, 1, told.append)
    assert found == told
    return {each.name: each for each in found}


@pytest.mark.parametrize(
    ("kept", "lost", "answer", "detail"),
    [
        (True, False, Answer.YES, "kept on chip and read back"),
        (False, False, Answer.NO, "the bytes went to memory: the window does nothing here"),
        (True, True, Answer.WRONG, "kept from memory, but not read back"),
    ],
)
@pytest.mark.parametrize("name", ["a311d", "imx8mp"])
def test_windows(name: str, kept: bool, lost: bool, answer: Answer, detail: str) -> None:
    board = Board(name, kept, lost)
    for experiment in EXPERIMENTS[:2]:
        assert experiment.name.startswith("window-")
        board.windows.clear()
        found = experiment.run(experiment, board, 1)
        assert (found.answer, found.detail) == (answer, detail)
        (window,) = set(board.windows)
        assert window[1] >= 4096


def test_a_window_lies_over_what_one_job_hands_to_the_next() -> None:
    for unit, case in (("TP", models.first_layer()), ("NN", models.block())):
        part = compile_graph(case.graph, chip("a311d"), options=PLAIN).parts[0]
        buffer = experiments.between(part, unit, chip("a311d"))
        assert part.buffers[buffer].role == "tensor"
        over = windowed(part, buffer, chip("a311d"))
        assert (over.buffers[buffer].data == POISON).all()
        assert len(over.relocations) == len(part.relocations) + 2 * len(part.jobs)


@pytest.mark.parametrize("name", ["a311d", "imx8mp"])
def test_a_window_leaves_kernels_their_place(name: str) -> None:
    """The tensor is behind all ranges, if the window starts where the on-chip memory does."""
    part = compile_graph(models.block().graph, chip(name), options=PLAIN).parts[0]
    buffer = experiments.between(part, "NN", chip(name))
    over = windowed(part, buffer, chip(name))
    first = min(r.addend for r in over.relocations if r.target == buffer and r.buffer >= 0)
    layout = generation_of(chip(name)).layout
    words = [part.job_words(job).tolist() for job in part.jobs if job.unit == "NN"]
    assert first >= max(layout.decode(each)["kernel_cache_end_address"] for each in words)
    assert over.buffers[buffer].size <= chip(name).vip_sram_bytes


@pytest.mark.parametrize("name", ["a311d", "imx8mp"])
def test_jobs_in_parallel_have_numbers(name: str) -> None:
    case = models.two_branches()
    part = compile_graph(case.graph, chip(name), options=PLAIN).parts[0]
    numbered = experiments.parallel(part)
    commands, _ = numbered.place([buffer.address for buffer in part.buffers])
    starts = list(walk(commands, chip(name).nn_cores))
    operations = [each.number for each in starts if each.number != 0x1F]
    assert operations == list(range(1, len(operations) + 1))
    plain = list(walk(part.commands, chip(name).nn_cores))
    assert [each.address for each in starts] == [each.address for each in plain]
    assert [each.number == 1 for each in plain] == [each.number == 0x1F for each in starts]
    kinds = [job.kind for job in part.jobs]
    assert "pad" in kinds and kinds.index("pad") < kinds.index("convolution")


def test_an_emulator_compares_values_and_says_nothing_of_times() -> None:
    found = {}
    run(open_device("emulator:a311d"), 1, lambda each: found.update({each.name: each}))
    asked = [each.name for each in EXPERIMENTS if 7 in each.generations]
    assert list(found) == asked
    for name in asked:
        expected = Answer.NOT_RUN if name.startswith("window") else Answer.UNTIMED
        if name in {each.name for each in value_experiments.EXPERIMENTS}:
            expected = Answer.NOT_ASKED
        assert found[name].answer is expected, found[name]
    assert found["window-tp"].detail.startswith("refused: ")


def fields(part: Part, name: str) -> list[int]:
    """A field of a part's NN instructions."""
    layout = generation_of(chip(name)).layout
    words = [part.job_words(job).tolist() for job in part.jobs if job.unit == "NN"]
    return [layout.decode(each)["kernel_caching_mode"] for each in words]


def test_v8_keeps_kernels_where_the_mode_is_set() -> None:
    case = models.large_image()
    part = compile_graph(case.graph, chip("imx8mp")).parts[0]
    assert set(fields(part, "imx8mp")) == {Caching.NONE}
    changed = experiments.cached_v8(part)
    assert set(fields(changed, "imx8mp")) == {Caching.FULL}
    assert [b.size for b in part.buffers] == [b.size for b in changed.buffers]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (models.many_kernels, "output-split"),
        (models.narrow_image, "fold"),
        (models.deep_image, "groups"),
    ],
)
def test_what_is_compared_differs(case: Callable[[], models.Case], name: str) -> None:
    graph, on = case().graph, chip("a311d")
    without = CompileOptions(without=frozenset({name}))
    asked = CompileOptions()
    if name == "output-split":
        asked = replace(without, experimental=frozenset({"partial-image"}))
    one, other = (compile_graph(graph, on, options=o).digest() for o in (without, asked))
    assert one != other


def test_none_is_tried_once_known_jobs_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "_still_right", lambda device: False)
    found = findings(Board())
    assert list(found) == ["window-tp"]
    assert found["window-tp"].detail.endswith("; known jobs fail since then")


def test_they_are_in_the_report_of_who_asks_for_them(tmp_path: Path) -> None:
    prefix = str(tmp_path / "board")
    arguments = ("selftest", "--device", "emulator:a311d", "--runs", "1", "--output", prefix)
    written = {suffix: Path(f"{prefix}.{suffix}") for suffix in ("json", "txt")}

    def report() -> list[str]:
        found = json.loads(written["json"].read_text(encoding="utf-8"))
        return [each["name"] for each in found["experiments"]]

    assert call(*arguments).exit_code == 0
    assert report() == []
    asked = call(*arguments, "--experiments")
    assert asked.exit_code == 0
    assert report()[:3] == ["window-tp", "window-nn", "partial-image"]
    assert "A yes unlocks" in asked.output
    assert "A yes unlocks" in written["txt"].read_text(encoding="utf-8")
