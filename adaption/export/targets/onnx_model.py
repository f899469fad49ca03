"""Target onnx: one ONNX file, see export.onnx."""

from __future__ import annotations

from adaption.errors import UsageError
from adaption.export.onnx.write import export_onnx
from adaption.export.targets.base import Export, Request, target
from adaption.io.arrays import read_arrays


@target(
    "onnx",
    suffix=".onnx",
    help="an ONNX model in the style given (float, qdq, integer, qonnx)",
    settings=(
        "style",
        "batch",
        "opset",
        "images",
        "input_formats",
        "free_size",
        "processor",
        "data",
        "samples",
    ),
)
def write_onnx(request: Request) -> Export:
    """Write the ONNX file. `data`: npz or npy file, on whose first `samples` ties are counted."""
    settings = dict(request.settings)
    path, samples = settings.pop("data", None), settings.pop("samples", None)
    if samples is not None and path is None:
        raise UsageError("samples are those of the data, which is not given", "give data, too")
    if path is not None:
        inputs = request.net.inputs
        arrays = read_arrays(path, only=inputs[0] if inputs else "")
        settings["inputs"] = {n: arrays[n][:samples] for n in inputs if n in arrays}
    report = export_onnx(request.net, request.out, **settings)
    names = (request.net_path, request.weights_path, request.out)
    return Export(
        to="onnx",
        files=(request.out,),
        notes=report.notes,
        details=report.to_dict(),
        table="" if report.ties is None else str(report.ties),
        next=() if settings.get("style") == "qonnx" else ("verify", *map(str, names)),
    )
