"""``import lapilli``: what is public is there, is all that is shown, and its examples are true."""

from __future__ import annotations

import doctest
import inspect
import json
import os
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE
from places import DIGITS, IMPORTABLE, REPOSITORY

import lapilli
from lapilli.interface import functions
from lapilli.interface.results import RunResult
from lapilli.litert import delegate

IMAGE = np.zeros((1, 16, 16, 1), np.uint8)
DEVICE = "emulator:a311d"


def test_dir_and_help_show_exactly_what_is_public() -> None:
    assert dir(lapilli) == sorted(lapilli.__all__)
    shown = pydoc.plain(pydoc.render_doc(lapilli))
    for name in lapilli.__all__:
        assert getattr(lapilli, name) is not None
        assert name in shown or name == "__version__"  # help has a heading for that


@pytest.mark.parametrize("name", ["compile", "detect", "diff", "explain", "fit", "profile", "run"])
def test_examples_in_docstrings_are_true(name: str) -> None:
    examples = {"lapilli": lapilli, "model": str(DIGITS), "image": IMAGE}
    found = doctest.DocTestFinder(recurse=False).find(getattr(functions, name), globs=examples)
    for test in found:
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
    assert all(test.examples for test in found) is (name != "detect")


@pytest.mark.parametrize("first", ["lapilli.profile.rows", "lapilli.diff.report", "lapilli"])
def test_folders_that_are_functions_too_can_be_called_whatever_is_imported_first(
    first: str,
) -> None:
    code = (
        f"import {first}, lapilli\n"
        f"print(lapilli.profile({str(DIGITS)!r}, measure=False).chip)\n"
        "from lapilli.profile import rows; from lapilli.diff import report\n"
        "print(rows.SORTS[0], report.SCHEMA_VERSION)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": IMPORTABLE}, timeout=PATIENCE,
    )  # fmt: skip
    assert found.stdout.splitlines() == ["a311d", "order 1"]


def results() -> dict[str, Any]:
    return {
        "fit": lapilli.fit(DIGITS),
        "explain": lapilli.explain(DIGITS),
        "profile": lapilli.profile(DIGITS, measure=False),
        "diff": lapilli.diff(DIGITS),
        "run": lapilli.run(DIGITS, IMAGE, device=DEVICE),
    }


def test_results_are_frozen_show_themselves_and_become_json() -> None:
    for name, found in results().items():
        assert json.loads(json.dumps(found.to_dict())), name
        shown = found._repr_html_()
        assert shown.startswith("<p>digits.tflite") or name == "diff"
        assert (shown.count("<tr>") > 2 and "digits" in str(found) + shown) or name == "diff"
        with pytest.raises((AttributeError, TypeError)):
            found.model = "another"


def test_names_from_models_are_text_in_a_notebook() -> None:
    found = RunResult("<b>x", "d", "raw", (), (), (), (), 0.0, None, None, ())
    assert "<b>" not in found._repr_html_() and "&lt;b&gt;x" in found._repr_html_()


def test_run_reads_what_it_is_given_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, IMAGE)
    both = [lapilli.run(DIGITS, given, device=DEVICE, top=2) for given in (IMAGE, path)]
    assert [each.classes for each in both] == [both[0].classes] * 2
    assert len(both[0].classes) == 2 and both[0].board is not None
    for wrong in (IMAGE.astype(np.int8), IMAGE[0]):
        with pytest.raises(ValueError, match="input image takes uint8 of shape"):
            lapilli.run(DIGITS, wrong, device=DEVICE)
    with pytest.raises(ValueError, match="has 1 inputs; 0 were given"):
        lapilli.run(DIGITS, device=DEVICE)
    with pytest.raises(ValueError, match="can't be read as detection"):
        lapilli.detect(DIGITS, IMAGE, device=DEVICE)


def test_the_delegates_typed_signature_has_all_its_options() -> None:
    source = (Path(inspect.getfile(lapilli.Delegate))).read_text(encoding="utf-8")
    options = inspect.signature(delegate.Delegate.__init__).parameters
    for name, option in options.items():
        if not name.startswith("_") and option.kind is not option.VAR_KEYWORD:
            assert f"{name}: " in source or name == "self", name


WRONG = {
    'lapilli.compile("m", schedule="bestt")': "Literal['best', 'reference']",
    'lapilli.Delegate(devise="emulator:a311d")': 'Unexpected keyword argument "devise"',
    'lapilli.Delegate(per_channel="fst")': "Literal['fast', 'best', 'off']",
    'lapilli.run("m", task="classify")': "Literal['classification', 'detection', 'raw']",
    'lapilli.fit("m").chipz': "chipz",
}


def test_wrong_words_fail_in_a_type_checker(tmp_path: Path) -> None:
    lines = ["import lapilli", *WRONG, 'lapilli.profile("m").npu_seconds + 1.0']
    (tmp_path / "user.py").write_text("\n".join(lines) + "\n")
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports", "silent", str(tmp_path / "user.py")],
        capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=PATIENCE,
        env={**os.environ, "MYPYPATH": IMPORTABLE},
    )  # fmt: skip
    told = found.stdout.splitlines()
    for number, message in enumerate(WRONG.values(), 2):
        assert any(f"user.py:{number}:" in line and message in line for line in told), found.stdout
    assert not any(f"user.py:{len(lines)}:" in line for line in told)
