"""The grammar: what parses, what it means, and the whole message where it does not."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from adaption.errors import ParseError
from adaption.io.prototxt import Block, parse
from adaption.io.prototxt_syntax import MAX_DEPTH
from adaption.proto import caffe_pb2


def plain(block: Block) -> list[object]:
    """Names and values without the text between them."""
    return [
        (field.name, plain(field.value) if isinstance(field.value, Block) else field.string)
        for field in block.fields
    ]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("a: 1", [("a", "1")], id="scalar"),
        pytest.param("a { b: 1 }", [("a", [("b", "1")])], id="block"),
        pytest.param("a: { b: 1 }", [("a", [("b", "1")])], id="block with colon"),
        pytest.param("a < b: 1 >", [("a", [("b", "1")])], id="angle brackets"),
        pytest.param("a: <>", [("a", [])], id="empty angle brackets"),
        pytest.param("a{b{}c:1}", [("a", [("b", []), ("c", "1")])], id="no spaces"),
        pytest.param("a\n:\n1", [("a", "1")], id="over several lines"),
        pytest.param("a: 1, b: 2; c {},", [("a", "1"), ("b", "2"), ("c", [])], id="separators"),
        pytest.param("a: [1, 3]", [("a", "1"), ("a", "3")], id="list"),
        pytest.param("a: []", [], id="empty list"),
        pytest.param("a [{b: 1}, <>]", [("a", [("b", "1")]), ("a", [])], id="list of blocks"),
        pytest.param("a: 'x'", [("a", "x")], id="single quotes"),
        pytest.param('a: "x" \'y\'\n# c "no"\n"z"', [("a", "xyz")], id="adjacent strings"),
        pytest.param(r'a: "\n\t\"\\\'\?"', [("a", "\n\t\"\\'?")], id="escapes"),
        pytest.param(r'a: "\101\x42\u0043\U00000044"', [("a", "ABCD")], id="numeric escapes"),
        pytest.param("a: - 5", [("a", "- 5")], id="space after minus"),
        pytest.param("a: -inf b: nan", [("a", "-inf"), ("b", "nan")], id="inf and nan"),
        pytest.param("a: 1. b: .5f c: 2e-3F", [("a", "1."), ("b", ".5f"), ("c", "2e-3F")], id="f"),
        pytest.param("a: ${N} b: 1", [("a", "${N}"), ("b", "1")], id="placeholder"),
        pytest.param("[x.y/z.w]: 1", [("[x.y/z.w]", "1")], id="extension name is kept"),
        pytest.param("# c\na: 1 # {\n# }", [("a", "1")], id="comments"),
        pytest.param("", [], id="empty"),
    ],
)
def test_grammar(text: str, want: list[object]) -> None:
    document = parse(text)
    assert plain(document.root) == want
    assert document.text() == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "a {\n  kernel_size: }",
            "2:16: found '}', expected a value after \"kernel_size:\"",
            id="no value",
        ),
        pytest.param(
            "pad:\nstride: 1",
            '2:1: found "stride:", expected a value after "pad:"',
            id="no value before the next field",
        ),
        pytest.param(
            "pad:\nparam { }", '2:1: found "param{", expected a value after "pad:"', id="and block"
        ),
        pytest.param("pad:", '1:5: found end of file, expected a value after "pad:"', id="end"),
        pytest.param(
            "pad 3",
            "1:5: found '3', expected ':' or '{' after \"pad\"\n  fix: write pad: VALUE",
            id="no colon",
        ),
        pytest.param(
            "pad\n}", "2:1: found '}', expected ':' or '{' after \"pad\"", id="name alone"
        ),
        pytest.param(
            'layer {\n  name: "a"\n\nlayer {\n}\n',
            "6:1: found end of file, expected '}' to close \"layer {\" opened at 1:7",
            id="block is not closed",
        ),
        pytest.param(
            "a <\n  b: 1\n}",
            "3:1: found '}', expected '>' to close \"a <\" opened at 1:3",
            id="wrong bracket",
        ),
        pytest.param(
            "a { }\n}",
            "2:1: found '}', expected a field name (no block is open)\n"
            "  fix: remove one '}' here or above",
            id="one bracket too many",
        ),
        pytest.param(
            "a { : }",
            "1:5: found ':', expected a field name or '}' in \"a {\" opened at 1:3",
            id="colon in a block",
        ),
        pytest.param("3: 1", "1:1: found '3', expected a field name", id="number as a name"),
        pytest.param('"a": 1', '1:1: found "a", expected a field name', id="string as a name"),
        pytest.param(
            "a: [1 2]",
            "1:7: found '2', expected ',' or ']' in the list \"a: [\" opened at line 1",
            id="list without comma",
        ),
        pytest.param(
            "a: [1,]", "1:7: found ']', expected a value in the list \"a: [\"", id="comma at end"
        ),
        pytest.param(
            "a: [1, [2]]",
            "1:8: found '[', expected a value in the list \"a: [\"",
            id="list in list",
        ),
        pytest.param(
            'a: "b\nc: 1',
            '1:4: found "b without a closing quote, expected " on the same line',
            id="string without end",
        ),
        pytest.param(
            r'source: "C:\data"',
            '1:12: found \\d in a string, expected an escape such as \\n, \\t, \\" or \\\\\n'
            '  fix: for a backslash write "\\\\", in paths write "/"',
            id="windows path",
        ),
        pytest.param("a: 3x3", "1:4: found '3x3', expected a value after \"a:\"", id="bad number"),
        pytest.param("a: 1.2.3", "1:4: found '1.2.3', expected a value after \"a:\"", id="version"),
        pytest.param("a: +5", "1:4: found '+', expected a value after \"a:\"", id="plus"),
        pytest.param("a: -x", "1:5: found 'x', expected a number after '-'", id="minus word"),
        pytest.param(
            "a: \u201cx\u201d",
            "1:4: found '\\u201c' (U+201C), expected a value after \"a:\"",
            id="typographic quotes",
        ),
        pytest.param(
            "a: \udcff",
            "1:4: found '\\udcff' (U+DCFF), expected a value after \"a:\"",
            id="odd byte",
        ),
        pytest.param("a: \x00", "1:4: found '\\x00', expected a value after \"a:\"", id="NUL"),
        pytest.param("a: 1 // c", "1:6: found '/', expected a field name", id="C comment"),
        pytest.param(
            "a {" * (MAX_DEPTH + 1),
            f"1:{3 * MAX_DEPTH + 3}: blocks are nested more than {MAX_DEPTH} deep",
            id="too deep",
        ),
        pytest.param("[a: 1", "1:1: found '[', expected a field name", id="open extension name"),
    ],
)
def test_errors_tell_place_found_and_expected(text: str, want: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text, file="net.prototxt")
    assert str(caught.value) == f"net.prototxt:{want}"


def test_a_hundred_thousand_braces_are_an_error_not_a_crash() -> None:
    with pytest.raises(ParseError, match="nested more than"):
        parse("a {" * 100_000)


def test_text_without_a_file_still_has_a_place() -> None:
    with pytest.raises(ParseError) as caught:
        parse("a:\n")
    assert str(caught.value) == '<text>:2:1: found end of file, expected a value after "a:"'


def test_asking_a_scalar_for_a_block_tells_where() -> None:
    root = parse("a: 1\nb { }", file="n").root
    a, b = root.fields
    with pytest.raises(ParseError) as caught:
        _ = a.block
    assert str(caught.value) == "n:1:1: a is 1, allowed: a block\n  fix: write a { ... }"
    with pytest.raises(ParseError) as caught:
        _ = b.string
    assert str(caught.value) == "n:2:1: b is a block, allowed: a single value"


GAPS = ["", " ", "\t", "\n", "\r\n  ", " # c {\n", "\n\n# \u00e9\udcff\n  "]
NAMES = ["layer", "name", "_x9", "[e.x/t]"]
SCALARS = ["1", "-2", "- 3", "0x1F", "017", "1.5e-3f", "-inf", "TRAIN", "true", "${N}"]
SCALARS += ['"a"', "'b'", r'"\n\x41\"" "c"', '"\u00e9\udcff"', '"{#}"']


@st.composite
def texts(draw: st.DrawFn, depth: int = 3) -> str:
    """Fields in every way they can be written."""

    def gap() -> str:
        return draw(st.sampled_from(GAPS))

    def value() -> str:
        if draw(st.integers(0, depth)) == 0:
            return draw(st.sampled_from(SCALARS))
        opened, closed = draw(st.sampled_from([("{", "}"), ("<", ">")]))
        return opened + draw(texts(depth - 1)) + closed

    parts = []
    for _ in range(draw(st.integers(0, 3))):
        parts += [gap() or " ", draw(st.sampled_from(NAMES)), gap(), ":", gap()]
        if draw(st.booleans()):
            parts.append(value())
        else:
            items = [gap() + value() + gap() for _ in range(draw(st.integers(0, 3)))]
            parts += ["[", ",".join(items), gap(), "]"]
        parts += [gap(), draw(st.sampled_from(["", ",", ";"]))]
    return "".join([*parts, gap()])


@given(texts())
def test_any_valid_text_comes_back(text: str) -> None:
    assert parse(text).text() == text


pieces = st.sampled_from(
    [*"{}<>[]:,;-#\"'\\ \n", "a", "layer", "1", "0x", ".5", "1e", "\\x", "\u00e9", "\udc80", "\0"]
)


@given(st.lists(pieces, max_size=40).map("".join))
def test_any_text_parses_whole_or_is_a_parse_error(text: str) -> None:
    try:
        document = parse(text, file="f")
    except ParseError as error:
        assert error.line is not None
        str(error).encode("utf-8")
    else:
        assert document.text() == text
        plain(document.root)


literals = st.sampled_from(
    [
        "a",
        "\u00e9",
        " ",
        "#",
        r"\n",
        r"\\",
        r"\"",
        r"\'",
        r"\x41",
        r"\101",
        r"\7",
        r"\t",
        r"\xC3\xA9",
    ]
)


@given(st.lists(literals, max_size=10).map("".join))
def test_strings_mean_what_protobuf_says(inside: str) -> None:
    text = f'name: "{inside}"'
    message, _ = parse(text).message(caffe_pb2.NetParameter)
    assert message == text_format.Parse(text, caffe_pb2.NetParameter())
