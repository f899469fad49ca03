"""wire.py against protobuf's own encoding."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaption.errors import FileFormatError
from adaption.io import wire


@given(st.integers(0, 2**64 - 1))
def test_varint_round_trip(value: int) -> None:
    raw = wire.encode_varint(value)
    assert wire.read_varint(raw + b"\x7f", 0, len(raw) + 1) == (value, len(raw))


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_round_trip(value: int) -> None:
    raw = wire.encode_varint(value)
    assert wire.signed(wire.read_varint(raw, 0, len(raw))[0]) == value


def test_walk_names_every_kind_of_field() -> None:
    group = b"\x1b" + wire.encode_field(1, 5) + b"\x23\x24" + b"\x1c"  # 3: group, 4: group in it
    message = (
        wire.encode_field(1, 300)
        + wire.encode_field(2, b"abc")
        + group
        + wire.encode_tag(5, wire.FIXED32)
        + struct.pack("<f", 1.5)
        + wire.encode_tag(600, wire.FIXED64)
        + struct.pack("<d", 2.5)
    )
    fields = list(wire.walk(b"\0\0" + message, 2))
    assert [(f.number, f.wire, f.value) for f in fields] == [
        (1, wire.VARINT, 300),
        (2, wire.LENGTH, 0),
        (3, wire.GROUP, 0),
        (5, wire.FIXED32, 0),
        (600, wire.FIXED64, 0),
    ]
    assert fields[0].at == 2
    assert all(f.end == g.at for f, g in itertools.pairwise(fields))
    assert fields[-1].end == 2 + len(message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(
            wire.encode_field(100, b"x" * 90)[:40],
            "byte 0: the file is truncated: 40 bytes found, at least 93 expected "
            "(field 100 holds 90 bytes)\n"
            "  fix: the download or copy broke off; fetch the file again",
            id="length",
        ),
        pytest.param(
            b"\x08\xff",
            "byte 1: the file is truncated: 2 bytes found, at least 3 expected "
            "(a number is cut off)\n"
            "  fix: the download or copy broke off; fetch the file again",
            id="varint",
        ),
        pytest.param(
            b"\x0f",
            "byte 0: wire type 7 cannot be here\n"
            "  fix: the file is damaged or not of this kind; fetch or write it again",
            id="wire type",
        ),
        pytest.param(
            b"\x00\x01",
            "byte 0: field number 0 cannot be\n"
            "  fix: the file is damaged or not of this kind; fetch or write it again",
            id="field 0",
        ),
        pytest.param(
            b"\x08" + b"\xff" * 11,
            "byte 1: a number is longer than 10 bytes\n"
            "  fix: the file is damaged or not of this kind; fetch or write it again",
            id="long varint",
        ),
        pytest.param(
            b"\x0c",
            "byte 0: wire type 4 cannot be here\n"
            "  fix: the file is damaged or not of this kind; fetch or write it again",
            id="group end without a group",
        ),
    ],
)
def test_errors(raw: bytes, message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        list(wire.walk(raw))
    assert str(caught.value) == message


def test_field_past_the_end_of_its_message_is_damage_not_truncation() -> None:
    with pytest.raises(wire.WireError) as caught:
        list(wire.walk(wire.encode_field(1, b"abcd"), 0, 4))
    assert caught.value.fact == "byte 0: field 1 holds 4 bytes, its message ends at byte 4"
    assert caught.value.needed is None


def test_groups_do_not_exhaust_the_stack() -> None:
    with pytest.raises(wire.WireError, match="groups nest too deep"):
        list(wire.walk(b"\x0b" * 100_000))


@given(st.binary(max_size=200))
def test_any_bytes_walk_or_raise_a_wire_error(raw: bytes) -> None:
    try:
        fields = list(wire.walk(raw))
    except wire.WireError as error:
        assert 0 <= error.offset <= len(raw)
    else:
        assert sum(f.end - f.at for f in fields) == len(raw)


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_fixed_run_end(count: int) -> None:
    unpacked = np.zeros(count, dtype=[("tag", "u1"), ("value", "<f4")])
    unpacked["tag"] = 0x2D
    raw = unpacked.tobytes()
    field = wire.read_field(raw, 0, len(raw))
    assert wire.fixed_run_end(raw, field, len(raw)) == len(raw)
    more = raw + wire.encode_field(1, 7)
    assert wire.fixed_run_end(more, field, len(more)) == len(raw)


def test_varints_packed_and_not() -> None:
    packed = wire.encode_field(1, b"\x01\xac\x02")
    plain = wire.encode_field(1, 300)
    assert wire.varints(packed, wire.read_field(packed, 0, len(packed))) == [1, 300]
    assert wire.varints(plain, wire.read_field(plain, 0, len(plain))) == [300]
