"""What a rule tells a reader is a demand: it says what must hold, or how much there may be."""

from __future__ import annotations

import re

import pytest

from lapilli.compiler.operators.registry import BY_KIND
from lapilli.compiler.verdict import sentence


@pytest.mark.parametrize("kind", sorted(BY_KIND))
def test_every_rule_says_what_must_hold(kind: str) -> None:
    for rule in BY_KIND[kind].rules:
        words = sentence(rule)
        assert re.search(r"\b(must|may)\b", words), f"{rule.__name__}: {words}"
        assert words[0].isalnum() and words.endswith("."), words
