"""The delegate as a shared library, from Python and from a program in C."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from places import IMPORTABLE, PACKAGE

from lapilli.errors import Unsupported, UsageError
from lapilli.litert import plugin, plugin_build
from lapilli.litert import runtime as litert

pytest.importorskip("ai_edge_litert")
DIGITS = Path(str(files("lapilli.data") / "digits.tflite"))
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, plugin_build.COMPILERS)), reason="no C compiler"
)
HOST = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
typedef void *(*Create)(char **, char **, size_t, void (*)(const char *));
typedef void (*Destroy)(void *);
static void report(const char *text) { printf("reported: %s\n", text); }
int main(int count, char **words) {
  void *library = dlopen(words[1], RTLD_NOW);
  if (!library) { puts(dlerror()); return 2; }
  Create create = (Create)dlsym(library, "tflite_plugin_create_delegate");
  Destroy destroy = (Destroy)dlsym(library, "tflite_plugin_destroy_delegate");
  for (int round = 0; round < 3; round++) {
    void *delegate = create(words + 2, words + 3, 1, report);
    if (!delegate) return 1;
    destroy(delegate);
  }
  destroy(NULL);
  puts("ok");
  return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library built into an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return plugin_build.plugin_path()


@needs_compiler
def test_load_delegate_runs_a_model_through_the_library(library: Path) -> None:
    from ai_edge_litert.interpreter import load_delegate

    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1)).astype(np.uint8)
    answers = []
    for delegates in ([], [load_delegate(str(library), {"device": "emulator:a311d"})]):
        interpreter = litert.interpreter_class()(
            str(DIGITS), experimental_delegates=delegates or None
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.argmax(answers[0]) == np.argmax(answers[1])


@needs_compiler
def test_the_library_s_delegate_is_asked(library: Path) -> None:
    from ai_edge_litert.interpreter import load_delegate

    delegate = load_delegate(str(library), {"device": "emulator:a311d", "strict": "true"})
    with pytest.raises((RuntimeError, ValueError), match="SOFTMAX"):
        litert.interpreter_class()(str(DIGITS), experimental_delegates=[delegate])


@needs_compiler
def test_bad_options_are_reported_by_name(library: Path) -> None:
    from ai_edge_litert.interpreter import load_delegate

    with pytest.raises(ValueError, match="schedule"):
        load_delegate(str(library), {"device": "emulator:a311d", "colour": "red"})


@needs_compiler
@pytest.mark.skipif(plugin_build.needs_python_process(), reason="Python without shared library")
@pytest.mark.parametrize(
    ("key", "value", "code", "text"),
    [
        ("device", "emulator:a311d", 0, "ok"),
        ("device", "emulator:nothing", 1, "reported: unknown device 'emulator:nothing'"),
        ("strict", "perhaps", 1, "reported: option strict is 'perhaps'"),
    ],
)
def test_a_c_program_creates_and_destroys_delegates(
    library: Path, tmp_path: Path, key: str, value: str, code: int, text: str
) -> None:
    done = in_c(library, tmp_path, key, value)
    assert (done.returncode, done.stdout.startswith(text)) == (code, True), done
    # Programs that go on on the CPU drop what is reported to them.
    said = [line for line in done.stderr.splitlines() if line.startswith("lapilli: ")]
    assert len(said) == code
    assert all(line.startswith(text.replace("reported: ", "lapilli: ")) for line in said)


@needs_compiler
@pytest.mark.skipif(plugin_build.needs_python_process(), reason="Python without shared library")
def test_the_library_finds_the_emulated_node_of_a_program_without_options(
    library: Path, tmp_path: Path
) -> None:
    program = build(tmp_path)
    words = [sys.executable, "-m", "lapilli", "emulate", "--"]
    done = subprocess.run(
        [*words, program, library, "strict", "false"], capture_output=True, text=True, check=False,
        timeout=PATIENCE, env={**os.environ, "PYTHONPATH": IMPORTABLE},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "ok\n"), done


@needs_compiler
@pytest.mark.skipif(plugin_build.needs_python_process(), reason="Python without shared library")
def test_a_program_without_options_is_told_the_device_by_the_environment(
    library: Path, tmp_path: Path
) -> None:
    done = in_c(library, tmp_path, "strict", "false", LAPILLI_DEVICE="emulator-a311d")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done


@needs_compiler
@pytest.mark.skipif(plugin_build.needs_python_process(), reason="Python without shared library")
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_c_program_finds_the_package_below_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    """In C's locale, too, which services have."""
    below = tmp_path / "für alles"
    below.mkdir()
    (below / "lapilli").symlink_to(PACKAGE)
    paths = [str(below), *plugin_build._module_paths()]
    monkeypatch.setattr(plugin_build, "_module_paths", lambda: paths)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = in_c(plugin_build.plugin_path(), tmp_path, "device", "emulator:a311d", LC_ALL=locale)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done


def build(folder: Path) -> Path:
    """The program in C."""
    source, program = folder / "host.c", folder / "host"
    source.write_text(HOST, encoding="utf-8")
    subprocess.run([plugin_build._compiler(), "-o", program, source, "-ldl"], check=True)
    return program


def in_c(
    library: Path, folder: Path, key: str, value: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """What a program in C says that makes a delegate with one option."""
    return subprocess.run(
        [build(folder), library, key, value], capture_output=True, text=True, check=False,
        timeout=PATIENCE, env={**os.environ, **variables},
    )  # fmt: skip


@needs_compiler
def test_the_library_is_built_once(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(library.parents[1]))
    monkeypatch.setattr(plugin_build, "_build", pytest.fail)
    assert plugin_build.plugin_path() == library


def test_without_a_compiler_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(Unsupported, match="apt install gcc"):
        plugin_build.plugin_path()


@pytest.mark.parametrize(
    "options",
    [
        {"strict": "maybe"},
        {"postprocess": "slowly"},
        {"min_partition": "few"},
        {"min_partition": "0"},
        {"unknown": "1"},
    ],
)
def test_text_options_are_checked(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        plugin.create({"device": "emulator:a311d", **options})


def test_text_options_become_values() -> None:
    device = {"device": "emulator:a311d"}
    for postprocess in ("no", "true", "compiled"):
        texts = {"strict": "FALSE", "min_partition": "3", "postprocess": postprocess}
        plugin.create({**device, **texts}).close()


def test_a_path_becomes_a_c_literal_byte_by_byte() -> None:
    """Whatever the compiler takes a file's letters for."""
    assert plugin_build._quoted("aZ9") == '"aZ9"'
    assert plugin_build._quoted('/a "\\?') == '"\\057a\\040\\042\\134\\077"'
    # An octal escape has three digits, so that a digit may follow it.
    assert plugin_build._quoted("\n7") == '"\\0127"'
    assert plugin_build._quoted("é") == '"\\303\\251"'
    assert plugin_build._quoted(os.fsdecode(b"\xaa\xff")) == '"\\252\\377"'
