"""The peer of the main job: a float pass, MinMax calibration, an 8-bit pass in onnxruntime.

    python scripts/bench/ort_job.py FLOAT.onnx LIST FOLDER INT8.onnx THREADS LIMIT CROP MEAN

MEAN is B,G,R. Prints both accuracies as JSON. Images are read once and kept, which is the shortest
way for such a script.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime import quantization
from PIL import Image

BATCH = 10


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # untyped
    """The images in batches, once."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        self._rest: Iterator[dict[str, np.ndarray]] = (
            {name: images[i : i + BATCH]} for i in range(0, len(images), BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._rest, None)


def loaded(
    path: Path, folder: Path, limit: int, crop: int, mean: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Centre crops, BGR less the mean, and the labels."""
    images, labels = [], []
    for line in path.read_text().splitlines()[:limit]:
        name, label = line.split()
        image = Image.open(folder / name).convert("RGB")
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), np.float32)
        images.append((pixels[..., ::-1] - mean).transpose(2, 0, 1))
        labels.append(int(label))
    return np.asarray(images, np.float32), np.asarray(labels)


def session_of(path: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def accuracy(path: str, images: np.ndarray, labels: np.ndarray, threads: int) -> float:
    session = session_of(path, threads)
    name = session.get_inputs()[0].name
    right = 0
    for i in range(0, len(images), BATCH):
        scores = session.run(None, {name: images[i : i + BATCH]})[0]
        best = scores.reshape(len(scores), -1).argmax(1)
        right += int((best == labels[i : i + BATCH]).sum())
    return right / len(images)


def main() -> None:
    model, listed, folder, low, threads, limit, crop, mean = sys.argv[1:]
    means = [float(x) for x in mean.split(",")]
    images, labels = loaded(Path(listed), Path(folder), int(limit), int(crop), means)
    name = session_of(model, 1).get_inputs()[0].name
    exact = accuracy(model, images, labels, int(threads))
    quantization.quantize_static(
        model,
        low,
        Reader(name, images),
        quant_format=quantization.QuantFormat.QDQ,
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )
    rounded = accuracy(low, images, labels, int(threads))
    print(json.dumps({"float": exact, "int8": rounded}))


if __name__ == "__main__":
    main()
