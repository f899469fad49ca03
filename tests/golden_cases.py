"""Runs golden cases of format A: one net, its inputs, and what the original made of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adaption.net import Net

Array = NDArray[Any]

# float32 sums in another order than the original's BLAS: the tolerance that its README suggests.
RTOL, ATOL = 1e-4, 1e-5

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ADAPTION_SHARED", CHECKOUT.parent / "shared"))


@dataclass(frozen=True)
class Case:
    """One case; `arrays` holds `in.x`, `out.y`, `topdiff.y`, ... by name."""

    prototxt: Path

    @property
    def name(self) -> str:
        return self.prototxt.stem

    @cached_property
    def arrays(self) -> dict[str, Array]:
        with np.load(self.prototxt.with_suffix(".npz"), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = json.loads(str(self.arrays["meta"]))
        return meta

    def group(self, kind: str) -> dict[str, Array]:
        """The arrays called `kind.`..., by the rest of their names."""
        head = kind + "."
        return {k.removeprefix(head): v for k, v in self.arrays.items() if k.startswith(head)}

    def forward(self, *, original_semantics: bool = True, device: str = "cpu") -> Net:
        """The net after one forward pass on the recorded inputs and parameters."""
        net = Net(
            self.prototxt,
            phase=self.meta["phase"],
            original_semantics=original_semantics,
            seed=1,
            device=device,
        )
        for name, array in self.group("in").items():
            net.blobs[name].reshape(*array.shape)
            net.blobs[name].data[...] = array
        for name, array in self.group("param").items():
            parameter(net, name)[...] = array
        for node in net.nodes:
            node.runtime.config.update(self.meta.get("config", {}))
        net.forward()
        return net

    def backward(self, net: Net) -> None:
        net.clear_param_diffs()
        for name, array in self.group("topdiff").items():
            net.blobs[name].diff[...] = array
        net.backward()


def parameter(net: Net, name: str, kind: str = "data") -> Array:
    """Data or diff of the parameter blob that arrays call `<layer>.<index>`."""
    layer, _, index = name.rpartition(".")
    array: Array = getattr(net.params[layer][int(index)], kind)
    return array


def cases(suite: str) -> list[Any]:
    """Every case of a suite as a pytest parameter; one that skips where there is no suite."""
    found = sorted((SHARED / "golden" / suite).glob("*.prototxt"))
    if not found:
        reason = f"no golden vectors at {SHARED} (set ADAPTION_SHARED)"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="missing")]
    return [pytest.param(Case(path), id=path.stem) for path in found]


def check(
    case: Case, *, exact: bool = False, original_semantics: bool = True, device: str = "cpu"
) -> None:
    """Run a case forward and backward and compare all that was recorded."""
    net = case.forward(original_semantics=original_semantics, device=device)
    for name, want in case.group("out").items():
        compare(f"out.{name}", net.blobs[name].data, want, exact=exact)
    for name, want in case.group("param_after").items():
        compare(f"param_after.{name}", parameter(net, name), want, exact=exact)
    if not case.meta["backward"]:
        return
    case.backward(net)
    for name, want in case.group("bottomdiff").items():
        compare(f"bottomdiff.{name}", net.blobs[name].diff, want)
    for name, want in case.group("paramdiff").items():
        compare(f"paramdiff.{name}", parameter(net, name, "diff"), want)


def compare(name: str, found: Array, want: Array, *, exact: bool = False) -> None:
    assert found.size == want.size, f"{name} has shape {found.shape}, want {want.shape}"
    found = found.reshape(want.shape)
    if exact:
        np.testing.assert_array_equal(found, want, err_msg=name)
    else:
        np.testing.assert_allclose(found, want, RTOL, ATOL, equal_nan=True, err_msg=name)
