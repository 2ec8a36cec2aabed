"""What profiling costs: emulated inferences with a profile beside the same without.

    python benchmarks/profile_cost.py [--json] [--runs N] [MODEL ...]

Each takes a fresh process and N inferences, the first one with all that it prepares, and with
profiling the profile of the last one. Its one cost, reading the coefficient streams, comes once for
a model, so it is the larger share the fewer inferences there are. Processes with and without
alternate; the median of each counts, in processor time, as machines are shared. The limit is 1.2
times. Models are taken from LAPILLI_TEST_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

DATA = Path(os.environ.get("LAPILLI_TEST_DATA", Path(__file__).parents[2] / "shared"))
MODELS = ("mobilenet_v1_1.0_224_quant", "ssdlite_mobiledet_coco_qat_postprocess")
REPEAT = 3
LIMIT = 1.2
RUN = """
import sys, time
import lapilli, numpy
from lapilli.litert.runtime import interpreter_class
model, runs, profiled = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "yes"
delegate = lapilli.Delegate("emulator:a311d", profile=profiled)
interpreter = interpreter_class()(model, experimental_delegates=[delegate])
interpreter.allocate_tensors()
random = numpy.random.default_rng(0)
for each in interpreter.get_input_details():
    values = random.integers(0, 256, each["shape"]).astype(each["dtype"])
    interpreter.set_tensor(each["index"], values)
start = time.process_time()
for _ in range(runs):
    interpreter.invoke()
if profiled:
    assert delegate.last_profile.npu_cycles
print(time.process_time() - start)
"""


def seconds(model: Path, runs: int, profiled: bool) -> float:
    """Of the inferences and the profile, in a process of its own."""
    arguments = [str(model), str(runs), "yes" if profiled else "no"]
    found = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True
    )
    return float(found.stdout)


def main() -> int:
    """Print the ratios; 1 if one is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for name in options.models:
        path = Path(name) if name.endswith(".tflite") else DATA / "models" / f"{name}.tflite"
        pairs = [
            (seconds(path, options.runs, False), seconds(path, options.runs, True))
            for _ in range(REPEAT)
        ]
        plain, profiled = (statistics.median(each) for each in zip(*pairs, strict=True))
        results.append(
            {"model": path.name, "plain": plain, "profiled": profiled, "ratio": profiled / plain}
        )
    if options.json:
        print(json.dumps({"runs": options.runs, "limit": LIMIT, "results": results}, indent=2))
    else:
        print(f"{'model':46}  {'without':>8}  {'with':>8}  ratio")
        for each in results:
            times = f"{each['plain']:7.2f} s  {each['profiled']:7.2f} s"
            print(f"{each['model']:46}  {times}  {each['ratio']:.2f}")
    return int(any(float(each["ratio"]) > LIMIT for each in results))


if __name__ == "__main__":
    sys.exit(main())
