"""How long does opening a 553 MB VGG16 caffemodel take, and how much memory?

Makes the file with our streaming writer in a temporary folder, then opens it in fresh processes,
ours and protobuf's ParseFromString in turn, and prints one table.

    python scripts/bench/open_weights.py [--repeats 5] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

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


def layers() -> Iterator[LayerWeights]:
    draw = np.random.default_rng(0)
    for name, bottom, top in CONV:
        weight = draw.standard_normal((top, bottom, 3, 3), np.float32)
        yield LayerWeights(
            name, "Convolution", [WeightBlob.of(weight), WeightBlob.of(np.zeros(top))]
        )
        yield LayerWeights(f"relu_{name}", "ReLU", [])
    for name, bottom, top in FC:
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
    command = [sys.executable, __file__, "--measure", what, "--file", str(path)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(out)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the file is made (about 553 MB)")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(MEASURES[args.measure](args.file)))
        return

    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "vgg16.caffemodel"
        start = time.perf_counter()
        write_weights(path, layers(), "VGG16")
        wrote = time.perf_counter() - start
        size_mb = path.stat().st_size / 1e6
        print(f"{platform.node()}, {platform.machine()}, Python {platform.python_version()}")
        print(f"{size_mb:.0f} MB made and written in {wrote:.1f} s")
        runs: dict[str, list[dict[str, float]]] = {what: [] for what in MEASURES}
        for _ in range(args.repeats):
            for what, results in runs.items():
                results.append(in_fresh_process(what, path))

    rows = {
        what: {key: statistics.median(run[key] for run in results) for key in results[0]}
        for what, results in runs.items()
    }
    columns = {
        "open": ("open, ms", 1e3),
        "open_mb": ("memory, +MB", 1),
        "touch": (f"{TOUCHED}, ms", 1e3),
        "touch_mb": ("memory, +MB", 1),
    }
    print(f"median of {args.repeats}".ljust(14) + "".join(f"{c[0]:>15}" for c in columns.values()))
    for what, row in rows.items():
        cells = (f"{row[key] * scale:15.2f}" for key, (_, scale) in columns.items())
        print(what.ljust(14) + "".join(cells))
    ratios = (f"{rows['ours'][key] / rows['protobuf'][key]:15.4f}" for key in columns)
    print("ratio".ljust(14) + "".join(ratios))


if __name__ == "__main__":
    main()
