from __future__ import annotations

import numpy as np

from tests.layers.snippets import error_of, net_of

FILTER = 'type: "Filter" bottom: "a" bottom: "b" bottom: "s" top: "ya" top: "yb"'


def test_several_bottoms_and_a_selector_with_more_axes() -> None:
    net = net_of(FILTER, {"a": [[1, 2], [3, 4]], "b": [5, 6], "s": [[[0]], [[-0.5]]]})
    net.forward()
    np.testing.assert_array_equal(net.blobs["ya"].data, [[3, 4]])
    np.testing.assert_array_equal(net.blobs["yb"].data, [6])


def test_selection_changes_between_passes() -> None:
    net = net_of(FILTER, {"a": [[1], [2], [3]], "b": [4, 5, 6], "s": [1, 0, 1]})
    assert net.blobs["ya"].shape == (3, 1)  # nothing selected yet
    net.forward()
    assert net.blobs["ya"].shape == (2, 1)
    net.blobs["s"].data[...] = [0, 0, 0]
    net.forward()
    assert net.blobs["yb"].shape == (0,)


def test_errors() -> None:
    assert error_of('type: "Filter"', (3, 1), (3,), (3,)) == (
        'layer "L" (Filter): has 1 tops, allowed: 2, one per bottom but the last (the selector)'
    )
    assert error_of('type: "Filter"', (3, 1), (3, 2)) == (
        "the selector has shape (3, 2), allowed: (N,) or (N, 1, ...)"
    )
    assert error_of('type: "Filter"', (2, 1), (3,)) == (
        "a bottom has shape (2, 1), allowed: 3 samples as the selector"
    )
