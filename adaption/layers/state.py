"""Tensors that a layer keeps between passes, as plain JSON values and back, bit for bit."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from adaption.errors import FieldError
from adaption.later import Tensor, np, torch

__all__ = ["tensors_from_state", "tensors_to_state"]

_DTYPES = ("<f4", "<f8")


def tensors_to_state(name: str, tensors: Sequence[Tensor] | None) -> dict[str, Any]:
    """A layer's state: `tensors` under `name`; empty where there are none yet."""
    if tensors is None:
        return {}
    arrays = [t.detach().cpu().numpy() for t in tensors]
    kept = [a.astype(a.dtype.newbyteorder("<"), order="C") for a in arrays]
    return {
        name: [
            {
                "type": a.dtype.str,
                "shape": list(a.shape),
                "values": base64.b64encode(a.tobytes()).decode("ascii"),
            }
            for a in kept
        ]
    }


def tensors_from_state(name: str, state: Mapping[str, Any]) -> list[Tensor] | None:
    """What `tensors_to_state` was given; None for an empty state. Raises: FieldError."""
    if not state:
        return None
    try:
        return [_tensor(item) for item in state[name]]
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise FieldError(
            f"{name} of the saved state", state.get(name), "type, shape and values of each tensor"
        ) from None


def _tensor(item: Mapping[str, Any]) -> Tensor:
    if item["type"] not in _DTYPES:
        raise ValueError
    content = base64.b64decode(item["values"], validate=True)
    array = np.frombuffer(content, item["type"]).reshape(item["shape"])
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
