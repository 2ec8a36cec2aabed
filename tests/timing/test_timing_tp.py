"""What a TP instruction has to do, each number worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from timing_numbers import CONSTANTS

from lapilli.timing.cycles import Bound, charge
from lapilli.timing.tp import TpTask, Window, tp_work

TASK = TpTask(
    columns=Window(start=-1, end=10, tile=12, step=12, image=10),
    rows=Window(start=-1, end=4, tile=6, step=6, image=5),
    planes=4,
    border_planes=0,
)
"""A window of 12 by 6 of an image of 10 by 5 with 4 planes, one element outside all round."""


def test_a_tp_moves_every_element_and_fetches_those_inside_the_image() -> None:
    (found,) = tp_work([TASK], 4)
    assert found.elements == found.traffic.output == 12 * 6 * 4
    assert found.traffic.input == 10 * 5 * 4
    time = charge(found, CONSTANTS)
    assert time.cycles.tp == 12 * 6 * 4 * 2
    assert time.bound is Bound.TP


def test_overlapping_tp_tiles_move_their_elements_more_than_once() -> None:
    tiles = replace(TASK, columns=replace(TASK.columns, tile=8, step=4))
    (found,) = tp_work([tiles], 4)
    assert found.elements == (8 + 8 + 4) * 6 * 4


def test_planes_fetched_beyond_the_image_are_border() -> None:
    (more,) = tp_work([replace(TASK, border_planes=1)], 4)
    assert more.elements == 12 * 6 * 5
    assert more.traffic.input == 10 * 5 * 4


def test_a_look_up_table_is_fetched_by_every_instruction() -> None:
    for found in tp_work([replace(TASK, table_bytes=4096)] * 4, 4):
        assert found.traffic.coefficients == 4096
        assert found.elements == 12 * 6 * 4


def tp_cycles(*tasks: TpTask) -> int:
    return sum(charge(work, CONSTANTS).cycles.tp for work in tp_work(tasks, 4))


def test_tp_cores_share_an_operation_and_start_once() -> None:
    shared = [charge(work, CONSTANTS).cycles for work in tp_work([TASK] * 4, 4)]
    assert [each.tp for each in shared] == [12 * 6 * 4 * 2 // 4] * 4
    assert [each.start_up for each in shared] == [50, 0, 0, 0]


def test_an_operation_takes_as_long_as_its_slowest_core() -> None:
    """Three tiny instructions beside a large one make it no faster."""
    tiny = replace(TASK, planes=1)
    # Every instruction's cycles are rounded up.
    assert 0 <= tp_cycles(TASK, tiny, tiny, tiny) - tp_cycles(TASK) < 4
    assert tp_cycles(TASK) == 12 * 6 * 4 * 2


def test_more_instructions_than_cores_take_turns() -> None:
    """The fifth comes after the first on the same core."""
    assert 0 <= tp_cycles(*[TASK] * 5) - 2 * tp_cycles(TASK) < 5
