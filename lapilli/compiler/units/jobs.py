"""Which layers become several jobs, and how many: where a little time takes away most noise.

From one job for each layer, again and again the step that takes most noise away for its time, until
none fits into what may be spent or none is worth it. A job's outputs have to stand side by side:
the layer that gains most chooses the order of its channels (``orders.py``), the others that share
it are cut in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from lapilli.compiler.units import groups as cutting
from lapilli.compiler.units.fixed_order import Floats, Integers
from lapilli.compiler.units.layers import Layer
from lapilli.compiler.units.objective import LayerTerm, Objective

MOST_JOBS: Final = 16
"""Of a layer."""
COUNTS: Final = (1, 2, 3, 4, 6, 8)
SMALL_SHARE: Final = 0.004
"""Steps that take less of the whole noise away are not worth a job."""
LEAST_PART: Final = 0.25
"""A layer that is cut in another's order stays one job if that takes less of its noise away."""
LEAST_RUN: Final = 2
"""Outputs of a job, on average: shorter runs are a converter's, which gives each its own scale."""
SPLITTABLE: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def in_runs(layer: Layer) -> bool:
    """The layer's outputs have a few scales in runs already, a job each, or one."""
    changes = int(np.count_nonzero(layer.factors[1:] != layer.factors[:-1]))
    most = min(MOST_JOBS, layer.outputs // LEAST_RUN)
    return not changes or (layer.operator.kind in SPLITTABLE and changes + 1 <= most)


class Costs(Protocol):
    """What the layer at a position takes in so many jobs, in any unit; None if it can't be."""

    def __call__(self, position: int, jobs: int, /) -> float | None: ...


@dataclass(frozen=True, eq=False)
class Jobs:
    """``groups``: position of a layer in several jobs -> the outputs of each; ``orders``: class of
    tensors -> their channels as they are to stand."""

    groups: Mapping[int, Sequence[Integers]]
    orders: Mapping[int, Integers]


@dataclass(frozen=True)
class Allowance:
    """``most`` jobs of a layer; ``share`` of the layers' time that more jobs may cost, None for
    whatever it takes."""

    most: int
    share: float | None


def choose(
    objective: Objective,
    logs: Floats,
    classes: Mapping[int, int],
    allowance: Allowance,
    costs: Costs,
) -> Jobs:
    """``objective``: of one job for each layer; ``classes``: of ``find_orders``."""
    candidates = {
        term.layer.position: _noises(term, logs, allowance.most)
        for term in objective.layers
        if term.value(logs) > 0.0
        and term.layer.operator.kind in SPLITTABLE
        and (not term.layer.depthwise or term.layer.multiplier == 1)
    }
    total = objective.weights_value(logs)
    if allowance.share is None:
        counts = {p: _last_worth(noises) for p, noises in candidates.items()}
    else:
        times = [costs(term.layer.position, 1) or 0.0 for term in objective.layers]
        counts = _greedy(candidates, total, costs, allowance.share * sum(times))
    return _side_by_side(objective, logs, classes, counts)


def _noises(term: LayerTerm, logs: Floats, most: int) -> dict[int, float]:
    """Jobs -> noise."""
    needed, weight = term.needed(logs)
    one = cutting.noise(needed, weight, [np.arange(len(needed))])
    share = term.value(logs) / one if one > 0.0 else 0.0
    wanted = sorted({count for count in COUNTS if count < most} | {most})
    counts = [count for count in wanted if count == 1 or count * LEAST_RUN <= len(needed)]
    return {
        count: share * cutting.noise(needed, weight, cutting.cut_sorted(needed, weight, count))
        for count in counts
    }


def _last_worth(noises: Mapping[int, float]) -> int:
    """The least number of jobs that is nearly as good as the most."""
    least = min(noises.values())
    limit = least + 0.02 * (noises[1] - least)
    return next(count for count, noise in noises.items() if noise <= limit)


def _greedy(
    candidates: Mapping[int, Mapping[int, float]], total: float, costs: Costs, spare: float
) -> dict[int, int]:
    """Positions -> jobs; each step takes a layer to the next number of jobs."""
    counts = dict.fromkeys(candidates, 1)
    while True:
        best, chosen, spent = 0.0, None, 0.0
        for position, noises in candidates.items():
            count = counts[position]
            more = next((each for each in noises if each > count), None)
            if more is None or noises[count] - noises[more] < SMALL_SHARE * total:
                continue
            now, then = costs(position, count), costs(position, more)
            if now is None or then is None or then - now > spare:
                continue
            worth = (noises[count] - noises[more]) / max(then - now, 1.0)
            if worth > best:
                best, chosen, spent = worth, (position, more), max(then - now, 0.0)
        if chosen is None:
            return counts
        counts[chosen[0]] = chosen[1]
        spare -= spent


def _side_by_side(
    objective: Objective, logs: Floats, classes: Mapping[int, int], counts: Mapping[int, int]
) -> Jobs:
    groups: dict[int, Sequence[Integers]] = {}
    orders: dict[int, Integers] = {}
    wanted = [term for term in objective.layers if counts.get(term.layer.position, 1) > 1]
    for term in sorted(wanted, key=lambda term: -term.value(logs)):
        needed, weight = term.needed(logs)
        count = counts[term.layer.position]
        order_class = classes.get(term.layer.target)
        if order_class is not None and order_class not in orders:
            rows = cutting.cut_sorted(needed, weight, count)
            orders[order_class] = np.concatenate(rows)
        else:
            order = np.arange(len(needed)) if order_class is None else orders[order_class]
            rows = [order[run] for run in cutting.cut(needed[order], weight[order], count)]
        before = cutting.noise(needed, weight, [np.arange(len(needed))])
        if len(rows) > 1 and cutting.noise(needed, weight, rows) < (1.0 - LEAST_PART) * before:
            groups[term.layer.position] = rows
    return Jobs(groups, orders)
