"""The command line: what goes where, exit codes, and one line for whatever is wrong."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from models import ModelBuilder
from patience import PATIENCE
from shared_data import shared_data

import lapilli
from lapilli.cli import COMMANDS, commands, text
from lapilli.compiler import stages as compiler
from lapilli.errors import DeviceError, ExitCode, Fault, HangError, LapilliError, Unsupported
from lapilli.program import program_file

ROOT = Path(lapilli.__file__).parents[1]
DIGITS = Path(lapilli.__file__).parent / "data" / "digits.tflite"
COMMANDS_HERE = ("compile", "dump", "explain", "replay")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(commands, [str(a) for a in arguments])


def process(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "lapilli", *map(str, arguments)],
        capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False, **more,
    )  # fmt: skip


def assert_one_line(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in lines[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Path:
    path = folder / "digits.lapilli"
    program_file.save(lapilli.compile(DIGITS), path)
    return path


def recording(name: str = "mb3") -> Path:
    return shared_data() / "recordings" / "a311d" / "ops" / f"{name}.npz"


def float_model() -> bytes:
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 3), scale=0.02, zero_point=128)
    weights = np.full((4, 3, 3, 3), 100, np.uint8)
    output = builder.conv(image, weights, None, 0.01, 120, scale=0.05, zero_point=3)
    for tensor in builder.tensors:
        tensor.dtype, tensor.scales, tensor.zero_points = "float32", None, None
        tensor.data = tensor.data and np.zeros(len(tensor.data), np.float32).tobytes()
    return builder.build([output])


def hostile_model() -> bytes:
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 3), scale=0.02, zero_point=128)
    weights = np.full((4, 3, 3, 3), 100, np.uint8)
    output = builder.conv(image, weights, None, 0.01, 120, scale=0.05, zero_point=3)
    builder.tensors[image].name = "\x1b]0;owned\x07\x1b[2Jimage [red]x\u202e\r\n"
    return builder.build([output])


# --------------------------------------------------------------------------------------- all of it


def test_help_lists_every_command() -> None:
    result = process("--help")
    assert result.returncode == ExitCode.OK
    for name, entry in COMMANDS.items():
        assert name in result.stdout and entry.help in result.stdout


def test_help_is_quick_as_it_imports_little_beside_click() -> None:
    code = (
        "import sys, click.testing, locale\nbefore = set(sys.modules)\n"
        "from lapilli.cli import commands\n"
        "click.testing.CliRunner().invoke(commands, ['--help'])\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout.split()  # fmt: skip
    assert len(found) < 40  # click itself takes some 90
    assert sum(name.split(".")[0] == "lapilli" for name in found) < 12
    assert not {"numpy", "rich", "lapilli.cli.compile"} & set(found)


@pytest.mark.parametrize("name", COMMANDS_HERE)
def test_every_command_has_help_and_json(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == ExitCode.OK
    assert "--json" in result.stdout


def test_the_version_is_the_packages() -> None:
    assert call("--version").stdout == f"lapilli {lapilli.__version__}\n"


def test_no_command_shows_the_help() -> None:
    result = call()
    assert result.exit_code == ExitCode.USAGE
    assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("nonsense",),
        ("compile",),
        ("compile", DIGITS, "--nonsense"),
        ("compile", DIGITS, "extra"),
        ("dump", "x", "--part", "one"),
        ("replay", "x.npz"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: tuple[object, ...]) -> None:
    assert_one_line(call(*arguments), ExitCode.USAGE, "--help)")


def _raising(error: BaseException) -> click.Command:
    @click.command()
    def fails() -> None:
        raise error

    return fails


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DeviceError("no such node"), 5, "lapilli: no such node"),
        (HangError("5 s"), 7, "lapilli: 5 s"),
        (Fault("job 3: word 5"), 7, "lapilli: job 3: word 5"),
        (LapilliError("\x1b[31mred\n"), 1, "lapilli: red"),
        (
            ZeroDivisionError("x"),
            1,
            "internal error, please report: ZeroDivisionError: x (lapilli/cli/",
        ),
        (AssertionError(), 1, "internal error, please report: AssertionError"),
        (MemoryError(), 1, "internal error"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_errors_end_with_their_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    monkeypatch.delenv("LAPILLI_TRACEBACK", raising=False)
    monkeypatch.setattr(commands, "get_command", lambda context, name: _raising(error))
    result = call("fails")
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stderr.strip().startswith(message) or message in result.stderr
    assert len(result.stderr.splitlines()) == (1 if message else 0)


@pytest.mark.parametrize("folder", ["/home/lapilli/site-packages/other", "/src/my lapilli/lapilli"])
def test_the_file_to_report_is_ours_whatever_other_folders_are_called(
    monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    theirs: dict[str, Any] = {}
    exec(compile("def notes():\n    yield 1 / 0", f"{folder}/notes.py", "exec"), theirs)
    command = click.Command("fails", callback=lambda: text.say(theirs["notes"]()))
    monkeypatch.setattr(commands, "get_command", lambda context, name: command)
    assert " (lapilli/cli/text.py:" in call("fails").stderr


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(commands, "get_command", lambda c, n: _raising(ZeroDivisionError("x")))
    if how == "variable":
        monkeypatch.setenv("LAPILLI_TRACEBACK", "1")
    result = call(*(["--debug"] if how == "option" else []), "fails")
    assert result.exit_code == ExitCode.BUG
    assert "Traceback" in result.stderr


def test_a_closed_output_is_no_error(program: Path) -> None:
    command = shlex.join([sys.executable, "-m", "lapilli", "dump", str(program)])
    code = f"{command} | head -1; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(
        ["bash", "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stderr == ""
    assert found.stdout.splitlines()[1] in ("141", "0")


# ------------------------------------------------------------------------------- wrong files, chips


@pytest.mark.parametrize("name", COMMANDS_HERE)
@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "zip", "pipe", "zero"])
def test_a_wrong_input_file_is_one_line_and_exit_3(folder: Path, name: str, kind: str) -> None:
    path = folder / "input"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.write_bytes(
            {"empty": b"", "text": b"hello " * 99, "zip": b"PK\x03\x04" * 9}.get(kind, b"x")
        )
    shown = str(path) if kind != "zero" else "a\0b"
    more = ["-o", "out.npz"] if name == "replay" else []
    assert_one_line(call(name, shown, *more), ExitCode.INVALID_FILE)
    assert [p.name for p in folder.iterdir() if p != path] == []


def test_a_wrong_file_in_a_real_process() -> None:
    result = process("compile", "/nonexistent/x.tflite")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("lapilli: /nonexistent/x.tflite: ")
    assert len(result.stderr.splitlines()) == 1


def test_dumping_a_model_says_how_to_compile_it() -> None:
    assert_one_line(call("dump", DIGITS), ExitCode.INVALID_FILE, "lapilli compile MODEL.tflite")


def test_compiling_a_float_model_is_an_invalid_file(folder: Path) -> None:
    (folder / "float.tflite").write_bytes(float_model())
    result = call("compile", "float.tflite")
    assert_one_line(result, ExitCode.INVALID_FILE, "takes none of its operators", "float32")
    assert not (folder / "float.lapilli").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("compile", DIGITS, "--chip", "a312d"),
        ("explain", DIGITS, "--chip", "a312d"),
        ("replay", "x.npz", "-o", "y.npz", "--chip", "a312d"),
    ],
)
def test_an_unknown_chip_is_a_usage_error_that_names_the_known(
    folder: Path, arguments: tuple[object, ...]
) -> None:
    assert_one_line(call(*arguments), ExitCode.USAGE, "unknown chip 'a312d'", "known: ", "a311d")


def test_an_unknown_schedule_is_a_usage_error(folder: Path) -> None:
    result = call("compile", DIGITS, "--schedule", "worst")
    assert_one_line(result, ExitCode.USAGE, "unknown schedule 'worst'", "reference, best")


@pytest.mark.parametrize("name", ["compile", "explain"])
def test_a_chip_we_cannot_compile_for_is_unsupported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(chip: str) -> None:
        raise Unsupported(f"chip {chip} is of generation V9")

    monkeypatch.setattr(compiler, "chip_named", refuse)
    result = call(name, DIGITS, "--chip", "new")
    assert_one_line(result, ExitCode.UNSUPPORTED, "chip new is of generation V9")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_a_chip_is_compiled_for_or_refused_in_one_line(folder: Path, chip: str) -> None:
    result = call("compile", DIGITS, "--chip", chip)
    assert result.exit_code in (ExitCode.OK, ExitCode.UNSUPPORTED)
    assert (folder / "digits.lapilli").exists() == (result.exit_code == ExitCode.OK)
    assert len(result.stderr.splitlines()) == 1


# ----------------------------------------------------------------------------------------- compile


def test_compile_writes_here_under_the_models_name(folder: Path) -> None:
    result = call("compile", DIGITS)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "digits.lapilli: a311d, schedule best: 1 part, " in result.stderr
    assert "9 of 11 operators on the NPU" in result.stderr
    assert program_file.load(folder / "digits.lapilli").digest() == lapilli.compile(DIGITS).digest()


def test_compile_is_the_same_in_every_process(folder: Path) -> None:
    for number in range(2):
        result = process(
            "compile", DIGITS, "-o", f"{number}", cwd=folder, env={"PYTHONHASHSEED": f"{number}"}
        )
        assert result.returncode == 0
    assert (folder / "0").read_bytes() == (folder / "1").read_bytes()


def test_compile_json_is_one_object_on_stdout(folder: Path) -> None:
    result = call("compile", DIGITS, "--schedule", "reference", "--json", "-o", "x")
    found = json.loads(result.stdout)
    assert found["schedule"] == "reference"
    assert found["output_bytes"] == (folder / "x").stat().st_size
    assert found["digest"] == program_file.load("x").digest()
    assert (found["operators"], found["operators_on_npu"]) == (11, 9)
    assert found["jobs"] == sum(part["jobs"] for part in found["parts"])


def test_strict_names_what_stays_on_the_cpu_and_writes_nothing(folder: Path) -> None:
    result = call("compile", DIGITS, "--strict")
    assert result.exit_code == ExitCode.UNSUPPORTED
    lines = result.stderr.splitlines()
    assert lines[0].startswith("operator 9 RESHAPE: The NPU takes CONV_2D")
    assert lines[-1].startswith("lapilli: digits.tflite: 2 of 11 operators would stay on the CPU")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("output", ["none/x.lapilli", "taken"])
def test_an_unwritable_output_is_one_line_and_exit_3(folder: Path, output: str) -> None:
    (folder / "taken").mkdir()
    assert_one_line(
        call("compile", DIGITS, "-o", output), ExitCode.INVALID_FILE, "can't be written"
    )
    assert [p.name for p in folder.rglob("*")] == ["taken"]


def test_a_failed_compile_keeps_the_old_program(program: Path) -> None:
    before = program.read_bytes()
    assert call("compile", DIGITS, "--strict", "-o", program).exit_code == ExitCode.UNSUPPORTED
    assert program.read_bytes() == before


# -------------------------------------------------------------------------------------------- dump


def test_dump_shows_jobs_memory_and_packets(program: Path) -> None:
    result = call("dump", program)
    assert (result.exit_code, result.stderr) == (0, "")
    for line in (
        "job 0: NN convolution, operator 0, instruction at buffer 0+0x0",
        "  VIP SRAM [K....",
        "  touches coefficients buffer 1+0x0, input buffer 2+0x0, tensor buffer 3+0x0",
        "part 0: command stream",
        "starts job 12: ",
    ):
        assert line in result.stdout
    assert "clamp_high" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_dump_all_shows_every_field_and_where_it_lies(program: Path) -> None:
    found = call("dump", program, "--all").stdout
    assert "clamp_high" in found
    assert "word 29" in found


def test_dump_json_is_the_agreed_object(program: Path) -> None:
    found = json.loads(call("dump", program, "--json").stdout)
    assert list(found) == ["chip", "parts"]
    assert len(found["parts"][0]["jobs"]) == len(program_file.load(program).parts[0].jobs)


@pytest.mark.parametrize("number", ["1", "-1"])
def test_dump_of_a_part_that_is_not_there(program: Path, number: str) -> None:
    result = call("dump", program, "--part", number)
    assert_one_line(result, ExitCode.USAGE, f"no part {number}; it has part 0 only")


# ----------------------------------------------------------------------------------------- explain


def test_explain_tells_npu_and_cpu_with_the_rule() -> None:
    result = call("explain", DIGITS)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["#", "operator", "shapes", "MAC%", "on", "why"]
    assert lines[1].split()[:2] == ["0", "CONV_2D"] and lines[1].endswith("NPU")
    assert lines[11].split()[:2] == ["10", "SOFTMAX"] and lines[11].endswith("CPU  1")
    assert "  1  The NPU takes CONV_2D, DEPTHWISE_CONV_2D, ADD, " in result.stdout
    assert " Broken by operators " in " ".join(result.stdout.split())
    assert "digits.tflite on a311d: 9 of 11 operators and 100.0 % of" in result.stdout
    assert "\x1b" not in result.stdout


def test_explain_json_has_all_of_it() -> None:
    found = json.loads(call("explain", DIGITS, "--json").stdout)
    assert set(found) == {"model", "chip", "operators", "runs", "summary"}
    assert found["summary"]["on_npu"] == 9
    assert found["operators"][0]["on"] == "NPU" and found["operators"][0]["rule"] is None
    last = found["operators"][-1]
    assert (last["on"], last["rule"], last["found"]) == ("CPU", "operator", "SOFTMAX")
    assert [run["on"] for run in found["runs"]] == ["NPU", "CPU"]
    assert found["runs"][0]["bytes_in"] == 256


def test_explain_counts_mobilenets_multiplications() -> None:
    path = shared_data() / "models" / "mobilenet_v1_1.0_224_quant.tflite"
    found = json.loads(call("explain", path, "--json").stdout)
    assert found["summary"]["macs"] == 568_741_376  # 569 million in the MobileNet paper
    assert found["summary"]["mac_share_on_npu"] == 1.0


@pytest.mark.parametrize(
    "name", ["movenet_single_pose_lightning_ptq", "ssdlite_mobiledet_coco_qat_postprocess"]
)
@pytest.mark.parametrize("columns", [80, 120])
def test_explain_keeps_to_the_width(
    monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    path = shared_data() / "models" / f"{name}.tflite"
    lines = call("explain", path).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    operators = [line.split()[0] for line in lines[1 : lines.index("")]]
    assert operators == list(map(str, range(len(operators))))


def test_explain_strict_reports_and_exits_with_4() -> None:
    result = call("explain", DIGITS, "--strict", "--json")
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert json.loads(result.stdout)["summary"]["on_npu"] == 9
    assert len(result.stderr.splitlines()) == 1


# ------------------------------------------------------------------------------------------ replay


def test_replay_writes_every_tensor_buffer(folder: Path) -> None:
    result = call("replay", recording(), "--chip", "a311d", "-o", "out.npz", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    with np.load(folder / "out.npz") as arrays:
        names = [f"buffer_{entry['buffer']}" for entry in summary["buffers"]]
        assert arrays.files == names
        assert all(arrays[n].dtype == np.uint8 for n in names)
        assert [arrays[n].size for n in names] == [e["bytes"] for e in summary["buffers"]]
    assert summary["device"] == "emulator:a311d"


def test_replay_puts_inputs_in_first(folder: Path) -> None:
    with np.load(recording()) as arrays:
        number = list(arrays["role"]).index("input")
        size = int(arrays["size"][number])
    call("replay", recording(), "-o", "plain.npz")
    given = np.random.default_rng(1).integers(1, 256, size // 2).astype(np.uint8)
    np.savez(folder / "in.npz", **{f"buffer_{number}": given})
    assert call("replay", recording(), "-o", "x.npz", "--inputs", "in.npz").exit_code == 0
    with np.load("plain.npz") as plain, np.load("x.npz") as changed:
        assert (changed[f"buffer_{number}"][: len(given)] == given).all()
        assert sum((plain[name] != changed[name]).any() for name in plain.files) > 1


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("buffer_99", np.zeros(4, np.uint8), "allowed: buffer_"),
        ("buffer_0", np.zeros(4, np.uint8), "allowed: buffer_"),  # holds the instructions
        ("image", np.zeros(4, np.uint8), "an array called 'image'"),
        ("input", np.zeros(1 << 24, np.uint8), "allowed: up to"),
        ("input", np.zeros(4, np.float32), "of float32; allowed"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line_and_exit_3(
    folder: Path, name: str, array: np.ndarray[Any, Any], message: str
) -> None:
    with np.load(recording()) as arrays:
        roles = list(arrays["role"])
    if name == "buffer_0":
        name = f"buffer_{roles.index('instruction')}"
    if name == "input":
        name = f"buffer_{roles.index('input')}"
    np.savez(folder / "in.npz", **{name: array})
    result = call("replay", recording(), "-o", "out.npz", "--inputs", "in.npz")
    assert_one_line(result, ExitCode.INVALID_FILE, "in.npz: ", message)
    assert not (folder / "out.npz").exists()


@pytest.mark.parametrize(
    ("device", "code"),
    [
        ("toaster", ExitCode.USAGE),
        ("emulator:toaster", ExitCode.USAGE),
        ("/dev/dri/renderD999", ExitCode.NO_DEVICE),
    ],
)
def test_devices_that_are_not_there(folder: Path, device: str, code: int) -> None:
    result = call("replay", recording(), "-o", "out.npz", "--device", device)
    assert_one_line(result, code, device)
    assert not (folder / "out.npz").exists()


def test_chip_and_device_must_agree(folder: Path) -> None:
    result = call(
        "replay", recording(), "-o", "x", "--chip", "stm32mp2", "--device", "emulator:a311d"
    )
    assert_one_line(result, ExitCode.USAGE, "--chip stm32mp2", "emulator:a311d is a311d")


# ------------------------------------------------------------------------------ text, tables, docs


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("conv/Relu6", "conv/Relu6"),
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bcreset", "reset"),
        ("\x9b2Jname", "name"),
        ("two\nlines\ttab", "two lines tab"),
        ("bell\x07 back\x08 \u202eevil \ud800", "bell\ufffd back\ufffd \ufffdevil \ufffd"),
        ("[bold]markup[/bold]", "[bold]markup[/bold]"),
    ],
)
def test_names_cannot_control_the_terminal(raw: str, shown: str) -> None:
    assert text.clean(raw) == shown


def test_long_names_lose_their_middle() -> None:
    assert text.clean("abcdefghij", 7) == "ab…ghij"
    assert text.clean("abcdefg", 7) == "abcdefg"


@pytest.mark.parametrize("arguments", [("compile",), ("explain",), ("compile", "--strict")])
def test_a_hostile_model_prints_plain_text(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "x.tflite").write_bytes(hostile_model())
    result = call(arguments[0], "x.tflite", *arguments[1:])
    assert result.output.replace("\n", "").isprintable()


def test_dump_of_a_hostile_program_prints_plain_text(folder: Path) -> None:
    (folder / "x.tflite").write_bytes(hostile_model())
    assert call("compile", "x.tflite").exit_code == 0
    found = call("dump", "x.lapilli").stdout
    assert found.replace("\n", "").isprintable()
    assert "[red]x" in found


def test_names_outside_the_terminals_encoding_are_no_error(folder: Path) -> None:
    (folder / "x.tflite").write_bytes(hostile_model())
    result = process(
        "explain", "x.tflite", "--chip", "ä", cwd=folder, env={"PYTHONIOENCODING": "ascii"}
    )
    assert result.returncode == ExitCode.USAGE
    assert "Traceback" not in result.stderr


def test_the_page_of_operators_is_current() -> None:
    tool = ROOT / "tools" / "make_operator_table.py"
    found = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_explain_leaves_small_parts_to_the_cpu_if_asked() -> None:
    result = call("explain", DIGITS, "--min-partition", 10, "--json")
    report = json.loads(result.stdout)
    assert report["summary"]["on_npu"] == 0
    first = report["operators"][0]
    assert (first["rule"], first["found"]) == ("min_partition", "a part of 9")
