"""Which name belongs to which class: label files, and the lists inside a model.

Lists begin with the first class, or with a background that detectors leave out of their numbers;
their own numbers begin at 0 or 1. The number of classes tells which. What it does not tell is
assumed by custom, and then said: a wrong name must not come without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from lapilli.answers import label_formats
from lapilli.answers.label_formats import Names
from lapilli.errors import ModelError
from lapilli.files import check_regular, decoding
from lapilli.model import metadata
from lapilli.model.metadata import FileKind, PackedFile

MAXIMUM_BYTES = 1 << 22
BACKGROUND = frozenset(
    {"???", "background", "__background__", "_background_", "unlabeled", "unlabelled", "bg"}
)
"""What lists have for class 0 of the training, which a detector's outputs leave out."""
HEADINGS = frozenset({"label", "labels", "name", "names", "class", "classes", "class_name"})
WITH_BACKGROUND = 1001
IMAGENET = (1000, WITH_BACKGROUND)
COCO = (80, 81, 90, 91)
"""How many classes models for these have: with those that were left out of COCO or without, with
the background or without."""
"""Classes of ImageNet's models that have one for the background."""
LABEL_SUFFIXES = (".txt", ".pbtxt", ".json", ".csv", ".yaml", ".yml")
EXPORTERS_FILES = ("metadata.json", "metadata.yaml", "temp_meta.txt")
"""Where an exporter that does not write TFLite metadata keeps names, among other things."""


@dataclass(frozen=True)
class Labels:
    """Name by class number, and what was assumed."""

    names: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classes:
    """What is known of a model's classes. ``count`` is None where it isn't known; of a detector it
    may be one more than there are objects. ``detector``: class 0 is the first object."""

    count: int | None
    detector: bool = False

    def has_room(self, names: int) -> bool:
        """Whether so many names are right for so many classes."""
        if self.count is None:
            return True
        return names == self.count or (self.detector and names == self.count - 1)


def load(path: str | Path) -> Names:
    """What a label file says; raises ModelError if it can't be read or has an unknown form."""
    check_regular(path, "a label file")
    with decoding(path, "a label file"), open(path, "rb") as file:
        data = file.read(MAXIMUM_BYTES + 1)
    if len(data) > MAXIMUM_BYTES:
        raise ModelError(f"{path}: a label file has at most {MAXIMUM_BYTES} bytes")
    return label_formats.read(data, str(path))


def hint(classes: Classes) -> str:
    """How to get names for a model that has none, in a sentence."""
    numbers = "labels: classes have numbers only; --labels FILE gives them names"
    if classes.detector and (classes.count is None or classes.count in COCO):
        return f"{numbers} (a public detector's are mostly COCO's, as in its coco_labels.txt)"
    if not classes.detector and classes.count in IMAGENET:
        return f"{numbers} (so many are mostly ImageNet's, as in imagenet_labels.txt)"
    return f"{numbers}, a line each in the order of training"


def embedded(model: bytes, classes: Classes) -> Labels:
    """The names that are packed behind a model, if any: those its metadata call labels, or a file
    of such a name that has as many as there are classes."""
    files = metadata.packed_files(model)
    if not files:
        return Labels()
    said = [
        each
        for output in metadata.read(model).outputs
        for each in output.files
        if each.kind in (FileKind.AXIS_LABELS, FileKind.VALUE_LABELS) and each.name in files
    ]
    if said:
        chosen = min(said, key=_preference)
        return _embedded(files[chosen.name], chosen.name, classes, certain=True)
    named = [name for name in files if _is_label_file(name)]
    named = named or [name for name in files if name in EXPORTERS_FILES]
    if len(named) > 1:
        return Labels(notes=(f"the model has several lists of labels, {', '.join(named)}: --labels "
                             "takes one of them",))  # fmt: skip
    return _embedded(files[named[0]], named[0], classes, certain=False) if named else Labels()


def _preference(file: PackedFile) -> tuple[bool, bool]:
    """Smallest for a list in no particular language, then in English."""
    return bool(file.locale), not file.locale.lower().startswith("en")


def _is_label_file(name: str) -> bool:
    base = name.rsplit("/", 1)[-1].lower()
    return "label" in base and base.endswith(LABEL_SUFFIXES)


def _embedded(data: bytes, name: str, classes: Classes, *, certain: bool) -> Labels:
    """Names from a packed file; none if it was found by its name only and does not fit."""
    source = f"{name} in the model"
    try:
        names = label_formats.read(data, source)
        if not certain and name in EXPORTERS_FILES and names.by_number is None:
            return Labels()
    except ModelError as error:
        return Labels(notes=(f"labels are left out: {error}",))
    found = resolve(names, classes, source)
    fits = len(found.names) and classes.has_room(max(found.names) + 1)
    if not certain and not fits:
        return Labels(notes=(f"labels are left out: {source} has {len(found.names)} names, which "
                             "are not the model's classes",))  # fmt: skip
    return found


# -------------------------------------------------------------------------------- names and classes


def resolve(names: Names, classes: Classes, source: str) -> Labels:
    """The name of each class; ``source`` begins the notes."""
    notes = list(names.notes)
    if _numbers_count(names, classes, notes):
        assert names.by_number is not None
        found = _by_number(names.by_number, classes, names.from_one, notes)
    else:
        found = _by_line(names.lines or (), classes, notes)
    found = {number: name for number, name in found.items() if name}
    return Labels(MappingProxyType(found), tuple(f"labels: {source}: {note}" for note in notes))


def _numbers_count(names: Names, classes: Classes, notes: list[str]) -> bool:
    """Whether the numbers in a file are numbers of classes, or names begin with numbers."""
    numbers = names.by_number
    if numbers is None or names.lines is None:
        return numbers is not None
    lowest, highest = min(numbers), max(numbers)
    dense = lowest <= 1 and len(numbers) * 2 > highest
    if classes.count is None:
        if not dense:
            notes.append("the numbers in front of the names are taken for parts of the names")
        return dense
    if highest < classes.count or (lowest == 1 and highest == classes.count):
        if not dense:
            notes.append("the numbers in front of the names are taken for those of classes")
        return True
    lines = len([line for line in names.lines if line])
    return dense and not classes.has_room(lines)


def _by_number(
    numbers: dict[int, str], classes: Classes, from_one: bool, notes: list[str]
) -> dict[int, str]:
    """Names with numbers of their own, as class numbers."""
    lowest, highest = min(numbers), max(numbers)
    first = 0
    if classes.detector and _is_background(numbers[lowest]):
        first = lowest + 1
    elif lowest == 1 and classes.count is not None and highest >= classes.count:
        first = 1
    elif lowest == 1 and classes.detector:
        first = 1
        if not from_one and (classes.count is None or highest != classes.count - 1):
            notes.append("its numbers begin at 1, so class 0 is taken to be its number 1")
    found = {number - first: name for number, name in numbers.items() if number >= first}
    if classes.count is not None and max(found, default=0) >= classes.count:
        notes.append(
            f"it has numbers up to {highest} for {classes.count} classes: names may be those of "
            "other classes"
        )
    return found


def _by_line(lines: tuple[str, ...], classes: Classes, notes: list[str]) -> dict[int, str]:
    """Names in their order, as class numbers."""
    kept = _without_blanks(lines, classes, notes)
    count = classes.count
    if kept and _is_background(kept[0]):
        if classes.detector:
            kept = kept[1:]
        elif count is not None and len(kept) == count + 1:
            kept = kept[1:]
            notes.append("its first name, the background, is none of the model's classes")
    elif kept and count is not None and len(kept) == count + 1 and kept[0].lower() in HEADINGS:
        kept = kept[1:]
        notes.append(f"its first line, {lines[0]!r}, is taken for a heading")
    elif count == WITH_BACKGROUND and len(kept) == WITH_BACKGROUND - 1 and not classes.detector:
        kept = ("", *kept)
        notes.append("the model has one class more: class 0 is taken to be the background")
    if kept and not classes.has_room(len(kept)):
        notes.append(
            f"it has {len(kept)} names, the model {count} classes: names may be those of other "
            "classes"
        )
    return dict(enumerate(kept))


def _without_blanks(lines: tuple[str, ...], classes: Classes, notes: list[str]) -> tuple[str, ...]:
    """Without empty lines, where they are no classes without a name."""
    full = tuple(line for line in lines if line)
    if len(full) == len(lines):
        return lines
    if classes.count is not None:
        if classes.has_room(len(lines)):
            return lines
        if any(classes.has_room(len(full) - extra) for extra in (0, 1)):
            notes.append("its empty lines are left out")
            return full
    notes.append("its empty lines count as classes without a name")
    return lines


def _is_background(name: str) -> bool:
    return name.strip().lower() in BACKGROUND
