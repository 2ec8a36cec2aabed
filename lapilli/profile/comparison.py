"""Two profiles side by side, operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from lapilli.profile.assemble import by_operation
from lapilli.profile.events import OperatorRecord, Processor, Profile
from lapilli.profile.rows import Row
from lapilli.timing.evidence import evidence_of

SCHEMA = "lapilli-compare"
SCHEMA_VERSION = 1

MOST_COMPARISONS = 1 << 22
"""Pairs of operations of one size: what finding common sequences costs, at least."""


@dataclass(frozen=True)
class Pair:
    """An operator in both, or in one of them only."""

    a: OperatorRecord | None
    b: OperatorRecord | None

    @property
    def either(self) -> OperatorRecord:
        """The first one there is."""
        found = self.a or self.b
        assert found is not None
        return found


def pairs(a: Profile, b: Profile) -> tuple[Pair, ...]:
    """What belongs together: by index in the .tflite where both know operators of one model, else
    the longest common sequences of instructions of equal sizes, operation by operation; of streams
    that repeat too few sizes too often for that, one operation after the other."""
    if a.model == b.model and all(op.operators for op in (*a.operators, *b.operators)):
        return _by_index(a.operators, b.operators)
    left, right = by_operation(a), by_operation(b)
    found: list[Pair] = []
    shapes = [op.shape for op in left], [op.shape for op in right]
    times = Counter(shapes[1])
    if sum(times[shape] for shape in shapes[0]) > MOST_COMPARISONS:
        return tuple(Pair(one, other) for one, other in zip_longest(left, right))
    matcher = SequenceMatcher(None, *shapes, autojunk=False)
    for _, a0, a1, b0, b1 in matcher.get_opcodes():
        for i in range(max(a1 - a0, b1 - b0)):
            one = left[a0 + i] if a0 + i < a1 else None
            other = right[b0 + i] if b0 + i < b1 else None
            found.append(Pair(one, other))
    return tuple(found)


def _by_index(left: Sequence[OperatorRecord], right: Sequence[OperatorRecord]) -> tuple[Pair, ...]:
    others = {op.operators: op for op in right}
    found = [Pair(op, others.pop(op.operators, None)) for op in left]
    found += [Pair(None, op) for op in others.values()]
    return tuple(sorted(found, key=lambda pair: pair.either.operators))


def rows_of(found: Sequence[Pair]) -> list[Row]:
    """One row a pair; differences are b minus a, None where one is missing."""
    return [_row(pair) for pair in found]


def _row(pair: Pair) -> Row:
    a, b, either = pair.a, pair.b, pair.either
    seconds = (a.seconds if a else None, b.seconds if b else None)
    traffic = (_bytes(a), _bytes(b))
    return {
        "operators": list(either.operators),
        "row": either.row,
        "kind": either.kind,
        "name": either.name,
        "shape": either.shape,
        "on_a": a.processor.value if a else None,
        "on_b": b.processor.value if b else None,
        "seconds_a": seconds[0],
        "seconds_b": seconds[1],
        "seconds_difference": _difference(*seconds),
        "bytes_a": traffic[0],
        "bytes_b": traffic[1],
        "bytes_difference": _difference(*traffic),
        "bound_a": a.bound.value if a and a.bound else None,
        "bound_b": b.bound.value if b and b.bound else None,
    }


def _bytes(op: OperatorRecord | None) -> int | None:
    """What the NPU moves; None for the CPU's, of which nothing is known."""
    return op.traffic.total if op and op.processor is Processor.NPU else None


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else b - a


def to_json(a: Profile, b: Profile) -> dict[str, Any]:
    """The object ``lapilli compare --json`` prints."""
    rows = rows_of(pairs(a, b))
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "a": _head(a),
        "b": _head(b),
        "operators": rows,
        "totals": totals(a, b),
    }


def _head(profile: Profile) -> dict[str, Any]:
    return {
        "model": profile.model,
        "source": profile.source,
        "chip": profile.chip,
        "schedule": profile.schedule,
        "evidence": evidence_of(profile.chip).to_dict(),
        "notes": list(profile.notes),
    }


def totals(a: Profile, b: Profile) -> dict[str, Any]:
    """Of the NPU: modelled time and bytes moved."""
    times = (a.npu_seconds, b.npu_seconds)
    traffic = [sum(op.traffic.total for op in each.operators) for each in (a, b)]
    return {
        "npu_seconds_a": times[0],
        "npu_seconds_b": times[1],
        "npu_seconds_difference": times[1] - times[0],
        "npu_cycles_a": a.npu_cycles,
        "npu_cycles_b": b.npu_cycles,
        "bytes_a": traffic[0],
        "bytes_b": traffic[1],
        "bytes_difference": traffic[1] - traffic[0],
    }
