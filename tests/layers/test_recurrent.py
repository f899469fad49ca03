"""LSTM, RNN and LSTMUnit: carried state, static input, resets, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adaption.net import Net
from tests.layers.snippets import error_of, net_of, spread

Array = NDArray[Any]
T, N, K, S, H = 3, 2, 4, 5, 3
X = spread(T, N, K).numpy()
CONT = np.array([[0, 1], [1, 1], [1, 0]], dtype=np.float64)
STATIC = spread(N, S, seed=1).numpy()
H0, C0 = (spread(1, N, H, seed=i).numpy() for i in (2, 3))

EXPOSED = "expose_hidden: true"
PARAM = 'weight_filler { type: "uniform" min: -0.8 max: 0.8 } bias_filler { type: "uniform" }'


def net(kind: str, inputs: dict[str, Any], param: str = "", tops: int = 1) -> Net:
    wires = "".join(f' bottom: "{b}"' for b in inputs) + "".join(
        f' top: "y{i}"' for i in range(tops)
    )
    return net_of(
        f'type: "{kind}" {wires} recurrent_param {{ num_output: {H} {PARAM} {param} }}',
        inputs,
        header="force_backward: true",
    )


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def reference(kind: str, made: Net, cont: Array, h: Array, c: Array, static: bool) -> list[Array]:
    """lstm_layer.cpp and rnn_layer.cpp, step by step: the top, then h and c after the last step."""
    blobs = [b.data.astype(np.float64) for b in made.params["L"]]
    w, b = blobs[:2]
    extra = STATIC @ blobs[2].T if static else 0
    rest = blobs[2 + static :]
    tops = []
    for t in range(T):
        keep = cont[t][:, None]
        z = X[t] @ w.T + b + extra + (keep * h) @ rest[0].T
        if kind == "LSTM":
            i, f, o = (sigmoid(z[:, k * H : (k + 1) * H]) for k in range(3))
            c = keep * f * c + i * np.tanh(z[:, 3 * H :])
            h = o * np.tanh(c)
            tops.append(h)
        else:
            h = np.tanh(z)
            tops.append(np.tanh(h @ rest[1].T + rest[2]))
    return [np.stack(tops), h, c]


ZERO = np.zeros((N, H))


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
@pytest.mark.parametrize("static", [False, True])
def test_resets_and_static_input(kind: str, static: bool) -> None:
    inputs = {"x": X, "cont": CONT, **({"s": STATIC} if static else {})}
    made = net(kind, inputs)
    made.forward()
    want, _, _ = reference(kind, made, CONT, ZERO, ZERO, static)
    np.testing.assert_allclose(made.blobs["y0"].data, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_state_is_carried_to_the_next_pass_where_cont_is_1(kind: str) -> None:
    made = net(kind, {"x": X, "cont": CONT})
    made.forward()
    _, h, c = reference(kind, made, CONT, ZERO, ZERO, False)
    made.forward()
    want, _, _ = reference(kind, made, CONT, h, c, False)
    np.testing.assert_allclose(made.blobs["y0"].data, want, rtol=1e-4, atol=1e-6)


def test_state_starts_again_when_the_batch_size_changes() -> None:
    made = net("LSTM", {"x": X, "cont": np.ones((T, N))})
    made.forward()
    made.forward({"x": X[:, :1], "cont": np.ones((T, 1))})
    again = net("LSTM", {"x": X[:, :1], "cont": np.ones((T, 1))})
    for mine, theirs in zip(again.params["L"], made.params["L"], strict=True):
        mine.data[...] = theirs.data
    again.forward()
    np.testing.assert_array_equal(made.blobs["y0"].data, again.blobs["y0"].data)


@pytest.mark.parametrize(("kind", "states"), [("LSTM", [H0, C0]), ("RNN", [H0])])
@pytest.mark.parametrize("static", [False, True])
def test_exposed_states(kind: str, states: list[Array], static: bool) -> None:
    inputs = {"x": X, "cont": np.ones((T, N)), **({"s": STATIC} if static else {})}
    inputs |= {f"state{i}": s for i, s in enumerate(states)}
    made = net(kind, inputs, EXPOSED, 1 + len(states))
    for _ in range(2):  # nothing is carried over
        made.forward()
    want = reference(kind, made, inputs["cont"], H0[0], C0[0], static)
    for i in range(1 + len(states)):
        expected = want[i] if i == 0 else want[i][None]
        np.testing.assert_allclose(made.blobs[f"y{i}"].data, expected, rtol=1e-4, atol=1e-6)


def test_no_gradient_passes_through_states() -> None:
    inputs = {"x": X, "cont": np.ones((T, N)), "h": H0, "c": C0}
    made = net("LSTM", inputs, EXPOSED, 3)
    made.forward()
    made.blobs["y1"].diff[...] = 1
    made.blobs["y2"].diff[...] = 1
    made.backward()
    assert not any(made.blobs[b].diff.any() for b in ("x", "h", "c"))
    made.blobs["y0"].diff[...] = 1
    made.backward()
    assert made.blobs["x"].diff.any()
    assert not any(made.blobs[b].diff.any() for b in ("h", "c", "cont"))


def test_blobs_in_caffemodel_order() -> None:
    inputs = {"x": X[..., None], "cont": CONT, "s": STATIC}
    shapes = [b.shape for b in net("LSTM", inputs).params["L"]]
    assert shapes == [(4 * H, K), (4 * H,), (4 * H, S), (4 * H, H)]
    shapes = [b.shape for b in net("RNN", inputs).params["L"]]
    assert shapes == [(H, K), (H,), (H, S), (H, H), (H, H), (H,)]


@pytest.mark.parametrize(
    ("snippet", "shapes", "message"),
    [
        (
            'type: "LSTM"',
            [(3, 2, 4), (3, 2)],
            'layer "L" (LSTM): recurrent_param.num_output is 0, allowed: 1 or more',
        ),
        (
            'type: "RNN" recurrent_param { num_output: 3 }',
            [(3, 2), (3, 2)],
            "x has shape (3, 2), allowed: (T, N, ...)",
        ),
        (
            'type: "RNN" recurrent_param { num_output: 3 }',
            [(3, 2, 4), (3, 1)],
            "cont has shape (3, 1), allowed: (3, 2), the (T, N) of x",
        ),
        (
            'type: "RNN" recurrent_param { num_output: 3 }',
            [(3, 2, 4), (3, 2), (3, 5)],
            "x_static has shape (3, 5), allowed: (2, ...)",
        ),
        (
            'type: "LSTM" recurrent_param { num_output: 3 expose_hidden: true } top: "y"',
            [(3, 2, 4), (3, 2), (1, 2, 3), (1, 2, 3)],
            'layer "L" (LSTM): has 1 tops, allowed: 3 with expose_hidden: true',
        ),
        (
            'type: "LSTM" recurrent_param { num_output: 3 expose_hidden: true }',
            [(3, 2, 4), (3, 2)],
            'layer "L" (LSTM): has 2 bottoms, allowed: x, cont, then x_static if there is one,'
            " then 2 state(s)",
        ),
        (
            'type: "LSTMUnit" top: "c" top: "h"',
            [(1, 2, 3), (1, 2, 9), (1, 2)],
            "the second bottom has shape (1, 2, 9), allowed: (1, 2, 12)",
        ),
        (
            'type: "LSTMUnit" top: "c" top: "h"',
            [(2, 3), (1, 2, 12), (1, 2)],
            "the first bottom has shape (2, 3), allowed: (1, N, H)",
        ),
    ],
)
def test_errors(snippet: str, shapes: list[tuple[int, ...]], message: str) -> None:
    assert error_of(snippet, *shapes) == message
