"""Where things lie. The package may be installed, so it is not looked for beside the tests."""

from __future__ import annotations

from pathlib import Path

import lapilli

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = Path(lapilli.__file__).resolve().parent
IMPORTABLE = str(PACKAGE.parent)
"""The PYTHONPATH that another process finds the same package by, wherever it is started."""
DIGITS = PACKAGE / "data" / "digits.tflite"
"""The sample model."""
