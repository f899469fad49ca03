"""Edits of a prototxt tree that leave every other byte alone.

Between two tokens lies a gap (spaces, line ends, comments), kept as the `lead` of the entry after
it or the `close_lead` of the block. An edit splits one gap in two, or joins two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from adaption.errors import UsageError
from adaption.io.prototxt_syntax import parse_block, parse_value
from adaption.io.prototxt_tree import Block, Entry, Field, FieldList

__all__ = ["EDITOR", "TextEditor"]


class TextEditor:
    """Implements prototxt_tree.Editor."""

    def index_of(self, block: Block, field: Field) -> int:
        """Index of the entry of a block that holds a field. Raises: UsageError."""
        entry: Entry = field.parent if isinstance(field.parent, FieldList) else field
        if entry.parent is not block:
            raise UsageError(
                f"field {field.name!r} is not in this block", "it may have been removed"
            )
        return next(i for i, e in enumerate(block.entries) if e is entry)

    def set_value(self, field: Field, text: str) -> None:
        """See Field.set."""
        _root(field)
        value = parse_value(text, self, (field.line, field.column))
        if isinstance(value, Block):
            value.parent = field
            _reindent(value, _line_indent(field), _unit(field), _newline(field))
        elif field.label and ":" not in field.label:
            field.label = f"{field.name}: "
        field.value = value
        if isinstance(field.parent, Block) and not field.tail:
            index = self.index_of(field.parent, field) + 1
            if index < len(field.parent.entries) and not _gap(field.parent, index):
                _set_gap(field.parent, index, " ")  # `a:"x"b:1` may not become `a:3b:1`

    def remove(self, field: Field) -> None:
        """See Field.remove."""
        parent = field.parent
        if parent is None:
            raise UsageError(f"field {field.name!r} is removed already")
        if isinstance(parent, FieldList):
            if len(parent.items) > 1:
                _remove_item(parent, field)
                field.parent = None
                return
            entry: Entry = parent
            assert isinstance(parent.parent, Block)
            block = parent.parent
        else:
            entry, block = field, parent
        index = next(i for i, e in enumerate(block.entries) if e is entry)
        joined = _joined_gap(block, index)
        del block.entries[index]
        entry.parent = field.parent = None
        _set_gap(block, index, joined)

    def insert(self, block: Block, index: int, text: str, *, after: bool = False) -> None:
        """Insert the fields of `text` before entry `index`.

        Args:
            after: the place is meant as "after the entry before it", which decides to which of the
                two the comments in between belong.
        Raises: ParseError when `text` does not parse.
        """
        owner = block.parent
        anchor: Entry | Block = block.entries[index - 1] if index else owner or block
        place = (anchor.line, anchor.column)
        new = parse_block(text.strip(), self, "<inserted text>", place)
        newline = _newline(block)
        indent = _indent_at(block, index)
        same_line = _stays_on_line(block, index)
        if same_line and not _has_comment(new):
            before, behind = _split_on_line(block, index)
            _flatten(new)
        else:
            before, behind = _split_lines(block, index, indent, newline, after and not same_line)
            _reindent(new, indent, _unit(block), newline, root=True)
            if new.close_lead:  # a comment at the end of the text
                new.close_lead = new.close_lead.rstrip()
                if "\n" not in behind:
                    behind = newline + (
                        indent if index < len(block.entries) else _close_indent(block)
                    )
        following = new.close_lead + behind
        for entry in new.entries:
            entry.parent = block
        if new.entries:
            new.entries[0].lead = before + new.entries[0].lead
        else:
            following = before + following
        block.entries[index:index] = new.entries
        _set_gap(block, index + len(new.entries), following)


EDITOR = TextEditor()  # it keeps nothing: one serves all trees


def _gap(block: Block, index: int) -> str:
    return block.entries[index].lead if index < len(block.entries) else block.close_lead


def _set_gap(block: Block, index: int, gap: str) -> None:
    if index < len(block.entries):
        block.entries[index].lead = gap
    else:
        block.close_lead = gap


def _remove_item(owner: FieldList, item: Field) -> None:
    index = next(i for i, e in enumerate(owner.items) if e is item)
    if index + 1 < len(owner.items):
        owner.items[index + 1].lead = item.lead
    else:
        owner.items[index - 1].tail = ""
    del owner.items[index]


def _joined_gap(block: Block, index: int) -> str:
    """What stays of the gaps on both sides of an entry that goes."""
    before, behind = _gap(block, index), _gap(block, index + 1)
    at_file_start = index == 0 and not block.close
    last = index + 1 == len(block.entries)
    at_file_end = last and not block.close
    starts_line = "\n" in before or at_file_start
    if starts_line and ("\n" in behind or at_file_end):
        kept = behind.partition("\n")[2]
        return before[: before.rfind("\n") + 1] + kept
    if starts_line and last:
        kept = before[: before.rfind("\n")].removesuffix("\r")  # the brace moves up a line
        return before if "#" in kept.rpartition("\n")[2] else kept + behind
    if starts_line:
        return before
    if "\n" in behind or last:
        return behind
    return behind or before


def _starts_line(entry: Entry) -> bool:
    block = entry.parent
    first = isinstance(block, Block) and not block.close and block.entries[0] is entry
    return first or "\n" in entry.lead


def _indent_of(entry: Entry) -> str:
    """Indentation of an entry that starts its line."""
    return entry.lead[entry.lead.rfind("\n") + 1 :]


def _line_indent(entry: Entry | None) -> str:
    """Indentation of the line on which an entry starts."""
    while entry is not None:
        if _starts_line(entry):
            return _indent_of(entry)
        above = entry.parent
        siblings: list[Entry] = []
        if isinstance(above, FieldList):
            siblings = list(above.items)
        elif isinstance(above, Block):
            siblings = above.entries
        index = next((i for i, e in enumerate(siblings) if e is entry), 0)
        if index:
            entry = siblings[index - 1]
        else:
            entry = above.parent if isinstance(above, Block) else above
    return ""


def _close_indent(block: Block) -> str:
    return _line_indent(block.parent)


def _indent_at(block: Block, index: int) -> str:
    """Indentation for an entry put at this place on a line of its own: that of a neighbour, else
    one unit more than the block's own."""
    for entry in [*block.entries[:index][::-1], *block.entries[index:]]:
        if _starts_line(entry):
            return _indent_of(entry)
    return _line_indent(block.parent) + _unit(block) if block.close else ""


def _stays_on_line(block: Block, index: int) -> bool:
    """Whether new entries go on the line of their neighbours."""
    if block.close and not any("\n" in piece for piece in block.pieces()):
        return True
    if index == len(block.entries) or (index == 0 and not block.close):
        return False
    return "\n" not in block.entries[index].lead


def _split_on_line(block: Block, index: int) -> tuple[str, str]:
    gap = _gap(block, index)
    if index == 0:
        return (gap or " ", " ") if not block.entries else (gap, " ")
    return " ", (gap if index == len(block.entries) else gap or " ")


def _split_lines(
    block: Block, index: int, indent: str, newline: str, after: bool
) -> tuple[str, str]:
    """The gap before and behind entries that get lines of their own."""
    gap = _gap(block, index)
    at_end = index == len(block.entries)
    at_file_start = index == 0 and not block.close
    if "\n" not in gap:
        if not at_end:
            return (indent, newline + gap) if at_file_start else (newline + indent,) * 2
        if block.close:
            one_line = not any("\n" in piece for piece in block.pieces())
            close = newline + _close_indent(block) if one_line else gap
            return newline + indent, close
        return (gap + newline + indent, "") if block.entries or gap else (indent, newline)
    if after:
        cut = gap.index("\n")
        cut -= gap[:cut].endswith("\r")
        return gap[:cut] + newline + indent, gap[cut:]
    cut = gap.rfind("\n") + 1
    if at_end and gap[cut:].strip():  # the file ends in a comment without a line end
        return gap + newline + indent, ""
    if not at_end:
        cut = _comments_above(gap, cut, at_file_start)
    return gap[:cut] + indent, newline + gap[cut:]


def _comments_above(gap: str, cut: int, at_file_start: bool) -> int:
    """Start of the comment lines that end right above offset `cut`."""
    while cut:
        start = gap.rfind("\n", 0, cut - 1) + 1
        is_own_line = start > 0 or at_file_start
        if not is_own_line or not gap[start:cut].strip():
            break
        cut = start
    return cut


def _leads(block: Block) -> Iterator[str]:
    for entry in block.entries:
        yield entry.lead
        if isinstance(entry, FieldList):
            yield entry.close_lead
            yield from (item.lead for item in entry.items)
        for field in entry.fields():
            yield field.label + field.tail
            if isinstance(field.value, Block):
                yield from _leads(field.value)
            elif "\n" in field.value.text:
                yield field.value.text
    yield block.close_lead


def _has_comment(block: Block) -> bool:
    """Also true where a string goes over several lines: neither can go on one line."""
    return any("#" in lead for lead in _leads(block))


def _flatten(block: Block) -> None:
    """Put a block without comments on one line."""
    for entry in block.entries:
        entry.lead = _on_line(entry.lead)
        if isinstance(entry, FieldList):
            entry.close_lead = _on_line(entry.close_lead)
            for item in entry.items:
                item.lead = _on_line(item.lead)
        for field in entry.fields():
            field.label = _on_line(field.label)
            if isinstance(field.value, Block):
                _flatten(field.value)
            else:
                field.value.text = _on_line(field.value.text)
    block.close_lead = _on_line(block.close_lead)


def _on_line(gap: str) -> str:
    return " ".join(part.strip() for part in gap.split("\n")) if "\n" in gap else gap


def _reindent(block: Block, base: str, unit: str, newline: str, root: bool = False) -> None:
    """Give every line of a block the indentation of its depth; `base` is that of its first."""
    inner = base if root else base + unit
    for entry in block.entries:
        entry.lead = _relead(entry.lead, inner, inner, newline)
        if isinstance(entry, FieldList):
            entry.close_lead = _relead(entry.close_lead, inner + unit, inner, newline)
            for item in entry.items:
                item.lead = _relead(item.lead, inner + unit, inner + unit, newline)
        for field in entry.fields():
            field.label = _relead(field.label, inner, inner, newline)
            if isinstance(field.value, Block):
                _reindent(field.value, inner, unit, newline)
            elif "\n" in field.value.text:
                text = _relead(field.value.text, inner + unit, inner + unit, newline)
                field.value.text = text
    block.close_lead = _relead(block.close_lead, inner, base, newline)


def _relead(gap: str, indent: str, last: str, newline: str) -> str:
    """Indent the lines of a gap after its first; `last` is the indentation of the last one."""
    if "\n" not in gap:
        return gap
    first, *middle, end = (line.strip(" \t\r") for line in gap.split("\n"))
    head = gap[: len(gap) - len(gap.lstrip(" \t"))] + first if first else ""
    lines = [head, *(indent + line if line else "" for line in middle), last + end]
    return newline.join(lines)


def _root(node: Block | Entry) -> Block:
    while node.parent is not None:
        node = node.parent
    if isinstance(node, Block):
        return node
    raise UsageError(f"field {node.name!r} is removed already")


def _newline(node: Block | Entry) -> str:
    """The line end of the file."""
    for piece in _root(node).pieces():
        if "\n" in piece:
            return "\r\n" if piece[: piece.index("\n")].endswith("\r") else "\n"
    return "\n"


def _unit(node: Block | Entry) -> str:
    """The indentation of one depth in the file: the most frequent one, two spaces when unknown."""
    steps: Counter[str] = Counter()
    blocks = [_root(node)]
    while blocks and steps.total() < 40:
        block = blocks.pop()
        for field in block.fields:
            if not isinstance(field.value, Block) or not field.value.entries:
                continue
            if steps.total() >= 40:  # enough to tell
                break
            blocks.append(field.value)
            outer, child = _line_indent(field), field.value.entries[0]
            if _starts_line(child) and _indent_of(child).startswith(outer):
                steps[_indent_of(child)[len(outer) :]] += 1
    del steps[""]
    return steps.most_common(1)[0][0] if steps else "  "
