"""A comparison for scripts: one JSON object, or rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from lapilli.diff.interpreters import YARDSTICKS
from lapilli.diff.records import ACCUMULATED, ALONE, Diff, Layer
from lapilli.diff.statistics import HISTOGRAM_NAMES, Difference

SCHEMA_VERSION = 1
"""Of ``to_json``; goes up when a key changes its meaning or vanishes."""


def to_json(found: Diff) -> dict[str, Any]:
    """The object ``lapilli diff --json`` prints.

    ``schema_version``; ``model``, ``device``, ``schedule``, ``tolerance``; ``reference``: ``name``,
    ``resolver``, ``runtime`` and ``xnnpack_operators`` (null unless XNNPACK was asked for).
    ``layers``: one entry for each operator output with ``operator`` (index in the .tflite),
    ``kind``, ``on`` (``NPU`` or ``CPU``), ``part``, ``tensor``, ``name``, ``shape``, ``dtype``,
    ``one_with`` (operators that the NPU does as one, without making this tensor, or null),
    ``alone`` and ``accumulated``. These two are null where there is no comparison, else ``values``,
    ``unequal``, ``unequal_share``, ``max`` and ``mean`` (in output steps), ``histogram`` (counts by
    class) and ``snr_db``; it is null for +inf (``unequal`` is 0) and -inf (the reference is all
    zero). ``summary``: for both the total over all layers, ``over_tolerance`` (the operators) and
    ``first_over_tolerance``. ``yardstick``: the same total for the CPU kernels it names in
    ``reference`` against the reference, or null. ``per_channel``: what one scale a layer costs
    where the model has more, against the model itself, or null. ``verdict``: ``task``,
    ``same_answer`` (first class or detections; null without such a reading), ``npu`` and ``cpu`` in
    words, ``largest_output_steps``, ``largest_output_difference`` (floats) and
    ``operators_alone_over_tolerance`` (count). ``blocking``: what stays on the CPU and why, or
    null. ``definitions`` says what is what.
    """
    reference = found.reference
    return {
        "schema_version": SCHEMA_VERSION,
        "model": found.model,
        "device": found.device,
        "schedule": found.schedule,
        "reference": {
            "name": reference.name,
            "resolver": reference.resolver,
            "runtime": reference.runtime,
            "xnnpack_operators": reference.operators,
        },
        "tolerance": found.tolerance,
        "operators": found.operators,
        "layers": [_layer_json(layer) for layer in found.layers],
        "summary": {"alone": _summary(found, True), "accumulated": _summary(found, False)},
        "yardstick": None
        if found.yardstick is None
        else {"reference": YARDSTICKS[reference.name], **_total_json(found.yardstick)},
        "per_channel": None if found.loss is None else found.loss.to_dict(),
        "verdict": {
            **({} if found.answer is None else found.answer.to_dict()),
            "operators_alone_over_tolerance": len({o.operator for o in found.over(True)}),
        },
        "blocking": None if found.blocking is None else found.blocking.to_dict(),
        "definitions": {"alone": ALONE, "accumulated": ACCUMULATED, **DEFINITIONS_BY_KEY},
    }


DEFINITIONS_BY_KEY = {
    "max": "largest |NPU - CPU| in output steps, that is of the stored integers",
    "mean": "mean |NPU - CPU| in output steps",
    "unequal_share": "part of the values in which NPU and CPU differ, 0 to 1",
    "histogram": "number of values by |NPU - CPU| in output steps",
    "snr_db": "10 log10(sum of r^2 / sum of (n - r)^2) over the dequantised values r of the CPU "
    "and n of the NPU",
}


def _layer_json(layer: Layer) -> dict[str, Any]:
    return {
        "operator": layer.operator,
        "kind": layer.kind,
        "on": "CPU" if layer.part is None else "NPU",
        "part": layer.part,
        "tensor": layer.tensor.index,
        "name": layer.tensor.name,
        "shape": list(layer.tensor.shape),
        "dtype": layer.tensor.dtype,
        "one_with": list(layer.one_with) or None,
        "alone": _difference_json(layer.alone),
        "accumulated": _difference_json(layer.accumulated),
    }


def _difference_json(found: Difference | None) -> dict[str, Any] | None:
    if found is None:
        return None
    histogram = found.histogram
    return {
        "values": found.values,
        "unequal": found.unequal,
        "unequal_share": found.share,
        "max": found.maximum,
        "mean": found.mean,
        "histogram": None
        if histogram is None
        else dict(zip(HISTOGRAM_NAMES, histogram, strict=True)),
        "snr_db": found.snr_db if found.snr_db is not None and np.isfinite(found.snr_db) else None,
    }


def _total_json(found: Difference) -> dict[str, Any]:
    """Without a signal-to-noise ratio, which totals don't have."""
    return {key: value for key, value in (_difference_json(found) or {}).items() if key != "snr_db"}


def _summary(found: Diff, alone: bool) -> dict[str, Any]:
    operators = [layer.operator for layer in found.over(alone)]
    return {
        **_total_json(found.total(alone)),
        "over_tolerance": operators,
        "first_over_tolerance": operators[0] if operators else None,
    }


_MEASURES = (
    "values",
    "unequal",
    "unequal_share",
    "max",
    "mean",
    "snr_db",
    *(f"histogram_{name}" for name in HISTOGRAM_NAMES),
)
CSV_COLUMNS = (
    "operator",
    "kind",
    "on",
    "part",
    "tensor",
    "name",
    "shape",
    "dtype",
    *(f"{side}_{name}" for side in ("alone", "accumulated") for name in _MEASURES),
)
"""Of ``to_csv``."""


def to_csv(found: Diff) -> list[list[str]]:
    """One row for each layer, in the order of ``CSV_COLUMNS``; what does not exist is empty."""
    rows = []
    for layer in found.layers:
        head = [
            layer.operator,
            layer.kind,
            "CPU" if layer.part is None else "NPU",
            "" if layer.part is None else layer.part,
            layer.tensor.index,
            layer.tensor.name,
            "x".join(map(str, layer.tensor.shape)),
            layer.tensor.dtype,
        ]
        rows.append([*map(str, head), *_measures(layer.alone), *_measures(layer.accumulated)])
    return rows


def _measures(found: Difference | None) -> list[str]:
    if found is None:
        return [""] * len(_MEASURES)
    histogram = found.histogram or ("",) * len(HISTOGRAM_NAMES)
    head = (found.values, found.unequal, found.share, found.maximum, found.mean, found.snr_db)
    return ["" if value is None else str(value) for value in (*head, *histogram)]
