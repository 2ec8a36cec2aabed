"""Damaged jobs end in a fault that names instruction and field, or stay inside their buffers."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from stream_judge import Judge
from stream_mutants import FAMILIES, choose
from stream_sources import (
    CHIPS,
    LARGE,
    LARGE_GRAPHS,
    LOADED,
    RECORDED,
    Mutant,
    Source,
    compiled_sources,
    load_source,
    recorded_sources,
    roomy_sources,
)

from lapilli.compiler.stages import chip_named
from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.emulator.memory import ListedMemory
from lapilli.errors import Fault
from lapilli.program.program import Bytes

pytestmark = pytest.mark.reads_own_output
SEED = 4
NORMAL, LONG, CHUNK = 1000, 20_000, 250
RANDOM_FAMILIES = {"random word", "two fields"}


@functools.cache
def sources() -> list[Source]:
    """Recorded jobs, where there are recordings, and our own."""
    try:
        recorded = recorded_sources()
    except pytest.skip.Exception:
        recorded = []
    return recorded + compiled_sources() + roomy_sources()


@functools.cache
def large_sources() -> list[Source]:
    """Those of the long run on top."""
    try:
        recorded = recorded_sources(LARGE)
    except pytest.skip.Exception:
        recorded = []
    return recorded + compiled_sources(LARGE_GRAPHS)


@functools.cache
def mutants(count: int) -> list[Mutant]:
    """So many, always the same ones."""
    found = sources() if count == NORMAL else sources() + large_sources()
    return choose(found, count, SEED)


@functools.cache
def judge(count: int) -> Judge:
    """One a process."""
    return Judge(sources() if count == NORMAL else sources() + large_sources())


def check(count: int, first: int) -> None:
    verdicts = [judge(count).judge(mutant) for mutant in mutants(count)[first : first + CHUNK]]
    wrong = [f"{v.mutant.source}: {v.mutant.change}: {v.problem}" for v in verdicts if v.problem]
    assert not wrong, "\n".join(wrong)
    ended = Counter(verdict.ended for verdict in verdicts)
    assert min(ended[kind] for kind in ("fault", "same values", "other values")) > CHUNK // 50


@pytest.mark.parametrize("first", range(0, NORMAL, CHUNK))
def test_a_thousand_damaged_jobs(first: int) -> None:
    check(NORMAL, first)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, LONG, CHUNK))
def test_twenty_thousand_damaged_jobs(first: int) -> None:
    check(LONG, first)


def test_mutants_are_many_of_every_family_and_always_the_same() -> None:
    chosen = mutants(NORMAL)
    assert len(chosen) == NORMAL
    assert choose(sources(), NORMAL, SEED) == chosen
    assert choose(sources(), NORMAL, SEED + 1) != chosen
    families = Counter(mutant.family for mutant in chosen)
    assert set(families) >= {*RANDOM_FAMILIES, "field", "dropped write", "stream sizes"}
    assert len(families) == len(FAMILIES) + 2 + len(RANDOM_FAMILIES)  # two make two kinds
    assert min(families.values()) >= 5
    assert {mutant.source for mutant in chosen} == {source.name for source in sources()}


def test_every_register_write_is_dropped_and_every_field_set_to_its_ends() -> None:
    source = compiled_sources()[0]
    changes = [mutant.change for family in FAMILIES for mutant in family(source)]
    assert len(changes) == len(set(changes))
    assert sum(change.startswith("without word") for change in changes) == len(
        list(source.packets())
    )
    for job, instruction in enumerate(source.instructions):
        for name, field in source.layout(instruction).fields.items():
            start = f"job {job} {instruction.unit}: {name} = "
            values = {0, 1, (1 << field.width) - 1, (1 << field.width) - 2}
            assert sum(change.startswith(start) for change in changes) >= len(values) - 1


@pytest.mark.parametrize("chip", CHIPS)
def test_recordings_that_were_moved_apart_give_the_same_values(chip: str) -> None:
    for moved in recorded_sources(RECORDED):
        if moved.chip == chip:
            original = load_source(moved.name.removeprefix(f"{chip} "), chip)
            with EmulatedDevice(chip_named(chip)) as device:
                contents = {
                    i: buffer.data
                    for i, buffer in enumerate(moved.recording.buffers)
                    if buffer.role not in LOADED
                }
                expected = replay(original, device, contents)
                found = replay(moved.recording, device)
            assert found.keys() == expected.keys()
            assert all(np.array_equal(found[i], expected[i]) for i in found)


# --------------------------------------------------------------------- does the judge see anything?

Get = Callable[[ListedMemory, str, int, int], Bytes]


def unchecked(memory: ListedMemory, what: str, address: int, size: int) -> Bytes:
    """Memory that a submit need not list, and whose ends are not looked at as long as there is
    some: the units index what they get without asking again."""
    buffer = memory._space.find(address)
    assert buffer is not None
    start = address - buffer.address
    base = buffer.data.base
    if isinstance(base, np.ndarray):
        room = (base.size - buffer.data.size) // 2
        found = base.reshape(-1)[room + start : room + start + size]
    else:
        found = buffer.data[start : start + size]
    if found.size != size:
        raise Fault(f"{what}: {size} bytes at {address:#x} leave this test's memory")
    return found


def a_byte_too_far(memory: ListedMemory, what: str, address: int, size: int) -> Bytes:
    """Outputs are a byte longer, which is written."""
    found = unchecked(memory, what, address, size + 1)
    if what.startswith("output image"):
        found[-1] ^= 0x5A
    return found[:size]


def another_address(memory: ListedMemory, what: str, address: int, size: int) -> Bytes:
    """Inputs are read from behind where they are."""
    return unchecked(memory, what, address + (what.startswith("input image")), size)


@pytest.mark.parametrize("get", [unchecked, a_byte_too_far, another_address])
def test_an_emulator_without_checks_is_noticed(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = compiled_sources()[:2]
    careful = Judge(chosen)
    monkeypatch.setattr(ListedMemory, "bytes", get)
    wrong = [careful.judge(mutant).problem for mutant in choose(chosen, 400, SEED)]
    assert sum(map(bool, wrong)) > 20
    seen = " ".join(wrong)
    assert "outside" in seen or "changed" in seen
