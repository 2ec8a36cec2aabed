"""How often the emulated NPU's recorded operators differ from LiteRT's kernels; prints a table.

    python benchmarks/accuracy.py [--chip a311d|imx8mp]

Needs the installed package, the shared test data (LAPILLI_TEST_DATA) and ai-edge-litert.
Recordings whose driver is wrong are left out; tests/recorded_mistakes.py names them.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from oracle import (
    input_contents,
    load_recording,
    operator_output,
    outputs_of,
    recorded_inputs,
    recording_names,
    run_litert,
)
from recorded_mistakes import WRONG_ON_V7, WRONG_ON_V8

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name

WRONG = {"a311d": WRONG_ON_V7, "imx8mp": WRONG_ON_V8}


def measure(chip_name: str) -> dict[str, np.ndarray]:
    """By operator: models, values, values unequal to XNNPACK, to BUILTIN_REF, and those two to
    each other."""
    chip = find_by_name(chip_name)
    assert chip is not None
    device = EmulatedDevice(chip)
    table: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(5, np.int64))
    for name in recording_names("ops", "random", "nonsquare", chip=chip_name):
        if name in WRONG[chip_name]:
            continue
        recording, model = load_recording(name, chip_name)
        inputs = recorded_inputs(model)
        contents = replay(recording, device, input_contents(recording, inputs))
        interpreter = run_litert(model, inputs)
        fast = outputs_of(interpreter)[0].reshape(-1)
        reference = outputs_of(run_litert(model, inputs, reference=True))[0].reshape(-1)
        found = operator_output(recording, contents, len(inputs), fast.size)
        table[interpreter._get_ops_details()[0]["op_name"]] += [
            1,
            fast.size,
            np.count_nonzero(found != fast),
            np.count_nonzero(found != reference),
            np.count_nonzero(fast != reference),
        ]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", choices=sorted(WRONG), default="a311d")
    chosen = parser.parse_args().chip
    print("operator            models     values  XNNPACK  BUILTIN_REF  XNNPACK to BUILTIN_REF")
    for operator, (models, values, fast, reference, between) in measure(chosen).items():
        shares = (fast / values, reference / values, between / values)
        print(
            f"{operator:<20}{models:>6}{values:>11}  {shares[0]:>7.3%}  {shares[1]:>11.3%}"
            f"  {shares[2]:>22.3%}"
        )


if __name__ == "__main__":
    main()
