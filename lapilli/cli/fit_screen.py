"""How a fit is shown: the answer in a sentence, a column a chip, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lapilli.cli import text
from lapilli.compiler.blocking import BlockingRule
from lapilli.compiler.units.report import Loss
from lapilli.profile.fit import ChipFit, Fit, cpu_seconds_of

SHOWN_REASONS = 3
HEAD, GAP = 16, "  "
LEAST_SAME, LEAST_DECIBELS = 0.75, 10.0
"""What is left of a per-channel model below which the first sentence warns: samples whose first
class stays the same; signal to noise where there are no classes."""


def screen(found: Fit, path: str, width: int) -> Iterator[str]:
    """All of it, in lines of at most ``width``."""
    yield from text.wrapped("", answer(found), width)
    yield ""
    yield from table(found, width)
    for head, body in (("per channel", found.loss.line if found.loss else ""), ("", found.note)):
        if body:
            yield from text.wrapped(f"{head:{HEAD}}", text.clean(body), width)
    for chip, others in _alike(found.chips):
        yield from _reasons(chip, others, width)
    yield ""
    untimed = any(chip.blocking is not None for chip in found.chips)
    yield from text.wrapped("", _notes(untimed), width)
    name = found.chips[0].chip
    runnable = any(chip.explanation.on_npu for chip in found.chips)
    yield from text.wrapped("Next: ", text.to_type("explain", path, name), width)
    if runnable:
        yield from text.wrapped("      ", text.to_type("profile", path, name), width)


def answer(found: Fit) -> str:
    """The verdict in one sentence."""
    name = text.clean(found.model)
    verdicts = dict.fromkeys(chip.verdict for chip in found.chips)
    speeds = [
        f"{_frames(chip)} {'' if i else 'frames a second '}on the {chip.chip}"
        for i, chip in enumerate(chip for chip in found.chips if chip.explanation.on_npu)
    ]
    if not speeds:
        return f"{name} does not fit: there is nothing in it that the NPU takes.{_cause(found)}"
    shares = dict.fromkeys(_share(chip) for chip in found.chips)
    return (
        f"{name} {' or '.join(verdicts)}: the NPU does {' or '.join(shares)}; modelled, "
        f"{' and '.join(speeds)}.{_cause(found)}{_warning(found.loss)}"
    )


def _cause(found: Fit) -> str:
    """What keeps most of a model that does not fit from the NPU."""
    worst = min(found.chips, key=lambda chip: chip.explanation.mac_share)
    if worst.verdict == "fits" or worst.blocking is None or not worst.blocking.rules:
        return ""
    return f" What is in the way: {text.clean(worst.blocking.rules[0].sentence)}"


def _share(chip: ChipFit) -> str:
    e = chip.explanation
    if not e.macs:
        return f"{e.on_npu} of {text.count(len(e.operators), 'operator')}"
    return f"{percent(e.mac_share)} of its multiplications"


def _warning(loss: Loss | None) -> str:
    """Where one scale for each layer loses so much that speed alone would mislead."""
    if loss is None:
        return ""
    if loss.same_first is not None:
        bad = loss.same_first < LEAST_SAME * loss.samples
    else:
        bad = loss.decibels < LEAST_DECIBELS
    return " But its per-channel weights lose much on the NPU, see below." if bad else ""


def percent(share: float) -> str:
    """Never rounded up to all, nor down to nothing."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "99.9 %"
    return f"{100 * share:.0f} %" if share in (0, 1) else f"{100 * share:.1f} %"


# --------------------------------------------------------------------------------------- the table


def rows_of(chip: ChipFit) -> list[tuple[str, str]]:
    """What is said of a chip, in order."""
    e, (low, high) = chip.explanation, chip.span
    rows = [
        ("", chip.chip),
        ("operators", f"{e.on_npu} of {len(e.operators)} on the NPU"),
        ("MACs", f"{percent(e.mac_share)} on the NPU" if e.macs else "none"),
        ("parts", f"{e.npu_parts}"),
    ]
    if not e.on_npu:
        return rows
    spent, cycles = chip.by_bound, sum(n for _, n in chip.by_bound)
    return [
        *rows,
        ("NPU", f"{_ms(chip.npu_seconds)} ms"),
        ("  waits for", f"{spent[0][0]} {100 * spent[0][1] / cycles:.0f} %" if cycles else "-"),
        ("with the CPU", f"{_ms(chip.seconds)} ms ({_ms(low)} to {_ms(high)})"),
        ("frames/second", f"{_frames(chip)} ({_rate(1 / high)} to {_rate(1 / low)})"),
        ("memory", text.size(chip.memory.total)),
        ("  tensors", text.size(chip.memory.tensors)),
        ("  coefficients", text.size(chip.memory.coefficients)),
        ("how sure", chip.evidence.short),
    ]


def _ms(seconds: float) -> str:
    milliseconds = 1e3 * seconds
    if milliseconds >= 100:
        return f"{milliseconds:,.0f}"
    return f"{milliseconds:.1f}" if milliseconds >= 1 else f"{milliseconds:.2f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _frames(chip: ChipFit) -> str:
    return _rate(1 / chip.seconds)


def table(found: Fit, width: int) -> Iterator[str]:
    """Chips side by side, or one below the other where the screen is too narrow for that."""
    columns = [rows_of(chip) for chip in found.chips]
    room = (width - HEAD - len(GAP) * (len(columns) - 1)) // len(columns)
    widest = max(len(cell) for rows in columns for _, cell in rows[:-1])
    if widest <= room and len({len(rows) for rows in columns}) == 1:
        yield from _side_by_side(columns, min(room, max(widest, 26)))
        return
    for rows in columns:
        yield rows[0][1]
        for head, cell in rows[1:]:
            yield from text.wrapped(f"{head:{HEAD}}", cell, width)


def _side_by_side(columns: Sequence[Sequence[tuple[str, str]]], room: int) -> Iterator[str]:
    for row in zip(*columns, strict=True):
        cells = [text.wrapped("", cell, room) for _, cell in row]
        for i in range(max(map(len, cells))):
            head = row[0][0] if i == 0 else ""
            line = GAP.join(f"{cell[i] if i < len(cell) else '':{room}}" for cell in cells)
            yield f"{head:{HEAD}}{line}".rstrip()


# ------------------------------------------------------------------------------- what is in the way


def _alike(chips: Sequence[ChipFit]) -> Iterator[tuple[ChipFit, list[str]]]:
    """Chips with one list of reasons, the first of them and all their names."""
    groups: list[tuple[ChipFit, list[str]]] = []
    for chip in chips:
        for first, names in groups:
            if first.blocking == chip.blocking:
                names.append(chip.chip)
                break
        else:
            groups.append((chip, [chip.chip]))
    yield from groups


def _reasons(chip: ChipFit, names: Sequence[str], width: int) -> Iterator[str]:
    yield ""
    where = " and ".join(names)
    if chip.blocking is None:
        yield from text.wrapped("", f"Nothing stays on the CPU ({where}).", width)
        return
    yield from text.wrapped(
        "", f"On the CPU ({where}): {chip.blocking.amount}. What costs most:", width
    )
    for number, rule in enumerate(chip.blocking.rules[:SHOWN_REASONS], 1):
        yield from _reason(chip, number, rule, width)
    more = len(chip.blocking.rules) - SHOWN_REASONS
    if more > 0:
        yield f"  and {text.count(more, 'more reason')}: lapilli explain"


def _reason(chip: ChipFit, number: int, rule: BlockingRule, width: int) -> Iterator[str]:
    found = f" Found first: {rule.found}." if rule.found else ""
    yield from text.wrapped(
        f"  {number}  ",
        text.clean(f"{rule.sentence} Broken by {text.ranges(rule.operators)}.{found}"),
        width,
    )
    if rule.remedy:
        yield from text.wrapped("     ", f"To do: {text.clean(rule.remedy)}", width)
    yield from text.wrapped("     ", f"Solved: {_gain(chip, rule)}.", width)


def _gain(chip: ChipFit, rule: BlockingRule) -> str:
    """What it would bring if the rule were gone and the rest as it is."""
    e = chip.explanation
    reason = chip.gain(rule)
    if not reason.alone:
        return "nothing by itself, as these operators break other rules, too"
    share = percent(reason.macs / e.macs) if e.macs and reason.macs else "none"
    saved = cpu_seconds_of(reason.macs)
    less = f", {_ms(saved)} ms less on the CPU" if saved >= 5e-5 else ""
    parts = text.parts_then(reason.parts, e.npu_parts)
    others = len(reason.operators) - len(reason.alone)
    return (
        f"{text.count(len(reason.alone), 'operator')} more on the NPU, {share} of the MACs{less}, "
        f"{parts}" + (f"; {others} break other rules, too" if others else "")
    )


def _notes(untimed: bool) -> str:
    return (
        "Times are modelled for the best schedule. The range is as wide as the worst published "
        "time is off that was not fitted to. The CPU's time is an A311D's"
        + (", of operators without MACs left out." if untimed else ".")
    )
