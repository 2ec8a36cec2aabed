"""What a model has beside its main graph: other subgraphs, signatures, control flow.

Only the first subgraph is read. Whoever reads a report of it must know that there is more.
"""

from __future__ import annotations

from typing import Final

from lapilli.model.flatbuffer import UINT32, Field, Table, shown
from lapilli.model.graph import Operator

_SUBGRAPHS: Final = Field(2, "subgraphs")
_SIGNATURES: Final = Field(7, "signatures")
_OPERATORS: Final = Field(3, "operators")
_NAME: Final = Field(4, "name")
_KEY: Final = Field(2, "signature key")
_SUBGRAPH: Final = Field(4, "subgraph")
CALLING: Final = frozenset({"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE"})
"""Kinds of operators that run other subgraphs."""
MOST_NAMED: Final = 4


def remarks(model: Table, operators: tuple[Operator, ...]) -> tuple[str, ...]:
    """Sentences on what is there and not looked at; () for a model of one graph."""
    _, count = model.vector(_SUBGRAPHS, 4)
    signatures: dict[int, list[str]] = {}
    for table in model.elements(_SIGNATURES, "signature"):
        number = table.scalar(_SUBGRAPH, UINT32)
        signatures.setdefault(number, []).append(shown(table.text(_KEY)))
    if count < 2:
        return ()
    found = []
    for number, table in enumerate(model.elements(_SUBGRAPHS, "subgraph")):
        _, size = table.vector(_OPERATORS, 4)
        name = ", ".join(f"signature {key}" for key in signatures.get(number, [])[:MOST_NAMED])
        name = name or shown(table.text(_NAME))
        if number == 0:
            first = name
        elif number <= MOST_NAMED:
            found.append(f"{number} ({name}, {size} operators)")
    more = ", ..." if count - 1 > MOST_NAMED else ""
    lines = [
        f"the model has {count} subgraphs; this is about the first ({first}), not about subgraph "
        f"{', '.join(found)}{more}, which LiteRT runs with what the delegate takes of them"
    ]
    calling = [f"{o.index} ({o.kind})" for o in operators if o.kind in CALLING]
    if calling:
        more = ", ..." if len(calling) > MOST_NAMED else ""
        lines.append(
            f"operator {', '.join(calling[:MOST_NAMED])}{more} runs other subgraphs as its "
            "branches, whose operators are not counted here"
        )
    return tuple(lines)
