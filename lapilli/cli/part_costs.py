"""What each part of a model costs on the NPU and on the CPU, for a reader of ``explain``."""

from __future__ import annotations

from collections.abc import Iterator

from lapilli.cli import text
from lapilli.compiler.cuts import ALL, FASTEST
from lapilli.compiler.explanation import Explanation
from lapilli.compiler.part_cost import PartCost

SHOWN = 12


def lines(report: Explanation, width: int) -> Iterator[str]:
    """Both ways to cut the model, and the parts; nothing of a model that the NPU takes none of."""
    weighed = report.weighed
    if weighed is None or not weighed.parts:
        return
    yield ""
    # The head of the report has the searched schedule's time, which is less.
    head = f"What the parts cost, modelled before the search for a schedule, beside {weighed.cpu}:"
    yield from text.wrapped("", head, width)
    seconds = weighed.seconds
    for name, parts in ((FASTEST, weighed.fastest), (ALL, weighed.parts)):
        asked = " (as asked)" if name == weighed.asked else ""
        count = text.count(len(parts), "part")
        yield from text.wrapped(
            f"  {name:9}", f"{count} on the NPU, {1e3 * seconds[name]:.3f} ms{asked}", width
        )
    yield from text.wrapped("  CPU      ", f"alone {1e3 * weighed.cpu_seconds:.3f} ms", width)
    for number, part in enumerate(weighed.parts[:SHOWN], 1):
        verdict = "NPU" if part.kept else "CPU"
        which = text.ranges(part.operators)
        yield from text.wrapped(f"{number:3}  {verdict}  ", f"{which}: {_times(part)}", width)
    more = len(weighed.parts) - SHOWN
    if more > 0:
        yield f"     and {more} more (--json has them all)"


def _times(part: PartCost) -> str:
    pays = "" if part.saved_seconds >= 0 or not part.kept else "; it would not pay, but is the best"
    return (
        f"NPU {1e3 * part.npu_seconds:.3f} ms (jobs {1e3 * part.job_seconds:.3f}, submit "
        f"{1e3 * part.submit_seconds:.3f}, copies {1e3 * part.copy_seconds:.3f}), CPU "
        f"{1e3 * part.cpu_seconds:.3f} ms{pays}"
    )
