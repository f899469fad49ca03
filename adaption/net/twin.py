"""A second net on the weights of one that runs, so that two passes can go on at the same time."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from adaption.net.blob import Blob

if TYPE_CHECKING:
    from adaption.net import Net

__all__ = ["Before", "twin_of"]

MOST = 512 << 20  # bytes of blobs; a net with more gets no twin


class Before:
    """A net before its first pass, to be compared with what it is behind it."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._blobs, self._draws = _stamps(net), _draws(net)

    def still_holds(self) -> bool:
        """Whether the pass has left no trace: it has changed no weight and kept no state, and it
        drew no random number. Passes of such a net do not depend on each other."""
        net = self._net
        if any(node.runtime.state or node.layer.takes_blobs for node in net.nodes):
            return False
        if any(node.layer.may_draw or node.points.peaks for node in net.nodes):
            return False
        return _stamps(net) == self._blobs and _draws(net) == self._draws


def twin_of(net: Net) -> Net | None:
    """A net with blobs of its own and the weights of `net` in the same memory, as they are now.

    What was derived from the weights (rounded, packed for a layer) is shared, too, so `net` should
    have run. It is for passes without gradients while nobody changes weights or formats.

    Returns: None where it would not pay or not be safe: on a GPU, with one thread, with blobs of
        more than 512 MB, where the net prints or shows what it does, where somebody holds a view of
        its blobs, or weights may change unseen.
    """
    params = [blob for node in net.nodes for blob in node.blobs]
    if net.device.type != "cpu" or torch.get_num_threads() < 2 or net.debug_info or net.followers:
        return None
    if any(node.points.watch or node.points.watch_grid for node in net.nodes):
        return None
    if any(blob.may_change_unseen for blob in (*params, *net.blobs.values())):
        return None
    if _copies_are_shared(net):
        return None
    if 4 * sum(blob.count for blob in net.blobs.values()) > MOST:
        return None
    memo: dict[int, Any] = {id(p): p for p in net.parameters()} | {id(net.spec): net.spec}
    memo |= {id(blob): Blob(blob.shape) for blob in net.blobs.values()}
    for node in net.nodes:
        memo |= {id(blob): blob.held_again() for blob in node.blobs}
        memo |= {id(blob): blob for blob in node.masters}
        memo |= {id(node.spec): node.spec, id(node.layer): node.layer}
    twin = copy.deepcopy(net, memo)
    for name in net.inputs:  # those that no batch gives keep their values
        twin.blobs[name].set(net.blobs[name].tensor.clone())
    for mine, its in zip(net.nodes, twin.nodes, strict=True):
        its.share_derived(mine)
    return twin


def _copies_are_shared(net: Net) -> bool:
    """Whether several layers write one rounded copy, as in the original's nets with shared
    parameters."""
    copies = [getattr(b, "owner", b) for n in net.nodes if n.is_paired for b in n.blobs[1::2]]
    return len(set(map(id, copies))) < len(copies)


def _stamps(net: Net) -> list[object]:
    return [blob.stamp_at_rest() for node in net.nodes for blob in node.masters]


def _draws(net: Net) -> list[bytes]:
    return [g.get_state().numpy().tobytes() for g in (net.host_generator, net.generator)]
