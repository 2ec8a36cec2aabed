"""The jobs of a program as rows for a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lapilli.cli.text import clean
from lapilli.model.graph import Graph
from lapilli.program.program import Part


def job_rows(parts: Sequence[Part], graph: Graph) -> list[dict[str, Any]]:
    """One row an instruction: unit, kind, the tensor its operator makes, bytes of coefficients."""
    by_index = {operator.index: operator for operator in graph.operators}
    rows: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        for job in part.jobs:
            operator = by_index[job.operator]
            tensor = graph.tensors[operator.outputs[0]]
            rows.append(
                {
                    "job": len(rows),
                    "part": number,
                    "unit": job.unit,
                    "kind": job.kind,
                    "operator": job.operator,
                    "tensor": clean(tensor.name),
                    "shape": "x".join(map(str, tensor.shape)),
                    "coefficient_bytes": job.coefficients[1] if job.coefficients else 0,
                }
            )
    return rows
