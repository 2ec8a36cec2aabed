"""Run Mesa's driver, as Debian ships it for 64-bit ARM, on the emulated NPU.

    python tools/mesa_check.py
    python tools/mesa_check.py --chip imx8mp

Debian's packages (from the mirror that this system's apt uses) and PyPI's wheels are put into a
directory tree beside the system, nothing is installed. In it, under qemu's user emulation and
``lapilli emulate``, Mesa's TFLite delegate classifies a picture and finds a cat, and what it has
submitted is compared with the recordings in the shared data folder. Exit code 0; 5 if something
needed is missing, 6 if a result differs, 7 if a program does not end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from recorded_jobs import jobs_of

from lapilli.answers import detection, images, labels
from lapilli.answers.labels import Classes
from lapilli.answers.results import DetectionOutputs
from lapilli.emulator.front_end import Start, walk
from lapilli.errors import ExitCode, Fault
from lapilli.hw.chips import Chip, find_by_name
from lapilli.hw.nn import NN_V7, NN_V8
from lapilli.hw.tp import TP
from lapilli.program import recording
from lapilli.program.recording import Recording

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "tar": "tar",
    "qemu-aarch64-static": "qemu-user-static",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
}
"""What has to be installed, and the Debian packages it is in."""
SUITES = ("trixie", "bookworm")
"""Mesa's delegate is from the first. tflite-runtime has no wheel for a Python later than the
second's."""
PYTHON = "3.11"
PACKAGES = (
    "mesa-teflon-delegate",
    f"python{PYTHON}-minimal",
    f"libpython{PYTHON}-stdlib",
    "libstdc++6",
)
WHEELS = ("tflite-runtime==2.14.0", "numpy==1.26.4")
PLATFORMS = ("manylinux_2_34_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RECORDED = "25.0.7"
"""Mesa's version in the recordings; another one's submits need not be the same."""
DELEGATE = "usr/lib/teflon/libteflon.so"
TIMEOUT = 900
"""Seconds a model may take; on a quiet machine it is some 20."""
LAYOUTS = {7: NN_V7, 8: NN_V8}


class Failure(Exception):
    """Ends the check with a sentence and an exit code."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


# ----------------------------------------------------------------------------------- directory tree


def demand_programs() -> None:
    """Failure that says what to install."""
    missing = {name: packages for name, packages in PROGRAMS.items() if not shutil.which(name)}
    if missing:
        raise Failure(
            ExitCode.NO_DEVICE,
            f"not installed: {', '.join(missing)}; on Debian: apt-get install "
            f"{' '.join(missing.values())}",
        )


def call(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
    """Standard output of a command that has to succeed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise Failure(ExitCode.NO_DEVICE, f"{command[0]} failed: {last}")
    return done.stdout


def debian_sites(environment: dict[str, str]) -> list[str]:
    """Where apt gets Debian's main suites from, as far as its lists tell."""
    form = "$(SITE) $(RELEASE) $(COMPONENT) $(LABEL)"
    lines = call(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], environment)
    found = [line.split(maxsplit=3) for line in lines.splitlines()]
    return [f[0] for f in found if f[2:] == ["main", "Debian"] and "-" not in f[1]]


def mirror(folder: Path) -> str:
    """Where this system's apt gets Debian from."""
    sites = debian_sites({})
    if not sites:
        # The system has no lists: fetch those of its own sources to a directory of ours.
        for name in ("system/lists/partial", "system/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        places = {"Dir::State::lists": folder / "system/lists", "Dir::Cache": folder / "system"}
        path = write_settings(folder / "system/apt.conf", places)
        environment = {"APT_CONFIG": str(path)}
        call(["apt-get", "update"], environment)
        sites = debian_sites(environment)
    if not sites:
        raise Failure(ExitCode.NO_DEVICE, "apt's configuration names no mirror of Debian")
    return sites[0]


def write_settings(path: Path, settings: Mapping[str, object]) -> Path:
    """A file with settings for apt."""
    path.write_text(
        "".join(f'{name} "{value}";\n' for name, value in settings.items()), encoding="utf-8"
    )
    return path


def write_apt_configuration(folder: Path) -> Path:
    """A configuration beside the system's, for packages of another architecture and suite."""
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    for name in ("lists/partial", "archives/partial", "parts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    site = mirror(folder)
    sources = folder / "sources.list"
    sources.write_text("".join(f"deb {signed}{site} {suite} main\n" for suite in SUITES))
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::Etc::preferencesparts": folder / "parts",
    }
    return write_settings(folder / "apt.conf", settings)


def fetch_packages(folder: Path) -> list[Path]:
    """The packages with all that they depend on."""
    environment = {"APT_CONFIG": str(write_apt_configuration(folder))}
    call(["apt-get", "update"], environment)
    call(["apt-get", "install", "--yes", "--download-only", *PACKAGES], environment)
    return sorted((folder / "archives").glob("*.deb"))


def unpack(packages: Sequence[Path], tree: Path) -> None:
    """Put the packages' files into ``tree``. /lib is a link there, as on an installed system."""
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "lib").symlink_to("usr/lib")
    for package in packages:
        data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
        call_tar = ["tar", "-x", "--no-same-owner", "--keep-directory-symlink", "-C", tree]
        done = subprocess.run(call_tar, stdin=data.stdout, check=False)
        if data.wait() or done.returncode:
            raise Failure(ExitCode.NO_DEVICE, f"{package.name} can't be unpacked")


def install_wheels(folder: Path) -> None:
    """The wheels for 64-bit ARM, without what they would pull in."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    call([
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder,
        "--only-binary=:all:", *platforms, "--python-version", PYTHON,
        "--implementation", "cp", *WHEELS,
    ])  # fmt: skip


def mesa_version(work: Path) -> str:
    """Of the package that was unpacked."""
    names = [path.name for path in (work / "apt/archives").glob(f"{PACKAGES[0]}_*.deb")]
    return max(names).split("_")[1]


def prepare(work: Path) -> tuple[Path, Path]:
    """Directory tree and directory of Python packages, from an earlier run if that was complete."""
    tree, site, stamp = work / "tree", work / "site", work / "complete"
    contents = "\n".join((*SUITES, *PACKAGES, *WHEELS))
    if stamp.exists() and stamp.read_text() == contents:
        return tree, site
    for path in (tree, site):
        shutil.rmtree(path, ignore_errors=True)
    unpack(fetch_packages(work / "apt"), tree)
    install_wheels(site)
    stamp.write_text(contents)
    return tree, site


# ---------------------------------------------------------------------------------------- one model


@dataclass(frozen=True)
class Case:
    """A model, a picture, and what has to come out: ``judge`` gives label and score."""

    model: str
    picture: str
    expected: str
    judge: Callable[[dict[str, np.ndarray], Path], tuple[str, float]]


def names_of(path: Path, classes: Classes) -> Mapping[int, str]:
    """The labels in a file by class."""
    return labels.resolve(labels.load(path), classes, path.name).names


def best_class(outputs: dict[str, np.ndarray], images_folder: Path) -> tuple[str, float]:
    """The class with the highest score."""
    scores = outputs["output_0"].reshape(-1)
    names = names_of(images_folder / "imagenet_labels.txt", Classes(scores.size))
    return names[int(scores.argmax())], float(scores.max()) / 255


def best_detection(outputs: dict[str, np.ndarray], images_folder: Path) -> tuple[str, float]:
    """What was found with the highest score."""
    values = [outputs[f"output_{i}"].astype(np.float64) for i in range(4)]
    found = detection.read(DetectionOutputs(0, 1, 2, 3, True), values)
    names = names_of(images_folder / "coco_labels.txt", Classes(None, detector=True))
    named = detection.labelled(found, names)
    return (named[0].label, named[0].score) if named else ("nothing", 0.0)


CASES = (
    Case("mobilenet_v1_1.0_224_quant", "grace_hopper.bmp", "military uniform", best_class),
    Case("ssdlite_mobiledet_coco_qat_postprocess", "cat.bmp", "cat", best_detection),
)
SIDES = {"mobilenet_v1_1.0_224_quant": 224, "ssdlite_mobiledet_coco_qat_postprocess": 320}
LEAST_SCORE = 0.5


def run_guest(chip: Chip, case: Case, work: Path, data: Path) -> dict[str, np.ndarray]:
    """The model's outputs by Mesa's driver; what it submits is recorded in ``work``."""
    tree, site = prepare(work)
    folder = work / f"{chip.name}-{case.model}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    side = SIDES[case.model]
    picture = images.load_picture(data / "images" / case.picture, 3)
    np.save(folder / "input.npy", images.to_input(picture, (1, side, side, 3), "uint8"))
    command = [
        sys.executable, "-m", "lapilli", "emulate", "--chip", chip.name,
        "--record", folder / "records", "--compiler", "aarch64-linux-gnu-gcc", "--",
        "qemu-aarch64-static", "-L", tree, "-E", f"PYTHONPATH={site}",
        tree / f"usr/bin/python{PYTHON}", "-S", ROOT / "tools" / "mesa_guest.py",
        data / "models" / f"{case.model}.tflite", tree / DELEGATE, folder / "input.npy",
        folder / "output.npz",
    ]  # fmt: skip
    try:
        done = subprocess.run(list(map(str, command)), cwd=ROOT, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(ExitCode.HANG, f"{case.model}: no end after {TIMEOUT} s") from error
    if done.returncode:
        raise Failure(
            ExitCode.RESULTS_DIFFER, f"{case.model}: the program ended with {done.returncode}"
        )
    with np.load(folder / "output.npz") as file:
        return dict(file)


# --------------------------------------------------------------------------------------- recordings

Place = tuple[int, int]
"""Number of a buffer, and byte in it."""


def placed(address: int, recorded: Recording) -> Place | int:
    """An address without what depends on where the driver has put its buffers."""
    for number, buffer in enumerate(recorded.buffers):
        if buffer.address <= address < buffer.address + buffer.size:
            return number, address - buffer.address
    return address


def content(recorded: Recording, number: int) -> bytes:
    """A buffer's bytes without trailing zeros."""
    return recorded.buffers[number].data.tobytes().rstrip(b"\0")


def fields_of(recorded: Recording, start: Start, chip: Chip) -> dict[str, object]:
    """An instruction's fields, its addresses as places."""
    layout = LAYOUTS[chip.generation] if start.unit == "NN" else TP
    place = placed(start.address, recorded)
    assert isinstance(place, tuple)
    raw = recorded.buffers[place[0]].data[place[1] : place[1] + 4 * layout.size]
    words = np.zeros(layout.size, np.uint32)
    words.view(np.uint8)[: len(raw)] = raw
    fields: dict[str, object] = dict(layout.decode(words.tolist()))
    for name in layout.address_words():
        fields[name] = placed(int(fields[name]), recorded)  # type: ignore[call-overload]
    return fields


def differences(found: Recording, given: Recording, chip: Chip) -> Iterator[str]:
    """What is not as recorded, in commands, instructions, coefficients and tables."""
    commands = [[placed(word, each) for word in each.commands.tolist()] for each in (found, given)]
    if commands[0] != commands[1]:
        yield "commands"
    try:
        starts = [list(walk(each.commands, chip.nn_cores)) for each in (found, given)]
    except Fault as fault:
        yield f"commands that can't be read ({fault})"
        return
    if [start.unit for start in starts[0]] != [start.unit for start in starts[1]]:
        yield f"{len(starts[0])} instructions instead of {len(starts[1])}"
        return
    for first, second in zip(*starts, strict=True):
        one, other = fields_of(found, first, chip), fields_of(given, second, chip)
        yield from (f"{first.unit} {name}" for name in one if one[name] != other[name])
    # Only what the header counts: behind it lies what the driver's cache of buffers has left there,
    # and how long that keeps a buffer is a matter of seconds.
    for ours, theirs in zip(jobs_of(found, chip.name), jobs_of(given, chip.name), strict=True):
        if ours.coefficients != theirs.coefficients:
            yield "coefficients"
    for number, buffer in enumerate(given.buffers):
        if buffer.role == "table" and content(found, number) != content(given, number):
            yield "table"


def compare(chip: Chip, case: Case, work: Path, data: Path) -> list[str]:
    """Compare all submits of a model that have buffers with the recorded ones."""
    if not mesa_version(work).startswith(RECORDED):
        print(f"  not compared: the recordings are of Mesa {RECORDED}")
        return []
    records = sorted((work / f"{chip.name}-{case.model}" / "records").glob("*.npz"))
    found = [one for one in map(recording.load, records) if one.buffers]
    folder = data / "recordings" / chip.name / "models"
    given = [recording.load(path) for path in sorted(folder.glob(f"{case.model}.part*.npz"))]
    if len(found) != len(given):
        return [f"{len(found)} submits, {len(given)} recorded"]
    lines = []
    for part, (ours, theirs) in enumerate(zip(found, given, strict=True)):
        counts = Counter(differences(ours, theirs, chip))
        lines += [f"submit {part}: {what} ({number} times)" for what, number in counts.items()]
    instructions = sum(len(list(walk(one.commands, chip.nn_cores))) for one in given)
    verdict = "not as recorded" if lines else "commands, instructions, coefficients as recorded"
    print(f"  {len(given)} submits, {instructions} instructions: {verdict}", flush=True)
    return lines


# --------------------------------------------------------------------------------------------- main


def check(chip: Chip, case: Case, work: Path, data: Path) -> list[str]:
    """Run and judge one model; what is wrong."""
    start = time.monotonic()
    outputs = run_guest(chip, case, work, data)
    label, score = case.judge(outputs, data / "images")
    compiling, running = outputs["seconds"]
    print(f"{case.model} on {chip.name}: {label} {score:.2f} in {case.picture}")
    print(
        f"  {time.monotonic() - start:.1f} s; of it the driver's compiler {compiling:.1f} s, "
        f"inference {running:.1f} s",
        flush=True,
    )
    wrong = compare(chip, case, work, data)
    if label != case.expected or score < LEAST_SCORE:
        wrong.append(f"expected {case.expected} with at least {LEAST_SCORE}")
    return [f"{case.model} on {chip.name}: {text}" for text in wrong]


def shared_data() -> Path:
    """Models, pictures and recordings."""
    folder = Path(os.environ.get("LAPILLI_TEST_DATA", ROOT.parent / "shared"))
    if not (folder / "models").is_dir():
        raise Failure(ExitCode.NO_DEVICE, f"no test data in {folder}; set LAPILLI_TEST_DATA")
    return folder


def run(chips: Sequence[str], work: Path) -> int:
    """All models on all chips; the exit code."""
    demand_programs()
    data = shared_data()
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    tree, _ = prepare(work)
    contents = f"Mesa {mesa_version(work)}, {', '.join(WHEELS)}"
    print(f"{tree}: {contents}; {time.monotonic() - start:.1f} s", flush=True)
    wrong = []
    for name in chips:
        chip = find_by_name(name)
        if chip is None:
            raise Failure(ExitCode.USAGE, f"unknown chip {name!r}")
        for case in CASES:
            wrong += check(chip, case, work, data)
    for line in wrong:
        print(f"mesa_check: {line}", file=sys.stderr)
    return ExitCode.RESULTS_DIFFER if wrong else ExitCode.OK


def main() -> int:
    """Arguments, and what went wrong in one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--chip", action="append", help="may be repeated (default: a311d, imx8mp)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "mesa-check",
                        help="where packages are kept (default: %(default)s)")  # fmt: skip
    arguments = parser.parse_args()
    try:
        return run(arguments.chip or ["a311d", "imx8mp"], arguments.work.resolve())
    except Failure as failure:
        print(f"mesa_check: {failure}", file=sys.stderr)
        return failure.code


if __name__ == "__main__":
    sys.exit(main())
