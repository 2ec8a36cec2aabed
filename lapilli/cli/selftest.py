"""``lapilli selftest``: small models with known results on a device, and a report to send."""

from __future__ import annotations

import json

import click

from lapilli.cli import targets
from lapilli.cli.text import clean
from lapilli.device.open import AUTO, open_device
from lapilli.errors import UsageError
from lapilli.files import replacing
from lapilli.printable import as_utf8
from lapilli.program import recording
from lapilli.selftest import environment, ladder, models, report
from lapilli.selftest.asking import Finding
from lapilli.selftest.experiments import run as ask
from lapilli.selftest.ladder import Result


@click.command()
@targets.device(AUTO)
@click.option(
    "--output",
    default="lapilli-selftest",
    show_default=True,
    metavar="PREFIX",
    help="Write PREFIX.json and PREFIX.txt, and PREFIX.<n>.npz for jobs that hang.",
)
@click.option(
    "--runs",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="Timed runs of each model; the median counts.",
)
@click.option(
    "--experiments",
    is_flag=True,
    help="Also ask the board what no paper answers (docs/schedules.md); a job may hang.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def selftest(device: str, output: str, runs: int, experiments: bool, as_json: bool) -> int:
    """Run models with known results and write a report that you can send.

    It takes a few seconds on a board. Exit code 6 if a result differs, 7 if a job hung.
    """

    def told(result: Result) -> None:
        click.echo(clean(report.line(result)), err=as_json)

    def heard(finding: Finding) -> None:
        for line in report.answer(finding).splitlines():
            click.echo(clean(line), err=as_json)

    if not output:
        raise UsageError("--output '': give the start of the files' names")
    opened = open_device(device)
    try:
        results = ladder.run(models.ladder(), opened, runs, told)
        findings = ask(opened, runs, heard) if experiments else []
        described = environment.describe(opened), environment.versions()
        found = report.to_json(results, *described, findings)
    finally:
        opened.close()
    with replacing(f"{output}.json") as file:
        file.write(as_utf8(json.dumps(found, indent=2) + "\n"))
    with replacing(f"{output}.txt") as file:
        file.write(as_utf8(report.to_text(found, results, findings) + "\n"))
    for number, result in enumerate(results):
        if result.recording is not None:
            recording.save(f"{output}.{number}.npz", result.recording)
            click.echo(f"{output}.{number}.npz: the job that hung", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    passed = sum(result.outcome is ladder.Outcome.PASSED for result in results)
    click.echo(f"{report.verdict(passed, len(results))}; report: {output}.txt, {output}.json",
               err=as_json)  # fmt: skip
    return report.exit_code(results)
