"""Damage: of bytes, of text, of JSON values, of protobuf messages."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Sequence
from typing import Any

from adaption.io import wire

__all__ = ["damage", "damage_json", "damage_message", "damage_text"]

NUMBERS = [0, 1, -1, 2, 7, 127, 128, 255, 256, 65535, 1 << 16, 2**31 - 1, 2**31, 2**32 - 1]
NUMBERS += [2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**63)]
WORDS = ["0", "-1", "1e999", "nan", "inf", "-inf", "9" * 400, "99999999999999999999", "0x7fffffff"]
WORDS += ['"', "'", "{", "}", "<", ">", "[", "]", ":", ",", "#", "\\", "\\000", "\n", "\t", "\0"]
WORDS += [
    "true",
    "layer",
    "layers",
    "name",
    "type",
    "dim",
    "\x1b[2J",
    "\u202e",
    "\ufeff",
    "é",
    "x" * 300,
]


def damage(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Some bytes changed, cut, doubled, or taken from another file."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 8))):
        if not data:
            data = bytearray(draw.randbytes(draw.randrange(1, 40)))
        at = draw.randrange(len(data))
        match draw.randrange(9):
            case 0:
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                data[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + draw.choice((1, 2, 4, 8, 64, 1000))]
            case 4:
                data[at:at] = draw.randbytes(draw.choice((1, 2, 4, 8, 64)))
            case 5:
                data[at:at] = data[at : at + draw.choice((1, 8, 64, 1000))]
            case 6:
                width, form = draw.choice(((2, "H"), (4, "I"), (8, "Q")))
                order, number = draw.choice("<>"), draw.choice(NUMBERS)
                data[at : at + width] = struct.pack(order + form, number % (1 << 8 * width))
            case 7:
                stop = min(len(data), at + draw.choice((4, 64, 1000)))
                data[at:stop] = bytes(stop - at)
            case _:
                if others:
                    other = draw.choice(others)
                    start = draw.randrange(len(other) + 1)
                    data[at:] = other[start : start + draw.choice((16, 200, 5000, 10**6))]
    return bytes(data)


def damage_text(draw: random.Random, text: str, others: Sequence[str] = ()) -> str:
    """Words, numbers and lines changed; now and then any byte."""
    for _ in range(draw.choice((1, 1, 2, 3, 6))):
        match draw.randrange(7):
            case 0:
                text = damage(draw, text.encode("utf-8", "replace")).decode("utf-8", "replace")
            case 1 | 2:
                parts = text.split(" ")
                parts[draw.randrange(len(parts))] = draw.choice(WORDS)
                text = " ".join(parts)
            case 3:
                at = draw.randrange(len(text) + 1)
                text = text[:at] + draw.choice(WORDS) + text[at:]
            case 4:
                lines = text.split("\n")
                line = lines.pop(draw.randrange(len(lines)))
                for _ in range(draw.choice((0, 1, 2))):
                    lines.insert(draw.randrange(len(lines) + 1), line)
                text = "\n".join(lines)
            case 5:
                start = draw.randrange(len(text) + 1)
                text = text[:start] + text[start + draw.choice((1, 5, 50, 500)) :]
            case _:
                if others:
                    text += draw.choice(others)
    return text


def damage_json(draw: random.Random, text: str) -> str:
    """One value of a JSON text of another type or size, missing, or double; or as any text."""
    if draw.random() < 0.15:
        return damage_text(draw, text)
    value = json.loads(text)
    for _ in range(draw.choice((1, 1, 1, 2))):
        place = _place(draw, value)
        if place is None:
            break
        holder, key = place
        match draw.randrange(6):
            case 0:
                del holder[key]
            case 1:
                if (source := _place(draw, value)) is None:
                    continue
                other, name = source
                holder[key] = other[name]
            case _:
                holder[key] = _odd(draw, holder[key])
        # What was moved may now hold itself.
        try:
            json.dumps(value)
        except (ValueError, RecursionError):
            return "[" * draw.choice((10, 5000, 200_000))
    return json.dumps(value)


def _place(draw: random.Random, value: Any) -> tuple[Any, Any] | None:
    """A dict or list within a value, and a key or index of it; None where there is none.

    Drawn level by level: a list of thousands of counts is no likelier than the field beside it.
    """
    place = None
    while isinstance(value, dict | list) and value and (place is None or draw.random() < 0.8):
        holder = value
        key = draw.choice(list(holder)) if isinstance(holder, dict) else draw.randrange(len(holder))
        place, value = (holder, key), holder[key]
    return place


def _odd(draw: random.Random, old: Any) -> Any:
    choices: list[Any] = [None, True, False, "", "x", "9" * 20, [], {}, [[]], {"a": 1}, "\x1b[31m"]
    choices += [float("nan"), float("inf"), -1, 0, 1, 0.5, 1e308, 10**30, -(10**30), 10**400, 2**63]
    if isinstance(old, str):
        choices += [old + "x", old[:-1], old * 2, damage_text(draw, old or "x")] * 3
    elif isinstance(old, int | float) and not isinstance(old, bool):
        choices += [-old, old * 2, old + 1, old // 3, old * 10**9] * 3
    elif isinstance(old, list):
        choices += [old * 2, old[:-1], old[::-1]] * 3
    return draw.choice(choices)


def damage_message(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A protobuf message with one field, somewhere inside, changed; lengths around it fit again."""
    if draw.random() < 0.4:
        return damage(draw, content, others)
    try:
        return _inside(draw, content, 0)
    except wire.WireError:
        return damage(draw, content, others)


def _inside(draw: random.Random, message: bytes, depth: int) -> bytes:
    fields = list(wire.walk(message))
    if not fields:
        return wire.encode_field(draw.randrange(1, 20), draw.randbytes(3))
    index = draw.randrange(len(fields))
    field = fields[index]
    raw = message[field.at : field.end]
    payload = message[field.start : field.end]
    roll = draw.random()
    if field.wire == wire.LENGTH and depth < 6 and roll < 0.6:
        try:
            raw = wire.encode_field(field.number, _inside(draw, payload, depth + 1))
        except wire.WireError:
            raw = wire.encode_field(field.number, damage(draw, payload))
    elif field.wire == wire.VARINT and roll < 0.6:
        raw = wire.encode_field(field.number, draw.choice(NUMBERS))
    elif roll < 0.7:
        raw = b""
    elif roll < 0.8:
        raw += raw
    elif roll < 0.9:  # another number or type of field
        tag = wire.encode_tag(draw.choice((field.number, *range(1, 20))), draw.randrange(8))
        raw = tag + message[field.start : field.end]
    elif field.wire == wire.LENGTH:  # a length that does not fit
        raw = (
            wire.encode_tag(field.number, wire.LENGTH)
            + wire.encode_varint(draw.choice((0, len(payload) + 1, 2**31, 2**63)))
            + payload
        )
    before = message[: field.at]
    return before + raw + message[field.end :]
