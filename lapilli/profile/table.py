"""A profile as a text table that fits the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lapilli.profile.rows import Row

GAP = "  "
LEAST_NAME = 12
MOST_NAME = 60
ABSENT = "-"


@dataclass(frozen=True)
class Column:
    """``level``: -1 is always shown, the others where the screen is wide enough."""

    title: str
    level: int
    text: Callable[[Row], str]
    left: bool = False


def _number(key: str, factor: float = 1, digits: int = 0) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value: Any = row[key]
        return ABSENT if value is None else f"{value * factor:,.{digits}f}"

    return text


def _npu(key: str, factor: float = 1, digits: int = 0) -> Callable[[Row], str]:
    """Of rows on the NPU; the CPU's have no such figure."""
    number = _number(key, factor, digits)
    return lambda row: ABSENT if row.get("on") == "CPU" else number(row)


def _operators(row: Row) -> str:
    numbers = row["operators"]
    if not numbers:
        return str(row["row"])
    return str(numbers[0]) + (f"+{len(numbers) - 1}" if len(numbers) > 1 else "")


def _kibibytes(row: Row) -> str:
    return _npu("bytes", 1 / 1024)(row)


def _span(key: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = row[key]
        return ABSENT if found is None else f"{(found[1] - found[0]) / 1024:,.0f}"

    return text


OPERATOR_COLUMNS = (
    Column("#", -1, _operators),
    Column("operator", -1, lambda row: str(row["kind"]), left=True),
    Column("on", 1, lambda row: str(row["on"]), left=True),
    Column("ms", -1, _number("seconds", 1e3, 3)),
    Column("%", -1, _number("share", 100, 1)),
    Column("cycles", 1, _npu("cycles")),
    Column("bound by", -1, lambda row: row["bound"] or ABSENT, left=True),
    Column("memory", 2, _npu("cycles_memory")),
    Column("coeff.", 2, _npu("cycles_coefficients")),
    Column("TP", 2, _npu("cycles_tp")),
    Column("start", 2, _npu("cycles_start_up")),
    Column("useful", 0, _npu("macs_useful", 1e-6, 1)),
    Column("dense", 2, _npu("macs_dense", 1e-6, 1)),
    Column("util%", 0, _npu("utilisation", 100, 1)),
    Column("KiB", 0, _kibibytes),
    Column("in", 2, _npu("bytes_input", 1 / 1024)),
    Column("out", 2, _npu("bytes_output", 1 / 1024)),
    Column("weights", 1, _npu("bytes_coefficients", 1 / 1024)),
    Column("GB/s", 1, _npu("bandwidth", 1e-9, 2)),
    Column("tiles", 2, _npu("tiles")),
    Column("blocks", 2, _npu("superblocks")),
    Column("SRAM k", 2, _npu("sram_kernels", 1 / 1024)),
    Column("SRAM i", 2, _npu("sram_image", 1 / 1024)),
    Column("packed", 2, _npu("compression", 1, 1)),
)
JOB_COLUMNS = (
    Column("job", -1, _number("job")),
    Column("op", 0, _number("operator")),
    Column("unit", -1, lambda row: str(row["unit"]), left=True),
    Column("kind", -1, lambda row: str(row["kind"]), left=True),
    Column("ms", -1, _number("seconds", 1e3, 3)),
    Column("%", 0, _number("share", 100, 1)),
    Column("cycles", 1, _number("cycles")),
    Column("bound by", -1, lambda row: str(row["bound"]), left=True),
    Column("memory", 2, _number("cycles_memory")),
    Column("coeff.", 2, _number("cycles_coefficients")),
    Column("TP", 2, _number("cycles_tp")),
    Column("useful", 1, _number("macs_useful", 1e-6, 1)),
    Column("util%", 1, _number("utilisation", 100, 1)),
    Column("KiB", 0, _number("bytes", 1 / 1024)),
    Column("GB/s", 1, _number("bandwidth", 1e-9, 2)),
    Column("tiles", 2, _number("tiles")),
    Column("blocks", 2, _number("superblocks")),
    Column("SRAM k", 2, _span("sram_kernels")),
    Column("SRAM i", 2, _span("sram_image")),
    Column("packed", 2, _number("compression", 1, 1)),
)


def lines(
    rows: Sequence[Row],
    columns: Sequence[Column],
    last: Callable[[Row, int], str],
    title: str,
    width: int,
    clean: Callable[[str, int], str],
) -> Iterator[str]:
    """Head line and one line a row. ``last`` makes the text of the last column, ``clean`` makes any
    text fit for the screen and a number of letters."""
    chosen, cells, widths = _fit(rows, columns, width, clean)
    room = width - sum(widths) - len(GAP) * len(widths)

    def joined(texts: Sequence[str], rest: str) -> str:
        padded = [
            text.ljust(size) if column.left else text.rjust(size)
            for text, size, column in zip(texts, widths, chosen, strict=True)
        ]
        return GAP.join([*padded, rest]).rstrip()

    yield joined([column.title for column in chosen], title)
    for row, texts in zip(rows, cells, strict=True):
        yield joined(texts, last(row, min(max(room, LEAST_NAME), MOST_NAME)))


def _fit(
    rows: Sequence[Row],
    columns: Sequence[Column],
    width: int,
    clean: Callable[[str, int], str],
) -> tuple[list[Column], list[list[str]], list[int]]:
    """The columns of the highest level that fits."""
    for level in (2, 1, 0, -1):
        chosen = [column for column in columns if column.level <= level]
        cells = [[clean(column.text(row), 18) for column in chosen] for row in rows]
        widths = [
            max([len(column.title), *(len(row[i]) for row in cells)])
            for i, column in enumerate(chosen)
        ]
        if sum(widths) + len(GAP) * len(widths) + LEAST_NAME <= width:
            break
    return chosen, cells, widths
