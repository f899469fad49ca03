"""Published models against recorded blobs of the original Caffe and of OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adaption.io.caffemodel import read_weights
from adaption.net import Net
from tests.golden_cases import SHARED

MODELS = SHARED / "models"

# Greatest difference over the greatest value of the blob. Sums in another order cost about 1e-6 in
# a shallow net; plainnet20 and resnet20 divide by batch norm's deviations twenty times: 1.5e-5.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Recorded:
    """One file of recorded blobs, and the files that lead to it."""

    reference: Path

    @property
    def variant(self) -> str:
        return self.reference.stem.split("_", 2)[2] if self.reference.stem.count("_") > 1 else ""

    def file(self, pattern: str) -> Path:
        """The variant's own file, or the model's."""
        own = self.reference.parent / pattern.replace("*", f"_{self.variant}")
        return own if self.variant and own.exists() else own.with_name(pattern.replace("*", ""))

    @property
    def weights(self) -> Path:
        own = self.reference.with_name(f"{self.variant}.caffemodel")
        return own if own.exists() else self.file("deploy*.caffemodel")

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        with np.load(self.reference) as file:
            return {name.replace("|", "/"): file[name] for name in file.files}


def recorded() -> list[Any]:
    found = sorted(MODELS.glob("*/reference_*.npz"))
    if not found:
        reason = f"no published models at {MODELS} (set ADAPTION_SHARED)"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="missing")]
    return [pytest.param(Recorded(f), id=f"{f.parent.name}-{f.stem[10:]}") for f in found]


def error(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    if want.shape[-1:] == (7,) and got.size < want.size:
        # Detections: OpenCV fills up with rows of zeros to keep_top_k.
        got = np.pad(got.reshape(-1, 7), ((0, (want.size - got.size) // 7), (0, 0)))
    assert got.size == want.size, f"shape {got.shape}, want {want.shape}"
    scale = max(float(np.abs(want).max()), 1e-6)
    return float(np.abs(got.reshape(want.shape) - want).max()) / scale


@pytest.mark.parametrize("case", recorded())
def test_recorded_blobs(case: Recorded) -> None:
    want = case.arrays()
    net = Net(case.file("deploy*.prototxt"), case.weights)
    (name,) = net.inputs
    x = np.load(case.file("input*.npy"))
    x = x[: len(want[name]) if name in want else 4 if case.variant == "layers" else None]
    tops: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        net.forward(
            {name: x},
            observer=lambda node, _, made: tops.update({node.spec.name: made[0].clone()}),
        )
    # "layers" is keyed by layer name: in-place layers show before and after.
    got = tops if case.variant == "layers" else {n: b.tensor for n, b in net.blobs.items()}
    compared = {n: error(got[n].numpy(), values) for n, values in want.items() if n in got}
    assert compared.keys() - {name}
    assert max(compared.values()) < TOLERANCE, compared
    if name in want:  # all blobs were recorded; made splits have no name of their own there
        assert want.keys() <= net.blobs.keys()


@pytest.mark.parametrize("variant", ["", "_pcn2", "_pcn3"])
def test_one_weights_file_for_three_nets(shared: Path, variant: str) -> None:
    folder = shared / "models" / "pcn"
    net = Net(folder / f"deploy{variant}.prototxt")
    report = net.load(folder / "deploy.caffemodel")
    assert report.missing == []
    assert report.loaded == list(net.params)
    others = {w.name for w in read_weights(folder / "deploy.caffemodel").layers if w.blobs}
    assert set(report.ignored) == others - set(net.params)


def test_hdf5_and_binary_weights_are_the_same_net(shared: Path) -> None:
    folder = shared / "models" / "cmsisnn_cifar10_m7"
    one, two = (
        Net(folder / "deploy.prototxt", folder / name)
        for name in ("deploy.caffemodel", "float.caffemodel.h5")
    )
    for name, blobs in one.params.items():
        for i, blob in enumerate(blobs):
            np.testing.assert_array_equal(two.params[name][i].data, blob.data)


def test_no_model_is_recorded_or_rounded_without_need(shared: Path) -> None:
    """TEST nets without loss keep nothing for backward."""
    folder = shared / "models" / "lenet"
    net = Net(folder / "deploy.prototxt", folder / "deploy.caffemodel")
    net.forward()
    assert all(node.tape is None for node in net.nodes)
