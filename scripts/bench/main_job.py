"""The whole main job on SqueezeNet and JPEG images, against onnxruntime's own way to 8 bits.

Ours is `adaption quantize --int8`: accuracy in float and at 8 bits, formats, the qdq file and its
proof, the report. Theirs is ort_job.py: a float pass, MinMax calibration, an 8-bit pass. Both are
processes of their own, from start to end, in turn; both batches have ten images.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from commands import run, verb
from figures import Figure
from nets import open_net
from turns import Settings, ratios, spread_of

from adaption.export.onnx import export_onnx
from adaption.io.netfile import read_net

ROWS = ("main",)
IMAGES = {True: 60, False: 500}
CROP, MEAN = 227, "104,117,123"
PEER = Path(__file__).with_name("ort_job.py")


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """One row, or the reason why there is none."""
    count = IMAGES[settings.quick]
    what = f"SqueezeNet, {count} JPEG images"
    model = settings.material / "models/squeezenet_v1.0"
    images = settings.material / "data/imagenet_sample"
    absent = [str(folder) for folder in (model, images) if not folder.is_dir()]
    if absent:
        yield Figure.skipped(rows[0], what, f"no {', '.join(absent)}")
        return
    net, weights = model / "deploy.prototxt", model / "deploy.caffemodel"
    folder = settings.folder
    made = open_net(read_net(net), weights, batch=10)
    export_onnx(made, folder / "float.onnx", batch=10)
    made.release()
    common = (images / "val.txt", images)
    ours = verb("quantize", net, weights, "--data", common[0], "--root", images,
                f"--crop={CROP}", f"--mean-value={MEAN}", "--int8", f"--limit={count}",
                "-o", folder / "out", "--quiet")  # fmt: skip
    theirs = [sys.executable, PEER, folder / "float.onnx", *common, folder / "int8.onnx",
              settings.threads, count, CROP, MEAN]  # fmt: skip
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(settings.rounds_or(3, 1)):
        for command, kept in zip((ours, theirs), seconds, strict=True):
            begin = time.perf_counter()
            said = run(command)
            kept.append(time.perf_counter() - begin)
    peer = json.loads(said)
    summary = json.loads((folder / "out/summary.json").read_text())
    yield Figure(
        rows[0],
        what,
        f"{spread_of(seconds[0]).median:.1f} s",
        f"onnxruntime {spread_of(seconds[1]).median:.1f} s",
        ratios(*seconds),
        target=1.0,
        note=f"top-1 float, 8 bit: ours {accuracies(summary)}; onnxruntime"
        f" {100 * peer['float']:.1f}, {100 * peer['int8']:.1f} %",
    )


def accuracies(summary: dict[str, dict[str, dict[str, float]]]) -> str:
    made = summary["accuracy"]
    return f"{100 * made['float']['top1']:.1f}, {100 * made['quantized']['top1']:.1f}"
