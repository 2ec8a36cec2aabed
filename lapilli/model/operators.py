"""The operators of a ``.tflite``: kinds, tensors, options."""

from __future__ import annotations

from typing import Final

from lapilli.model.custom import options_of
from lapilli.model.flatbuffer import (
    INT8,
    INT32,
    PLACEHOLDER,
    UINT32,
    UINT64,
    Field,
    Table,
    shown,
)
from lapilli.model.graph import Operator, Tensor
from lapilli.model.option_tables import TABLES
from lapilli.model.options import CUSTOM_WITH_OPTIONS, Options

_CUSTOM_CODE: Final = 32
_CODES: Final = Field(1, "operator codes")
_OPERATORS: Final = Field(3, "operators")


class _Code:
    """Fields of an operator code."""

    OLD_CODE: Final = Field(0, "deprecated builtin code")
    CUSTOM: Final = Field(1, "custom code")
    VERSION: Final = Field(2, "version")
    CODE: Final = Field(3, "builtin code")


class _Operator:
    """Fields of an operator; those of its options: ``option_tables``."""

    CODE: Final = Field(0, "operator code")
    INPUTS: Final = Field(1, "inputs")
    OUTPUTS: Final = Field(2, "outputs")
    CUSTOM_OPTIONS: Final = Field(5, "custom options")
    FAR_OFFSET: Final = Field(9, "offset of the custom options")
    FAR_SIZE: Final = Field(10, "size of the custom options")


def _operator_names() -> dict[int, str]:
    # Imported when a model is read: the package imports each of its 180 modules.
    from tflite.BuiltinOperator import BuiltinOperator

    return {value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)}


def read_codes(model: Table) -> tuple[tuple[str, int], ...]:
    """(kind, version) of each operator code."""
    names = _operator_names()
    codes = []
    for table in model.elements(_CODES, "operator code"):
        # Files from before code 127 have the first field only, later ones both.
        code = max(table.scalar(_Code.CODE, INT32), table.scalar(_Code.OLD_CODE, INT8))
        if code < 0:
            table.fail(f"number {code}", "0 and above")
        kind = names.get(code, f"UNKNOWN_{code}")
        if code == _CUSTOM_CODE:
            custom = table.text(_Code.CUSTOM)
            if not custom:
                table.fail("a custom operator without a name", "a name")
            kind = f"CUSTOM:{custom}"
        codes.append((kind, table.scalar(_Code.VERSION, INT32, 1)))
    return tuple(codes)


def read_indices(table: Table, field: Field, count: int, *, optional: bool) -> tuple[int, ...]:
    """A list of tensor indices; ``optional``: -1 stands for an absent tensor."""
    indices = table.numbers(field, "<i4")
    lowest = -1 if optional else 0
    if indices and (min(indices) < lowest or max(indices) >= count):
        bad = next(index for index in indices if not lowest <= index < count)
        allowed = f"0 to {count - 1}" + (", or -1 if absent" if optional else "")
        table.file.fail(f"{table.where}: {field.name}", f"tensor {bad}", allowed)
    return indices


def read_operators(
    main: Table, codes: tuple[tuple[str, int], ...], tensors: tuple[Tensor, ...]
) -> tuple[tuple[Table, Operator], ...]:
    """The operators of a subgraph as stated, with their tables for messages."""
    operators = []
    for index, table in enumerate(main.elements(_OPERATORS, "operator")):
        code = table.scalar(_Operator.CODE, UINT32)
        if code >= len(codes):
            table.fail(f"operator code {code}", f"the model's {len(codes)} codes")
        kind, version = codes[code]
        table.where += f" {kind}" if not kind.startswith("CUSTOM:") else f" {shown(kind)}"
        operator = Operator(
            index,
            kind,
            read_indices(table, _Operator.INPUTS, len(tensors), optional=True),
            read_indices(table, _Operator.OUTPUTS, len(tensors), optional=False),
            _read_options(table, kind),
            version,
        )
        operators.append((table, operator))
    return tuple(operators)


def _custom_options(operator: Table) -> bytes:
    """In the operator's table, or anywhere in the file, as converters write large ones."""
    data = operator.content(_Operator.CUSTOM_OPTIONS)
    offset = operator.scalar(_Operator.FAR_OFFSET, UINT64)
    if data or offset <= PLACEHOLDER:
        return data
    size = operator.scalar(_Operator.FAR_SIZE, UINT64)
    start = operator.far(offset, size, "custom options")
    operator.file.spend(size, f"{operator.where}: custom options")
    return operator.file.data[start : start + size]


def _read_options(operator: Table, kind: str) -> Options:
    if kind in TABLES:
        return TABLES[kind].read(operator)
    if kind in CUSTOM_WITH_OPTIONS:
        return options_of(kind, _custom_options(operator))
    return None
