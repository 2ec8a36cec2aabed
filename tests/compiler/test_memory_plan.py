"""Places of tensors that share memory: no two that are needed at once overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from comparing import CHIPS
from shared_data import shared_data

from lapilli.compiler.jobs import Crossing, PartJobs, Storage, TpJob, View
from lapilli.compiler.memory_plan import (
    ALIGNMENT,
    Lifetime,
    Need,
    Place,
    Pool,
    apart,
    lifetimes,
    most_alive,
    place,
    shared,
)
from lapilli.compiler.stages import CompileOptions, compile_model
from lapilli.program.program import Program

UNLIMITED = (Pool(),)


def random_needs(seed: int) -> list[Need]:
    """Mostly a chain with a few that live long, as models have them."""
    rng = np.random.default_rng(seed)
    jobs = int(rng.integers(1, 40))
    needs = []
    for _ in range(int(rng.integers(1, 60))):
        first = int(rng.integers(jobs))
        length = int(rng.integers(jobs) if rng.random() < 0.2 else rng.integers(3))
        life = Lifetime(first, min(first + length, jobs - 1))
        needs.append(
            Need(int(rng.choice([1, 63, 64, 65, 1000, 4096, rng.integers(1, 10**6)])), life)
        )
    return needs


def meet(first: Need, second: Need) -> bool:
    return first.life.first <= second.life.last and second.life.first <= first.life.last


def demand_right(needs: Sequence[Need], places: Sequence[Place]) -> None:
    for need, found in zip(needs, places, strict=True):
        assert found.offset >= 0 and found.offset % ALIGNMENT == 0
        assert need.size > 0
    for (need, here), (other, there) in combinations(zip(needs, places, strict=True), 2):
        if here.pool == there.pool and meet(need, other):
            assert here.offset + need.size <= there.offset or (
                there.offset + other.size <= here.offset
            )


def end_of(needs: Sequence[Need], places: Sequence[Place], pool: int = 0) -> int:
    ends = [p.offset + n.size for n, p in zip(needs, places, strict=True) if p.pool == pool]
    return max(ends, default=0)


def test_nothing_that_is_needed_at_once_overlaps() -> None:
    for seed in range(150):
        needs = random_needs(seed)
        places = place(needs, UNLIMITED)
        demand_right(needs, places)
        assert most_alive(needs) <= end_of(needs, places) <= sum(n.size + ALIGNMENT for n in needs)
        assert places == place(needs, UNLIMITED)


def test_what_follows_one_another_takes_the_room_of_two() -> None:
    needs = [Need(1024, Lifetime(i, i + 1)) for i in range(20)]
    assert end_of(needs, place(needs, UNLIMITED)) == most_alive(needs) == 2048


def test_a_gap_is_filled_before_more_is_taken() -> None:
    needs = [
        Need(4096, Lifetime(0, 1)),  # at 0
        Need(2048, Lifetime(0, 3)),  # behind it
        Need(1024, Lifetime(2, 3)),  # where the first was
    ]
    assert [p.offset for p in place(needs, UNLIMITED)] == [0, 4096, 0]


def test_a_small_pool_takes_what_fits_and_the_next_one_the_rest() -> None:
    for seed in range(100):
        needs = random_needs(seed)
        capacity = max(n.size for n in needs) // 2 + 1
        places = place(needs, (Pool(capacity), Pool()))
        demand_right(needs, places)
        assert end_of(needs, places, 0) <= capacity
        assert end_of(needs, places, 1) > 0  # the largest does not fit into the first
    assert any(
        p.pool == 0
        for p in place(random_needs(3), (Pool(max(n.size for n in random_needs(3))), Pool()))
    )


# ----------------------------------------------------------------------------------------- parts


def job(source: int, target: int, table: int | None = None) -> TpJob:
    looked_up = None if table is None else View(table, 0, 8)
    return TpJob(0, "copy", View(source, 0, 8), View(target, 0, 8), (), looked_up)


def chain(*storages: Storage, jobs: Sequence[TpJob]) -> PartJobs:
    """Storage 0 is the input, storage 1 the output."""
    return PartJobs(
        (0,),
        tuple(jobs),
        storages,
        (Crossing(0, View(0, 0, 8)),),
        (Crossing(1, View(1, 0, 8)),),
    )


def tensor(role: str = "tensor", size: int = 8) -> Storage:
    return Storage(role, size)


def test_inputs_live_from_the_start_and_outputs_to_the_end() -> None:
    part = chain(
        tensor("input"),
        tensor("output"),
        tensor(),
        tensor(),
        jobs=[job(2, 3), job(0, 3), job(3, 1), job(2, 2)],
    )
    assert lifetimes(part) == (Lifetime(0, 1), Lifetime(2, 3), Lifetime(0, 3), Lifetime(0, 2))


def test_what_has_a_content_keeps_a_buffer_of_its_own() -> None:
    table = Storage("table", 8, np.arange(8, dtype=np.uint8))
    part = chain(
        tensor("input"), tensor("output"), table, tensor(), jobs=[job(0, 3, table=2), job(3, 1)]
    )
    plan = shared(part)
    assert [storage.role for storage in plan.part.storages] == ["input", "table"]
    first, second = plan.part.jobs
    assert isinstance(first, TpJob) and first.table == View(1, 0, 8)
    assert (first.source, second.source) == (View(0, 0, 8), View(0, 64, 8))
    assert second.target == plan.part.outputs[0].view == View(0, 0, 8)  # where the input was
    assert [(r.offset, r.life) for r in plan.regions] == [
        (0, Lifetime(0, 0)),
        (0, Lifetime(1, 1)),
        (64, Lifetime(0, 1)),
    ]


def test_apart_leaves_everything_where_it_is() -> None:
    part = chain(tensor("input"), tensor("output"), tensor(), jobs=[job(0, 2), job(2, 1)])
    plan = apart(part)
    assert plan.part is part
    assert [(r.storage, r.offset) for r in plan.regions] == [(0, 0), (1, 0), (2, 0)]


# ---------------------------------------------------------------------------------- whole models

WHOLE = (
    "mobilenet_v1_1.0_224_quant",
    "mobilenet_v2_1.0_224_quant",
    "ssdlite_mobiledet_coco_qat_postprocess",
    "mobilenet_v1_0.25_128_quant",
)
SLOW = {(name, "a311d") for name in WHOLE[1:3]}
"""To compile."""
QUICK = CompileOptions(effort=0)


def compiled(name: str, chip: str, schedule: str = "best") -> Program:
    path = shared_data() / "models" / f"{name}.tflite"
    return compile_model(path, chip, schedule, QUICK)


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        pytest.param(name, chip, marks=pytest.mark.long if (name, chip) in SLOW else ())
        for name in WHOLE
        for chip in CHIPS
    ],
)
def test_a_whole_model_takes_a_quarter_of_a_buffer_for_each_tensor(name: str, chip: str) -> None:
    found = [part.memory for part in compiled(name, chip).parts]
    taken, apart_, alive = 0, 0, 0
    for memory in found:
        assert memory is not None
        taken, apart_ = taken + memory.taken, apart_ + memory.apart
        alive += -(-memory.alive // 4096) * 4096
    assert taken <= apart_ / 4
    assert taken <= 1.3 * alive


def test_the_reference_schedule_gives_each_tensor_a_buffer() -> None:
    for part in compiled(WHOLE[-1], "a311d", "reference").parts:
        assert part.memory is not None
        assert part.memory.taken == part.memory.apart
        assert {region.offset for region in part.regions} == {0}
        assert len(part.buffers) == 2 + len(part.regions)
