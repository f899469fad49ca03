"""Edits: the text before and after; every byte that is not meant stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaption.errors import ParseError, UsageError
from adaption.io.prototxt import Block, Field, parse

Edit = Callable[[Block], None]


def at(root: Block, path: str) -> Field:
    """`a.b#1`: the second b in the first a."""
    names = path.split(".")
    for depth, step in enumerate(names):
        name, _, index = step.partition("#")
        field = root.all(name)[int(index or 0)]
        if depth + 1 < len(names):
            root = field.block
    return field


def put(path: str, text: str) -> Edit:
    return lambda root: at(root, path).set(text)


def remove(path: str) -> Edit:
    return lambda root: at(root, path).remove()


def append(path: str, text: str) -> Edit:
    return lambda root: (at(root, path).block if path else root).append(text)


def _holder(root: Block, path: str) -> Block:
    outer = path.rpartition(".")[0]
    return at(root, outer).block if outer else root


def before(path: str, text: str) -> Edit:
    return lambda root: _holder(root, path).insert_before(at(root, path), text)


def after(path: str, text: str) -> Edit:
    return lambda root: _holder(root, path).insert_after(at(root, path), text)


LAYER = 'layer {\n  name: "a"  # first\n  type: "ReLU"\n}\n'
LINE = 'layer { name: "a" type: "ReLU" }\nq { }\n'
TABS = "layer {\r\n\tp {\r\n\t\tx: 1\r\n\t}\r\n}"
TAIL = 'layer { name: "a"\n        type: "b" }'
NOTES = "a: 1 # c\n\n# on b\n# more\nb: 2\n# end\n"

EDITS = [
    # set
    ("value", LAYER, put("layer.type", '"TanH"'), LAYER.replace("ReLU", "TanH")),
    ("value keeps comment", "a : 1 # c\n", put("a", "-2"), "a : -2 # c\n"),
    ("item", "a { d: [1, 2] }", put("a.d#1", "7"), "a { d: [1, 7] }"),
    ("block to scalar", "a { b: 1 }\n", put("a", "3"), "a: 3\n"),
    (
        "scalar to block",
        "q {\n  a: 1\n}",
        put("q.a", "{\nb: 1\n}"),
        "q {\n  a: {\n    b: 1\n  }\n}",
    ),
    ("block to block", "a { b: 1 }\n", put("a", "{ c: 2 }"), "a { c: 2 }\n"),
    ("no gap behind", 'a:1 b:"x"c:2', put("b", "3"), "a:1 b:3 c:2"),
    # remove
    ("line with comment", LAYER, remove("layer.name"), 'layer {\n  type: "ReLU"\n}\n'),
    ("whole block", "a: 1\n" + LAYER + "b: 1\n", remove("layer"), "a: 1\nb: 1\n"),
    ("first line", "a: 1\nb: 2\n", remove("a"), "b: 2\n"),
    ("first after header", "# h\na: 1\nb: 2\n", remove("a"), "# h\nb: 2\n"),
    ("last without line end", "a: 1\nb: 2", remove("b"), "a: 1\n"),
    ("comments above stay", NOTES, remove("b"), "a: 1 # c\n\n# on b\n# more\n# end\n"),
    ("first on a line", LINE, remove("layer.name"), 'layer { type: "ReLU" }\nq { }\n'),
    ("last on a line", LINE, remove("layer.type"), 'layer { name: "a" }\nq { }\n'),
    ("only one", "a { b: 1 }", remove("a.b"), "a { }"),
    ("before a comment", "a: 1 b: 2 # c\n", remove("b"), "a: 1 # c\n"),
    ("start of a shared line", "q: 1\n  a: 1 b: 2\n", remove("a"), "q: 1\n  b: 2\n"),
    ("without gaps", 'a:1 b:"x"c:2', remove("b"), "a:1 c:2"),
    ("brace moves up", TAIL, remove("layer.type"), 'layer { name: "a" }'),
    ("brace after comment", "a { b: 1 # c\n  d: 2 }", remove("a.d"), "a { b: 1 # c\n  }"),
    ("separator goes too", "a: 1, b: 2, c: 3", remove("b"), "a: 1, c: 3"),
    ("first item", "a { d: [1, 2, 3] }", remove("a.d#0"), "a { d: [2, 3] }"),
    ("last item", "a { d: [1, 2, 3] }", remove("a.d#2"), "a { d: [1, 2] }"),
    ("only item", "a { d: [1] }", remove("a.d"), "a { }"),
    ("CRLF", TABS, remove("layer.p.x"), "layer {\r\n\tp {\r\n\t}\r\n}"),
    # append
    ("to lines", LAYER, append("layer", 'top: "x"'), LAYER[:-2] + '  top: "x"\n}\n'),
    ("to one line", LINE, append("layer", "x: 1"), LINE.replace(' "ReLU" }', ' "ReLU" x: 1 }')),
    ("to empty", LINE, append("q", "x: 1"), LINE.replace("q { }", "q { x: 1 }")),
    ("to {}", "q {}", append("q", "x: 1"), "q { x: 1 }"),
    ("to empty lines", "q {\n}\n", append("q", "x: 1"), "q {\n  x: 1\n}\n"),
    ("to tight line", "q {a: 1}", append("q", "x: 1"), "q {a: 1 x: 1}"),
    (
        "lines go on one line",
        LINE,
        append("layer", "p {\n  bd: 1\n  ad: 2\n}"),
        LINE.replace(' "ReLU"', ' "ReLU" p { bd: 1 ad: 2 }'),
    ),
    (
        "a comment breaks the line",
        LINE,
        append("layer", "x: 1 # c"),
        'layer { name: "a" type: "ReLU"\n  x: 1 # c\n}\nq { }\n',
    ),
    (
        "lines are indented anew",
        LAYER,
        append("layer", "p {\nx: 1 # c\n# d\n      y {\n z: 1\n}\n\n}"),
        LAYER[:-2] + "  p {\n    x: 1 # c\n    # d\n    y {\n      z: 1\n    }\n\n  }\n}\n",
    ),
    (
        "unit and line ends of the file",
        TABS,
        append("layer", "q {\n  y: 2\n}"),
        TABS[:-1] + "\tq {\r\n\t\ty: 2\r\n\t}\r\n}",
    ),
    ("to file", "a: 1\n", append("", "b: 2"), "a: 1\nb: 2\n"),
    ("to file without line end", "a: 1", append("", "b: 2"), "a: 1\nb: 2"),
    ("to file ending in comment", "a: 1 # c", append("", "b: 2"), "a: 1 # c\nb: 2"),
    ("to empty file", "", append("", "b: 2"), "b: 2\n"),
    ("to file of comments", "# c\n", append("", "b: 2"), "# c\nb: 2\n"),
    ("brace on the last line", TAIL, append("layer", "x: 1"), TAIL[:-2] + "\n        x: 1 }"),
    # insert
    ("before line", LAYER, before("layer.name", "x: 1"), LAYER.replace("  name", "  x: 1\n  name")),
    ("after line", LAYER, after("layer.name", "x: 1"), LAYER.replace("  type", "  x: 1\n  type")),
    ("after last line", LAYER, after("layer.type", "x: 1"), LAYER[:-2] + "  x: 1\n}\n"),
    ("before in line", LINE, before("layer.name", "x: 1"), LINE.replace("name", "x: 1 name")),
    ("inside line", LINE, after("layer.name", "x: 1"), LINE.replace("type", "x: 1 type")),
    (
        "after line block",
        LINE,
        after("layer", "x {\ny: 1\n}"),
        LINE[:33] + "x {\n  y: 1\n}\nq { }\n",
    ),
    ("comments above stay with b", NOTES, before("b", "x: 1"), NOTES.replace("# on", "x: 1\n# on")),
    ("comment behind stays with a", NOTES, after("a", "x: 1"), NOTES.replace("c\n", "c\nx: 1\n")),
    ("before end comments", NOTES, after("b", "x: 1"), NOTES.replace("2\n", "2\nx: 1\n")),
    ("only a comment", "a: 1\nb: 2\n", after("a", "# c"), "a: 1\n# c\nb: 2\n"),
    ("comment at end", "a: 1\nb: 2\n", after("a", "x: 1 # c"), "a: 1\nx: 1 # c\nb: 2\n"),
    ("before first", "\ufeffa: 1\n", before("a", "x: 1"), "\ufeffx: 1\na: 1\n"),
    ("after a list", "a { d: [1, 2] }", after("a.d", "x: 1"), "a { d: [1, 2] x: 1 }"),
    ("several", "a: 1\n", after("a", "x: 1\ny { }"), "a: 1\nx: 1\ny { }\n"),
]


@pytest.mark.parametrize(
    ("text", "edit", "want"), [pytest.param(*case[1:], id=case[0]) for case in EDITS]
)
def test_edit(text: str, edit: Edit, want: str) -> None:
    document = parse(text)
    edit(document.root)
    assert document.text() == want


def test_edits_on_one_tree_add_up() -> None:
    document = parse(LAYER)
    layer = at(document.root, "layer")
    name, kind = layer.block.fields
    layer.block.insert_after(name, 'bottom: "x"')
    kind.set('"LPAct"')
    layer.block.insert_before(kind, "lpfp_param {\n  bd: 2\n}")
    at(layer.block, "lpfp_param").block.append("ad: 14")
    at(layer.block, "bottom").set('"y"')
    name.remove()
    assert document.text() == (
        'layer {\n  bottom: "y"\n  lpfp_param {\n    bd: 2\n    ad: 14\n  }\n  type: "LPAct"\n}\n'
    )


def test_inserted_fields_have_the_line_of_their_neighbour() -> None:
    root = parse(LAYER).root
    at(root, "layer").block.insert_after(at(root, "layer.name"), "x: 1")
    assert (at(root, "layer.x").line, at(root, "layer.type").line) == (2, 3)


@pytest.mark.parametrize("text", ["", "}", "1 2", "{", "a: 1", '"x', "[1]"])
def test_set_takes_one_value(text: str) -> None:
    document = parse("a: 1")
    with pytest.raises(ParseError):
        at(document.root, "a").set(text)
    assert document.text() == "a: 1"


@pytest.mark.parametrize("text", ["}", "a", "a {", "a: 1 }"])
def test_append_takes_whole_fields(text: str) -> None:
    document = parse("a: 1")
    with pytest.raises(ParseError):
        document.root.append(text)
    assert document.text() == "a: 1"


def test_a_removed_field_cannot_be_edited() -> None:
    root = parse("a { b: 1 }\nc: 1\n").root
    a = at(root, "a")
    a.remove()
    for edit in (
        a.remove,
        lambda: a.set("1"),
        lambda: a.block.append("x: 1"),
        lambda: root.insert_after(a, "x: 1"),
    ):
        with pytest.raises(UsageError, match="field 'a' "):
            edit()
    assert root.text() == "c: 1\n"


def plain(block: Block) -> list[object]:
    return [
        (field.name, plain(field.value) if isinstance(field.value, Block) else field.value.text)
        for field in block.fields
    ]


def blocks(block: Block) -> list[Block]:
    inner = [field.value for field in block.fields if isinstance(field.value, Block)]
    return [block, *(each for one in inner for each in blocks(one))]


STARTS = [LAYER, LINE, TABS, TAIL, NOTES, "a:1,b:[1,{c:2}]d<>", "", "# c", 'x { y: "a"\n"b" z: 1 }']
SNIPPETS = ["n: 1", "n: 1 # c", "# c", "n {\n  m: [1,\n 2] # d\n}", 'n: "a#"\n"b" m {}', "n: 1,"]
VALUES = ["3", '"x"', "{ v: 1 }", "{\n  # c\n  v: 1\n}", "<>"]


@given(st.sampled_from(STARTS), st.lists(st.tuples(st.integers(0, 4), *[st.integers(0, 99)] * 3)))
def test_the_text_always_says_what_the_tree_says(
    start: str, steps: list[tuple[int, int, int, int]]
) -> None:
    document = parse(start)
    for action, where, which, what in steps:
        every = blocks(document.root)
        block = every[where % len(every)]
        snippet = SNIPPETS[what % len(SNIPPETS)]
        if action == 0 or not block.fields:
            block.append(snippet)
        else:
            field = block.fields[which % len(block.fields)]
            if action == 1:
                field.set(VALUES[what % len(VALUES)])
            elif action == 2:
                field.remove()
            elif action == 3:
                block.insert_before(field, snippet)
            else:
                block.insert_after(field, snippet)
        assert plain(parse(document.text()).root) == plain(document.root)
