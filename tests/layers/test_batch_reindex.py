from __future__ import annotations

import numpy as np
import pytest

from adaption.errors import FieldError
from tests.layers.snippets import error_of, forward


def test_one_axis() -> None:
    np.testing.assert_array_equal(forward('type: "BatchReindex"', [5, 6, 7], [2, 2, 0]), [7, 7, 5])


def test_index_out_of_range() -> None:
    with pytest.raises(FieldError) as caught:
        forward('type: "BatchReindex"', [5, 6, 7], [0, 3])
    assert str(caught.value) == "index is 3, allowed: 0..2"


def test_indices_have_one_axis() -> None:
    assert error_of('type: "BatchReindex"', (3, 2), (2, 1)) == (
        "the second bottom has shape (2, 1), allowed: 1 axis (indices)"
    )
