"""The self-test's report: the same facts as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lapilli.errors import ExitCode
from lapilli.selftest.asking import Finding
from lapilli.selftest.experiments import EXPERIMENTS
from lapilli.selftest.ladder import Outcome, Result

FORMAT = 1


def to_json(
    results: Sequence[Result],
    device: dict[str, str],
    versions: dict[str, str],
    findings: Sequence[Finding] = (),
) -> dict[str, Any]:
    """Everything; times in milliseconds."""
    return {
        "format": FORMAT,
        "passed": all(result.outcome is Outcome.PASSED for result in results),
        "device": device,
        "versions": versions,
        "cases": [
            {
                "name": result.name,
                "outcome": result.outcome.value,
                "jobs": result.jobs,
                "elements": result.elements,
                "differing": result.differing,
                "largest_difference": result.largest,
                "tolerance": result.tolerance,
                "milliseconds": result.milliseconds,
                "detail": result.detail,
            }
            for result in results
        ],
        "experiments": [
            {
                "name": finding.name,
                "answer": finding.answer.value,
                "detail": finding.detail,
                "milliseconds": {name: round(ms, 3) for name, ms in finding.milliseconds},
            }
            for finding in findings
        ],
    }


def line(result: Result) -> str:
    """One case in one line."""
    time = "" if result.milliseconds is None else f"{result.milliseconds:10.3f} ms"
    if result.outcome in (Outcome.PASSED, Outcome.DIFFERS):
        detail = f"all {result.elements} bytes as expected"
        if result.differing:
            share = f"{result.differing} of {result.elements} bytes"
            detail = f"{share} differ, by {result.largest} at most"
    else:
        detail = result.detail
    return f"{result.outcome.value:<12}{result.name:<30}{time:>13}  {detail}"


def answer(finding: Finding) -> str:
    """What an experiment showed, and what a yes would unlock."""
    asked = next(each for each in EXPERIMENTS if each.name == finding.name)
    times = "".join(f"  {name} {ms:.3f} ms" for name, ms in finding.milliseconds)
    return (
        f"{finding.answer.value:<13}{finding.name:<15}{finding.detail}{times}\n"
        f"{'':<28}{asked.question} A yes unlocks {asked.unlocks}."
    )


def to_text(
    report: dict[str, Any], results: Sequence[Result], findings: Sequence[Finding] = ()
) -> str:
    """The report for a reader."""
    head = [f"{name:<10}{value}" for part in ("device", "versions")
            for name, value in report[part].items()]  # fmt: skip
    passed = sum(result.outcome is Outcome.PASSED for result in results)
    cases = [line(result) for result in results]
    lines = ["lapilli selftest", "", *head, "", *cases, "", verdict(passed, len(results))]
    if findings:
        lines += ["", *map(answer, findings)]
    return "\n".join(lines)


def verdict(passed: int, count: int) -> str:
    """The last line."""
    return f"{passed} of {count} cases passed"


def exit_code(results: Sequence[Result]) -> ExitCode:
    """What the worst case deserves."""
    outcomes = {result.outcome for result in results}
    for outcome, code in (
        (Outcome.HANG, ExitCode.HANG),
        (Outcome.REFUSED, ExitCode.NO_DEVICE),
        (Outcome.DIFFERS, ExitCode.RESULTS_DIFFER),
        (Outcome.UNSUPPORTED, ExitCode.UNSUPPORTED),
    ):
        if outcome in outcomes:
            return code
    return ExitCode.OK
