"""Digests of what the reference schedule gives for every single-operator model.

``python tests/digests.py`` (``make digests``) writes ``digests.json`` anew. A change that is meant
to keep behaviour leaves that file as it is; one that is not shows there what it changed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CHIPS = ("a311d", "imx8mp")
FILE = Path(__file__).with_name("digests.json")


def digest(model: Path, chip: str) -> str:
    """The program's digest, over commands, instructions, coefficients and buffer sizes; ``none`` if
    the NPU takes nothing."""
    from lapilli.compiler.stages import compile_model
    from lapilli.errors import ModelError

    try:
        return compile_model(model, chip, "reference").digest()
    except ModelError:
        return "none"


def digests(models: Path, chip: str) -> dict[str, str]:
    """Model name -> digest, of all models in ``ops``, ``random`` and ``nonsquare``."""
    found = [path for kind in ("ops", "random", "nonsquare") for path in (models / kind).iterdir()]
    return {f"{path.parent.name}/{path.stem}": digest(path, chip) for path in sorted(found)}


def main() -> None:
    """Write the file."""
    sys.path.insert(0, str(FILE.parents[1]))
    from shared_data import shared_data

    found = {chip: digests(shared_data() / "models", chip) for chip in CHIPS}
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
