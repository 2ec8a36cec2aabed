"""The registry of operators: what the table in the docs and the partition rely on."""

from __future__ import annotations

import pytest
from rule_checks import chip

from lapilli.compiler.operators.not_taken import REMEDIES
from lapilli.compiler.operators.record import OperatorRecord
from lapilli.compiler.operators.registry import BY_KIND, RECORDS, record_of
from lapilli.compiler.operators.rules import operands_present
from lapilli.compiler.verdict import judge, remedy_of, sentence
from lapilli.model.graph import Graph, Operator


def test_no_operator_is_listed_twice() -> None:
    assert sum(len(record.kinds) for record in RECORDS) == len(BY_KIND)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kinds[0])
def test_every_rule_speaks_in_whole_sentences(record: OperatorRecord) -> None:
    assert record.words.endswith(".")
    for rule in record.rules:
        assert sentence(rule).endswith((".", ")."))
        assert not remedy_of(rule) or remedy_of(rule).endswith(".")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kinds[0])
def test_an_operator_without_operands_breaks_its_first_rule(record: OperatorRecord) -> None:
    """All other rules rely on operands being there."""
    assert record.rules[0] is operands_present
    for kind in record.kinds:
        operator = Operator(0, kind, (), ())
        verdict = judge(Graph("empty", (), (operator,), (), ()), operator, chip())
        assert (verdict.rule, verdict.found) == ("operands_present", "0 inputs, 0 outputs")


def test_what_is_taken_needs_no_remedy() -> None:
    assert not REMEDIES.keys() & BY_KIND.keys()
    assert all(record_of(kind) is None for kind in REMEDIES)
