"""What `debug_info: true` logs: the mean magnitude of every blob.

Caffe: Net::ForwardDebugInfo, BackwardDebugInfo and Backward in net.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from adaption.glog import error, info
from adaption.net.blob import Blob, SharedBlob
from adaption.net.node import Node

__all__ = ["show_backward", "show_forward", "show_params"]


def show_forward(node: Node, blobs: Mapping[str, Blob]) -> None:
    """Log the data of a layer's tops and parameters."""
    for name in node.spec.tops:
        _say("net.cpp:591", "Forward", node, f"top blob {name} data", blobs[name].tensor)
    specs = node.spec.message.param
    for i, blob in enumerate(node.blobs):
        name = specs[i].name if i < len(specs) else ""
        _say("net.cpp:603", "Forward", node, f"param blob {name or i} data", blob.tensor)


def show_backward(node: Node, blobs: Mapping[str, Blob]) -> None:
    """Log the diffs of a layer's bottoms and parameters that have been computed."""
    for name, down in zip(node.spec.bottoms, node.propagate_down, strict=True):
        if down:
            _say("net.cpp:619", "Backward", node, f"bottom blob {name} diff", blobs[name].grad)
    for i, (blob, learns) in enumerate(zip(node.blobs, node.learns, strict=True)):
        if learns:
            _say("net.cpp:630", "Backward", node, f"param blob {i} diff", blob.grad)


def show_params(nodes: Sequence[Node]) -> None:
    """Log the norms of all parameters together, each counted once."""
    own = dict.fromkeys(b for n in nodes for b in n.blobs if not isinstance(b, SharedBlob))
    data, diff = [b.tensor for b in own], [b.grad for b in own]
    error(  # as Caffe, so that it is seen where INFO is off
        "net.cpp:693",
        "    [Backward] All net params (data, diff):"
        f" L1 norm = ({_l1(data):g}, {_l1(diff):g}); L2 norm = ({_l2(data):g}, {_l2(diff):g})",
    )


def _say(source: str, direction: str, node: Node, what: str, values: Tensor) -> None:
    mean = float(values.detach().abs().mean())  # of an empty blob nan, as 0 / 0 is
    info(source, f"    [{direction}] Layer {node.spec.name}, {what}: {mean:g}")


def _l1(tensors: Sequence[Tensor]) -> float:
    return sum(float(t.detach().abs().sum()) for t in tensors)


def _l2(tensors: Sequence[Tensor]) -> float:
    squares = sum(float(t.detach().double().square().sum()) for t in tensors)
    return float(squares**0.5)
