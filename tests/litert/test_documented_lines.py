"""The lines of the documents for other programs, cut up as those programs cut them up."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from places import PACKAGE, REPOSITORY

from lapilli.errors import UsageError
from lapilli.litert import plugin

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
SOURCES = [*PAGES, PACKAGE / "cli" / "delegate_path.py"]


def lines() -> list[tuple[str, list[str]]]:
    """Each line that starts another program with our library, and its words."""
    found = []
    for page in SOURCES:
        text = re.sub(r"\\+\n\s*", " ", page.read_text(encoding="utf-8"))
        text = text.replace("$(lapilli delegate-path)", "/lib.so")
        for line in text.splitlines():
            if re.search(r"(=|-e |ExtDelegateLib:)/lib\.so", line):
                found.append((page.name, shlex.split(line.strip())))
    return found


def by_provider(text: str) -> dict[str, str]:
    """As Google's external delegate provider does, for benchmark_model and label_image: what has
    not exactly two parts is dropped without a word."""
    options = [entry.split(":") for entry in text.split(";")]
    assert all(len(option) == 2 for option in options), text
    return {option[0]: option[1] for option in options}


def by_example(text: str) -> dict[str, str]:
    """As label_image.py does: what has not exactly two parts is an error."""
    options = [entry.split(":") for entry in text.split(";")]
    assert all(len(option) == 2 for option in options), text
    return {key.strip(): value.strip() for key, value in options}


def by_nnstreamer(text: str) -> dict[str, str]:
    """As tensor_filter does: entries at commas, key and value at colons, of which the second
    counts; then options at semicolons, key and value at '#'."""
    found: dict[str, str] = {}
    for entry in text.split(","):
        pair = entry.split(":")
        assert len(pair) == 2, text
        if pair[0].lower() == "extdelegatekeyval":
            options = [option.split("#", 1) for option in pair[1].split(";")]
            assert all(len(option) == 2 for option in options), text
            found = dict(options)
    return found


def options_of(words: list[str]) -> dict[str, str] | None:
    """What the program hands to the library; None if that is nothing."""
    for i, word in enumerate(words):
        if word.startswith("--external_delegate_options="):
            return by_provider(word.split("=", 1)[1])
        if word == "-o":
            return by_example(words[i + 1])
        if word.startswith("custom="):
            return by_nnstreamer(word.split("=", 1)[1])
    return None


def test_every_program_is_there() -> None:
    started = {word for _, words in lines() for word in words[:4]}
    assert {"benchmark_model", "label_image", "label_image.py", "gst-launch-1.0"} <= started
    assert sum(options_of(words) is not None for _, words in lines()) >= 5


@pytest.mark.parametrize(("page", "words"), lines())
def test_a_documented_line_means_what_it_says(page: str, words: list[str]) -> None:
    options = options_of(words)
    if options is None:
        assert "emulate" in words, page
        return
    delegate = plugin.create(options)
    try:
        device = delegate.device
        assert device is not None
        assert device.name == "emulator:a311d"
    finally:
        delegate.close()


def test_a_name_that_was_cut_at_its_colon_says_how_to_write_it() -> None:
    with pytest.raises(UsageError, match="at colons: emulator-a311d"):
        plugin.create({"device": "emulator"})


def test_the_library_s_options_are_all_named_in_the_page() -> None:
    from lapilli.litert.options import _OPTIONS

    text = Path(REPOSITORY / "docs" / "programs.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", text))
    known = re.findall(r"([a-z_]+)(?: and ([a-z_]+))? \(", _OPTIONS)
    assert {name for pair in known for name in pair if name} <= named
