"""Target onnx: one ONNX file, see export.onnx."""

from __future__ import annotations

from adaption.export.onnx import export_onnx
from adaption.export.targets.base import Export, Request, target


@target(
    "onnx",
    suffix=".onnx",
    help="an ONNX model in the style given (float, qdq, integer, qonnx)",
    settings=("style", "batch", "opset", "images", "input_formats", "free_size", "processor"),
)
def write_onnx(request: Request) -> Export:
    """Write the ONNX file."""
    report = export_onnx(request.net, request.out, **request.settings)
    names = (request.net_path, request.weights_path, request.out)
    return Export(
        to="onnx",
        files=(request.out,),
        notes=report.notes,
        details=report.to_dict(),
        next=("verify", *map(str, names)),
    )
