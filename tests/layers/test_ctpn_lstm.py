from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, net_of, spread

X = spread(3, 2, 4).numpy()
SNIPPET = 'type: "Lstm" bottom: "x" %s top: "y" lstm_param { num_output: 3 %s }'


def blobs() -> list[np.ndarray]:
    return [spread(*s, low=-0.7, high=0.7, seed=i).numpy() for i, s in enumerate(SHAPES)]


SHAPES = [(12, 4), (12, 3), (12,)]


def sequence(
    x: np.ndarray, marks: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, ...]:
    """One sample (T, I), from the state h, c on."""
    w_x, w_h, b = blobs()

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    tops = []
    for step, mark in zip(x, marks, strict=True):
        i, f, o, g = np.split(w_x @ step + mark * (w_h @ h) + b, 4)
        c = mark * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        tops.append(h)
    return np.stack(tops), h, c


def filled(snippet: str, inputs: dict[str, np.ndarray], **options: object):  # type: ignore[no-untyped-def]
    net = net_of(snippet, inputs, header="force_backward: true", **options)
    for blob, values in zip(net.params["L"], blobs(), strict=True):
        blob.data[...] = values
    return net


def test_samples_are_independent_and_begin_at_0() -> None:
    net = filled(SNIPPET % ("", ""), {"x": X})
    zero = np.zeros(3)
    for _ in range(2):
        net.forward()
        for n in range(2):
            want, *_ = sequence(X[:, n], np.array([0, 1, 1]), zero, zero)
            np.testing.assert_allclose(net.blobs["y"].data[:, n], want, rtol=1e-4, atol=1e-6)


def test_with_marks_the_state_goes_on_until_a_mark_of_0() -> None:
    marks = np.array([[1, 0], [1, 1], [0, 1]])
    net = filled(SNIPPET % ('bottom: "m"', ""), {"x": X, "m": marks.ravel()})
    states = [(np.zeros(3), np.zeros(3))] * 2
    for _ in range(2):
        net.forward()
        for n in range(2):
            want, *states[n] = sequence(X[:, n], marks[:, n], *states[n])  # type: ignore[call-overload]
            np.testing.assert_allclose(net.blobs["y"].data[:, n], want, rtol=1e-4, atol=1e-6)


def test_gradient_of_the_gates_is_clipped() -> None:
    net = filled(SNIPPET % ("", "clipping_threshold: 0.01"), {"x": X})
    net.forward()
    net.blobs["y"].diff[...] = 100
    net.backward()
    w_x = blobs()[0]
    assert np.abs(net.params["L"][2].diff).max() <= 0.01 * 6 + 1e-6  # 3 steps of 2 samples
    assert np.abs(net.blobs["x"].diff).max() <= 0.01 * np.abs(w_x).sum(0).max() + 1e-6


def test_original_semantics_mixes_the_batch_and_is_the_same_for_one_sample() -> None:
    first, alone, both = (
        filled(SNIPPET % ("", ""), {"x": x}, original_semantics=original)
        for x, original in ((X[:, :1], False), (X[:, :1], True), (X, True))
    )
    for net in (first, alone, both):
        net.forward()
        net.blobs["y"].diff[...] = 1
        net.backward()
    np.testing.assert_allclose(alone.blobs["y"].data, first.blobs["y"].data)
    np.testing.assert_allclose(alone.blobs["x"].diff, first.blobs["x"].diff)
    want, *_ = sequence(X[:, 1], np.array([0, 1, 1]), np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(both.blobs["y"].data[0, 1], want[0], rtol=1e-4)
    assert not np.allclose(both.blobs["y"].data[1, 1], want[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("snippet", "shapes", "message"),
    [
        ("", [(3, 2, 4)], "lstm_param.num_output is 0, allowed: 1 or more"),
        ("lstm_param { num_output: 3 }", [(3, 2)], "x has shape (3, 2), allowed: (T, N, ...)"),
        ("lstm_param { num_output: 3 }", [(3, 2, 4), (5,)], "have shape (5,), allowed: 6 values"),
    ],
)
def test_errors(snippet: str, shapes: list[tuple[int, ...]], message: str) -> None:
    assert message in error_of(f'type: "Lstm" {snippet}', *shapes)
