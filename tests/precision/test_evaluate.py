"""What a run counts while layers overwrite their bottoms, against counting every blob as it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from adaption.data.loader import Batch
from adaption.net import Net
from adaption.net.node import Node
from adaption.precision.counting import count_rounding, count_zeros
from adaption.precision.evaluate import PointError, Run, run_net
from adaption.precision.measure import ActivationObserver, measure_weights
from tests.net.nets import data, layer, net_of

FORMAT = "lpfp_param { bd: 3 ad: 0 }"
ROUNDED = "precision_param { activation { kind: FIXED word_length: 4 frac_length: 0 } }"
FILLERS = 'weight_filler { type: "msra" } bias_filler { type: "gaussian" std: 0.1 }'
POOL = "pooling_param { kernel_size: 2 stride: 2 }"


def conv(name: str, bottom: str, kind: str = "LPConvolution", outputs: int = 5) -> str:
    low = "lpfp_param { bd: 2 ad: 5 }" if kind.startswith("LP") else ""
    param = f"convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 {FILLERS} }}"
    return layer(kind, name, bottom, more=f"{param} {low}")


def act(blob: str, more: str = FORMAT) -> str:
    return layer("LPAct", f"{blob}_act", blob, blob, more)


def relu(blob: str, more: str = "") -> str:
    return layer("ReLU", f"{blob}_relu", blob, blob, more)


FIRST = conv("a", "data") + act("a")
NETS = {
    "float": conv("a", "data", "Convolution") + relu("a") + conv("end", "a", "Convolution"),
    "ReLU": FIRST + relu("a") + conv("end", "a"),
    "no ReLU": FIRST + conv("end", "a"),
    "leaky": FIRST + relu("a", "relu_param { negative_slope: 0.1 }") + conv("end", "a"),
    "rounded ReLU": FIRST + relu("a", ROUNDED) + conv("end", "a"),
    "rounded twice": FIRST + act("a", "lpfp_param { bd: 1 ad: 0 }") + relu("a") + conv("end", "a"),
    "of its own": FIRST + layer("LPAct", "b", "a", more=FORMAT) + conv("end", "b"),
    "data": act("data") + FIRST + relu("a") + conv("end", "a"),
    "pool": FIRST + relu("a") + layer("Pooling", "p", "a", more=POOL) + conv("end", "p"),
    "fire": FIRST
    + relu("a")
    + conv("b", "a")
    + act("b")
    + relu("b")
    + conv("c", "a")
    + act("c")
    + layer("Concat", "d", "b c")
    + layer("Flatten", "f", "d")
    + layer("Reshape", "g", "f", more="reshape_param { shape { dim: 0 dim: 10 dim: 6 dim: 6 } }")
    + conv("end", "g"),
    "rounded Concat": FIRST
    + relu("a")
    + layer("Concat", "b", "a data", more=ROUNDED)
    + conv("end", "b"),
}


def batches() -> list[Batch]:
    made = torch.randn(2, 4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2
    return [Batch({"data": x.numpy()}, None, list("abcd")) for x in made]


def looking_at_all(net: Net) -> Run:
    """The same counts, taken where nothing is overwritten."""
    run = Run()

    def look(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        if node.layer.is_weight_layer():
            seen = run.input_zeros.setdefault(node.spec.name, [0, 0])
            seen[0] += count_zeros(bottoms[0])
            seen[1] += bottoms[0].numel()
        fmt = node.formats.activation
        if node.layer.kind == "rounding":
            counted = count_rounding(bottoms[0], tops[0], fmt.min_value, fmt.max_value)
            run.points.setdefault(node.spec.name, PointError()).add(tops[0].numel(), counted)

    with torch.no_grad():
        for batch in batches():
            made = net.forward(batch.blobs, observer=look)
            run.outputs.setdefault("end", []).append(made["end"].clone())
    return run


@pytest.mark.parametrize("is_measured", [False, True], ids=["run", "run and measured"])
@pytest.mark.parametrize("name", NETS)
def test_counts_are_those_of_every_blob(name: str, is_measured: bool) -> None:
    net = net_of(data(4, 3, 6, 6) + NETS[name])
    want = looking_at_all(net)
    observers = [ActivationObserver(measure_weights(net))] if is_measured else []
    found = run_net(net, batches(), observers=observers)
    assert found.input_zeros == want.input_zeros
    assert found.points == want.points
    assert all(map(torch.equal, found.outputs["end"], want.outputs["end"]))
    assert all(node.points.meter is None for node in net.nodes)
    assert name == "float" or found.points
