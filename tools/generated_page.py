"""What the tools that write pages have in common: write one, or with --check say if it is old."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(path: Path, text: str) -> int:
    """Exit code: 1 if ``--check`` is given and the page is not what it should be."""
    if "--check" not in sys.argv[1:]:
        path.write_text(text, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    print(f"{path} is not current; run {Path(sys.argv[0]).name}")
    return 1
