"""The message shape of the error tree: where, fact, fix; whole texts."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from adaption import errors
from adaption.errors import (
    AdaptionError,
    FieldError,
    LayerError,
    MissingExtraError,
    ParseError,
    ShapeError,
    UnknownLayerError,
    WeightsError,
    listed,
    near_and_all,
)

KINDS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("kind", KINDS)
def test_one_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, AdaptionError)


@pytest.mark.parametrize(
    ("error", "want"),
    [
        pytest.param(AdaptionError("no net"), "no net", id="the fact alone"),
        pytest.param(AdaptionError("no net", "give one"), "no net\n  fix: give one", id="a fix"),
        pytest.param(AdaptionError("bad", file="a.prototxt"), "a.prototxt: bad", id="a file"),
        pytest.param(AdaptionError("bad", file=Path("a/b")), "a/b: bad", id="a path"),
        pytest.param(AdaptionError("bad", file="a", line=3), "a:3: bad", id="a line"),
        pytest.param(AdaptionError("bad", file="a", line=3, column=7), "a:3:7: bad", id="a column"),
        pytest.param(
            AdaptionError("bad", file="a", column=7), "a: bad", id="no column without line"
        ),
        pytest.param(AdaptionError("bad", line=3), "bad", id="no line without file"),
        pytest.param(AdaptionError("bad", layer="c"), 'layer "c": bad', id="a layer"),
        pytest.param(
            LayerError("bad", "mend it", file="a", line=3, layer="c", layer_type="ReLU"),
            'a:3: layer "c" (ReLU): bad\n  fix: mend it',
            id="everything",
        ),
        pytest.param(
            FieldError("lpfp_param.bd", 40, "1..31", 'write "bd: 2"'),
            'lpfp_param.bd is 40, allowed: 1..31\n  fix: write "bd: 2"',
            id="a field with a number",
        ),
        pytest.param(
            FieldError("pool", "MEDIAN", "MAX, AVE"),
            "pool is 'MEDIAN', allowed: MAX, AVE",
            id="a field with a word",
        ),
        pytest.param(
            MissingExtraError("lmdb", "lmdb", "reading LMDB"),
            "reading LMDB needs the package 'lmdb', which is not installed\n"
            "  fix: pip install 'adaption[lmdb]'",
            id="a package",
        ),
    ],
)
def test_message(error: AdaptionError, want: str) -> None:
    assert str(error) == want


def test_at_fills_in_what_is_missing_and_returns_the_error() -> None:
    error = ShapeError("bad")
    assert error.at(layer="c", layer_type="ReLU", line=4) is error
    assert str(error) == 'layer "c" (ReLU): bad'
    assert str(error.at(file="net.prototxt")) == 'net.prototxt:4: layer "c" (ReLU): bad'


def test_at_keeps_what_deeper_code_has_said() -> None:
    error = ParseError("bad", file="deep", line=1, column=2, layer="inner", layer_type="ReLU")
    error.at(file="shallow", line=9, layer="outer", layer_type="Split")
    assert str(error) == 'deep:1:2: layer "inner" (ReLU): bad'


def test_at_gives_no_line_of_one_file_to_another() -> None:
    """A net names its line; the error is in the weights."""
    error = WeightsError("bad", file="net.caffemodel")
    assert str(error.at(file="net.prototxt", line=12)) == "net.caffemodel: bad"


def test_at_gives_no_type_of_another_layer() -> None:
    error = LayerError("bad", layer="c")
    assert str(error.at(layer="d", layer_type="Split")) == 'layer "c": bad'


@pytest.mark.parametrize(
    "error",
    [
        FieldError("bd", 40, "1..31", "less").at(file="a", line=3, layer="c", layer_type="LPAct"),
        MissingExtraError("lmdb", "lmdb", "reading LMDB"),
        UnknownLayerError("unknown", "known: ReLU", line=1),
    ],
    ids=lambda e: type(e).__name__,
)
def test_errors_survive_pickling_and_copying(error: AdaptionError) -> None:
    """Data workers hand their errors over by pickle; classes differ in their arguments."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)
        assert twin.args == error.args


@pytest.mark.parametrize(
    ("found", "allowed", "fix"),
    [
        ("stochastik", "deterministic, stochastic, floor", "did you mean stochastic?"),
        ("FIXD", "FLOAT, FIXED, WRPN", "did you mean FIXED?"),
        ("north", "deterministic, stochastic, floor", ""),
        ("4", "1..24, or 32", ""),
        (7, "deterministic, stochastic", ""),
    ],
)
def test_a_near_miss_is_answered(found: object, allowed: str, fix: str) -> None:
    assert FieldError("rounding", found, allowed).fix == fix
    assert FieldError("rounding", found, allowed, "own").fix == "own"


LAYERS = [f"conv{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("found", "names", "fix"),
    [
        ("cnv1", ["conv1", "ip"], "did you mean conv1? its layers: conv1, ip"),
        ("x", ["conv1", "ip"], "its layers: conv1, ip"),
        ("x", [], "its layers: none"),
        ("x", LAYERS, f"its layers: {', '.join(LAYERS)}"),
        (
            "cnv19",
            LAYERS,
            f"did you mean conv19? its layers: {', '.join(LAYERS[:12])} and 8 more",
        ),
    ],
    ids=["near", "not near", "none", "many, none of them near", "many"],
)
def test_what_may_be_meant_and_what_there_is(found: str, names: list[str], fix: str) -> None:
    assert near_and_all(found, names, "its layers:") == fix


def test_a_list_says_more_only_of_several() -> None:
    assert listed(LAYERS[:13]) == ", ".join(LAYERS[:13])
    assert listed(LAYERS[:14]) == f"{', '.join(LAYERS[:12])} and 2 more"
