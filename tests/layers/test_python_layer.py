"""Layers of type Python: only built-in ones run, and param_str is read, not evaluated."""

from __future__ import annotations

from typing import Any

import pytest

from adaption.errors import FieldError, UnknownLayerError
from adaption.layers.base import Layer, can_run
from adaption.layers.python_registry import built_in, parse_param_str, replaces
from adaption.layers.rpn_proposal import RpnProposal
from tests.layers.snippets import layer_of, net_of

KNOWN = 'type: "Python" python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"'


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", {}),
        ("'feat_stride': 16", {"feat_stride": 16}),
        ("'feat_stride': 16, 'scales': (2, 4)", {"feat_stride": 16, "scales": [2, 4]}),
        ("{'feat_stride': 16, \"scales\": [8,]}", {"feat_stride": 16, "scales": [8]}),
        ("feat_stride: 16\nscales: [0.5, 1e2]\n", {"feat_stride": 16, "scales": [0.5, 100.0]}),
        ("scales:\n  - 8\n  - -16\nx: 1", {"scales": [8, -16], "x": 1}),
        ("a: true # why\nb: None\nc: word", {"a": True, "b": None, "c": "word"}),
        ("{'dir': '../data', 'mean': (104.0, 116.5), 'n': {'a': []}}",
         {"dir": "../data", "mean": [104.0, 116.5], "n": {"a": []}}),
        ("x: 'import os'", {"x": "import os"}),
    ],
)  # fmt: skip
def test_param_str(text: str, want: dict[str, Any]) -> None:
    assert parse_param_str(text) == want


@pytest.mark.parametrize(
    "text", ["16", "a", "a:", "{a: 1", "a: [1", "a: [1 2]", "a: 1}", "a: 'x", "a: 1 b", "[1]: 2"]
)
def test_param_str_that_is_none(text: str) -> None:
    with pytest.raises(FieldError, match=r"python_param\.param_str is .*, allowed: settings as in"):
        parse_param_str(text)


def test_published_layer_is_replaced() -> None:
    layer = layer_of(KNOWN + " param_str: \"'feat_stride': 8\" }", 3)
    assert isinstance(layer, RpnProposal)
    assert layer.feat_stride == 8
    assert can_run(layer.spec)


def test_other_code_is_not_run() -> None:
    text = 'layer { name: "P" type: "Python" top: "y" python_param { module: "os" layer: "X" } }'
    with pytest.raises(UnknownLayerError) as caught:
        net_of(text + 'layer { name: "Q" type: "Pythons" top: "z" }', {})
    assert str(caught.value).startswith(
        "unknown layer type in layer \"Q\" of type 'Pythons' (did you mean Python?);"
        " layer \"P\" needs the Python class 'X' of module 'os': code that comes with a model file"
        ' is not run unless the module is named (--allow-python os, python_modules=("os",),'
        ' in a script caffe.allow_python("os"))'
        "\n  fix: correct the type"
    )
    with pytest.raises(UnknownLayerError) as caught:
        layer_of('type: "Python" python_param { module: "os" layer: "X" }', 0)
    assert str(caught.value) == (
        "layer \"L\" (Python): needs the Python class 'X' of module 'os': code that comes with a"
        " model file is not run unless the module is named (--allow-python os,"
        ' python_modules=("os",), in a script caffe.allow_python("os"))\n'
        "  fix: cut the net before that layer, or feed its tops as inputs; built in:"
        " rpn.anchor_target_layer.AnchorTargetLayer, rpn.proposal_layer.ProposalLayer,"
        " rpn.proposal_target_layer.ProposalTargetLayer"
    )


def test_bottoms_are_those_of_the_built_in_layer() -> None:
    with pytest.raises(Exception, match="has 2 bottoms, allowed: 3"):
        layer_of(KNOWN + ' param_str: "feat_stride: 8" }', 2)


def test_a_class_is_registered_once() -> None:
    with pytest.raises(ValueError, match=r"rpn\.proposal_layer\.ProposalLayer is registered by"):
        replaces("rpn.proposal_layer", "ProposalLayer")(Layer)
    assert built_in("rpn.proposal_layer", "ProposalLayer") is RpnProposal
