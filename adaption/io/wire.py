"""Protobuf wire format: walk the fields of a message inside a buffer, without touching payloads.

Offsets are plain integers into the whole buffer, so nothing here ends at 2 GiB.
Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from adaption.errors import FileFormatError
from adaption.io.file_bytes import FileBytes
from adaption.later import np

__all__ = [
    "FIXED32",
    "FIXED64",
    "GROUP",
    "LENGTH",
    "VARINT",
    "Buffer",
    "Field",
    "WireError",
    "encode_field",
    "encode_tag",
    "encode_varint",
    "fixed_run_end",
    "read_field",
    "read_varint",
    "signed",
    "varints",
    "walk",
]

Buffer = bytes | memoryview | FileBytes

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
_DEEPEST_GROUP = 100  # protobuf's own recursion limit


class Field(NamedTuple):
    """One field: where it starts (tag), what it holds, where it ends."""

    number: int
    wire: int  # VARINT, FIXED64, LENGTH, GROUP or FIXED32
    at: int  # offset of the tag
    start: int  # offset of the payload
    end: int  # offset behind the payload
    value: int  # of a VARINT, unsigned; else 0


class WireError(FileFormatError):
    """Bytes that are not a protobuf message.

    `offset` is the byte at fault; `needed` the size the buffer would have to have, when the
    buffer just ends too early.
    """

    def __init__(self, offset: int, what: str, *, size: int, needed: int | None = None) -> None:
        if needed is None:
            fact = f"byte {offset}: {what}"
            fix = "the file is damaged or not of this kind; fetch or write it again"
        else:
            fact = (
                f"byte {offset}: the file is truncated: {size} bytes found, "
                f"at least {needed} expected ({what})"
            )
            fix = "the download or copy broke off; fetch the file again"
        super().__init__(fact, fix)
        self.offset = offset
        self.needed = needed


def walk(buffer: Buffer, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message in buffer[start:end], in file order.

    Raises: WireError where the bytes stop being a message.
    """
    stop = len(buffer) if end is None else end
    at = start
    while at < stop:
        field = read_field(buffer, at, stop)
        yield field
        at = field.end


def read_field(buffer: Buffer, at: int, end: int, depth: int = 0) -> Field:
    """The field whose tag is at `at`, in a message that ends at `end`; `depth` counts groups."""
    tag, start = read_varint(buffer, at, end)
    number, wire = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise WireError(at, f"field number {number} cannot be", size=len(buffer))
    if wire == VARINT:
        value, stop = read_varint(buffer, start, end)
        return Field(number, wire, at, start, stop, value)
    if wire == LENGTH:
        length, start = read_varint(buffer, start, end)
        stop = start + length
    elif wire == FIXED32:
        stop = start + 4
    elif wire == FIXED64:
        stop = start + 8
    elif wire == GROUP:
        stop = _group_end(buffer, number, start, end, depth)
    else:
        raise WireError(at, f"wire type {wire} cannot be here", size=len(buffer))
    if stop > end:
        what = f"field {number} holds {stop - start} bytes"
        raise _runs_out(buffer, at, stop, end, what)
    return Field(number, wire, at, start, stop, 0)


def read_varint(buffer: Buffer, at: int, end: int) -> tuple[int, int]:
    """The unsigned number at `at` and the offset behind it."""
    value = 0
    for i in range(10):
        if at + i >= end:
            raise _runs_out(buffer, at, at + i + 1, end, "a number is cut off")
        byte = buffer[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + i + 1
    raise WireError(at, "a number is longer than 10 bytes", size=len(buffer))


def varints(buffer: Buffer, field: Field) -> list[int]:
    """The numbers of one occurrence of a repeated integer field, packed or not."""
    if field.wire == VARINT:
        return [field.value]
    values = []
    at = field.start
    while field.wire == LENGTH and at < field.end:
        value, at = read_varint(buffer, at, field.end)
        values.append(value)
    return values


def signed(value: int) -> int:
    """An int32 or int64 as the wire carries it (two's complement in 64 bits)."""
    return value - (1 << 64) if value >= 1 << 63 else value


def fixed_run_end(buffer: Buffer, field: Field, end: int) -> int:
    """Where the run of FIXED32 or FIXED64 fields that begins with `field` ends.

    An unpacked `repeated float` is one tagged field per value; a run of equal one-byte tags
    is measured with numpy instead of field by field.
    """
    step = field.end - field.at
    if field.start - field.at != 1:
        return field.end
    tag = buffer[field.at]
    at = field.end
    while at + step <= end:
        count = min((end - at) // step, 1 << 20)
        if isinstance(buffer, FileBytes):
            raw = buffer.array(np.uint8, count * step, at)
        else:
            raw = np.frombuffer(buffer, np.uint8, count * step, at)
        other = np.flatnonzero(raw[::step] != tag)
        if other.size:
            return at + int(other[0]) * step
        at += count * step
    return at


def encode_varint(value: int) -> bytes:
    """`value` (0 <= value, or a negative int64) as a varint."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_tag(number: int, wire: int) -> bytes:
    return encode_varint(number << 3 | wire)


def encode_field(number: int, value: int | bytes) -> bytes:
    """A whole field: an integer as VARINT, bytes as LENGTH."""
    if isinstance(value, int):
        return encode_tag(number, VARINT) + encode_varint(value)
    return encode_tag(number, LENGTH) + encode_varint(len(value)) + value


def _group_end(buffer: Buffer, number: int, at: int, end: int, depth: int) -> int:
    if depth > _DEEPEST_GROUP:
        raise WireError(at, "groups nest too deep", size=len(buffer))
    closing = number << 3 | GROUP_END
    while True:
        tag, behind = read_varint(buffer, at, end)
        if tag == closing:
            return behind
        at = read_field(buffer, at, end, depth + 1).end


def _runs_out(buffer: Buffer, at: int, needed: int, end: int, what: str) -> WireError:
    """Past the end of the buffer the file is truncated, past the end of a message damaged."""
    size = len(buffer)
    if end == size:
        return WireError(at, what, size=size, needed=needed)
    return WireError(at, f"{what}, its message ends at byte {end}", size=size)
