"""How soon a delegate is ready: compiled, and with its parts from the cache.

    python benchmarks/warm_start.py [--json] [MODEL.tflite ...]

Each figure is the best of several processes: seconds of CPU from the end of the imports to the end
of ``allocate_tensors()``, and of that what the compiler took, or the cache in its place. The
device is the emulated A311D; opening it imports the emulator, which a board does not need. The
aims are the project's. Models are taken from LAPILLI_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(os.environ.get("LAPILLI_TEST_DATA", Path(__file__).parents[2] / "shared"))
MODELS = (
    "mobilenet_v1_1.0_224_quant",
    "mobilenet_v2_1.0_224_quant",
    "ssdlite_mobiledet_coco_qat_postprocess",
)
ROUNDS = 5
READY_AIM, RATIO_AIM = 0.15, 10.0
PROCESS = """
import json, sys, time
import lapilli
from ai_edge_litert.interpreter import Interpreter
make = lapilli.Delegate
clock = time.perf_counter if sys.argv[2] == "wall" else time.process_time
time.perf_counter = clock  # what the delegate times its compiling with
start = clock()
delegate = make("emulator:a311d")
interpreter = Interpreter(sys.argv[1], experimental_delegates=[delegate])
interpreter.allocate_tensors()
ready = clock() - start
print(json.dumps([ready, delegate.compile_seconds, delegate.parts_from_cache]))
"""


def _once(model: Path, folder: str) -> tuple[float, float, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(model), "cpu"],
        env={**os.environ, "LAPILLI_CACHE": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    ready, compiling, kept = json.loads(done.stdout)
    return ready, compiling, kept


def measure(model: Path) -> dict[str, float]:
    """Seconds of CPU."""
    with tempfile.TemporaryDirectory() as folder:
        cold = [_once(model, "") for _ in range(ROUNDS)]
        _once(model, folder)
        warm = [_once(model, folder) for _ in range(ROUNDS)]
    if not all(kept for _, _, kept in warm):
        raise SystemExit(f"{model.name}: nothing came from the cache")
    compiled, loaded = (min(seconds for _, seconds, _ in runs) for runs in (cold, warm))
    return {
        "ready": min(seconds for seconds, _, _ in cold),
        "ready_warm": min(seconds for seconds, _, _ in warm),
        "compile": compiled,
        "from_cache": loaded,
        "ratio": compiled / loaded,
    }


def main() -> None:
    """Print the figures."""
    given = [Path(argument) for argument in sys.argv[1:] if argument != "--json"]
    models = given or [DATA / "models" / f"{name}.tflite" for name in MODELS]
    found = {model.stem: measure(model) for model in models}
    if "--json" in sys.argv:
        print(json.dumps({"ready_aim": READY_AIM, "ratio_aim": RATIO_AIM, **found}, indent=2))
        return
    print(f"{'CPU seconds':<42}{'ready':>8}{'warm':>8}{'compile':>9}{'cache':>8}{'ratio':>7}")
    for name, row in found.items():
        print(
            f"{name:<42}{row['ready']:>8.3f}{row['ready_warm']:>8.3f}{row['compile']:>9.3f}"
            f"{row['from_cache']:>8.3f}{row['ratio']:>7.1f}"
        )
    print(f"aims: ready within {READY_AIM} s when warm, {RATIO_AIM:.0f} times as fast as compiling")


if __name__ == "__main__":
    main()
