"""Target nullhop: the network file of the NullHop accelerator, for the convolutions of a chain.

What the original's exporter got wrong is mended: padding comes from the convolution, ReLU and
pooling are found by following the net, formats are those of each layer, biases are rounded anew,
codes that do not fit are counted, and the image is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.errors import LayerError, ShapeError, WeightsError
from adaption.export.nullhop.files import (
    FRAC_LENGTH,
    Codes,
    NullHopFormats,
    NullHopLayer,
    NullHopNetwork,
    write_nullhop,
)
from adaption.export.targets.base import Export, Request, target
from adaption.graph import LayerSpec
from adaption.io.caffemodel import read_weights
from adaption.net import Net
from adaption.net.node import Node
from adaption.numerics import FixedPoint, Format
from adaption.precision.sites import Wiring, shapes_result

__all__ = ["export_nullhop", "nullhop_network"]

WORD_LENGTH = 16


@dataclass
class _Tally:
    """Codes that 16 bits cannot hold, by what they are."""

    saturated: dict[str, int]

    def codes(self, what: str, values: npt.NDArray[Any], frac_length: int) -> Codes:
        """Rounded half away from zero, and saturated to 16 bits."""
        scaled = values.astype(np.float64) * 2.0**frac_length
        whole = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)
        limit = (1 << (WORD_LENGTH - 1)) - 1
        beyond = int((np.abs(whole) > limit).sum())
        if beyond:
            self.saturated[what] = beyond
        return whole.clip(-limit, limit).astype(np.int64)


@target(
    "nullhop",
    suffix=".cnn",
    help="text network file of the NullHop accelerator",
    settings=("pixels", "input_formats", "original_semantics"),
)
def export_nullhop(request: Request) -> Export:
    """Write the network file `out` and the formats beside it."""
    tally = _Tally({})
    network = nullhop_network(
        request.net,
        pixels=request.settings.get("pixels"),
        input_format=next(iter((request.settings.get("input_formats") or {}).values()), None),
        tally=tally,
    )
    if request.settings.get("original_semantics"):
        network = _as_the_original(network, request)
    files = write_nullhop(network, request.out)
    notes = [f"{count} of {what} saturate at 16 bits" for what, count in tally.saturated.items()]
    if any(layer.formats.weight != FRAC_LENGTH for layer in network.layers):
        notes.append(
            f"weights do not all have {FRAC_LENGTH} fractional bits, which is what the driver of"
            f" the original takes for granted: {files[1].name} has the formats"
        )
    if request.settings.get("pixels") is None:
        notes.append("no image was given, the pixels are zeros")
    host = [n.spec.name for n in request.net.nodes if n.layer.kind == "inner product"]
    if host:
        notes.append(f"inner products run on the host: {', '.join(host)}")
    details = {"layers": [layer.formats.name for layer in network.layers],
               "saturated": dict(tally.saturated)}  # fmt: skip
    return Export("nullhop", files, tuple(notes), details)


def nullhop_network(
    net: Net,
    *,
    pixels: npt.NDArray[Any] | None = None,
    input_format: FixedPoint | None = None,
    tally: _Tally | None = None,
) -> NullHopNetwork:
    """The convolutions of a net as integer codes.

    Args:
        pixels: the image, (C, H, W) as the net's input takes it; None: zeros.
        input_format: of the pixels; None: 8 fractional bits.
    Raises: LayerError naming the layer that NullHop cannot run: strides, groups, dilation, kernels
        beyond 7 x 7, pooling other than 2 x 2 max, branches between convolutions.
    """
    tally = _Tally({}) if tally is None else tally
    nodes = {n.spec.name: n for n in net.nodes}
    wiring = Wiring(net.spec)
    layers: list[NullHopLayer] = []
    frac = FRAC_LENGTH if input_format is None else input_format.frac_length
    first_frac, top = frac, None
    for i, spec in enumerate(net.spec.layers):
        if nodes[spec.name].layer.kind != "convolution":
            continue
        try:
            if layers and spec.bottoms[0] != top:
                raise LayerError(f'reads "{spec.bottoms[0]}", NullHop runs chains: "{top}"')
            behind = [net.spec.layers[j] for j in wiring.following(i, shapes_result)]
            layer, frac = _layer(net, nodes[spec.name], behind, bool(layers), frac, tally, nodes)
        except (LayerError, ShapeError, WeightsError) as error:
            raise error.at(file=net.spec.file, layer=spec.name, layer_type=spec.type) from None
        layers.append(layer)
        top = behind[-1].tops[0] if behind else spec.tops[0]
    if not layers:
        raise LayerError("has no convolution for NullHop").at(file=net.spec.file)
    first = layers[0]
    shape = (first.num_input_channels, first.num_input_rows, first.num_input_column)
    image = np.zeros(shape) if pixels is None else np.asarray(pixels)
    if image.shape != shape:
        raise ShapeError(f"the image has shape {image.shape}, the net takes {shape}").at(
            file=net.spec.file
        )
    return NullHopNetwork(tuple(layers), tally.codes("pixels", image, first_frac))


def _layer(
    net: Net,
    node: Node,
    behind: list[LayerSpec],
    is_compressed: bool,
    frac: int,
    tally: _Tally,
    nodes: dict[str, Node],
) -> tuple[NullHopLayer, int]:
    """One convolution with what follows it, and the fractional bits of its result."""
    param = node.spec.message.convolution_param
    kernel, *others = {*param.kernel_size, param.kernel_h, param.kernel_w} - {0}
    strides = {*param.stride, param.stride_h, param.stride_w} - {0}
    pads = {*param.pad, param.pad_h, param.pad_w} or {0}
    pad = max(pads)
    if others or len(pads - {0}) > 1 or not 1 <= kernel <= 7:
        raise LayerError("has a kernel or pad that is not square, or beyond 7 x 7")
    if node.layer.moves_places() != "windows":
        raise LayerError("spreads its bottom, NullHop convolves")
    channels, rows, columns = net.blobs[node.spec.bottoms[0]].shape[-3:]
    is_grouped = node.masters[0].shape[1] != channels
    if strides - {1} or is_grouped or set(param.dilation) - {1}:
        raise LayerError("has a stride, groups or dilation, allowed: 1")
    output = _result_format(behind, nodes)
    weight = _binary(node.formats.weight)
    if node.formats.bottom is not None:
        raise LayerError(f"rounds its own view of its bottom ({node.formats.bottom}), which NullHop"
                         " cannot", "round at the layer before instead: LPAct")  # fmt: skip
    f = weight.frac_length if isinstance(weight, FixedPoint) else FRAC_LENGTH
    name = node.spec.name
    tensors = [blob.detach().numpy() for blob in node.quantized_blobs()]
    w = tensors[0].reshape(node.masters[0].shape)
    b = tensors[1].ravel() if len(tensors) > 1 else np.zeros(w.shape[0])
    out_frac = FRAC_LENGTH if output is None else output.frac_length
    made = NullHopLayer(
        compression_enabled=is_compressed,
        kernel_size=kernel,
        num_input_channels=channels,
        num_input_column=columns,
        num_input_rows=rows,
        num_output_channels=w.shape[0],
        pooling_enabled=any(nodes[x.name].layer.kind == "pooling" for x in behind),
        relu_enabled=any(nodes[x.name].layer.rectifies() for x in behind),
        padding=pad,
        kernels=tally.codes(f'the weights of "{name}"', w, f),
        biases=tally.codes(f'the biases of "{name}"', b, f),
        formats=NullHopFormats(
            name, f, frac, out_frac, WORD_LENGTH if output is None else output.word_length
        ),
    )
    shape = tuple(net.blobs[(behind[-1] if behind else node.spec).tops[0]].shape[-3:])
    if shape != made.output_shape:
        raise ShapeError(
            f"gives maps of {shape}, NullHop's driver {made.output_shape}: it rounds the size down"
        )
    return made, out_frac


def _binary(fmt: Format | None) -> Format | None:
    """The format. Raises: LayerError when its step is no power of two, as NullHop's is."""
    if fmt is None or (isinstance(fmt, FixedPoint) and fmt.is_binary):
        return fmt
    scale = getattr(fmt, "scale_text", "")
    raise LayerError(
        f"has format {fmt} with the scale {scale}, allowed: fixed point (Qm.f), whose scale is a"
        " power of two"
    )


def _result_format(behind: list[LayerSpec], nodes: dict[str, Node]) -> FixedPoint | None:
    """The format of the LPAct behind a convolution; checks what else stands there."""
    found = None
    for item in behind:
        layer = nodes[item.name].layer
        if item.message.relu_param.negative_slope:
            raise LayerError(f'is followed by a leaky ReLU, "{item.name}"')
        if layer.kind in ("activation", "channel affine") and not layer.rectifies():
            raise LayerError(
                f'is followed by "{item.name}" ({item.type}), which NullHop lacks',
                "fold batch norm: adaption rewrite --fold-batch-norm",
            )
        if layer.kind == "rounding":
            fmt = _binary(nodes[item.name].formats.activation)
            found = fmt if isinstance(fmt, FixedPoint) else found
        if layer.kind == "pooling":
            param = item.message.pooling_param
            if (param.pool, param.kernel_size, param.stride, param.pad) != (0, 2, 2, 0):
                raise LayerError(f'is followed by "{item.name}", allowed: max pooling 2 x 2')
    if found is not None and found.word_length > WORD_LENGTH:
        raise LayerError(f"has a result of {found.word_length} bits, allowed: {WORD_LENGTH}")
    return found


def _as_the_original(network: NullHopNetwork, request: Request) -> NullHopNetwork:
    """With the defects of caffe2nullhop.py: no padding, 8 fractional bits whatever the format,
    truncated, rounded blobs as the file holds them (stale when round_bias is false)."""
    weights = read_weights(request.weights_path)
    made: list[NullHopLayer] = []
    for layer in network.layers:
        stored = weights.get(layer.formats.name)
        if stored is None or len(stored.blobs) != 4:
            raise WeightsError(
                "has no rounded blobs, which the original exports",
                "convert the weights for the low-precision net first",
            ).at(file=weights.file, layer=layer.formats.name)
        values = [stored.blobs[i].array().astype(np.float64) * 256 for i in (1, 3)]
        rows, columns = layer.num_input_rows, layer.num_input_column
        if made:
            _, rows, columns = made[-1].output_shape
        made.append(
            replace(
                layer,
                padding=0,
                num_input_rows=rows,
                num_input_column=columns,
                kernels=np.trunc(values[0]).astype(np.int64),
                biases=np.trunc(values[1]).astype(np.int64),
                formats=NullHopFormats(layer.formats.name),
            )
        )
    return replace(network, layers=tuple(made))
