"""Which tensors are rounded where: chains, pooling, residual blocks, branches, inputs, losses."""

from __future__ import annotations

import pytest

from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net.plan import Point
from adaption.recipes.per_tensor_sites import Site, Tensors, tensors_of
from adaption.recipes.view import view_of_net, view_of_spec
from tests.recipes.nets import net_of

INPUT = """layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 2 dim: 4 dim: 8 dim: 8 } shape { dim: 2 } } }
"""


def layer(name: str, kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    tops = " ".join(f'top: "{t}"' for t in top.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {more} }}\n'


def conv(name: str, bottom: str, more: str = "") -> str:
    size = f"convolution_param {{ num_output: 4 kernel_size: 1 {more} }}"
    return layer(name, "Convolution", bottom, name, size)


def fc(name: str, bottom: str) -> str:
    return layer(name, "InnerProduct", bottom, name, "inner_product_param { num_output: 4 }")


def clip(name: str, blob: str) -> str:
    return layer(name, "Clip", blob, blob, "clip_param { min: 0 max: 2 }")


def loss(bottom: str) -> str:
    return layer("loss", "SoftmaxWithLoss", f"{bottom} label", "loss")


POOL = "pooling_param { pool: %s kernel_size: 2 stride: 2 }"
BN = layer("bn", "BatchNorm", "a", "a") + layer("scale", "Scale", "a", "a")


def read(text: str) -> Tensors:
    """From the net that runs, Split layers included, and from its definition: the same."""
    found = tensors_of(view_of_net(net_of(INPUT + text, "TRAIN")).layers)
    file = from_document(prototxt.parse(INPUT + text, "net.prototxt"))
    spec = build_spec(file.message, NetState("TRAIN"))
    assert tensors_of(view_of_spec(spec).layers) == found
    return found


def sites(text: str) -> list[tuple[str, str, str]]:
    """Of each site its points, readers and makers, in short."""
    return [
        (" ".join(map(str, s.points)), " ".join(s.readers), " ".join(s.makers))
        for s in read(text).sites
    ]


def results(text: str) -> dict[str, str]:
    """The gradients from which those of weights are computed."""
    return {k: " ".join(p.layer for p in v) for k, v in read(text).results.items()}


def test_a_chain() -> None:
    text = fc("a", "x") + clip("r", "a") + fc("b", "a") + loss("b")
    assert sites(text) == [("a:bottom", "a", ""), ("r:activation", "b", "a")]
    assert results(text) == {"a": "r", "b": "b"}
    assert read(text).gradients == (Point("r", "activation_grad"), Point("b", "activation_grad"))


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_activations_stand_before_pooling_and_what_moves_values(pool: str) -> None:
    between = layer("p", "Pooling", "a", "p", POOL % pool) + layer("d", "Dropout", "p", "p")
    text = conv("a", "x") + clip("r", "a") + between + fc("b", "p") + loss("b")
    assert sites(text)[1] == ("r:activation", "b", "a")


def test_a_neuron_behind_pooling_is_the_activation() -> None:
    pool = layer("p", "Pooling", "a", "p", POOL % "MAX")
    text = conv("a", "x") + pool + clip("r", "p") + fc("b", "p") + loss("b")
    assert sites(text)[1] == ("r:activation", "b", "a")
    assert results(text) == {"a": "r", "b": "b"}


def test_batch_norm_stands_before_the_activation() -> None:
    text = conv("a", "x", "bias_term: false") + BN + clip("r", "a") + fc("b", "a") + loss("b")
    assert sites(text)[1] == ("r:activation", "b", "a")
    assert results(text) == {"a": "r", "b": "b"}


def test_a_residual_block() -> None:
    text = (
        conv("a", "x") + clip("r0", "a")
        + conv("b", "a") + clip("r1", "b") + conv("c", "b") + conv("short", "a")
        + layer("sum", "Eltwise", "c short", "sum") + clip("r2", "sum")
        + conv("d", "sum") + clip("r3", "d") + conv("e", "d")
        + layer("sum2", "Eltwise", "sum e", "sum2") + clip("r4", "sum2") + fc("f", "sum2")
        + loss("f")
    )  # fmt: skip
    assert sites(text) == [
        ("a:bottom", "a", ""),
        ("r0:activation", "b short", "a"),
        ("r1:activation", "c", "b"),
        ("r2:activation", "d", "c short"),
        ("r3:activation", "e", "d"),
        ("r4:activation", "f", "e"),
    ]
    assert results(text) == {
        "a": "r0", "b": "r1", "c": "r2", "short": "r2", "d": "r3", "e": "r4", "f": "f"
    }  # fmt: skip


def test_branches_that_are_joined_have_an_activation_each() -> None:
    text = (
        conv("a", "x") + clip("ra", "a") + conv("b", "x") + clip("rb", "b")
        + layer("cat", "Concat", "a b", "cat") + fc("c", "cat") + loss("c")
    )  # fmt: skip
    assert sites(text) == [
        ("a:bottom b:bottom", "a b", ""),
        ("ra:activation", "c", "a"),
        ("rb:activation", "c", "b"),
    ]


def test_inputs_are_rounded_at_the_bottoms_that_read_them() -> None:
    pool = layer("p", "Pooling", "x", "p", POOL % "AVE")
    text = conv("a", "p") + conv("b", "p") + conv("c", "x")
    text = pool + text + layer("s", "Eltwise", "a b", "s") + clip("r", "s") + fc("d", "s")
    text += fc("e", "c") + layer("s2", "Eltwise", "d e", "s2") + loss("s2")
    assert [s for s in sites(text) if "bottom" in s[0]] == [
        ("a:bottom b:bottom", "a b", ""),
        ("c:bottom", "c", ""),
    ]


def test_an_input_joined_with_an_activation_is_rounded_where_both_are_read() -> None:
    text = conv("a", "x") + clip("r", "a") + layer("cat", "Concat", "a x", "cat")
    text += conv("b", "cat") + conv("c", "a") + layer("s", "Eltwise", "b c", "s") + loss("s")
    assert sites(text) == [
        ("a:bottom", "a", ""),
        ("b:bottom", "b", ""),
        ("r:activation", "c", "a"),
    ]


def test_a_weight_layer_that_reads_another_one() -> None:
    text = conv("a", "x") + conv("b", "a") + loss("b")
    assert sites(text) == [("a:bottom", "a", ""), ("a:activation", "b", "a")]
    assert results(text) == {"a": "a", "b": "b"}


def test_a_sum_without_an_activation_function() -> None:
    text = conv("a", "x") + conv("b", "x") + layer("s", "Eltwise", "a b", "s") + conv("c", "s")
    assert sites(text + loss("c"))[1] == ("s:activation", "c", "a b")


def test_a_result_that_also_goes_to_a_loss() -> None:
    second = layer("loss2", "SoftmaxWithLoss", "a label", "loss2")
    text = fc("a", "x") + second + clip("r", "a").replace('top: "a"', 'top: "ra"')
    text += fc("b", "ra") + loss("b")
    assert results(text) == {"a": "a r", "b": "b"}


def test_an_activation_behind_activations_finds_the_layers_before_them() -> None:
    text = (
        conv("a", "x") + clip("r", "a") + fc("f", "a")
        + layer("e", "Power", "a", "e", "power_param { power: 2 }") + conv("b", "e")
        + layer("g", "InnerProduct", "b", "g", "inner_product_param { num_output: 4 }")
        + layer("s", "Eltwise", "f g", "s") + loss("s")
    )  # fmt: skip
    found = {s.layer: s for s in read(text).sites}
    assert found["e"] == Site("e", (Point("e", "activation"),), ("b",), ("a",))


def test_layers_without_a_weight_point_take_no_part() -> None:
    text = conv("a", "x") + clip("r", "a") + layer("scale", "Scale", "a", "a") + fc("b", "a")
    text += loss("b")
    found = read(text)
    assert found.weight_layers == ("a", "b")
    assert found.sites[1].points == (Point("scale", "activation"),)
    assert found.read_by("b") == found.sites[1:]
