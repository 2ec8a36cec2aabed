"""How much of whole models the NPU does: a table of models x what a user would ask.

    python tools/coverage.py FOLDER ...            models in folders, and structures made here
    python tools/coverage.py FOLDER --no-values    without running anything
    python tools/coverage.py FOLDER --write        into docs/coverage.md

For each model: operators and multiplications on the NPU, parts (with partition=fastest and with
all), bytes that cross borders, modelled times, and the most output steps that an operator alone is
off LiteRT. Exit code 6 if an aim is missed: in how many parts a model's multiplications may be.
"""

# ruff: noqa: E402 (the tests' modules lie in a folder of their own)

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

if __name__ != "__main__":
    # Where this folder is in the path Numba, which looks for the package of this name, gets this.
    raise ImportError("tools/coverage.py is a command, not the package coverage")
# One thread, set before NumPy is loaded: most sums are too short for more.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
ROOT = Path(__file__).resolve().parents[1]
# In place of this folder, where others who import the package ``coverage`` would find this file.
sys.path[:1] = [str(ROOT), str(ROOT / "tests")]

from structures import STRUCTURES
from whole_models import HEAD, Row, line

from lapilli.cache.store import Store
from lapilli.cache.units import keeper
from lapilli.compiler.cuts import FASTEST, Cuts
from lapilli.compiler.explanation import Explanation, explain
from lapilli.compiler.per_channel import FAST_WAY
from lapilli.compiler.stages import CompileOptions, chip_named
from lapilli.diff.layers import diff
from lapilli.errors import ExitCode, LapilliError, ModelError
from lapilli.model import tflite
from lapilli.profile.fit import fit_explained
from lapilli.timing.evidence import evidence_of

PAGE = ROOT / "docs" / "coverage.md"
BEGIN = "<!-- models: written by tools/coverage.py -->\n"
END = "<!-- end of models -->\n"


def row_of(name: str, data: bytes, chip_name: str, values: bool, store: Store) -> Row:
    """All of a row; of a model that is refused, why."""
    chip, cuts = chip_named(chip_name), Cuts(FASTEST)
    try:
        graph = tflite.parse(data, name)
        report = explain(graph, chip, cuts, FAST_WAY, keeper(store, FAST_WAY))
        options = CompileOptions(per_channel=FAST_WAY, cuts=cuts)
        digest = tflite.digest(data)
        found = fit_explained(graph, digest, chip, report, options, store, evidence_of(chip))
        steps = _steps(data, name, chip_name) if values and report.on_npu else None
    except LapilliError as error:
        return Row(name, problem=str(error))
    assert report.weighed is not None
    return Row(
        name,
        len(report.operators),
        report.on_npu,
        report.mac_share,
        report.npu_parts,
        len(report.weighed.parts),
        sum(run.bytes_in + run.bytes_out for run in report.runs if run.on_npu),
        1e3 * found.npu_seconds,
        1e3 * found.seconds,
        steps,
        _left(report),
    )


def _steps(data: bytes, name: str, chip: str) -> int | None:
    """None if LiteRT has not all of the model's operators."""
    try:
        return diff(data, f"emulator:{chip}", name=name).total(alone=True).maximum
    except ModelError as error:
        print(f"not compared: {error}", file=sys.stderr)
        return None


def _left(report: Explanation) -> str:
    """By how many operators break it, most first; what partition=fastest gives up is no rule."""
    order = sorted(report.reasons, key=lambda reason: -len(reason.operators))
    names = [
        f"{reason.kind or reason.rule} {len(reason.operators)}"
        for reason in order
        if reason.rule != "partition"
    ]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def models(folders: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes: the files in folders by name, then the structures."""
    for folder in folders:
        for path in sorted(folder.glob("*.tflite")):
            yield path.stem, path.read_bytes()
    for name, make in STRUCTURES.items():
        yield name, make()


def write(chip: str, rows: Sequence[Row]) -> None:
    """Put the table into docs/coverage.md."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join([f"On the {chip}:", "", HEAD, *map(line, rows)])
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    """The process's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--chip", default="a311d")
    parser.add_argument("--no-values", action="store_true", help="run nothing")
    parser.add_argument("--only", default="", help="names that have this regular expression")
    parser.add_argument("--write", action="store_true", help="into docs/coverage.md")
    parser.add_argument("--json", metavar="OUT.json", help="the rows, too")
    asked = parser.parse_args()
    print(HEAD, flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for name, data in models(asked.folders):
            if re.search(asked.only, name):
                rows.append(row_of(name, data, asked.chip, not asked.no_values, store))
                print(line(rows[-1]), flush=True)
    if asked.json:
        told = json.dumps([asdict(row) for row in rows], indent=1)
        Path(asked.json).write_text(told, encoding="utf-8")
    if asked.write:
        write(asked.chip, rows)
    missed = [row.model for row in rows if row.missed]
    if missed:
        print(f"more parts than aimed at: {', '.join(missed)}", file=sys.stderr)
    return ExitCode.RESULTS_DIFFER if missed else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
