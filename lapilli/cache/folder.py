"""Where compiled programs are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

VARIABLE: Final = "LAPILLI_CACHE"
"""Another folder; set to nothing, no program is kept."""


def cache_folder() -> Path | None:
    """The folder, which need not exist; None if nothing is to be kept."""
    chosen = os.environ.get(VARIABLE)
    if chosen is None:
        return user_cache_path("lapilli", appauthor=False) / "programs"
    return Path(chosen) if chosen else None
