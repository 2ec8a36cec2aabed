"""Run the delegate's tests with every supported version of the TensorFlow Lite runtime.

    python tools/check_runtimes.py                      # all of them
    python tools/check_runtimes.py ai-edge-litert==1.2.0

Each version gets a virtual environment of the Python that runs this, kept for the next time in
``--directory``. A version without a wheel for this Python or processor is shown as such and does
not count as a failure, unless none could be tested. Exit code 0 if all that ran passed, else 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = tuple(
    f"tests/litert/test_{name}.py"
    for name in (
        "delegate",
        "delegate_errors",
        "delegate_lifetime",
        "delegate_postprocess",
        "delegate_reads",
        "options",
        "runtime",
    )
)
# What these tests import besides the runtime; older runtimes were built against NumPy 1.
COMMON = ("pytest>=7.4", "tflite>=2.10", "flatbuffers>=23.5")
OLD_NUMPY = "numpy<2"
RUNTIMES = {
    "tflite-runtime==2.14.0": OLD_NUMPY,
    "ai-edge-litert==1.0.1": OLD_NUMPY,
    "ai-edge-litert==1.1.2": "numpy",
    "ai-edge-litert==1.2.0": "numpy",
    "ai-edge-litert==1.3.0": "numpy",
    "ai-edge-litert==1.4.0": "numpy",
    "ai-edge-litert==2.0.3": "numpy",
    "ai-edge-litert==2.1.6": "numpy",
    "ai-edge-litert==2.2.0": "numpy",
    "ai-edge-litert==2.3.0": "numpy",
}


@dataclass(frozen=True)
class Outcome:
    """How one version fared; ``passed`` is None if it could not be installed."""

    runtime: str
    numpy: str
    passed: bool | None
    summary: str
    seconds: float
    log: str


def _call(command: list[str], environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output, both streams together."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


def _last_line(text: str) -> str:
    lines = [line.strip(" =") for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def check(runtime: str, numpy: str, directory: Path) -> Outcome:
    """Install one version, if it is not yet, and run the tests."""
    start = time.monotonic()
    tag = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = directory / f"{tag}-{runtime.replace('==', '-')}"
    python = str(home / "bin" / "python")
    if not Path(python).exists():
        venv.create(home, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    code, log = _call([*install, runtime, numpy, *COMMON])
    if code != 0:
        return Outcome(runtime, "-", None, "can't be installed", time.monotonic() - start, log)
    _, found = _call([python, "-c", "import numpy; print(numpy.__version__)"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = ["-q", "-p", "no:cacheprovider", *TESTS]
    code, log = _call([python, "-m", "pytest", *arguments], environment)
    seconds = time.monotonic() - start
    return Outcome(runtime, _last_line(found), code == 0, _last_line(log), seconds, log)


def main() -> int:
    """Check, print a table, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runtimes", nargs="*", help="as ai-edge-litert==2.3.0; default: all")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()) / "lapilli-runtimes",
        help="where the virtual environments are kept (default: %(default)s)",
    )  # fmt: skip
    arguments = parser.parse_args()
    chosen = arguments.runtimes or list(RUNTIMES)
    outcomes = []
    print(f"{'runtime':<26}{'numpy':<10}{'result':<8}{'seconds':>7}  summary")
    for runtime in chosen:
        outcome = check(runtime, RUNTIMES.get(runtime, "numpy"), arguments.directory)
        outcomes.append(outcome)
        word = {None: "absent", True: "passed", False: "FAILED"}[outcome.passed]
        print(
            f"{outcome.runtime:<26}{outcome.numpy:<10}{word:<8}{outcome.seconds:>7.1f}"
            f"  {outcome.summary}",
            flush=True,
        )
    for outcome in outcomes:
        if not outcome.passed:
            print(f"\n--- {outcome.runtime}\n{outcome.log}", file=sys.stderr)
    ran = [outcome for outcome in outcomes if outcome.passed is not None]
    return 0 if ran and all(outcome.passed for outcome in ran) else 1


if __name__ == "__main__":
    sys.exit(main())
