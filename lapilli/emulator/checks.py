"""Rules both units have for the fields of an instruction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lapilli.errors import Refused
from lapilli.hw.bits import Layout


def decode_fields(layout: Layout, words: Sequence[int], free: Collection[str]) -> dict[str, int]:
    """Every field's value.

    Raises Refused if undeclared bits are set, or if a field that is not in ``free`` differs from
    its default: the emulator does not do what it asks for.
    """
    for word, bits in layout.stray_bits(words):
        raise Refused(
            f"word {word} = {words[word]:#010x} has bits {bits:#x} set; "
            "no field is known there, they must be 0"
        )
    values = layout.decode(words)
    for name, field in layout.fields.items():
        if name not in free and values[name] != field.default:
            raise Refused(
                f"{name} = {values[name]:#x} ({field.where()}); only {field.default:#x} is emulated"
            )
    return values


def demand(
    layout: Layout, fields: Mapping[str, int], name: str, low: int, high: int, why: str = ""
) -> int:
    """The field's value; Refused unless it is ``low`` to ``high``."""
    value = fields[name]
    if not low <= value <= high:
        where = layout.fields[name].where()
        raise Refused(
            f"{name} = {value} ({where}); allowed is {low} to {high}" + (f", {why}" if why else "")
        )
    return value


def demand_apart(what: str, first: tuple[int, int], other: str, second: tuple[int, int]) -> None:
    """Refused if the byte ranges [start, end) share bytes."""
    if first[0] < second[1] and second[0] < first[1]:
        raise Refused(
            f"{what} {first[0]:#x}..{first[1] - 1:#x} and {other} {second[0]:#x}.."
            f"{second[1] - 1:#x} overlap; what is read would depend on timing"
        )
