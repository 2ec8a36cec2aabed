"""The forms that lists of class names come in, and what a file of each says.

Recognised by what is in the file, not by its name: label maps of the object-detection tools
(``item { id: 1 name: 'cat' }``), JSON, YAML and Python dictionaries with ``names``, tables with a
heading, and plain lists, numbered or not. Whose class a name is, ``labels`` finds out.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from lapilli.errors import ModelError
from lapilli.files import decoding

ALLOWED = (
    "names one a line, numbered or not; a label map (pbtxt); JSON, YAML or CSV with numbers and "
    "names"
)
LARGEST_NUMBER = 10**7
BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
LISTS = ("names", "labels", "classes", "id2label", "categories", "class_names")
"""Keys under which JSON and YAML files keep their names."""
NAME_COLUMNS = ("display_name", "name", "class_name", "label", "label_name", "class", "category")
NUMBER_COLUMNS = ("index", "id", "class_id", "class_index", "label_id", "class_idx", "number")
"""Headings of tables, the best first."""

_ENDS = re.compile(r"\r\n|\r|\n")
_NUMBERED = re.compile(r"([0-9]{1,7})(?:\s*[:,;=\t|.)]\s*|\s+-\s+|\s+|$)(.*)")
_ITEM = re.compile(r"\s*item\s*:?\s*\{")
_PBTXT = re.compile(
    r"""\#[^\n]* | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | [{}:;,] | [^\s{}:;,'"\#]+""", re.X
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)", re.S)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}
# No pattern may look at a stretch of text again from each of its places: files are not trusted.
_BLOCK_NAMES = re.compile(r"^[ \t]*(?:names|labels|classes)[ \t]*:[ \t]*(?:\#.*)?$", re.M)
_FLOW_NAMES = re.compile(r"""(?:^|[{,])[ \t]*(['"]?)names\1[ \t]*:\s*([\[{])""", re.M)
_FLOW = re.compile(
    r"""\s* (?: ([0-9]{1,7}) \s*:\s* )?
        (?: ( "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.|'')*' ) \s*
          | ( [^,\[\]{}'":\s][^,\[\]{}\n]* ) (?:\n\s*)? ) ([,\]}])""",
    re.X,
)
LONGEST_LINE = 1 << 12
"""Letters of a label map's line."""


@dataclass(frozen=True)
class Names:
    """What a file says. ``by_number``: names whose numbers the file states, or None. ``lines``: the
    names in their order, with the empty ones, or None if the file is no list of lines.

    Of a numbered list both are there: whether the numbers are numbers or parts of names depends on
    the classes. ``notes``: what was assumed while reading. ``from_one``: by the file's form objects
    are numbered from 1, as 0 is the background.
    """

    by_number: dict[int, str] | None
    lines: tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    from_one: bool = False


def read(data: bytes, source: str) -> Names:
    """The names in a file's bytes; raises ModelError if it is in none of the forms."""
    text, notes = decode(data, source)
    start = text.lstrip()[:1]
    readers: list[Callable[[str, str], Names | None]] = [_dictionary, _label_map]
    if start and start in "{[":
        readers.insert(0, _json)
    readers += [_yaml, _table]
    for reader in readers:
        found = reader(text, source)
        if found is not None:
            return replace(found, notes=(*notes, *found.notes))
    if start == "{":
        raise ModelError(
            f"{source}: found what begins like JSON and has no names; allowed: {ALLOWED}"
        )
    found = _list(text)
    return replace(found, notes=(*notes, *found.notes))


def decode(data: bytes, source: str) -> tuple[str, tuple[str, ...]]:
    """Text, and a note if its encoding was guessed. Raises ModelError for what is no text."""
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "")
    if not encoding:
        # Half of the bytes of ASCII in UTF-16 are zero: the second of each pair, or the first.
        if data[1:1024:2].count(0) * 4 > len(data[1:1024:2]):
            encoding = "utf-16-le"
        elif data[:1024:2].count(0) * 4 > len(data[:1024:2]):
            encoding = "utf-16-be"
        else:
            encoding = "utf-8"
    notes: tuple[str, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise ModelError(f"{source}: found damaged {encoding}; allowed: text") from None
        text = data.decode("cp1252", "replace")
        notes = ("it is no UTF-8; read as Windows-1252, so letters beyond ASCII may be wrong",)
    if "\0" in text:
        raise ModelError(f"{source}: found zero characters; allowed: text, as {ALLOWED}")
    return text, notes


# --------------------------------------------------------------------------------------- label maps


def _label_map(text: str, source: str) -> Names | None:
    """``item { id: 1 name: '...' display_name: '...' }``, as often as there are classes."""
    lines = _ENDS.split(text)
    first = next((i for i, line in enumerate(lines) if line.strip() and line.lstrip()[0] != "#"), 0)
    if not _ITEM.match("\n".join(lines[first : first + 2])):
        return None
    if max(map(len, lines)) > LONGEST_LINE:
        raise ModelError(f"{source}: found a line of {max(map(len, lines))} letters; allowed: "
                         f"{LONGEST_LINE} in a label map")  # fmt: skip
    found: dict[int, str] = {}
    depth = 0
    item: dict[str, str] = {}
    key = ""
    for token in _PBTXT.findall(text):
        if token[0] == "#" or token in ",;":
            continue
        if token == "{":
            depth, key = depth + 1, ""
            if depth == 1:
                item = {}
        elif token == "}":
            depth, key = depth - 1, ""
            if depth == 0:
                _add_item(found, item, source)
        elif token != ":" and depth == 1:
            if key:
                item[key], key = token, ""
            else:
                key = token
    if depth != 0 or not found:
        raise ModelError(f"{source}: found a label map that is cut off; allowed: {ALLOWED}")
    return Names(found, None, from_one=True)


def _add_item(found: dict[int, str], item: Mapping[str, str], source: str) -> None:
    number = item.get("id", "0")
    if not re.fullmatch(r"[0-9]{1,7}", number):
        raise ModelError(f"{source}: found id {number[:20]!r}; allowed: 0 to {LARGEST_NUMBER - 1}")
    name = _unquoted(item.get("display_name", item.get("name", "''")))
    _add(found, int(number), name, source)


def _add(found: dict[int, str], number: int, name: str, source: str) -> None:
    if number in found:
        raise ModelError(f"{source}: found number {number} twice; allowed: each once")
    found[number] = name.strip()


def _unquoted(token: str) -> str:
    """Without quotes and escapes, of which octal ones are bytes of UTF-8."""
    if token[:1] not in ("'", '"') or token[-1:] != token[0]:
        return token

    def one(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1].isdigit():
            return bytes([int(code, 8) & 0xFF])
        if code[:1] == b"x" and len(code) > 1:
            return bytes([int(code[1:], 16)])
        return _ESCAPES.get(code, code)

    return _ESCAPE.sub(one, token[1:-1].encode()).decode("utf-8", "replace")


# ------------------------------------------------------------------------------------ JSON and YAML


def _json(text: str, source: str) -> Names | None:
    try:
        with decoding(source, ALLOWED):
            value = json.loads(text)
    except ModelError:
        return None
    found = _of_value(value, source)
    if found is None:
        raise ModelError(f"{source}: found JSON without a list of names; allowed: {ALLOWED}")
    return found


def _of_value(value: Any, source: str) -> Names | None:
    """From a list, or a mapping from numbers to names or from names to numbers."""
    if isinstance(value, dict):
        inner = next((value[key] for key in LISTS if isinstance(value.get(key), dict | list)), None)
        if inner is not None:
            value = inner
    if isinstance(value, list):
        if value and all(isinstance(each, dict) for each in value):
            return _of_objects(value, source)
        names = [_name(each) for each in value]
        return None if None in names or not names else Names(None, tuple(map(str, names)))
    if not isinstance(value, dict) or not value:
        return None
    found: dict[int, str] = {}
    for key, each in value.items():
        name = _name(each)
        if re.fullmatch(r"[0-9]{1,7}", key) and name is not None:
            _add(found, int(key), name, source)
        elif type(each) is int and 0 <= each < LARGEST_NUMBER:
            _add(found, each, key, source)
        else:
            return None
    return Names(found, None)


def _of_objects(values: list[dict[str, Any]], source: str) -> Names | None:
    """A list of objects that have numbers and names, as COCO's categories."""
    found: dict[int, str] = {}
    for each in values:
        number = next((each[key] for key in NUMBER_COLUMNS if key in each), None)
        name = next((each[key] for key in NAME_COLUMNS if key in each), None)
        if type(number) is not int or not 0 <= number < LARGEST_NUMBER or _name(name) is None:
            return None
        _add(found, number, str(_name(name)), source)
    return Names(found, None)


def _name(value: Any) -> str | None:
    """A text; of a list of texts, such as a synset's code and its name, the last."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        value = value[-1]
    return value if isinstance(value, str) else None


def _dictionary(text: str, source: str) -> Names | None:
    """``names: [...]`` or ``names: {...}`` in YAML, or in a Python dictionary as text."""
    match = _FLOW_NAMES.search(text)
    if match is None:
        return None
    closing = {"[": "]", "{": "}"}[match[2]]
    position = match.end()
    found: dict[int, str] = {}
    names: list[str] = []
    while True:
        item = _FLOW.match(text, position)
        if item is None:
            return None
        number, quoted, bare, end = item.groups()
        token = bare or quoted
        name = _unquoted(token.replace("''", "\\'") if token[0] == "'" else token).strip()
        if closing == "}":
            if number is None:
                return None
            _add(found, int(number), name, source)
        else:
            names.append(name)
        position = item.end()
        if end != ",":
            break
    return Names(found, None) if closing == "}" else Names(None, tuple(names))


def _yaml(text: str, source: str) -> Names | None:
    """``names:`` and below it ``- cat`` or ``0: cat``, a line each."""
    match = _BLOCK_NAMES.search(text)
    if match is None:
        return None
    found: dict[int, str] = {}
    names: list[str] = []
    for line in _ENDS.split(text[match.end() :]):
        bare = line.split(" #", 1)[0].rstrip()
        if not bare.strip() or bare.lstrip().startswith("#"):
            continue
        item = re.fullmatch(r"\s*-\s+(.*)", bare)
        numbered = re.fullmatch(r"\s+([0-9]{1,7})\s*:\s*(.*)", bare)
        if item is not None:
            names.append(_unquoted(item[1].strip()))
        elif numbered is not None:
            _add(found, int(numbered[1]), _unquoted(numbered[2].strip()), source)
        else:
            break
    if bool(found) == bool(names):
        return None
    return Names(found or None, tuple(names) if names else None)


# --------------------------------------------------------------------------------- tables, lists


def _table(text: str, source: str) -> Names | None:
    """Comma, semicolon or tab between columns, and a heading that says which is which."""
    head = text.lstrip().split("\n", 1)[0].strip()
    delimiter = next((d for d in "\t;," if d in head), None)
    if delimiter is None:
        return None
    columns = [cell.strip(" '\"").lower() for cell in head.split(delimiter)]
    name = next((columns.index(c) for c in NAME_COLUMNS if c in columns), None)
    number = next((columns.index(c) for c in NUMBER_COLUMNS if c in columns), None)
    if name is None or len(columns) < 2:
        return None
    with decoding(source, ALLOWED):
        rows = list(csv.reader(_ENDS.split(text.strip()), delimiter=delimiter))
    full = [row for row in rows[1:] if any(cell.strip() for cell in row)]
    if any(len(row) <= max(name, number or 0) for row in full):
        raise ModelError(f"{source}: found a row with too few columns; allowed: {head[:80]}")
    if number is None:
        return Names(None, tuple(row[name].strip() for row in full))
    found: dict[int, str] = {}
    for row in full:
        if not re.fullmatch(r"\s*[0-9]{1,7}\s*", row[number]):
            raise ModelError(f"{source}: found number {row[number][:20]!r}; allowed: 0 and above")
        _add(found, int(row[number]), row[name], source)
    return Names(found, None)


def _list(text: str) -> Names:
    """One name a line; also by number if all lines have one in front."""
    lines = [line.strip() for line in _ENDS.split(text)]
    while lines and not lines[-1]:
        lines.pop()
    full = [line for line in lines if line]
    if full and all(line.startswith("- ") for line in full):
        return Names(None, tuple(line[2:].strip() for line in full))
    matches = [_NUMBERED.fullmatch(line) for line in full]
    numbered = {int(m[1]): m[2].strip() for m in matches if m}
    named = sum(1 for m in matches if m and m[2].strip())
    notes: tuple[str, ...] = ()
    if full and all(matches) and len(numbered) == len(full) and named * 2 > len(full):
        return Names(numbered, tuple(lines))
    if _mixed(matches):
        first = next(i for i, m in enumerate(matches) if m is None)
        notes = (
            "most lines have their number in front and some have not, such as "
            f"{full[first][:40]!r}: the numbers are taken for parts of the names",
        )
    return Names(None, tuple(lines), notes)


def _mixed(matches: list[re.Match[str] | None]) -> bool:
    """Whether most lines, but not all, have rising numbers in front."""
    numbers = list(_numbers(matches))
    rising = all(a < b for a, b in pairwise(numbers))
    return rising and len(matches) < 2 * len(numbers) < 2 * len(matches)


def _numbers(matches: list[re.Match[str] | None]) -> Iterator[int]:
    return (int(m[1]) for m in matches if m is not None)
