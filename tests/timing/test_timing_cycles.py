"""What work costs: the longest term, and starting on top."""

from __future__ import annotations

import math
from dataclasses import asdict, fields, replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timing_numbers import CONSTANTS, COUNTED, TASK, chip, plain_work

from lapilli.timing.constants import TimingConstants
from lapilli.timing.cycles import Bound, charge
from lapilli.timing.host import HostConstants, HostWork, host_seconds
from lapilli.timing.nn import nn_work
from lapilli.timing.work import Traffic, Work


@pytest.mark.parametrize(
    ("item", "cycles", "bound"),
    [
        (plain_work(), (100, 0, 0, 100), Bound.MEMORY),
        (plain_work(traffic=Traffic(136, 0, 0, 4)), (35, 0, 0, 100), Bound.START_UP),
        (plain_work(cached_input=16 * 300), (300, 0, 0, 100), Bound.MEMORY),
        (
            plain_work(rows=10, weights=(50,), weight_cycles=Fraction(1, 3), zero_tokens=(5,)),
            (100, 434, 0, 100),
            Bound.COEFFICIENTS,
        ),
        (plain_work(unit="TP", elements=75), (100, 0, 150, 50), Bound.TP),
    ],
)
def test_the_longest_term_bounds_and_start_up_comes_on_top(
    item: Work, cycles: tuple[int, ...], bound: Bound
) -> None:
    time = charge(item, CONSTANTS)
    assert tuple(asdict(time.cycles).values()) == cycles
    assert time.bound is bound
    assert time.total_cycles == max(cycles[:3]) + cycles[3]
    assert time.seconds == time.total_cycles / 1e6


def test_the_core_with_most_to_do_counts() -> None:
    """60 weights at 2/9 cycle and half the use, 30 empty tokens at 2 cycles, for 30 rows."""
    time = charge(nn_work(TASK, COUNTED, chip()), CONSTANTS)
    assert time.cycles.coefficients == math.ceil(30 * (60 * 2 / 9 / 0.5 + 30 * 2))


def test_work_of_the_host_is_a_sum_of_its_own() -> None:
    constants = HostConstants(inference_seconds=1e-3, macs_a_second=1e9, score_seconds=1e-8)
    assert host_seconds(HostWork(), constants) == 1e-3
    assert host_seconds(HostWork(10**6, 10**5), constants) == pytest.approx(1e-3 + 1e-3 + 1e-3)


@given(st.lists(st.integers(0, 1 << 24), min_size=6, max_size=6), st.integers(0, 5))
@settings(max_examples=150)
def test_more_of_anything_never_takes_less_time(amounts: list[int], grown: int) -> None:
    def total(values: list[int]) -> int:
        coefficients, image, output, cached, weights, tokens = values
        item = plain_work(
            traffic=Traffic(136, coefficients, image, output),
            cached_input=cached,
            rows=3,
            weights=(weights,),
            weight_cycles=Fraction(2, 9),
            zero_tokens=(tokens,),
        )
        return charge(item, CONSTANTS).total_cycles

    more = amounts.copy()
    more[grown] += 1000
    assert total(more) >= total(amounts)


@given(st.sampled_from([field.name for field in fields(TimingConstants)]), st.floats(1, 8))
@settings(max_examples=60)
def test_faster_hardware_never_takes_longer(name: str, factor: float) -> None:
    slower = name in ("zero_run_cycles", "nn_start_cycles", "tp_start_cycles")
    changed = replace(
        CONSTANTS, **{name: getattr(CONSTANTS, name) * (1 / factor if slower else factor)}
    )
    item = nn_work(TASK, COUNTED, chip())
    assert charge(item, changed).seconds <= charge(item, CONSTANTS).seconds
