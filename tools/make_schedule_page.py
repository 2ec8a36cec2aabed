"""Writes the tables of docs/schedules.md: from the registry of levers, and from the figures that
benchmarks/schedules.py recorded.

python tools/make_schedule_page.py            write them
python tools/make_schedule_page.py --check    exit with 1 if they are not current
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "schedules.md"
RECORD = ROOT / "benchmarks" / "schedules.json"
sys.path.insert(0, str(ROOT))

from lapilli.compiler.schedule.levers.registry import EVERYTHING  # noqa: E402
from lapilli.selftest.experiments import EXPERIMENTS  # noqa: E402

CHIPS = {"a311d": "A311D", "imx8mp": "i.MX 8M Plus"}
SMALLEST = 0.0005
"""ms: less than a digit that is shown."""
Figures = Mapping[str, Sequence[Mapping[str, Any]]]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def levers(figures: Figures) -> str:
    """Every lever, with what it gives to all others and where it loses."""
    rows = []
    for lever in EVERYTHING:
        name = f"[`{lever.name}`](#{lever.name})"
        name += " (`--experimental`)" if lever.experimental else ""
        chips = ", ".join(f"V{number}" for number in lever.generations)
        gains = [_gain(figures["ladder"], lever.name, chip) for chip in CHIPS]
        lost = _lost(figures["sensitivity"], lever.name)
        rows.append([name, lever.sentence, chips, lever.evidence.value, *gains, lost])
    models = " / ".join(dict.fromkeys(step["model"] for step in figures["ladder"]))
    head = ["lever", "what it does", "chips", "evidence", *CHIPS.values(), "loses under"]
    return f"Gains in ms for {models}.\n\n{table(head, rows)}"


def _gain(steps: Sequence[Mapping[str, Any]], name: str, chip: str) -> str:
    mine = [step for step in steps if (step["lever"], step["chip"]) == (name, chip)]
    return " / ".join(f"{step['to_the_others']:.3f}" for step in mine)


def _lost(changes: Sequence[Mapping[str, Any]], name: str) -> str:
    """Sets of constants, with the most that is lost in a model."""
    found: dict[str, tuple[float, str, bool]] = {}
    for change in changes:
        gain = change["gains"].get(name, 0)
        known = found.get(change["constants"], (-SMALLEST, "", True))
        if gain < known[0]:
            found[change["constants"]] = gain, change["model"], change["plausible"]
    return "; ".join(
        f"{constants}: {-gain:.3f} in {model}{'' if plausible else ', not plausible'}"
        for constants, (gain, model, plausible) in found.items()
    )


def programs(figures: Figures) -> str:
    """What both schedules make of every model."""
    head = [
        "model", "chip", "schedule", "NPU ms", "share", "coefficients MB", "input MB", "output MB",
        "TP ms", "operations", "bound ms", "above it",
    ]  # fmt: skip
    rows, reference = [], 1.0
    for each in figures["programs"]:
        if each["schedule"] == "reference":
            reference = each["npu_ms"]
        megabytes = [f"{each[kind]:.2f}" for kind in ("coefficients", "input", "output")]
        rows.append(
            [
                each["model"],
                CHIPS[each["chip"]],
                each["schedule"],
                f"{each['npu_ms']:.3f}",
                f"{each['npu_ms'] / reference:.3f}",
                *megabytes,
                f"{each['tp_ms']:.3f}",
                str(each["operations"]),
                f"{each['bound_ms']:.3f}",
                f"{each['npu_ms'] / each['bound_ms'] - 1:.0%}",
            ]
        )
    return table(head, rows)


def ladder(figures: Figures) -> str:
    """Lever after lever, and each alone."""
    parts = []
    for chip, title in CHIPS.items():
        steps = [step for step in figures["ladder"] if step["chip"] == chip]
        models = list(dict.fromkeys(step["model"] for step in steps))
        rows = []
        for name in dict.fromkeys(step["lever"] for step in steps):
            mine = {step["model"]: step for step in steps if step["lever"] == name}
            rows.append(
                [name]
                + [f"{mine[model]['cumulated']:.3f}" for model in models]
                + [f"{mine[model]['alone']:.3f}" for model in models]
            )
        head = [f"{title}: with", *models, *(f"alone: {model}" for model in models)]
        parts.append(table(head, rows))
    return "\n\n".join(parts)


def constants(figures: Figures) -> str:
    """Shares of the reference under other constants."""
    changes = figures["sensitivity"]
    models = list(dict.fromkeys(change["model"] for change in changes))
    rows = []
    for name in dict.fromkeys(change["constants"] for change in changes):
        mine = {change["model"]: change for change in changes if change["constants"] == name}
        first = mine[models[0]]
        rows.append(
            [
                name,
                *(f"{mine[m]['best'] / mine[m]['reference']:.3f}" for m in models),
                f"{first['bus']:.2f}{'' if first['plausible'] else ' (too slow)'}",
                *(
                    f"{mine[m]['refitted_best'] / mine[m]['refitted_reference']:.3f}"
                    for m in models
                ),
            ]
        )
    return table(["constants", *models, "bus refitted", *models], rows)


def experiments(_: Figures) -> str:
    """What a board can be asked."""
    rows = [
        [
            f"`{each.name}`",
            ", ".join(f"V{number}" for number in each.generations),
            each.question,
            each.unlocks,
        ]
        for each in EXPERIMENTS
    ]
    return table(["experiment", "chips", "question", "a yes unlocks"], rows)


TABLES: Mapping[str, Callable[[Figures], str]] = {
    "levers": levers,
    "programs": programs,
    "ladder": ladder,
    "constants": constants,
    "experiments": experiments,
}


def page(text: str, figures: Figures) -> str:
    """The page with its tables made again."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.S)
        made = f"{begin}\n\n{make(figures)}\n\n{end}"
        text, count = pattern.subn(lambda _, made=made: made, text)  # type: ignore[misc]
        assert count == 1, f"{PAGE.name} has {count} places for the table of {name}"
    return text


def main() -> int:
    """Write the page, or compare it."""
    figures = json.loads(RECORD.read_text(encoding="utf-8"))
    current = PAGE.read_text(encoding="utf-8")
    made = page(current, figures)
    if "--check" in sys.argv[1:]:
        if current != made:
            print(f"{PAGE} is not current; run {Path(__file__).name}")
        return int(current != made)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
