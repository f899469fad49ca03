"""What Caffe logs while it builds a net. Caffe: Net::Init and Net::FilterNet in net.cpp.

Here a net is built first and described afterwards: `show_definition` before, `show_building` once
it stands. Places in Caffe's source are those of the release that ADaPTION forked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from adaption.glog import Log
from adaption.graph.filter import PHASES, NetState, is_kept, unmet_rules
from adaption.io.lp_types import LP_CONVOLUTION
from adaption.io.netfile import NetFile, read_net
from adaption.io.prototxt import debug_string
from adaption.net.blob import Blob, SharedBlob
from adaption.net.gradients import mark_gradients
from adaption.net.net import Net
from adaption.net.node import Node
from adaption.proto import caffe_pb2

__all__ = ["build_logged", "definition", "show_building", "show_definition", "show_device"]

PathLike = str | os.PathLike[str]
FLOAT_BYTES = 4


def build_logged(
    net: PathLike | NetFile,
    weights: PathLike | None,
    phase: str,
    level: int,
    stages: Sequence[str],
    log: Log,
    **options: Any,
) -> Net:
    """A Net, logged as Caffe's tools `test` and `time` do while they build one.

    Args:
        options: further keywords of Net.
    """
    file = net if isinstance(net, NetFile) else read_net(net)
    show_definition(definition(file, phase, level, stages), log)
    made = Net(file, phase=phase, level=level, stages=stages, **options)
    show_building(made, log)
    if weights is not None:
        for name in made.load(weights).ignored:
            log("net.cpp:744", f"Ignoring source layer {name}")
    return made


def definition(
    net: NetFile, phase: str, level: int = 0, stages: Sequence[str] = ()
) -> caffe_pb2.NetParameter:
    """The net's message with the state that Caffe's tools `test` and `time` give it."""
    message = caffe_pb2.NetParameter()
    message.CopyFrom(net.message)
    message.state.phase = caffe_pb2.Phase.Value(phase)
    message.state.level = level
    message.state.stage.extend(stages or [""])  # as the split of an empty flag
    return message


def show_device(device: str, log: Log) -> None:
    """Log where Caffe's tools compute."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        log("caffe.cpp:279", "Use CPU.")
    else:
        log("caffe.cpp:269", f"Use GPU with device ID {number or 0}")


def show_definition(message: caffe_pb2.NetParameter, log: Log) -> None:
    """Log which rules leave layers out, and the layers that are kept.

    Args:
        message: the whole net in today's form; its `state` is the final one.
    """
    state = NetState(PHASES[message.state.phase], message.state.level, tuple(message.state.stage))
    for layer in message.layer:
        for reason in unmet_rules(layer, state):
            log("net.cpp:322", reason)
    filtered = caffe_pb2.NetParameter()
    filtered.CopyFrom(message)
    del filtered.layer[:]
    filtered.layer.extend(layer for layer in message.layer if is_kept(layer, state))
    text = debug_string(filtered).rstrip("\n")
    log("net.cpp:58", f"Initializing net from parameters: \n{text}")


def show_building(net: Net, log: Log) -> None:
    """Log layer by layer how the blobs connect, their shapes and memory, and what learns."""
    memory = 0
    owners: dict[Blob, tuple[str, int]] = {}
    for node in net.nodes:
        name = node.spec.name
        log("layer_factory.hpp:77", f"Creating layer {name}")
        if node.spec.type == LP_CONVOLUTION:
            log("layer_factory.cpp:103", "Using LPCAFFE convolutions.")
        log("net.cpp:100", f"Creating Layer {name}")
        for source, text in (*_wiring(node), *_set_up(node, net)):
            log(source, text)
        log("net.cpp:150", f"Setting up {name}")
        for top, weight in zip(node.spec.tops, node.loss_weights, strict=True):
            shape = net.blobs[top].shape
            memory += prod(shape) * FLOAT_BYTES
            log("net.cpp:157", f"Top shape: {_shape_text(shape)}")
            if weight:
                log("net.cpp:160", f"    with loss weight {weight:g}")
        log("net.cpp:165", f"Memory required for data: {memory}")
        for source, text in _sharing(node, owners):
            log(source, text)
    for node in reversed(_before_force(net)):
        if node.needs_backward:
            log("net.cpp:226", f"{node.spec.name} needs backward computation.")
        else:
            log("net.cpp:228", f"{node.spec.name} does not need backward computation.")
    for output in net.outputs:
        log("net.cpp:270", f"This network produces output {output}")
    log("net.cpp:283", "Network initialization done.")


def _before_force(net: Net) -> list[Node]:
    """The nodes with the flags they had before `force_backward`, which Caffe obeys afterwards."""
    if not net.spec.force_backward:
        return net.nodes
    nodes = [replace(node) for node in net.nodes]
    mark_gradients(nodes, force_backward=False)
    return nodes


Line = tuple[str, str]


def _wiring(node: Node) -> Iterator[Line]:
    name, bottoms = node.spec.name, node.spec.bottoms
    for bottom in bottoms:
        yield "net.cpp:434", f"{name} <- {bottom}"
    for i, top in enumerate(node.spec.tops):
        if bottoms[i : i + 1] == (top,):
            yield "net.cpp:395", f"{name} -> {top} (in-place)"
        else:
            # Losses without tops get them, each of them called the same in Caffe.
            yield "net.cpp:408", f"{name} -> {'(automatic)' if top.startswith('(') else top}"


def _set_up(node: Node, net: Net) -> Iterator[Line]:
    """What single layers log in their LayerSetUp."""
    shape = ",".join(map(str, net.blobs[node.spec.tops[0]].shape)) if node.spec.tops else ""
    return node.layer.set_up_lines(shape)


def _sharing(node: Node, owners: dict[Blob, tuple[str, int]]) -> Iterator[Line]:
    step = 2 if node.is_paired and not node.runtime.original_semantics else 1
    specs = node.spec.message.param
    for i, blob in enumerate(node.blobs):
        own = blob.owner if isinstance(blob, SharedBlob) else blob
        layer, index = owners.setdefault(own, (node.spec.name, i))
        if (layer, index) != (node.spec.name, i):
            yield (
                "net.cpp:481",
                f"Sharing parameters '{specs[i // step].name}' owned by layer '{layer}', param"
                f" index {index}",
            )


def _shape_text(shape: Sequence[int]) -> str:
    """`64 1 28 28 (50176)`; Caffe: Blob::shape_string."""
    return "".join(f"{size} " for size in shape) + f"({prod(shape)})"
