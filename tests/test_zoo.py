"""Every published prototxt: read, written unchanged, and run with random weights.

The run at batch 1 is slow, and ends with a table of the nets that do not run, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adaption.errors import AdaptionError
from adaption.graph import NetSpec, NetState, build_spec, input_shapes, with_inputs
from adaption.io import prototxt
from adaption.io.netfile import read_net
from adaption.net import Net
from adaption.proto import caffe_pb2

ZOO = Path(__file__).resolve().parents[2] / "shared/zoo"
FILES = sorted(p.name for p in ZOO.glob("*.prototxt"))
SOLVERS = {name for name in FILES if "solver" in name}
NETS = [name for name in FILES if name not in SOLVERS]

# A template: a script fills in ${NUM_LABELS}.
TEMPLATES = {"deeplab_largefov_train.prototxt"}

# Blobs of the data layers, whose data is not at hand, at batch 1.
IMAGENET = {"data": (1, 3, 227, 227), "label": (1,)}
CIFAR = {"data": (1, 3, 32, 32), "label": (1,)}
INPUTS = {
    "adaption_lp_mnist_train_test": {"data": (1, 1, 28, 28), "label": (1,)},
    "adaption_lp_vgg16_16bit_deploy": {"data": (1, 3, 224, 224), "label": (1,)},
    "alexnet_train_val": IMAGENET,
    "centerface_train_test": {"data": (1, 3, 112, 96), "label": (1,)},
    "cifar10_full_train_test": CIFAR,
    "crnn_train": {"data": (523, 3, 32, 128), "label": (523, 7)},  # its Reshape fixes the batch
    "deeptextspotter_tiny": {
        "data": (1, 3, 416, 416),
        "gt_boxes": (1, 2, 6),
        "gt_labels": (1, 2),
        "line_boxes": (1, 2),
        "line_labels": (1, 2),
    },
    "densenet_cifar_train": {"Data1": (1, 3, 32, 32), "Data2": (1,)},
    "faster_rcnn_vgg16_e2e_train": {
        "data": (1, 3, 224, 224),
        "im_info": (1, 3),
        "gt_boxes": (1, 5),
    },
    "fcn_alexnet_val": {"data": (1, 3, 500, 500), "label": (1, 1, 500, 500)},
    "feature_extraction_imagenet_val": IMAGENET,
    "hdf5_nonlinear_train_val": {"data": (1, 4), "label": (1,)},
    "lenet_train_test": {"data": (1, 1, 28, 28), "label": (1,)},
    "lrcn_activity_train_lstm": {
        "data": (48, 3, 227, 227),  # 16 steps of 3 clips: its Reshape says so
        "label": (48,),
        "clip_markers": (48,),
    },
    "mnist_autoencoder": {"data": (1, 1, 28, 28)},
    "mobilenet_yolov3_lite_train": {"data": (1, 3, 416, 416), "label": (1, 1, 300, 5)},
    "pascal_finetune_trainval_windowdata": IMAGENET,
    "resnet20_cifar_he_trainval": CIFAR,
    "segnet_train": {"data": (1, 3, 360, 480), "label": (1, 1, 360, 480)},
    "siamese_train_test": {"pair_data": (1, 2, 28, 28), "sim": (1,)},
    "v1_alexnet_train_val": IMAGENET,
    "v1_siamese_train_test": {"pair_data": (1, 2, 28, 28), "sim": (1,)},
    "vgg16_train_val": {"data": (1, 3, 224, 224), "label": (1,)},
}
STATES = {
    "lrcn_activity_train_lstm": NetState("TEST", stages=("test-on-test",)),
    "mnist_autoencoder": NetState("TEST", stages=("test-on-test",)),
    "mobilenet_yolov3_lite_train": NetState("TRAIN"),
}


@pytest.mark.parametrize("name", FILES or ["none"])
def test_reads_and_is_written_unchanged(name: str, shared: Path) -> None:
    path = shared / "zoo" / name
    document = prototxt.read(path)
    assert document.data() == path.read_bytes()
    if name in TEMPLATES:
        return
    kind = caffe_pb2.SolverParameter if name in SOLVERS else caffe_pb2.NetParameter
    _message, notices = document.message(kind)
    assert [str(n) for n in notices if not n.is_value] == []


def spec_of(path: Path) -> NetSpec:
    """The net at batch 1, with inputs for the data that is not at hand."""
    net = read_net(path)
    spec = build_spec(net.message, STATES.get(path.stem, NetState()), file=net.file)
    if path.stem in INPUTS:
        return with_inputs(spec, INPUTS[path.stem])
    return with_inputs(spec, {n: (1, *shape[1:]) for n, shape in input_shapes(spec).items()})


def randomize(net: Net) -> None:
    """Small random weights where there are no fillers, and statistics that can be divided by."""
    generator = torch.Generator().manual_seed(1)
    for node in net.nodes:
        for blob in node.blobs:
            with torch.no_grad():
                if node.layer.writes_blobs:
                    blob.tensor.fill_(1)
                elif not blob.tensor.any():
                    blob.tensor.normal_(0, 0.02, generator=generator)
    for name in net.inputs:
        if len(net.blobs[name].shape) == 4 and name != "label":
            net.blobs[name].tensor.normal_(0, 1, generator=generator)


@pytest.fixture(scope="module")
def failures() -> Iterator[dict[str, str]]:
    """Why nets did not run; printed as a table when all have been tried."""
    found: dict[str, str] = {}
    yield found
    print(f"\nnets that do not run ({len(found)} of {len(NETS)}):")
    for name, why in found.items():
        print(f"  {name}: {why}")


@pytest.fixture(scope="module")
def outcomes(shared: Path, failures: dict[str, str]) -> dict[str, str]:
    """Run every net; the reason for each that does not run."""
    for name in NETS:
        try:
            net = Net(spec_of(shared / "zoo" / name), seed=0)
            randomize(net)
            with torch.no_grad():
                net.forward()
        except AdaptionError as error:
            failures[name] = error.fact
    return failures


@pytest.mark.slow
def test_nearly_all_run(outcomes: dict[str, str]) -> None:
    assert len(NETS) >= 60
    assert len(outcomes) <= 0.05 * len(NETS), outcomes
