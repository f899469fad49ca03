"""Rebuild models/lenet_digits: the digits as LMDB and HDF5, and the trained caffemodel.

The data are the 1,797 handwritten digits that scikit-learn bundles (UCI, Alpaydin & Kaynak 1998);
shuffled once with a fixed seed, 360 are held out. Needs scikit-learn, which nothing else does:

    pip install scikit-learn && python scripts/make_lenet_digits.py

Training follows solver.prototxt with Caffe's update of SGD with momentum, batch for batch in the
order of the LMDB, so the result depends on the seed alone.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import lmdb
import numpy as np
import torch
from sklearn.datasets import load_digits

from adaption.io import prototxt
from adaption.net import Net
from adaption.proto import caffe_pb2

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("models/lenet_digits")
HELD_OUT = 360
SEED = 0  # of the shuffle


def main() -> None:
    """Write data and weights, then print the held-out accuracy."""
    os.chdir(ROOT)
    digits = load_digits()
    order = np.random.RandomState(SEED).permutation(len(digits.images))
    images = digits.images.astype(np.uint8)[order, None]
    labels = digits.target.astype(np.int64)[order]
    cut = len(images) - HELD_OUT
    for name, part in (("train", slice(0, cut)), ("test", slice(cut, None))):
        write_lmdb(FOLDER / f"digits_{name}_lmdb", images[part], labels[part])
        write_hdf5(FOLDER / f"digits_{name}.h5", images[part], labels[part])
    train()


def write_lmdb(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """One Datum per image under keys 00000000, 00000001, ...; only as large as it has to be."""
    shutil.rmtree(folder, ignore_errors=True)
    with lmdb.open(str(folder), map_size=1 << 24) as store:
        with store.begin(write=True) as records:
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                datum = caffe_pb2.Datum(label=int(label), data=image.tobytes())
                datum.channels, datum.height, datum.width = image.shape
                records.put(b"%08d" % i, datum.SerializeToString())
        compact = folder.with_suffix(".tmp")
        compact.mkdir()
        store.copy(str(compact), compact=True)
    shutil.rmtree(folder)
    compact.rename(folder)


def write_hdf5(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Datasets data (already scaled) and label, for HDF5Data layers and --data."""
    with h5py.File(path, "w") as file:
        values = images.astype(np.float32) / 16
        file.create_dataset("data", data=values, compression="gzip", compression_opts=9)
        file.create_dataset("label", data=labels.astype(np.float32))


def train() -> None:
    """SGD with momentum and weight decay as Caffe's SGDSolver computes it."""
    solver, _ = prototxt.read(FOLDER / "solver.prototxt").message(caffe_pb2.SolverParameter)
    net = Net(solver.net, phase="TRAIN", seed=solver.random_seed)
    learned = [
        (blob, spec.lr_mult, spec.decay_mult)
        for node in net.nodes
        for blob, spec in zip(node.blobs, node.spec.message.param, strict=True)
    ]
    history = [torch.zeros(blob.shape) for blob, _, _ in learned]
    for step in range(solver.max_iter):
        rate = solver.base_lr * (1 + solver.gamma * step) ** -solver.power
        net.clear_param_diffs()
        net.forward()
        net.backward()
        for (blob, lr_mult, decay_mult), past in zip(learned, history, strict=True):
            with torch.no_grad():
                decay = solver.weight_decay * decay_mult
                past.mul_(solver.momentum).add_(
                    blob.grad + decay * blob.tensor, alpha=rate * lr_mult
                )
                blob.tensor.sub_(past)
        if (step + 1) % solver.display == 0:
            print(f"Iteration {step + 1}, loss = {net.loss():.4f}")
    net.save(FOLDER / "lenet_digits.caffemodel")
    print(f"held-out accuracy: {held_out_accuracy():.4f}")


def held_out_accuracy() -> float:
    """Top-1 share on the digits that were not trained on."""
    with h5py.File(FOLDER / "digits_test.h5") as file:
        data, label = file["data"][:], file["label"][:]
    net = Net(FOLDER / "deploy.prototxt", FOLDER / "lenet_digits.caffemodel")
    scores = net.forward({"data": data})["prob"].numpy()
    return float((scores.argmax(1) == label).mean())


if __name__ == "__main__":
    main()
