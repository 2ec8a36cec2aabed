"""A program that was compiled before, in place of the compiler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapilli.compiler.units.requantise import Requantised
from lapilli.errors import DeviceError, ModelError
from lapilli.litert.backend import NpuBackend, Verdict, positions_of
from lapilli.model.graph import Graph
from lapilli.model.graph_digest import part_digest
from lapilli.program import program_file
from lapilli.program.device import Device
from lapilli.program.program import Part


@dataclass(frozen=True)
class ProgramVerdict:
    """Whether a program has an operator."""

    supported: bool
    reason: str = ""
    rule: str = "program"


class ProgramBackend(NpuBackend):
    """The parts of the program in ``path``. Raises ModelError if that is none, DeviceError if it is
    for another chip than ``device`` has."""

    def __init__(self, device: Device, path: str, count: bool = False) -> None:
        self._path = path
        self._program = program_file.load(path)
        if self._program.chip != device.chip.name:
            raise DeviceError(
                f"{path} was compiled for {self._program.chip}; {device.name} is {device.chip.name}"
            )
        super().__init__(device, self._program.schedule, count)
        self.operators = frozenset(i for part in self._program.parts for i in part.operators)

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        """Whether the program has each operator. Raises ModelError if it has one that the graph has
        not."""
        missing = self.operators - {operator.index for operator in graph.operators}
        if missing:
            raise self._misfit(f"it has operator {min(missing)}, which the model has not")
        reason = f"{Path(self._path).name} leaves it to the CPU."
        return [
            ProgramVerdict(True) if o.index in self.operators else ProgramVerdict(False, reason)
            for o in graph.operators
        ]

    def prepared(self, graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
        """The program has it all."""
        return Requantised(graph, None)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        """The part with these operators. Raises ModelError unless it was made of the same."""
        parts = {tuple(sorted(part.operators)): part for part in self._program.parts}
        part = parts.get(tuple(sorted(operators)))
        if part is None:
            raise self._misfit(
                f"LiteRT cuts out a part of {len(operators)} operators from operator "
                f"{min(operators)} on, the program has none like it (it has parts of "
                f"{', '.join(str(len(key)) for key in parts)} operators)"
            )
        self._demand_same(part, graph, operators, inputs, outputs)
        return part

    def _demand_same(
        self,
        part: Part,
        graph: Graph,
        operators: Sequence[int],
        inputs: Sequence[int],
        outputs: Sequence[int],
    ) -> None:
        if not part.source:
            raise self._misfit("it was compiled by a version that did not note what it is made of")
        bound = [{b.tensor for b in bindings} for bindings in (part.inputs, part.outputs)]
        if bound != [set(inputs), set(outputs)]:
            raise self._misfit(
                f"the part from operator {min(operators)} on has inputs {sorted(bound[0])} and "
                f"outputs {sorted(bound[1])}, the model's {sorted(inputs)} and {sorted(outputs)}"
            )
        positions = positions_of(graph, operators)
        if part.source != part_digest(graph, positions, inputs, outputs):
            raise self._misfit(
                f"shapes, options, scales or weights of its part from operator {min(operators)} on "
                "are not the model's"
            )

    def _misfit(self, found: str) -> ModelError:
        return ModelError(
            f"{self._path} does not fit the model: {found}. It was compiled from "
            f"{self._program.model}; compile the model again: lapilli compile MODEL.tflite "
            f"--chip {self._program.chip}"
        )
