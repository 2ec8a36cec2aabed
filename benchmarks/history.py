"""The recorded driver's history: how each improvement changed two models, published and modelled.

    python benchmarks/history.py

Every line is a stream recompiled with what the driver could do at that time; the switches are those
of ``lapilli compile`` (--no-zero-runs, --only-divisible-channels, --no-image-cache). Times in ms.
"""

from __future__ import annotations

from collections import Counter

from published_states import MODELS, SHORT, State, states

from lapilli.hw.chips import find_by_name
from lapilli.timing.constants import TimingConstants, constants_of
from lapilli.timing.cycles import Bound, InstructionTime, charge
from lapilli.timing.host import HostConstants, host_seconds

HEAD = (
    f"{'state':<14}{'published':>16}{'modelled':>10}{'error':>8}{'NPU':>8}{'host':>7}"
    f"{'weights MB':>12}{'input MB':>10}{'output MB':>11}   NPU time bound by"
)


def bounds(times: list[InstructionTime]) -> str:
    """Shares of the time by what it waits for."""
    cycles: Counter[Bound] = Counter()
    for time in times:
        cycles[time.bound] += time.total_cycles
    total = sum(cycles.values())
    return ", ".join(f"{bound.value} {cycles[bound] / total:.0%}" for bound in Bound)


def line(state: State, constants: TimingConstants) -> str:
    """One state."""
    times = [charge(work, constants) for work in state.work]
    npu = 1e3 * sum(time.seconds for time in times)
    host = 1e3 * host_seconds(state.host, HostConstants())
    published = ", ".join(f"{figure:g}" for figure in state.published)
    traffic = [time.work.traffic for time in times]
    megabytes = [
        sum(getattr(item, kind) for item in traffic) / 1e6
        for kind in ("coefficients", "input", "output")
    ]
    return (
        f"{state.state:<14}{published:>16}{npu + host:>10.2f}{(npu + host) / state.mean - 1:>+8.1%}"
        f"{npu:>8.2f}{host:>7.2f}{megabytes[0]:>12.2f}{megabytes[1]:>10.2f}{megabytes[2]:>11.2f}"
        f"   {bounds(times)}"
    )


def main() -> None:
    chip = find_by_name("a311d")
    assert chip is not None
    constants, known = constants_of(chip), states(chip)
    for model in MODELS:
        print(f"{SHORT[model]} on an {chip.name}")
        print(HEAD)
        for state in known:
            if state.model == model:
                print(line(state, constants))
        print()


if __name__ == "__main__":
    main()
