"""Declared layouts encode and decode what they say, and refuse what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapilli.hw.bits import Field, FieldError, Layout, Piece, Words
from lapilli.hw.commands import (
    FLUSH_CACHE,
    INSTRUCTION_ADDRESS,
    LOAD_STATE,
    NN_CONFIG,
    PACKET,
    Opcode,
    Register,
)
from lapilli.hw.nn import NN_V7, NN_V8
from lapilli.hw.tp import TP

LAYOUTS = (NN_V7, NN_V8, TP, PACKET, LOAD_STATE, INSTRUCTION_ADDRESS, NN_CONFIG, FLUSH_CACHE)
EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
EVERY_FIELD = [
    pytest.param(field, id=f"{layout.name}-{field.name}")
    for layout in LAYOUTS
    for field in layout.fields.values()
]
w = Words()


def values_of(field: Field) -> st.SearchStrategy[int]:
    """Everything that fits, the ends more often."""
    low, high = field.limits
    stored = st.integers(low >> field.shift, high >> field.shift)
    ends = st.sampled_from([low >> field.shift, high >> field.shift])
    return st.one_of(stored, ends).map(lambda value: value << field.shift)


def declared_bits(layout: Layout) -> list[int]:
    bits = [0] * layout.size
    for field in layout.fields.values():
        for piece in field.pieces:
            bits[piece.word] |= piece.mask
    return bits


@EVERY_LAYOUT
@given(data=st.data())
def test_values_come_back(layout: Layout, data: st.DataObject) -> None:
    wanted = {name: data.draw(values_of(field), name) for name, field in layout.fields.items()}
    words = layout.encode(**wanted)
    assert len(words) == layout.size
    assert all(0 <= word < 1 << 32 for word in words)
    assert layout.decode(words) == wanted
    assert layout.stray_bits(words) == []


@EVERY_LAYOUT
@given(data=st.data())
def test_words_come_back(layout: Layout, data: st.DataObject) -> None:
    """Any declared bits are the encoding of what they decode to."""
    word = st.integers(0, (1 << 32) - 1)
    drawn = data.draw(st.lists(word, min_size=layout.size, max_size=layout.size))
    words = [value & bits for value, bits in zip(drawn, declared_bits(layout), strict=True)]
    assert layout.encode(**layout.decode(words)) == words
    stray = [(i, value ^ kept) for i, (value, kept) in enumerate(zip(drawn, words, strict=True))]
    assert layout.stray_bits(drawn) == [(i, bits) for i, bits in stray if bits]


@EVERY_LAYOUT
def test_left_out_fields_have_their_defaults(layout: Layout) -> None:
    found = layout.decode(layout.encode())
    assert found == {name: field.default for name, field in layout.fields.items()}
    assert layout.encode(**dict.fromkeys(layout.fields, 0)) == [0] * layout.size


@pytest.mark.parametrize("field", EVERY_FIELD)
def test_each_field_alone(field: Field) -> None:
    """Its ends are stored in its own bits, and one more does not fit."""
    low, high = field.limits
    for value in {low, high}:
        words = [0] * 34
        field.put(words, value)
        assert field.get(words) == value
        own = Layout.of("own", 34, [field])
        assert own.stray_bits(words) == []
    for value in (low - 1, high + (1 << field.shift)):
        with pytest.raises(FieldError) as caught:
            field.put([0] * 34, value)
        text = str(caught.value)
        assert field.name in text and str(value) in text and f"{field.width} bits" in text


@pytest.mark.parametrize("field", [p for p in EVERY_FIELD if p.values[0].shift])  # type: ignore[attr-defined]
def test_values_that_lose_bits_are_refused(field: Field) -> None:
    with pytest.raises(FieldError, match=rf"{field.name} = 0x1 is not a multiple of"):
        field.put([0] * 34, 1)


def test_text_of_a_value_that_does_not_fit() -> None:
    """Field, value, width and limits."""
    with pytest.raises(FieldError) as caught:
        NN_V7.encode(kernels_per_core=128)
    assert str(caught.value) == "kernels_per_core = 128 does not fit its 7 bits (0 to 127)"
    with pytest.raises(FieldError) as caught:
        NN_V7.encode(in_image_x_offset=-9)
    assert str(caught.value) == "in_image_x_offset = -9 does not fit its 4 bits (-8 to 7)"
    with pytest.raises(FieldError) as caught:
        NN_V7.encode(kernel_address=0x1020)
    assert str(caught.value) == "kernel_address = 0x1020 is not a multiple of 64"


def test_unknown_names_and_lengths_are_refused() -> None:
    with pytest.raises(
        FieldError, match=r"^NN instruction \(V7\) has no field kernel_size, speed$"
    ):
        NN_V7.encode(speed=1, kernel_size=3)
    with pytest.raises(FieldError, match=r"^TP instruction has 31 words, not 34$"):
        TP.decode([0] * 34)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([Field("a", w[0][3:0]), Field("b", w[0][7:3])], "block: b overlaps in word 0"),
        ([Field("a", w[0][3:0], w[1][0]), Field("b", w[1].all)], "block: b overlaps in word 1"),
        ([Field("a", w[0][1], w[0][2:1])], "block: a overlaps in word 0"),
        ([Field("a", w[0][0]), Field("a", w[1][0])], "block: field a is declared twice"),
        ([Field("a", w[2][0])], "block: a lies in word 2 of 2"),
    ],
)
def test_declarations_that_collide_are_refused(fields: list[Field], text: str) -> None:
    with pytest.raises(FieldError) as caught:
        Layout.of("block", 2, fields)
    assert str(caught.value) == text


@pytest.mark.parametrize("bits", [slice(32, 0), slice(3, 5), slice(0, -1)])
def test_bits_outside_a_word_are_refused(bits: Any) -> None:
    with pytest.raises(FieldError, match=r"are not inside 31:0$"):
        w[4][bits]


def test_a_split_field_is_stored_lowest_piece_first() -> None:
    field = Field("split", w[0][31:28], w[2][2:0], w[1][7])
    assert field.width == 8
    words = [0, 0, 0]
    field.put(words, 0b1_010_0110)
    assert words == [0b0110 << 28, 1 << 7, 0b010]
    assert field.where() == "word 0 bits 31:28, word 2 bits 2:0, word 1 bit 7"
    assert Field("all", w[5].all).where() == "word 5"


def test_a_shifted_field_leaves_its_low_bits_to_others() -> None:
    words = INSTRUCTION_ADDRESS.encode(address=0xFFFF_FE00, number=0x1F)
    assert words == [0xFFFF_FE1F]


def test_a_later_generation_redeclares_only_what_moved() -> None:
    old = Layout.of("old", 1, [Field("a", w[0][3:0]), Field("b", w[0][7:4], default=2)])
    new = old.redeclare("new", Field("a", w[0][3:0], w[0][9:8]), Field("c", w[0][31]))
    assert list(new.fields) == ["a", "b", "c"]
    assert new.encode(a=0x3F, c=1) == [0x8000_032F]
    assert old.encode(a=1) == [0x21]
    with pytest.raises(FieldError, match="overlaps"):
        old.redeclare("wrong", Field("a", w[0][4:0]))
    moved = {name for name, field in NN_V8.fields.items() if field is not NN_V7.fields[name]}
    assert moved == {
        "no_z_offset",
        "no_flush",
        "in_image_x_offset",
        "in_image_y_offset",
        "post_multiplier",
    }


def test_other_defaults_leave_the_layout_as_it_was() -> None:
    changed = NN_CONFIG.with_defaults(core_count=3)
    assert changed.encode() == [0x310]
    assert NN_CONFIG.encode() == [0x10]


def test_words_of_the_notes() -> None:
    """Packets and registers as the notes on the command stream print them."""
    assert LOAD_STATE.encode(address=Register.PS_NN_INST_ADDR, count=1) == [0x08010428]
    assert LOAD_STATE.encode(address=Register.PS_TP_INST_ADDR, count=1) == [0x0801042E]
    assert LOAD_STATE.encode(address=Register.GL_NN_CONFIG, count=1) == [0x08010E4C]
    assert LOAD_STATE.encode(address=Register.GL_UNK3950, count=1) == [0x08010E54]
    assert PACKET.encode(opcode=Opcode.STALL) == [0x48000000]
    assert PACKET.encode(opcode=Opcode.LINK, payload=7) == [0x40000007]
    assert FLUSH_CACHE.encode() == [0xC23]
    assert NN_CONFIG.encode() == [0x10]


def test_address_fields_are_marked() -> None:
    assert set(NN_V7.address_words()) == {
        "kernel_address",
        "in_image_address",
        "out_image_address",
    }
    assert {"in_image_base_address", "out_image_base_address"} <= set(TP.address_words())


def test_a_piece_is_its_mask() -> None:
    assert Piece(0, 4, 8).mask == 0xFF0
    assert w[3][11:4] == Piece(3, 4, 8)
    assert w[3][5] == Piece(3, 5, 1)
