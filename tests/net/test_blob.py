"""Blob: numpy views and torch tensors of one memory, and what is noticed of their use."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch

from adaption.errors import ShapeError
from adaption.net.blob import Blob, Master, SharedBlob


def test_zeros_until_written() -> None:
    blob = Blob((2, 3))
    assert (blob.shape, blob.count) == ((2, 3), 6)
    assert not blob.data.any() and not blob.diff.any()
    assert blob.data.dtype == blob.diff.dtype == np.float32


def test_data_and_tensor_are_one_memory() -> None:
    blob = Blob((2,))
    blob.data[...] = 3
    assert blob.tensor.tolist() == [3, 3]
    blob.tensor[0] = 4
    assert blob.data.tolist() == [4, 3]
    blob.diff[1] = 5
    assert blob.grad.tolist() == [0, 5]


def test_a_held_view_shows_what_is_set_later() -> None:
    blob = Blob((2,))
    view = blob.data
    blob.set(torch.tensor([1.0, 2.0]))
    assert view.tolist() == [1, 2]
    view[0] = 9
    assert blob.tensor.tolist() == [9, 2]


@pytest.mark.parametrize(
    "derive",
    [
        pytest.param(lambda view: view[1:], id="slice"),
        pytest.param(lambda view: view.reshape(2, 2).T, id="reshaped"),
        pytest.param(lambda view: torch.from_numpy(view), id="torch tensor"),
        pytest.param(lambda view: memoryview(view), id="memoryview"),
    ],
)
def test_what_is_made_of_a_view_counts_as_the_view(derive: Callable[..., object]) -> None:
    blob = Blob((4,))
    assert not blob.is_exposed
    derived = derive(blob.data)
    assert blob.is_exposed
    blob.set(torch.ones(4))
    assert np.asarray(derived).sum() == (3 if np.asarray(derived).size == 3 else 4)
    del derived
    assert not blob.is_exposed


def test_memory_that_nobody_holds_is_replaced() -> None:
    blob = Blob((2,))
    blob.data[...] = 1
    value = torch.ones(2)
    blob.set(value)
    assert blob.tensor is value


def test_memory_is_given_back_unless_somebody_shows_it() -> None:
    blob = Blob(tensor=torch.ones(2))
    held = weakref.ref(blob.tensor)
    blob.release()
    assert held() is None and blob.shape == (2,) and not blob.tensor.any()
    blob.set(torch.ones(2))
    view = blob.data
    blob.release()
    assert blob.tensor.tolist() == view.tolist() == [1, 1]
    parameter = Blob(tensor=torch.ones(2))
    parameter.as_parameter()
    parameter.release()
    assert parameter.tensor.tolist() == [1, 1]


def test_a_view_ends_when_the_shape_changes() -> None:
    blob = Blob((2,))
    view, diff = blob.data, blob.diff
    blob.set(torch.ones(3))
    assert (view.tolist(), blob.data.tolist()) == ([0, 0], [1, 1, 1])
    assert (diff.shape, blob.diff.shape) == ((2,), (3,))


def test_views_of_strided_results_are_contiguous_and_writable() -> None:
    blob = Blob((2, 3))
    blob.set(torch.ones(1, 3).expand(2, 3))
    blob.data[0] = 5
    assert blob.data.tolist() == [[5, 5, 5], [1, 1, 1]]
    blob.set_grad(torch.ones(()).expand(2, 3))
    blob.diff[0, 0] = 5
    assert blob.diff.sum() == 10
    blob.set(torch.arange(6.0).view(3, 2).T)
    assert blob.data.flags.c_contiguous


def test_diffs_that_share_memory_part_when_they_are_shown() -> None:
    """An identity hands one gradient on; zeroing one blob's diff must not clear the other's."""
    grad = torch.ones(2)
    one, two = Blob((2,)), Blob((2,))
    one.set_grad(grad)
    two.set_grad(grad)
    one.diff[...] = 0
    assert two.diff.tolist() == [1, 1]


def test_a_held_diff_shows_what_is_set_and_cleared() -> None:
    blob = Blob((2,))
    view = blob.diff
    blob.set_grad(torch.tensor([1.0, 2.0]))
    assert view.tolist() == [1, 2]
    blob.add_grad(torch.tensor([1.0, 1.0]))
    assert view.tolist() == [2, 3]
    blob.set_grad(None)
    assert view.tolist() == [0, 0]


def test_add_grad_keeps_a_copy() -> None:
    blob, grad = Blob((2,)), torch.ones(2)
    blob.add_grad(grad)
    blob.add_grad(grad)
    assert (blob.grad.tolist(), grad.tolist()) == ([2, 2], [1, 1])


def test_write_takes_values_of_the_same_count() -> None:
    blob = Blob((2, 3))
    blob.write(np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3))
    assert blob.data.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_reshape() -> None:
    blob = Blob((2,))
    blob.data[...] = 1
    blob.reshape(2)
    assert blob.data.tolist() == [1, 1]
    blob.reshape(3)
    assert blob.data.tolist() == [0, 0, 0]
    blob.reshape()
    assert (blob.shape, blob.count) == ((), 1)
    with pytest.raises(ShapeError) as caught:
        blob.reshape(2, -1)
    assert str(caught.value) == "blob shape is (2, -1), allowed: sizes of 0 or more"


def test_legacy_axes() -> None:
    blob = Blob((2, 3, 4))
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 4, 1)
    with pytest.raises(ShapeError) as caught:
        _ = Blob((1, 2, 3, 4, 5)).num
    assert str(caught.value) == (
        "num, channels, height and width need a blob of at most 4 axes, this has 5\n"
        "  fix: use .shape"
    )


def test_data_cannot_be_assigned() -> None:
    with pytest.raises(AttributeError):
        Blob((2,)).data = np.zeros(2)  # type: ignore[misc]


# -- stamps --------------------------------------------------------------------------------------


def assign_data(blob: Blob) -> None:
    parameter = blob.as_parameter()
    parameter.data = torch.ones(2)


CHANGES: list[tuple[str, Callable[[Blob], object]]] = [
    ("numpy", lambda b: b.data.fill(1)),
    ("torch in-place", lambda b: b.tensor.add_(1)),
    ("torch in-place on a detached twin", lambda b: b.tensor.detach().add_(1)),
    ("item", lambda b: b.tensor.__setitem__(0, 1.0)),
    (".data in-place", lambda b: b.as_parameter().data.add_(1)),
    (".data replaced", assign_data),
    ("write", lambda b: b.write(np.ones(2, np.float32))),
    ("set", lambda b: b.set(torch.ones(2))),
    ("reshape", lambda b: b.reshape(3)),
]


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[n for n, _ in CHANGES])
@pytest.mark.parametrize("is_parameter", [False, True])
def test_the_stamp_changes_with_the_data(
    change: Callable[[Blob], object], is_parameter: bool
) -> None:
    blob = Blob((2,))
    if is_parameter:
        blob.as_parameter()
    before = blob.stamp()
    assert blob.stamp() == before
    change(blob)
    after = blob.stamp()
    assert after != before
    assert blob.stamp() == after


def test_a_held_view_makes_every_stamp_new() -> None:
    blob = Blob((2,))
    view = blob.data
    assert blob.stamp() != blob.stamp()
    del view
    assert blob.stamp() == blob.stamp()


# -- parameters ----------------------------------------------------------------------------------


def test_as_parameter_keeps_values_memory_and_diff() -> None:
    blob = Blob((2,))
    blob.data[...] = 3
    view, diff = blob.data, blob.diff
    diff[...] = 4
    parameter = blob.as_parameter()
    assert blob.as_parameter() is parameter is blob.tensor
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [4, 4]
    with torch.no_grad():
        parameter.add_(1)
        parameter.grad.add_(1)
    assert (view.tolist(), diff.tolist()) == ([4, 4], [5, 5])


def test_a_cleared_grad_is_a_diff_of_zeros() -> None:
    blob = Blob((2,))
    parameter = blob.as_parameter()
    blob.add_grad(torch.ones(2))
    parameter.grad = None  # what torch's zero_grad does
    assert blob.diff.tolist() == [0, 0]
    blob.add_grad(torch.ones(2))
    assert parameter.grad is not None
    assert blob.diff.tolist() == parameter.grad.tolist() == [1, 1]


def test_a_reshaped_parameter_is_still_the_parameter() -> None:
    blob = Blob((2,))
    parameter = blob.as_parameter()
    blob.add_grad(torch.ones(2))
    blob.reshape(3)
    assert blob.tensor is parameter
    assert (tuple(parameter.shape), parameter.grad) == ((3,), None)


def test_a_parameter_can_be_copied() -> None:
    parameter = Master(torch.ones(2), requires_grad=False)
    twin = copy.deepcopy(parameter)
    assert isinstance(twin, Master)
    assert torch.equal(twin, parameter)


def test_a_copy_has_views_of_its_own() -> None:
    blob = Blob((2,))
    view = blob.data
    twin = copy.deepcopy(blob)
    twin.data[...] = 1
    assert (view.tolist(), twin.tensor.tolist()) == ([0, 0], [1, 1])


# -- shared in another shape ---------------------------------------------------------------------


def test_a_shared_blob_is_its_owner_in_another_shape() -> None:
    owner = Blob((2, 3))
    owner.as_parameter()
    shared = SharedBlob(owner, (6,))
    shared.data[...] = np.arange(6)
    shared.diff[...] = 1
    assert owner.data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert owner.diff.tolist() == [[1] * 3] * 2
    shared.add_grad(torch.ones(6))
    assert owner.diff.tolist() == [[2] * 3] * 2
    shared.set_grad(None)
    assert not owner.diff.any()
    before = shared.stamp()
    owner.data[...] = 7
    assert shared.stamp() != before
    shared.write(np.ones(6, np.float32))
    shared.set(shared.tensor + 1)
    assert (owner.data == 2).all()
    assert (shared.shape, shared.count, shared.num) == ((6,), 6, 6)
