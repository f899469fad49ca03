"""Scripts as Caffe users have them, run on `caffe` unchanged but for their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import adaption
from adaption.pycaffe.install import uninstall_as_caffe

EXAMPLE = Path(__file__).resolve().parents[2] / "models" / "lenet_digits"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    adaption.install_as_caffe()
    yield
    uninstall_as_caffe()


@pytest.fixture
def digits() -> tuple[Any, Any]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(EXAMPLE / "digits_test.h5") as file:
        names = sorted(file)
        arrays = {name: file[name][:] for name in names}
    images, labels = arrays["data"], arrays["label"]
    return images, labels.ravel().astype(int)


def test_classification(digits: tuple[Any, Any]) -> None:
    """examples/00-classification.ipynb."""
    import caffe  # type: ignore[import-not-found]

    images, labels = digits
    caffe.set_mode_cpu()
    net = caffe.Net(
        str(EXAMPLE / "deploy.prototxt"), str(EXAMPLE / "lenet_digits.caffemodel"), caffe.TEST
    )
    scale = images.max()
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_raw_scale("data", scale)
    right = 0
    for image, label in zip(images[:100], labels[:100], strict=True):
        pixels = np.round(image[0] / scale * 255).astype(np.uint8)
        Image.fromarray(pixels).save("digit.png")
        grey = caffe.io.load_image("digit.png", color=False)
        net.blobs["data"].data[...] = transformer.preprocess("data", grey)
        out = net.forward()
        right += int(out["prob"][0].argmax() == label)
    assert right >= 90  # as the net's accuracy is, whatever the rounding to 8 bits does

    net.blobs["data"].reshape(50, 1, 8, 8)
    out = net.forward_all(data=images)
    assert (out["prob"].argmax(1) == labels).mean() > 0.9
    for name, blob in net.blobs.items():
        assert blob.data.shape[0] == 50, name
    filters = net.params["conv1"][0].data
    assert filters.transpose(0, 2, 3, 1).shape == (16, 3, 3, 1)


CONV = """
name: "FullyConvolutional"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 12 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 32 kernel_size: 3 pad: 1 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1-conv" type: "Convolution" bottom: "pool2" top: "ip1-conv"
  convolution_param { num_output: 64 kernel_size: 2 } }
layer { name: "relu3" type: "ReLU" bottom: "ip1-conv" top: "ip1-conv" }
layer { name: "ip2-conv" type: "Convolution" bottom: "ip1-conv" top: "ip2-conv"
  convolution_param { num_output: 10 kernel_size: 1 } }
layer { name: "prob" type: "Softmax" bottom: "ip2-conv" top: "prob" }
"""  # noqa: E501


def test_net_surgery(digits: tuple[Any, Any]) -> None:
    """examples/net_surgery.ipynb: cast a classifier into a fully convolutional net."""
    import caffe  # type: ignore[import-not-found]

    weights = str(EXAMPLE / "lenet_digits.caffemodel")
    net = caffe.Net(str(EXAMPLE / "deploy.prototxt"), weights, caffe.TEST)
    params = ["ip1", "ip2"]
    fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}
    Path("conv.prototxt").write_text(CONV)
    net_full_conv = caffe.Net("conv.prototxt", weights, caffe.TEST)
    params_full_conv = ["ip1-conv", "ip2-conv"]
    conv_params = {
        pr: (net_full_conv.params[pr][0].data, net_full_conv.params[pr][1].data)
        for pr in params_full_conv
    }
    for pr, pr_conv in zip(params, params_full_conv, strict=True):
        conv_params[pr_conv][0].flat = fc_params[pr][0].flat  # flat unrolls the arrays
        conv_params[pr_conv][1][...] = fc_params[pr][1]
    net_full_conv.save("full_conv.caffemodel")

    again = caffe.Net("conv.prototxt", "full_conv.caffemodel", caffe.TEST)
    image = digits[0][0]
    tall = np.zeros((1, 1, 12, 8), np.float32)
    tall[0, :, :8] = image
    out = again.forward_all(data=tall)
    assert out["prob"].shape == (1, 10, 2, 1)
    # The upper window sees below it what is padding for the classifier: zeros, too.
    want = net.forward(data=image[None])["prob"][0]
    np.testing.assert_allclose(out["prob"][0, :, 0, 0], want, rtol=1e-4, atol=1e-6)


def test_feature_extraction(digits: tuple[Any, Any]) -> None:
    """Features of a layer for a list of images, through the Classifier of python/classify.py."""
    import caffe  # type: ignore[import-not-found]

    images, labels = digits
    net = caffe.Classifier(
        str(EXAMPLE / "deploy.prototxt"), str(EXAMPLE / "lenet_digits.caffemodel")
    )
    inputs = [image.transpose(1, 2, 0) for image in images[:20]]
    scores = net.predict(inputs, oversample=False)
    assert (scores.argmax(1) == labels[:20]).mean() > 0.8
    features = []
    for image in images[:20]:
        net.blobs["data"].data[...] = image
        net.forward(end="ip1")
        features.append(net.blobs["ip1"].data[0].copy())
    np.savez("features.npz", ip1=features)
    whole = net.forward_all(blobs=["ip1"], data=images[:20])
    # forward(end="ip1") stops before the in-place ReLU behind it.
    want = np.maximum(np.stack(features), 0)
    np.testing.assert_allclose(whole["ip1"], want, rtol=1e-4, atol=1e-5)


def test_lenet_from_python(digits: tuple[Any, Any]) -> None:
    """examples/01-learning-lenet.ipynb, with its solver written out as a loop."""
    import caffe  # type: ignore[import-not-found]
    from caffe import layers as L
    from caffe import params as P

    def lenet(source: str, batch_size: int) -> Any:
        n = caffe.NetSpec()
        n.data, n.label = L.HDF5Data(batch_size=batch_size, source=source, ntop=2)
        n.conv1 = L.Convolution(
            n.data, kernel_size=3, num_output=8, weight_filler=dict(type="xavier")
        )
        n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
        n.fc1 = L.InnerProduct(n.pool1, num_output=32, weight_filler=dict(type="xavier"))
        n.relu1 = L.ReLU(n.fc1, in_place=True)
        n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
        n.accuracy = L.Accuracy(n.score, n.label)
        n.loss = L.SoftmaxWithLoss(n.score, n.label)
        return n.to_proto()

    Path("train.txt").write_text(f"{EXAMPLE / 'digits_train.h5'}\n")
    with Path("lenet_auto_train.prototxt").open("w") as f:
        f.write(str(lenet("train.txt", 64)))
    caffe.set_random_seed(1)
    net = caffe.Net("lenet_auto_train.prototxt", caffe.TRAIN)
    losses = []
    for _ in range(60):
        net.clear_param_diffs()
        losses.append(float(net.forward()["loss"]))
        net.backward()
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] -= 0.3 * blob.diff
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    assert net.blobs["accuracy"].data > 0.6
    assert os.path.getsize("lenet_auto_train.prototxt") > 500  # noqa: PTH202
