"""How long opening a large caffemodel takes, and how much memory.

Makes the file with our streaming writer, then opens it in fresh processes, ours and protobuf's
ParseFromString in turn. Each also reads one layer ("touch").
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from commands import run
from figures import Figure
from turns import Settings, ratios, spread_of

from adaption.io.caffemodel import LayerWeights, WeightBlob, read_weights, write_weights

# VGG16 (Simonyan and Zisserman 2014, configuration D): 138 357 544 parameters
CONV = [
    ("conv1_1", 3, 64), ("conv1_2", 64, 64),
    ("conv2_1", 64, 128), ("conv2_2", 128, 128),
    ("conv3_1", 128, 256), ("conv3_2", 256, 256), ("conv3_3", 256, 256),
    ("conv4_1", 256, 512), ("conv4_2", 512, 512), ("conv4_3", 512, 512),
    ("conv5_1", 512, 512), ("conv5_2", 512, 512), ("conv5_3", 512, 512),
]  # fmt: skip
FC = [("fc6", 25088, 4096), ("fc7", 4096, 4096), ("fc8", 4096, 1000)]
TOUCHED = "conv5_3"
ROWS = ("open",)
TARGET = 0.01  # "keep": 0.002 on 28 November 2026
COLUMNS = {
    "open": ("time", "ms", 1e3),
    "open_mb": ("memory", "MB", 1.0),
    "touch": (f"time to read {TOUCHED}", "ms", 1e3),
    "touch_mb": (f"memory with {TOUCHED} read", "MB", 1.0),
}


def layers(full: bool) -> Iterator[LayerWeights]:
    """VGG16's, or those of them that convolve: 59 MB."""
    draw = np.random.default_rng(0)
    for name, bottom, top in CONV:
        weight = draw.standard_normal((top, bottom, 3, 3), np.float32)
        yield LayerWeights(
            name, "Convolution", [WeightBlob.of(weight), WeightBlob.of(np.zeros(top))]
        )
        yield LayerWeights(f"relu_{name}", "ReLU", [])
    for name, bottom, top in FC if full else ():
        weight = draw.standard_normal((top, bottom), np.float32)
        yield LayerWeights(
            name, "InnerProduct", [WeightBlob.of(weight), WeightBlob.of(np.zeros(top))]
        )


def rss_mb() -> float:
    """Resident memory of this process in MB, mapped file pages included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("no VmRSS in /proc/self/status")


def measure_ours(path: Path) -> dict[str, float]:
    before = rss_mb()
    start = time.perf_counter()
    weights = read_weights(path)
    opened = time.perf_counter() - start
    opened_mb = rss_mb() - before
    layer = weights.get(TOUCHED)
    assert layer is not None
    start = time.perf_counter()
    layer.blobs[0].array().sum()
    used = time.perf_counter() - start
    return {"open": opened, "open_mb": opened_mb, "touch": used, "touch_mb": rss_mb() - before}


def measure_protobuf(path: Path) -> dict[str, float]:
    from adaption.proto import caffe_pb2

    before = rss_mb()
    start = time.perf_counter()
    net = caffe_pb2.NetParameter()
    net.ParseFromString(path.read_bytes())
    opened = time.perf_counter() - start
    opened_mb = rss_mb() - before
    layer = next(layer for layer in net.layer if layer.name == TOUCHED)
    start = time.perf_counter()
    np.array(layer.blobs[0].data, np.float32).sum()
    used = time.perf_counter() - start
    return {"open": opened, "open_mb": opened_mb, "touch": used, "touch_mb": rss_mb() - before}


MEASURES = {"ours": measure_ours, "protobuf": measure_protobuf}


def in_fresh_process(what: str, path: Path) -> dict[str, float]:
    result: dict[str, float] = json.loads(run([sys.executable, __file__, what, path]))
    return result


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """Time and memory."""
    path = settings.folder / "vgg16.caffemodel"
    write_weights(path, layers(full=not settings.quick), "VGG16")
    size = f"{path.stat().st_size / 1e6:.0f} MB"
    runs: dict[str, list[dict[str, float]]] = {what: [] for what in MEASURES}
    for _ in range(settings.rounds_or(5, 3)):
        for what, results in runs.items():
            results.append(in_fresh_process(what, path))
    path.unlink()
    for key, (what, unit, scale) in COLUMNS.items():
        ours, theirs = ([run[key] for run in runs[who]] for who in MEASURES)
        yield Figure(
            rows[0],
            f"{size}: {what}",
            f"{spread_of(ours).median * scale:.2f} {unit}",
            f"protobuf {spread_of(theirs).median * scale:.0f} {unit}",
            ratios(ours, theirs),
            target=TARGET if key in ("open", "open_mb") and not settings.quick else None,
        )


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](Path(sys.argv[2]))))
