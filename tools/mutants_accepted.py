"""Small wrong changes (tools/mutants.py) that no test can notice, or none should, each with why."""

from __future__ import annotations

from collections.abc import Mapping

ACCEPTED: Mapping[tuple[str, str, str], str] = {}
"""(file, function, change as it is printed): the reason."""
