"""Label files: every form that lists of names come in, and whose class each name is.

Never a wrong name without a word: the name is right, or there is a note, or a ModelError.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from metadata_writer import AXIS_LABELS, VALUE_LABELS, TensorSaid, metadata, with_files
from models import ModelBuilder

from lapilli.answers import label_formats, labels
from lapilli.answers.labels import Classes, Labels
from lapilli.errors import ModelError

ANIMALS = ("cat", "dog", "emu", "fox", "gnu", "hen")
BY_CLASS = dict(enumerate(ANIMALS))
CLASSIFIER = Classes(6)
DETECTOR = Classes(None, detector=True)
KNOWN_DETECTOR = Classes(7, detector=True)
"""Six kinds of objects and the background."""


def resolved(content: str | bytes, classes: Classes = CLASSIFIER) -> Labels:
    data = content.encode() if isinstance(content, str) else content
    return labels.resolve(label_formats.read(data, "file"), classes, "file")


def items(first: int, key: str = "name") -> str:
    return "".join(
        f"item {{\n  id: {i}\n  {key}: '{n}'\n}}\n" for i, n in enumerate(ANIMALS, first)
    )


def lines(first: int, separator: str) -> str:
    return "\n".join(f"{i}{separator}{name}" for i, name in enumerate(ANIMALS, first))


PLAIN = "\n".join(ANIMALS)
SAFE = {
    "a line each": PLAIN,
    "Windows' line ends": PLAIN.replace("\n", "\r\n") + "\r\n",
    "the old Macintosh's": PLAIN.replace("\n", "\r"),
    "empty lines at the end": PLAIN + "\n\n\n",
    "blanks around": "\n".join(f"  {name}\t" for name in ANIMALS),
    "a mark in front": b"\xef\xbb\xbf" + PLAIN.encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-16 without mark": PLAIN.encode("utf-16-le"),
    "UTF-16 without mark, big end first": PLAIN.encode("utf-16-be"),
    "UTF-32": PLAIN.encode("utf-32"),
    "from 0": lines(0, " "),
    "from 0, colon": lines(0, ": "),
    "from 0, comma": lines(0, ","),
    "from 0, tab": lines(0, "\t"),
    "from 0, equals": lines(0, "="),
    "from 0, dash": lines(0, " - "),
    "from 0, point": lines(0, ". "),
    "from 0, in another order": "\n".join(reversed(lines(0, " ").splitlines())),
    "from 1": lines(1, " "),
    "from 1, bracket": lines(1, ") "),
    "a label map": items(1),
    "a label map from 0": items(0),
    "a label map in one line": items(1).replace("\n", " "),
    "a label map with names for people": items(1, "display_name").replace(
        "item {", "item {\n  name: '/m/0x'"
    ),
    "a label map with more in it": items(1).replace(
        "}\n", '  keypoints { id: 9 name: "nose" label: "x" }\n}\n'
    ),
    "a label map with a comment": "# made by hand\n" + items(1),
    "a JSON list": json.dumps(ANIMALS),
    "a JSON object by number": json.dumps({str(i): n for i, n in BY_CLASS.items()}),
    "a JSON object by name": json.dumps({n: i for i, n in BY_CLASS.items()}),
    "synsets": json.dumps({str(i): [f"n0{i}", n] for i, n in BY_CLASS.items()}),
    "id2label": json.dumps({"model": "x", "id2label": {str(i): n for i, n in BY_CLASS.items()}}),
    "objects": json.dumps([{"id": i, "name": n, "color": "red"} for i, n in BY_CLASS.items()]),
    "categories": json.dumps(
        {"info": {}, "categories": [{"id": i + 1, "name": n} for i, n in BY_CLASS.items()]}
    ),
    "YAML by number": "nc: 6\nnames:\n" + "".join(f"  {i}: {n}\n" for i, n in BY_CLASS.items()),
    "YAML, a list": "names:\n" + "".join(f"- {n}  # an animal\n" for n in ANIMALS) + "nc: 6\n",
    "YAML, quoted": "names:\n" + "".join(f"  - '{n}'\n" for n in ANIMALS),
    "YAML in one line": f"path: x\nnames: [{', '.join(ANIMALS)}]\n",
    "YAML in two lines": "names: [cat, dog, 'emu',\n  fox, gnu, hen]\nnc: 6\n",
    "YAML, a mapping in one line": "names: {0: cat, 1: dog, 2: emu, 3: fox, 4: gnu, 5: hen}\n",
    "a Python dictionary": str({"description": "net", "names": BY_CLASS, "stride": 32}),
    "a table": "index,name\n" + lines(0, ","),
    "a table with more columns": "index,mid,display_name\n"
    + "\n".join(f'{i},/m/{i},"{n}"' for i, n in BY_CLASS.items()),
    "a table without numbers": "name;colour\n" + "\n".join(f"{n};red" for n in ANIMALS),
    "list items": "\n".join(f"- {n}" for n in ANIMALS),
}


@pytest.mark.parametrize("content", SAFE.values(), ids=SAFE)
def test_a_form_is_read_without_a_word(content: str | bytes) -> None:
    assert resolved(content) == Labels(BY_CLASS)


WITH_GAP = {i: n for i, n in BY_CLASS.items() if i != 1}
SPOKEN = {
    "a heading": ("label\n" + PLAIN, CLASSIFIER, BY_CLASS, "heading"),
    "the background in front": ("background\n" + PLAIN, CLASSIFIER, BY_CLASS, "background"),
    "empty lines between": ("\n\n".join(ANIMALS), CLASSIFIER, BY_CLASS, "empty lines are left"),
    "empty lines in front": ("\n" + PLAIN, CLASSIFIER, BY_CLASS, "empty lines are left"),
    "Windows-1252": (
        "\n".join(("Bär", *ANIMALS[1:])).encode("cp1252"), CLASSIFIER,
        BY_CLASS | {0: "Bär"}, "Windows-1252",
    ),
    "too few": ("cat\ndog", CLASSIFIER, {0: "cat", 1: "dog"}, "2 names, the model 6 classes"),
    "too many": (PLAIN + "\nyak", CLASSIFIER, BY_CLASS | {6: "yak"}, "7 names"),
    "numbers too high": (
        lines(4, " "), CLASSIFIER, dict(enumerate(lines(4, " ").splitlines())), None,
    ),
    "some without their number": (
        lines(0, " ").replace("3 ", ""), CLASSIFIER,
        {0: "0 cat", 1: "1 dog", 2: "2 emu", 3: "fox", 4: "4 gnu", 5: "5 hen"}, "have not",
    ),
    "ImageNet without background": (
        "\n".join(f"n{i}" for i in range(1000)), Classes(1001),
        {i + 1: f"n{i}" for i in range(1000)}, "class 0 is taken to be the background",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOKEN.values(), ids=SPOKEN)
def test_what_is_assumed_is_said(
    case: tuple[str | bytes, Classes, dict[int, str], str | None],
) -> None:
    content, classes, names, note = case
    found = resolved(content, classes)
    assert dict(found.names) == names
    assert bool(found.notes) == (note is not None)
    assert note is None or note in " ".join(found.notes)


def test_names_may_begin_with_numbers() -> None:
    euros = [f"{n} euros" for n in (5, 10, 20, 50, 100, 200)]
    assert resolved("\n".join(euros)) == Labels(dict(enumerate(euros)))
    digits = [str(i) for i in range(10)]
    assert resolved("\n".join(digits), Classes(10)) == Labels(dict(enumerate(digits)))
    cups = [f"{n} cups" for n in (2, 1, 2)]
    assert resolved("\n".join(cups), Classes(3)) == Labels(dict(enumerate(cups)))


@pytest.mark.parametrize("empty", ["1 ", "1", "1:", "1\t"])
def test_a_number_without_a_name_is_a_class_without_one(empty: str) -> None:
    content = lines(0, " ").replace("1 dog", empty)
    assert resolved(content) == Labels(WITH_GAP)


def test_an_empty_line_may_be_a_class_without_a_name() -> None:
    assert resolved(PLAIN.replace("dog", "")) == Labels(WITH_GAP)


@pytest.mark.parametrize("classes", [DETECTOR, KNOWN_DETECTOR], ids=["unknown", "known"])
@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        *(f"{name}\n{PLAIN}" for name in sorted(labels.BACKGROUND)),
        "Background\n" + PLAIN,
        lines(0, " "),
        items(1),
        items(1) + "item { id: 0 name: 'background' }",
        "0 background\n" + lines(1, " "),
    ],
)
def test_a_detectors_class_0_is_the_first_object(content: str, classes: Classes) -> None:
    assert resolved(content, classes) == Labels(BY_CLASS)


def test_a_detectors_list_from_1_is_shifted_and_said_where_it_is_not_certain() -> None:
    assert resolved(lines(1, " "), KNOWN_DETECTOR) == Labels(BY_CLASS)
    found = resolved(lines(1, " "), DETECTOR)
    assert dict(found.names) == BY_CLASS
    assert "begin at 1" in found.notes[0]


def test_gaps_in_numbers_stay() -> None:
    """As in the COCO lists: 80 names for 90 numbers."""
    numbers = [n for n in range(90) if n % 9 != 4]
    content = "\n".join(f"{n}  name {n}" for n in numbers)
    wanted = Labels({n: f"name {n}" for n in numbers})
    assert resolved(content, DETECTOR) == wanted
    assert resolved(content, Classes(91, detector=True)) == wanted


def test_the_same_for_numbers_far_apart_is_said() -> None:
    content = "1 euro\n5 euros\n50 euros"
    found = resolved(content, DETECTOR)
    assert dict(found.names) == dict(enumerate(content.splitlines()))
    assert "parts of the names" in found.notes[0]


@pytest.mark.parametrize(
    "content",
    [
        b"cat\0dog",
        b"\xff\xfec\0a\0t",
        "{",
        "{'a': 3.5}",
        '{"a": {"b": 1}}',
        '{"0": "cat", "x": "dog"}',
        "item { id: 1 name: 'cat'",
        "item { id: 1 } item { id: 1 }",
        f"item {{ id: {'9' * 5000} name: 'x' }}",
        "item { id: -1 name: 'x' }",
        "index,name\n0,cat\n0,dog",
        "index,name\nzero,cat",
        "index,name\n0",
    ],
)
def test_what_is_no_list_of_names_is_refused(content: str | bytes) -> None:
    with pytest.raises(ModelError, match="file: found"):
        resolved(content)


@pytest.mark.parametrize(
    "content",
    [
        "\n" * 400_000,
        "\n".join(["{", *["names"] * 50_000]),
        " " * 400_000 + "x",
        "names: [" + " " * 200_000,
        "names: ['" + "''" * 100_000,
        ",".join(["names: {"] * 50_000),
        "item {" + "'\\" * 2_000,
        "item {" + "\n{" * 100_000,
        "[" * 100_000,
        "index,name\n" + '"' * 100_001,
        f"0 {'9' * 5000}\n{'9' * 5000} x",
    ],
)
def test_crafted_files_end_in_names_or_a_model_error(content: str) -> None:
    """None of these may make a pattern start again from each place: this would not end."""
    try:
        resolved(content)
    except ModelError:
        return


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(b"x" * (labels.MAXIMUM_BYTES + 1))
    for name in ("missing.txt", ".", "large.txt"):
        with pytest.raises(ModelError, match=r"labels?|large|missing|folder"):
            labels.load(tmp_path / name)


# ----------------------------------------------------------------------------------- inside a model


def model(outputs: list[TensorSaid] | None = None) -> bytes:
    builder = ModelBuilder()
    x = builder.input((1, 2, 2, 1))
    if outputs is not None:
        builder.metadata = metadata([TensorSaid()], outputs)
    return builder.build([x])


LICENCE = b"Apache License\nVersion 2.0\n"


def test_metadata_say_which_file_has_labels() -> None:
    said = [TensorSaid(files=[("vocabulary.txt", 5, ""), ("names.txt", AXIS_LABELS, "")])]
    files = {"vocabulary.txt": b"a\nb\nc\nd\ne\nf", "names.txt": PLAIN.encode(), "L.txt": LICENCE}
    assert labels.embedded(with_files(model(said), files), CLASSIFIER) == Labels(BY_CLASS)


def test_of_several_languages_english() -> None:
    said = [TensorSaid(files=[("de.txt", VALUE_LABELS, "de"), ("en.txt", VALUE_LABELS, "en-US")])]
    files = {"de.txt": b"Katze", "en.txt": PLAIN.encode()}
    assert labels.embedded(with_files(model(said), files), DETECTOR) == Labels(BY_CLASS)


def test_labels_that_metadata_name_and_that_do_not_fit_are_said() -> None:
    said = [TensorSaid(files=[("names.txt", AXIS_LABELS, "")])]
    found = labels.embedded(with_files(model(said), {"names.txt": b"cat"}), CLASSIFIER)
    assert "1 names, the model 6 classes" in found.notes[0]


@pytest.mark.parametrize("name", ["labels.txt", "labelmap.txt", "probability-labels-en.txt"])
def test_without_metadata_a_file_called_labels(name: str) -> None:
    data = with_files(model(), {"LICENSE.txt": LICENCE, name: PLAIN.encode()})
    assert labels.embedded(data, CLASSIFIER) == Labels(BY_CLASS)


def test_an_exporters_dictionary() -> None:
    text = str({"task": "classify", "names": BY_CLASS})
    for name in ("temp_meta.txt", "metadata.yaml"):
        data = with_files(model(), {name: text.encode()})
        assert labels.embedded(data, CLASSIFIER) == Labels(BY_CLASS)
    data = with_files(model(), {"metadata.json": json.dumps({"names": BY_CLASS}).encode()})
    assert labels.embedded(data, CLASSIFIER) == Labels(BY_CLASS)


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({}, ""),
        ({"LICENSE.txt": LICENCE}, ""),
        ({"vocab.txt": PLAIN.encode()}, ""),
        ({"temp_meta.txt": b"{'task': 'detect'}"}, "left out"),
        ({"temp_meta.txt": PLAIN.encode()}, ""),
        ({"labels.txt": b"cat"}, "1 names, which are not the model's"),
        ({"labels.txt": b"cat and dog\0"}, "zero characters"),
        ({"a_labels.txt": PLAIN.encode(), "b_labels.txt": PLAIN.encode()}, "--labels"),
    ],
)
def test_no_names_rather_than_wrong_ones(files: dict[str, bytes], note: str) -> None:
    found = labels.embedded(with_files(model(), files), CLASSIFIER)
    assert not found.names
    assert note in " ".join(found.notes)
    assert bool(found.notes) == bool(note)


def test_a_damaged_archive_has_no_labels() -> None:
    data = with_files(model(), {"labels.txt": PLAIN.encode() * 50})
    for place in range(len(data) - 200, len(data), 3):
        labels.embedded(data[:place] + b"\xa5" + data[place + 1 :], CLASSIFIER)
    lzma = data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00",
                        b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x0e\x00")  # fmt: skip
    assert lzma != data
    assert labels.embedded(lzma, CLASSIFIER) == Labels()
