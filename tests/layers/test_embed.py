from __future__ import annotations

import numpy as np
import pytest

from adaption.errors import FieldError
from adaption.net import Net
from tests.layers.snippets import error_of, net_of

EMBED = 'type: "Embed" bottom: "x" top: "y" embed_param { num_output: 2 input_dim: 3 %s }'


def net(x: list[int], param: str = "") -> Net:
    made = net_of(EMBED % param, {"x": x})
    made.params["L"][0].data[...] = [[1, 2], [3, 4], [5, 6]]
    return made


def test_without_bias() -> None:
    made = net([2, 0], "bias_term: false")
    made.forward()
    assert len(made.params["L"]) == 1
    np.testing.assert_array_equal(made.blobs["y"].data, [[5, 6], [1, 2]])


def test_fillers() -> None:
    made = net_of(
        EMBED % 'weight_filler { type: "constant" value: 2 } bias_filler { value: 0.5 }', {"x": [1]}
    )
    made.forward()
    np.testing.assert_array_equal(made.blobs["y"].data, [[2.5, 2.5]])


def test_index_out_of_range() -> None:
    with pytest.raises(FieldError) as caught:
        net([3]).forward()
    assert str(caught.value) == 'layer "L" (Embed): index is 3, allowed: 0..2'


def test_sizes_are_required() -> None:
    assert error_of('type: "Embed" embed_param { num_output: 2 }', (1,)) == (
        'layer "L" (Embed): embed_param.input_dim is 0, allowed: 1 or more'
    )
