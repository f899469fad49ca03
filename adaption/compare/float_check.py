"""check_float: whether an ONNX file of style float computes, in onnxruntime, what a net does.

Two float32 sums of the same terms differ when they add in another order. In a low-precision net
such a difference can move a value across a rounding tie; the code flips, and everything behind
it differs by whole LSBs though nothing is wrong. So the file is looked at in four ways:

1. Constants. Every constant of the file is compared, bit for bit, with a fresh lowering.
2. Activation points. Each one is cut out of the file and tried on thousands of edge values (ties
   and their neighbours, saturation, infinities, denormals); it must round as our format does.
3. Layer by layer. The file is cut apart between layers and before activation points, and every
   piece is given *our* values. What it makes of them may be off by float32 summation error and
   no more: `tolerance` times the error that our own float32 layer has against itself in float64.
   An activation point must then give our codes exactly. Hence a code can only flip where our
   value lies within that error of a tie. Such flips are counted with the file cut behind
   activation points only: every stretch from one to the next is given our codes.
4. End to end. The file runs on the inputs with every layer's top read out: the table that says
   which layer first differs and by how much. The unchanged file runs once more for its outputs.

1 to 3 decide: a difference they do not explain is a problem that names its layer. 4 informs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy.typing as npt

from adaption.compare.float_report import FloatReport
from adaption.compare.passes import Comparison
from adaption.compare.sessions import ModelFile, damage_told
from adaption.compare.verify_inputs import given_or_random, pieces
from adaption.errors import UsageError
from adaption.exact.selection import Selection, select
from adaption.export.onnx.model import build_model
from adaption.net import Net
from adaption.net.plan import LayerFormats

__all__ = ["OWN_ERRORS", "check_float"]

OWN_ERRORS = 32.0


def check_float(
    net: Net,
    onnx_path: str | os.PathLike[str] | ModelFile,
    inputs: Mapping[str, npt.ArrayLike] | None = None,
    *,
    tolerance: float = OWN_ERRORS,
    seed: int = 0,
) -> FloatReport:
    """Compare a net with a file that export_onnx made of it, run in onnxruntime on the CPU.

    Args:
        net: the net in phase TEST; it is not changed.
        inputs: values by input blob, first axis the samples; blobs that the file does not read
            may be given, too. Without it, random values (in the range of the first activation
            point, else of variance 1), or one batch of the net's data layers.
        tolerance: how far a layer's float32 result may be off, given our bottoms: this many
            times the greatest error of our own float32 result against float64 (measured on the
            first samples, relative to the layer's greatest value), or of one rounding of the
            greatest value, if that is more.
        seed: of the random inputs.
    Returns: a report; `report.ok` is False when some difference is not explained by the order
        of float32 sums.
    Raises: FileFormatError when the file is none of ours; UsageError when it is of another net;
        ShapeError when inputs do not fit.
    """
    selection = select(net)
    file = onnx_path if isinstance(onnx_path, ModelFile) else ModelFile(onnx_path)
    if file.style != "float":
        raise UsageError(
            f"this model has style {file.style}, allowed: float",
            'compare it with exact arithmetic: verify(net, "exact", FILE)',
        ).at(file=file.path)
    _check_same_layers(selection, file)
    with damage_told(file.path):
        return _compared(net, selection, file, inputs, tolerance, seed)


def _compared(
    net: Net,
    selection: Selection,
    file: ModelFile,
    inputs: Mapping[str, npt.ArrayLike] | None,
    tolerance: float,
    seed: int,
) -> FloatReport:
    fresh = build_model(
        net,
        selection,
        style=file.style,
        batch=file.batch,
        opset=file.opset,
        input_formats=file.input_formats,
    )
    values = given_or_random(net, fresh, inputs, seed)
    for name, fmt in file.input_formats.items():
        values[name] = fmt.quantize(values[name])
    check = Comparison(file, fresh, tolerance)
    check.check_constants()
    edges = check.check_activation_points()
    samples = 0
    for piece, count in pieces(net, fresh, values):
        check.check_blobs(piece, count)
        samples += count
    return FloatReport(
        path=file.path,
        samples=samples,
        blobs=check.blobs(),
        outputs=tuple(check.outputs.values()),
        edge_values=edges,
        problems=tuple(check.problems),
        notes=fresh.notes,
        is_low_precision=any(m.node.formats != LayerFormats() for m in selection.members),
        refusal=check.refusal,
    )


def _check_same_layers(selection: Selection, file: ModelFile) -> None:
    ours = [(m.spec.name, m.spec.type, m.spec.tops) for m in selection.members]
    theirs = [(x.name, x.type, x.blobs) for x in file.layers]
    if ours == theirs:
        return
    other = next((b for a, b in zip(ours, theirs, strict=False) if a != b), None)
    fact = f"the file has {len(theirs)} layers, the net {len(ours)}"
    if other is not None:
        fact = f'the file has layer "{other[0]}" ({other[1]}), the net not at the same place'
    raise UsageError(fact, "verify with the prototxt that the file was exported from").at(
        file=file.path
    )
