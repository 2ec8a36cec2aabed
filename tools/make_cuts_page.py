"""Writes the table of rates in docs/cuts.md from lapilli/timing/cpu.py.

python tools/make_cuts_page.py            write it
python tools/make_cuts_page.py --check    exit with 1 if it is not current
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cuts.md"
sys.path.insert(0, str(ROOT))

from generated_page import write_or_check  # noqa: E402

from lapilli.timing.cpu import CORTEX_A73, DEFAULT_RATES, MEASURED  # noqa: E402

BEGIN = "<!-- rates: written by tools/make_cuts_page.py -->\n"
END = "<!-- end of rates -->\n"


def table() -> str:
    """The rates built in, each with where it is known from."""
    rows = [
        f"| `{name}` | {figure.value:g} {figure.unit} | {figure.origin.value} | {figure.source} | "
        f"{'yes' if name in MEASURED else 'no'} |"
        for name, figure in CORTEX_A73.items()
    ]
    head = "| rate | value | origin | source | measured by `calibrate-cpu` |\n|---|---|---|---|---|"
    return "\n".join([f"{DEFAULT_RATES.name}:", "", head, *rows]) + "\n"


def page() -> str:
    """All of docs/cuts.md, with the table as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
