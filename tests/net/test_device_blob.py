"""DeviceBlob: what numpy and torch see of a blob whose values lie on another device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.net.device_blob import DeviceBlob
from tests.pretended_cuda import CUDA, pretended_cuda


@pytest.fixture(autouse=True)
def cuda() -> Iterator[None]:
    with pretended_cuda():
        yield


def blob_of(*values: float) -> DeviceBlob:
    blob = DeviceBlob(CUDA, (len(values),))
    blob.write(np.array(values, np.float32))
    return blob


def there(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=CUDA)


def test_zeros_until_written() -> None:
    blob = DeviceBlob(CUDA, (2, 3))
    assert blob.tensor.device == blob.grad.device == CUDA
    assert (blob.data.shape, blob.data.dtype) == ((2, 3), np.float32)
    assert not blob.data.any() and not blob.diff.any()


def test_the_two_memories_are_distinct() -> None:
    """Or the other tests here would show nothing."""
    blob = blob_of(1, 2)
    view = blob.data
    view[0] = 5
    assert blob._data is not None
    assert blob._data.tolist() == [1, 2]


def test_what_is_written_into_a_view_that_nobody_keeps_reaches_the_device() -> None:
    blob = blob_of(1, 2)
    blob.data[...] = 3
    blob.diff[1] = 4
    assert blob.tensor.tolist() == [3, 3]
    assert blob.grad.tolist() == [0, 4]


def test_a_copy_takes_along_what_was_written_and_lends_arrays_of_its_own() -> None:
    blob = blob_of(1, 2)
    view, diff = blob.data, blob.diff
    view[0], diff[1] = 5, 4
    twin = copy.deepcopy(blob)
    assert (twin.tensor.tolist(), twin.grad.tolist()) == ([5, 2], [0, 4])
    twin.data[...] = 7
    assert (view.tolist(), twin.tensor.tolist()) == ([5, 2], [7, 7])


def test_memory_of_a_device_is_not_given_back_before_a_pass() -> None:
    blob = blob_of(1, 2)
    blob.release()
    assert blob.tensor.tolist() == [1, 2]


def test_a_held_view_is_written_and_shown_at_any_time() -> None:
    blob = blob_of(1, 2)
    view = blob.data
    blob.set(there(3, 4))
    assert view.tolist() == [3, 4]
    view[0] = 9
    assert blob.tensor.tolist() == [9, 4]
    view[1] = 8
    assert blob.tensor.tolist() == [9, 8]
    assert blob.data is view


@pytest.mark.parametrize(
    "derive",
    [
        pytest.param(lambda view: view[1:], id="slice"),
        pytest.param(lambda view: torch.from_numpy(view), id="torch tensor"),
    ],
)
def test_what_is_made_of_a_view_counts_as_the_view(derive: Callable[..., object]) -> None:
    blob = blob_of(1, 2)
    derived = derive(blob.data)
    assert blob.is_exposed
    blob.set(there(3, 4))
    assert np.asarray(derived)[-1] == 4
    del derived
    assert not blob.is_exposed


def test_the_copy_on_the_host_ends_with_the_view() -> None:
    blob = blob_of(1, 2)
    view = blob.data
    assert blob.tensor.tolist() == [1, 2]
    assert blob._data_mirror._host is not None
    del view
    _ = blob.tensor
    assert blob._data_mirror._host is None


def test_what_torch_writes_shows_up_when_asked_for() -> None:
    blob = blob_of(1, 2)
    view = blob.data
    blob.tensor.add_(1)
    assert blob.data.tolist() == view.tolist() == [2, 3]
    blob.tensor.mul_(2)
    assert blob.tensor.tolist() == [4, 6]  # the view, which knows nothing of it, is no newer
    assert view.tolist() == [4, 6]


def test_a_write_unseen_by_torch_does_not_void_what_a_pass_has_kept() -> None:
    blob = blob_of(1, 2)
    view = blob.data
    leaf = there(3, 4).requires_grad_()
    product = leaf * blob.tensor
    assert view.tolist() == [1, 2]
    _ = blob.tensor  # brings the view to the device once more
    product.sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [1, 2]


def test_set_takes_the_memory_where_nobody_holds_a_view() -> None:
    blob, value = blob_of(1, 2), there(3, 4)
    blob.data[...] = 7  # void: the net writes the blob afterwards
    blob.set(value)
    assert blob.tensor is value
    assert value.tolist() == [3, 4]


def test_a_constant_top_keeps_what_is_written_into_it() -> None:
    blob, value = DeviceBlob(CUDA, (2,)), there(3, 4)
    blob.set(value)
    blob.data[0] = 7
    blob.set(value)
    assert value.tolist() == [7, 4]


def test_a_top_that_shares_memory_with_its_bottom() -> None:
    """A stale view of the top must not reach the memory that the bottom has just filled."""
    bottom, top = blob_of(1, 2), DeviceBlob(CUDA, (1, 2))
    top.set(bottom.tensor.view(1, 2))
    above, below = top.data, bottom.data
    below[...] = 7
    top.set(bottom.tensor.view(1, 2))
    assert above.tolist() == [[7, 7]]
    assert bottom.tensor.tolist() == [7, 7]


def test_a_view_ends_when_the_shape_changes() -> None:
    blob = blob_of(1, 2)
    view, diff = blob.data, blob.diff
    blob.set(there(1, 1, 1))
    assert (view.tolist(), blob.data.tolist()) == ([1, 2], [1, 1, 1])
    assert (diff.shape, blob.diff.shape) == ((2,), (3,))
    blob.reshape(4)
    assert blob.data.tolist() == [0, 0, 0, 0]


def test_strided_results() -> None:
    blob = DeviceBlob(CUDA, (2, 3))
    blob.set(there(1, 1, 1).expand(2, 3))
    blob.data[0] = 5
    assert blob.tensor.tolist() == [[5, 5, 5], [1, 1, 1]]
    blob.set_grad(there(1).expand(2, 3))
    blob.diff[0, 0] = 5
    assert blob.grad.sum().item() == 10


def test_diffs_that_share_memory_part_when_they_are_shown() -> None:
    grad = there(1, 1)
    one, two = DeviceBlob(CUDA, (2,)), DeviceBlob(CUDA, (2,))
    one.set_grad(grad)
    two.set_grad(grad)
    one.diff[...] = 0
    assert (one.grad.tolist(), two.grad.tolist()) == ([0, 0], [1, 1])


def test_a_held_diff_shows_what_is_set_added_and_cleared() -> None:
    blob = DeviceBlob(CUDA, (2,))
    view = blob.diff
    blob.set_grad(there(1, 2))
    assert view.tolist() == [1, 2]
    view[0] = 5
    blob.add_grad(there(1, 1))
    assert view.tolist() == [6, 3]
    blob.set_grad(None)
    assert view.tolist() == [0, 0]


def test_write_is_shown() -> None:
    blob = blob_of(1, 2)
    view = blob.data
    values = np.array([3, 4], np.float32)
    values.flags.writeable = False  # as those of a mapped file
    blob.write(values)
    assert (view.tolist(), blob.tensor.tolist()) == ([3, 4], [3, 4])


def test_a_parameter() -> None:
    blob = blob_of(1, 2)
    parameter = blob.as_parameter()
    assert (parameter.device, blob.tensor) == (CUDA, parameter)
    blob.add_grad(there(1, 1))
    torch.optim.SGD([parameter], lr=1.0).step()
    assert blob.data.tolist() == [0, 1]
    parameter.grad = None
    view = blob.diff
    assert view.tolist() == [0, 0]
    view[0] = 3
    blob.sync()
    assert parameter.grad is not None and parameter.grad.tolist() == [3, 0]
    parameter.data = there(7, 8)
    assert blob.data.tolist() == [7, 8]


CHANGES: list[tuple[str, Callable[[DeviceBlob], object]]] = [
    ("numpy", lambda b: b.data.fill(1)),
    ("torch in-place", lambda b: b.tensor.add_(1)),
    (".data in-place", lambda b: b.as_parameter().data.add_(1)),
    (".data replaced", lambda b: setattr(b.as_parameter(), "data", there(1, 1))),
    ("write", lambda b: b.write(np.ones(2, np.float32))),
    ("set", lambda b: b.set(there(1, 1))),
    ("reshape", lambda b: b.reshape(3)),
]


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[n for n, _ in CHANGES])
@pytest.mark.parametrize("is_parameter", [False, True])
def test_the_stamp_changes_with_the_data(
    change: Callable[[DeviceBlob], object], is_parameter: bool
) -> None:
    blob = blob_of(3, 4)
    if is_parameter:
        blob.as_parameter()
    before = blob.stamp()
    assert blob.stamp() == before
    change(blob)
    after = blob.stamp()
    assert after != before
    assert blob.stamp() == after


@pytest.mark.parametrize("is_parameter", [False, True])
def test_shared_data(is_parameter: bool) -> None:
    """As test nets use the weights of the train net: writes of either reach both."""
    owner, blob = blob_of(1, 2), DeviceBlob(CUDA, (2,))
    if is_parameter:
        owner.as_parameter(), blob.as_parameter()
    blob.share_data(owner)
    mine, its = blob.data, owner.data
    its[0] = 5
    assert blob.tensor.tolist() == [5, 2]
    mine[1] = 6
    assert owner.tensor.tolist() == [5, 6]
    with torch.no_grad():
        owner.tensor.add_(1)
    assert blob.tensor.tolist() == mine.tolist() == its.tolist() == [6, 7]
    assert blob.stamp() != blob.stamp()
