"""A forward pass at batch 1: float, in low precision, and as int8 ONNX; against other runtimes.

"ours" is our net with the weights of a caffemodel; onnxruntime runs the ONNX file exported from it,
OpenCV reads prototxt and caffemodel, "eager torch" calls torch's operators layer by layer on
contiguous tensors. "low" has 8-bit weights and activations by ADaPTION's rule, ties away from zero,
nothing folded. "int8" is the qdq file with the formats of --int8, batch norm folded, whose codes
are first checked against exact arithmetic. Each has a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import NOT_INSTALLED, Figure, machine, milliseconds
from nets import Given, OneBatch, left_out, nets, open_given, open_net
from turns import Form, Settings, Spread, ratios, round_robin

from adaption import verify
from adaption.compare.onnx_worker import runtime
from adaption.export.onnx import export_onnx
from adaption.io.caffemodel import write_weights
from adaption.io.netfile import read_net, write_net
from adaption.net import Net
from adaption.options import INT8
from adaption.precision.fold import fold_batch_norm
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.rewrite import rewrite

ROWS = ("float", "low", "int8")
TARGETS = {"float": 1.0, "low": 1.05, "int8": 0.35}
OURS, LOW, EAGER, ORT, QDQ, OPENCV = "ours", "low", "eager torch", "onnxruntime", "qdq", "OpenCV"

Call = Callable[[], object]
Feeds = Mapping[str, np.ndarray]

onnxruntime = runtime()


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """Rows of each net, from one run in which all forms take turns."""
    for given in nets(settings):
        if left_out(given, settings):
            for row in rows:
                yield Figure.skipped(row, given.name, "left out by --quick")
            continue
        folder = settings.folder / given.name
        folder.mkdir()
        yield from of_net(given, settings, rows, folder)


def of_net(
    given: Given, settings: Settings, rows: tuple[str, ...], folder: Path
) -> Iterator[Figure]:
    made = prepared(given, rows, folder)
    forms = {name: Form(make, *what) for name, (make, *what) in made.items()}
    try:
        taken = round_robin(forms, settings.rounds_or(8, 3), calls=3)
    finally:
        for file in folder.iterdir():
            file.unlink()
    ours = taken[OURS]
    if "float" in rows:
        peers: dict[str, Spread | str] = {OPENCV: f"4 {NOT_INSTALLED}"}
        peers |= {n: ratios(taken[n], taken[ORT]) for n in (OPENCV, EAGER) if n in taken}
        yield figure("float", given, ours, "onnxruntime", taken[ORT], peers)
    if "low" in rows:
        yield figure("low", given, taken[LOW], "our float", ours)
    if "int8" in rows:
        against = {"float ONNX": ratios(taken[ORT], ours)}
        yield figure("int8", given, taken[QDQ], "our float", ours, against, "equal bit for bit")


def figure(
    row: str,
    given: Given,
    seconds: list[float],
    base: str,
    against: list[float],
    peers: Mapping[str, Spread | str] | None = None,
    note: str = "",
) -> Figure:
    return Figure(
        row,
        given.name,
        milliseconds(seconds),
        f"{base} {milliseconds(against)}",
        ratios(seconds, against),
        target=TARGETS[row],
        peers=peers or {},
        note=note,
    )


# -- what is computed ------------------------------------------------------------------------------


def prepared(given: Given, rows: tuple[str, ...], folder: Path) -> dict[str, tuple[Any, ...]]:
    """What each form is made of; writes the files that the forms read."""
    file = read_net(given.path)
    net = open_given(given)
    weights = folder / "net.caffemodel"
    net.save(weights)
    batch = OneBatch(net)
    feeds = {name: x.numpy() for name, x in batch.blobs.items()}
    forms: dict[str, tuple[object, ...]] = {OURS: (our_net, given.path, weights, feeds)}
    if {"float", "int8"} & set(rows):
        export_onnx(net, folder / "float.onnx")
        forms[ORT] = (onnx_file, folder / "float.onnx", feeds)
    if "float" in rows:
        forms[EAGER] = (eager_torch, given.path, weights, feeds)
        if reads_caffe():
            forms[OPENCV] = (opencv, given.path, weights, feeds)
    if "low" in rows:
        path = folder / "low.prototxt"
        write_net(rewrite(file, propose(net.spec, measure_net(net, [batch]), bits=8)), path)
        forms[LOW] = (our_net, path, weights, feeds)
    net.release()
    if "int8" in rows:
        qdq = write_qdq(given, weights, batch, folder)
        forms[QDQ] = (onnx_file, qdq, feeds)
    return forms


def write_qdq(given: Given, weights: Path, batch: OneBatch, folder: Path) -> Path:
    """The int8 file, batch norm folded. Raises: RuntimeError where one of its codes differs."""
    folded = fold_batch_norm(given.path, weights)
    write_weights(folder / "folded.caffemodel", folded.weights)
    net = open_net(folded.net, folder / "folded.caffemodel")
    plan = propose(net.spec, measure_net(net, [batch]), **INT8)
    net.release()
    low = open_net(rewrite(folded.net, plan), folder / "folded.caffemodel")
    qdq = folder / "qdq.onnx"
    vnni = any(flag in machine() for flag in ("avx512_vnni", "avx_vnni"))
    export_onnx(low, qdq, style="qdq", processor="vnni" if vnni else "any")
    feeds = {name: x.numpy() for name, x in batch.blobs.items()}
    report = verify(low, "exact-half-even", qdq, feeds)
    if not report.ok:
        raise RuntimeError(f"{given.name}: the qdq file differs: {report.detail}")
    low.release()
    return qdq


def our_net(path: Path, weights: Path, feeds: Feeds) -> Call:
    """Our forward pass."""
    net = open_net(read_net(path), weights)
    blobs = {name: torch.from_numpy(x) for name, x in feeds.items()}
    return lambda: net.forward(blobs)


def onnx_file(path: Path, feeds: Feeds) -> Call:
    """onnxruntime on a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def reads_caffe() -> bool:
    """Whether an OpenCV is installed that reads Caffe files; OpenCV 5 does not."""
    if find_spec("cv2") is None:
        return False
    import cv2

    return hasattr(cv2.dnn, "readNetFromCaffe")


def opencv(path: Path, weights: Path, feeds: Feeds) -> Call:
    """OpenCV's dnn module on prototxt and caffemodel."""
    import cv2

    cv2.setNumThreads(torch.get_num_threads())
    net = cv2.dnn.readNetFromCaffe(str(path), str(weights))

    def call() -> object:
        for name, x in feeds.items():
            net.setInput(x, name)
        return net.forward()

    return call


def eager_torch(path: Path, weights: Path, feeds: Feeds) -> Call:
    """Torch's operators on contiguous tensors, without our net's bookkeeping."""
    net = open_net(read_net(path), weights)
    blobs = {name: torch.from_numpy(x) for name, x in feeds.items()}
    return lambda: eager(net, blobs)


@torch.no_grad()
def eager(net: Net, inputs: Mapping[str, torch.Tensor]) -> None:
    values = dict(inputs)
    for node in net.nodes:
        if node.spec.type == "Input":
            continue
        bottoms = [values[b] for b in node.spec.bottoms]
        blobs = [b.tensor for b in node.masters]
        if node.layer.same_tops_as_bottoms:
            tops = [node.layer.run(node.runtime, x, *blobs) for x in bottoms]
        else:
            made = node.layer.run(node.runtime, *bottoms, *blobs)
            tops = list(made) if isinstance(made, tuple | list) else [made]
        values.update(zip(node.spec.tops, tops, strict=True))
