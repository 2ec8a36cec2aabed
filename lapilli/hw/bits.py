"""Declare a layout of bit fields once; encoding, decoding, printing and checks are derived from it.

A field is declared with the bits it occupies, least significant piece first::

    w = Words()
    Field("post_shift", w[2][31:27], w[15][29:28], note="right shift of the accumulator")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


class FieldError(ValueError):
    """A value does not fit its field, a field does not exist, or bits are set that no field has."""


@dataclass(frozen=True)
class Piece:
    """``width`` bits of word ``word``, from bit ``low`` upwards."""

    word: int
    low: int
    width: int

    @property
    def mask(self) -> int:
        """The bits within the 32-bit word."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class Word:
    """``word[high:low]`` or ``word[bit]`` gives the piece of those bits, both ends included."""

    index: int

    def __getitem__(self, bits: int | slice) -> Piece:
        if isinstance(bits, int):
            return Piece(self.index, bits, 1)
        high, low = int(bits.start), int(bits.stop)
        if not 0 <= low <= high <= 31:
            raise FieldError(f"word {self.index}: bits [{high}:{low}] are not inside 31:0")
        return Piece(self.index, low, high - low + 1)

    @property
    def all(self) -> Piece:
        """All 32 bits."""
        return Piece(self.index, 0, 32)


class Words:
    """``Words()[n]`` is word n of a layout under declaration."""

    def __getitem__(self, index: int) -> Word:
        return Word(index)


class Field:
    """One value in an instruction.

    ``pieces`` are its bits, least significant first. ``shift``: the value is stored without its
    lowest ``shift`` bits, which must be 0. ``signed``: two's complement over the field's width.
    ``default`` is what is encoded when no value is given. ``address`` marks GPU addresses.
    """

    __slots__ = ("address", "default", "name", "note", "pieces", "shift", "signed")

    def __init__(
        self,
        name: str,
        *pieces: Piece,
        default: int = 0,
        shift: int = 0,
        signed: bool = False,
        address: bool = False,
        note: str = "",
    ) -> None:
        self.name = name
        self.pieces = pieces
        self.default = default
        self.shift = shift
        self.signed = signed
        self.address = address
        self.note = note

    @property
    def width(self) -> int:
        """Stored bits."""
        return sum(piece.width for piece in self.pieces)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value that fits."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, ((1 << self.width) - 1) << self.shift

    def put(self, words: list[int], value: int) -> None:
        """Store ``value`` into ``words``; raises FieldError if it does not fit."""
        low, high = self.limits
        if not low <= value <= high:
            raise FieldError(
                f"{self.name} = {value} does not fit its {self.width} bits ({low} to {high})"
            )
        if value & ((1 << self.shift) - 1):
            raise FieldError(f"{self.name} = {value:#x} is not a multiple of {1 << self.shift}")
        rest = (value >> self.shift) & ((1 << self.width) - 1)
        for piece in self.pieces:
            words[piece.word] |= (rest & ((1 << piece.width) - 1)) << piece.low
            rest >>= piece.width

    def get(self, words: Sequence[int]) -> int:
        """The value found in ``words``."""
        value, at = 0, 0
        for piece in self.pieces:
            value |= ((words[piece.word] & piece.mask) >> piece.low) << at
            at += piece.width
        if self.signed and value >> (self.width - 1):
            value -= 1 << self.width
        return value << self.shift

    def where(self) -> str:
        """The bits for a reader, as in ``word 2 bits 31:27, word 15 bits 29:28``."""
        return ", ".join(
            f"word {p.word}"
            + (
                ""
                if p.width == 32
                else f" bit {p.low}"
                if p.width == 1
                else f" bits {p.low + p.width - 1}:{p.low}"
            )
            for p in self.pieces
        )


@dataclass(frozen=True)
class Layout:
    """A named block of 32-bit words and its fields, which must not overlap."""

    name: str
    size: int
    fields: Mapping[str, Field]

    @classmethod
    def of(cls, name: str, size: int, fields: Iterable[Field]) -> Layout:
        """Make a layout; FieldError if two fields share a bit or a name, or leave the block."""
        found: dict[str, Field] = {}
        taken = [0] * size
        for field in fields:
            if field.name in found:
                raise FieldError(f"{name}: field {field.name} is declared twice")
            for piece in field.pieces:
                if piece.word >= size:
                    raise FieldError(f"{name}: {field.name} lies in word {piece.word} of {size}")
                if taken[piece.word] & piece.mask:
                    raise FieldError(f"{name}: {field.name} overlaps in word {piece.word}")
                taken[piece.word] |= piece.mask
            found[field.name] = field
        return cls(name, size, found)

    def redeclare(self, name: str, *fields: Field) -> Layout:
        """A later generation's layout: ``fields`` replace those of the same name, or are new."""
        merged = {**self.fields, **{field.name: field for field in fields}}
        return Layout.of(name, self.size, merged.values())

    def encode(self, **values: int) -> list[int]:
        """The words with ``values`` stored and every other field at its default."""
        unknown = values.keys() - self.fields.keys()
        if unknown:
            raise FieldError(f"{self.name} has no field {', '.join(sorted(unknown))}")
        words = [0] * self.size
        for name, field in self.fields.items():
            value = values.get(name, field.default)
            if value:
                field.put(words, value)
        return words

    def decode(self, words: Sequence[int]) -> dict[str, int]:
        """Every field's value."""
        if len(words) != self.size:
            raise FieldError(f"{self.name} has {self.size} words, not {len(words)}")
        return {name: field.get(words) for name, field in self.fields.items()}

    def stray_bits(self, words: Sequence[int]) -> list[tuple[int, int]]:
        """(word, bits) that are set although no field is declared there."""
        declared = [0] * self.size
        for field in self.fields.values():
            for piece in field.pieces:
                declared[piece.word] |= piece.mask
        stray = ((i, w & ~declared[i]) for i, w in enumerate(words))
        return [(i, bits) for i, bits in stray if bits]

    def address_words(self) -> dict[str, Field]:
        """The fields that hold GPU addresses."""
        return {name: field for name, field in self.fields.items() if field.address}

    def with_defaults(self, **defaults: int) -> Layout:
        """The same layout with other default values."""
        changed = dict(self.fields)
        for name, value in defaults.items():
            old = changed[name]
            changed[name] = Field(
                name,
                *old.pieces,
                default=value,
                shift=old.shift,
                signed=old.signed,
                address=old.address,
                note=old.note,
            )
        return replace(self, fields=changed)
