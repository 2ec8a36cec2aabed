"""Fits the free constants of the timing model to published figures and shows how well they do.

    python benchmarks/calibrate.py [--write]

Two numbers are free: the bus rate and the host's time for each score of a detector. Everything else
is a hardware fact or read off tables of sister chips, see lapilli/timing/constants.py.
Every state of published_states.py counts once, with the relative error against the mean of its
figures. ``--write`` puts the result into docs/timing.md. The package's constants are not changed:
edit them if the fit says so, a test compares.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from published_states import (
    HERE,
    MOBILENET,
    STATES,
    State,
    graph_of,
    states,
    unfitted_states,
    work_of,
)

from lapilli.hw.chips import Chip, find_by_name
from lapilli.timing.constants import A311D, TimingConstants, constants_of
from lapilli.timing.cycles import InstructionTime, charge
from lapilli.timing.host import HostConstants, host_seconds

DOCUMENT = HERE.parent / "docs" / "timing.md"
BEGIN, END = "<!-- calibrate.py: begin -->", "<!-- calibrate.py: end -->"
ROUNDS = 20
STEP = 1e-4
RK1808_CORES = 10


@dataclass(frozen=True)
class Free:
    """The numbers that are fitted."""

    bus_bytes: float
    score_seconds: float

    def values(self) -> np.ndarray:
        """As a vector."""
        return np.array([self.bus_bytes, self.score_seconds])


@dataclass(frozen=True)
class Model:
    """Constants with the free ones put in."""

    npu: TimingConstants
    host: HostConstants

    @classmethod
    def of(cls, chip: Chip, free: Free) -> Model:
        """The chip's constants, ``free`` instead of those in its table."""
        host = HostConstants(score_seconds=free.score_seconds)
        return cls(replace(constants_of(chip), bus_bytes=free.bus_bytes), host)

    def milliseconds(self, state: State) -> tuple[float, float]:
        """On the NPU and on the host."""
        npu = sum(charge(work, self.npu).seconds for work in state.work)
        return 1e3 * npu, 1e3 * host_seconds(state.host, self.host)

    def total(self, state: State) -> float:
        """The whole inference, ms."""
        return sum(self.milliseconds(state))


def errors(chip: Chip, vector: np.ndarray, known: Sequence[State]) -> np.ndarray:
    """Relative error of every state against the mean of its published figures."""
    model = Model.of(chip, Free(*vector))
    return np.array([model.total(state) / state.mean - 1 for state in known])


def fit(chip: Chip, known: Sequence[State], start: Free) -> Free:
    """Least squares of the relative errors: Gauss-Newton with measured slopes."""
    vector = start.values()
    for _ in range(ROUNDS):
        now = errors(chip, vector, known)
        slopes = np.empty((len(now), len(vector)))
        for i in range(len(vector)):
            moved = vector.copy()
            moved[i] *= 1 + STEP
            slopes[:, i] = (errors(chip, moved, known) - now) / STEP
        change = np.linalg.lstsq(slopes, -now, rcond=None)[0]
        vector = vector * (1 + np.clip(change, -0.3, 0.3))
        if np.abs(change).max() < 1e-4:
            break
    return Free(*vector.tolist())


def left_out(chip: Chip, known: Sequence[State], start: Free) -> dict[str, Free]:
    """The fit without the figures of each state in turn."""
    return {
        state.name: fit(chip, [other for other in known if other is not state], start)
        for state in known
        if state.published
    }


def state_table(chip: Chip, known: Sequence[State], fitted: Free, without: dict[str, Free]) -> str:
    """Published and modelled side by side."""
    lines = [
        "| model, state | published, ms | modelled, ms | NPU | host | error | error if left out |",
        "|---|---|---|---|---|---|---|",
    ]
    model = Model.of(chip, fitted)
    for state in known:
        npu, host = model.milliseconds(state)
        other = Model.of(chip, without[state.name]).total(state)
        figures = ", ".join(f"{figure:g}" for figure in state.published)
        lines.append(
            f"| {state.name} | {figures} | {npu + host:.2f} | {npu:.2f} | {host:.2f} "
            f"| {(npu + host) / state.mean - 1:+.1%} | {other / state.mean - 1:+.1%} |"
        )
    return "\n".join(lines)


def unfitted_table(chip: Chip, known: Sequence[State], fitted: Free) -> str:
    """Totals that nothing was fitted to, beside the model's; the NPU's constants are the chip's."""
    lines = [
        "| model | published, ms | modelled, ms | NPU | host | error |",
        "|---|---|---|---|---|---|",
    ]
    model = Model(constants_of(chip), HostConstants(score_seconds=fitted.score_seconds))
    off = []
    for state in known:
        npu, host = model.milliseconds(state)
        off.append((npu + host) / state.mean - 1)
        lines.append(
            f"| {state.name.partition(',')[0]} | {state.mean:g} | {npu + host:.2f} | {npu:.2f} "
            f"| {host:.2f} | {off[-1]:+.1%} |"
        )
    mean = np.sqrt((np.array(off) ** 2).mean())
    return "\n".join(lines) + f"\n\nRoot mean square over {len(off)} models: {mean:.1%}."


def step_table(chip: Chip, known: Sequence[State], fitted: Free) -> str:
    """What each of the driver's improvements saved."""
    model = Model.of(chip, fitted)
    lines = ["| step | published, ms | modelled, ms | error |", "|---|---|---|---|"]
    names = list(STATES)
    for before, after in itertools.pairwise(known):
        if before.model != after.model or names.index(after.state) == 2:
            continue
        saved = before.mean - after.mean
        modelled = model.total(before) - model.total(after)
        span = (
            before.published[0] - after.published[-1],
            before.published[-1] - after.published[0],
        )
        lines.append(
            f"| {after.name} | {saved:.2f} ({span[0]:.2f} to {span[1]:.2f}) | {modelled:.2f} "
            f"| {modelled / saved - 1:+.0%} |"
        )
    return "\n".join(lines)


def left_out_table(fitted: Free, without: dict[str, Free]) -> str:
    """How far the constants move."""
    lines = [
        "| left out | bus, byte/cycle | host a score, ns |",
        "|---|---|---|",
    ]
    for name, free in {"nothing": fitted, **without}.items():
        lines.append(f"| {name} | {free.bus_bytes:.3f} | {1e9 * free.score_seconds:.1f} |")
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------- RK1808


def rk1808(chip: Chip) -> Chip:
    """The A311D with an RK1808's cores and without its patches (NN_XYDP6)."""
    features = chip.features - {"NN_XYDP6"}
    return replace(chip, nn_cores=RK1808_CORES, features=features)


def rk1808_layers(chip: Chip, fitted: Free) -> list[tuple[str, float, InstructionTime]]:
    """Layer, the vendor simulator's time in us, and ours, of MobileNetV1."""
    with (HERE / "rk1808_layers.csv").open(newline="") as file:
        layers = [(row["layer"], float(row["simulator_us"])) for row in csv.DictReader(file)]
    work, _ = work_of(graph_of(MOBILENET), rk1808(chip), STATES["image_cache"], "best")
    convolutions = [item for item in work if item.unit == "NN"][: len(layers)]
    constants = Model.of(chip, fitted).npu
    return [
        (name, simulated, charge(item, constants))
        for (name, simulated), item in zip(layers, convolutions, strict=True)
    ]


def rk1808_table(chip: Chip, fitted: Free) -> str:
    """Layer by layer, without start-up, which a simulator does not have."""
    lines = [
        "| layer | simulator, us | modelled, us | memory | coefficients | ratio |",
        "|---|---|---|---|---|---|",
    ]
    micro, ratios, sums = 1e6 / constants_of(chip).clock_hz, [], np.zeros(2)
    for name, simulated, time in rk1808_layers(chip, fitted):
        terms = [micro * n for n in (time.cycles.memory, time.cycles.coefficients)]
        ratios.append(max(terms) / simulated)
        sums += simulated, max(terms)
        lines.append(
            f"| {name} | {simulated:.0f} | {max(terms):.0f} | {terms[0]:.0f} | {terms[1]:.0f} "
            f"| {ratios[-1]:.2f} |"
        )
    spread = np.exp(np.std(np.log(ratios)))
    lines.append(f"| all | {sums[0]:.0f} | {sums[1]:.0f} | | | {sums[1] / sums[0]:.2f} |")
    lines.append(f"\nGeometric spread of the ratios: a factor of {spread:.2f}.")
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------- report


def constants_table(fitted: Free) -> str:
    """The chip's table, with what was just fitted."""
    lines = ["| constant | value | unit | | source |", "|---|---|---|---|---|"]
    for name, figure in A311D.items():
        value = fitted.bus_bytes if name == "bus_bytes" else figure.value
        lines.append(
            f"| {name} | {value:.4g} | {figure.unit} | {figure.origin.value} | {figure.source} |"
        )
    host = HostConstants(score_seconds=fitted.score_seconds)
    for name, value, unit, origin in (
        ("inference_seconds", host.inference_seconds, "s/inference", "fixed"),
        ("macs_a_second", host.macs_a_second, "1/s", "fixed"),
        ("score_seconds", host.score_seconds, "s/score", "fitted"),
    ):
        lines.append(f"| {name} | {value:.3g} | {unit} | {origin} | host, see `HostConstants` |")
    return "\n".join(lines)


def report() -> str:
    """Everything, as Markdown."""
    chip, other = find_by_name("a311d"), find_by_name("imx8mp")
    assert chip is not None and other is not None
    known, host = states(chip), HostConstants()
    start = Free(constants_of(chip).bus_bytes, host.score_seconds)
    fitted = fit(chip, known, start)
    without = left_out(chip, known, start)
    rest = errors(chip, fitted.values(), known)
    sections = [
        ("### Constants of the A311D", constants_table(fitted)),
        ("### Published and modelled", state_table(chip, known, fitted, without)),
        ("", f"Root mean square over {len(rest)} states: {np.sqrt((rest**2).mean()):.1%}."),
        (
            "### The i.MX 8M Plus: published totals that nothing is fitted to",
            unfitted_table(other, unfitted_states(other), fitted),
        ),
        ("### What each step saves", step_table(chip, known, fitted)),
        ("### Constants with the figures of one state left out", left_out_table(fitted, without)),
        (
            "### Layers of MobileNetV1 on ten cores without patches, beside the RK1808 simulator's",
            rk1808_table(chip, fitted),
        ),
    ]
    return "\n\n".join(text for section in sections for text in section if text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="update docs/timing.md")
    arguments = parser.parse_args()
    text = report()
    print(text)
    if arguments.write:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
