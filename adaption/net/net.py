"""Net: a Caffe net as a torch module. Caffe: net.cpp."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adaption.errors import AdaptionError
from adaption.graph import (
    NetSpec,
    NetState,
    insert_splits,
    repeated_notices,
    roi_scale_notices,
    with_inputs,
)
from adaption.io.caffemodel import Weights, read_weights, write_weights
from adaption.io.netfile import NetFile
from adaption.layers.base import Runtime
from adaption.net.arguments import PathLike, are_finite, as_spec, each, fill_inputs, place_of
from adaption.net.blob import Blob, SharedBlob
from adaption.net.build import (
    accumulator_notices,
    build_nodes,
    dialect_notices,
    fill_first_tops,
    infer_shapes,
    name_masters,
)
from adaption.net.debug_info import show_backward, show_forward, show_params
from adaption.net.device import as_device, true_float32
from adaption.net.display import net_text
from adaption.net.fuse import Chain, find_chains
from adaption.net.gradients import mark_gradients
from adaption.net.in_place_chain import InPlaceChain
from adaption.net.node import Node
from adaption.net.planning import Planned
from adaption.net.points import raise_non_finite
from adaption.net.weights import LoadReport, layer_weights, load_weights, share_weights
from adaption.numerics.seeds import checked_seed

__all__ = ["Net"]

Observer = Callable[[Node, Sequence[Tensor], Sequence[Tensor]], None]


class Net(Planned, nn.Module):
    """A net that computes what Caffe computes, layer by layer.

    Args:
        net: a prototxt path, a NetFile from `read_net`, or a NetSpec.
        weights: caffemodel path (binary or HDF5), `Weights`, or several of them, loaded in turn.
        phase: "TRAIN" or "TEST"; with `level` and `stages` it decides which layers are kept.
        original_semantics: reproduce the original ADaPTION where its behaviour is a defect.
        seed: seed of the generators behind fillers, dropout and stochastic rounding.
        device: where to compute, "cpu" or "cuda:0". Weights and data are the same on each for a
            seed; dropout and stochastic rounding draw other numbers.
        end: keep the layers up to and including this one.
        input_shapes: shapes of blobs that data layers make, which become inputs instead.
        dialect: Caffe fork whose meaning counts where forks disagree about a layer type and the
            layer's fields do not tell; `notices` says what was taken.
        python_modules: modules, by the names that the prototxt gives, whose classes may run as
            layers of type "Python". They are imported where the net needs them, and `import caffe`
            means adaption.pycaffe from then on. Without it such layers are refused: a model file
            is data.
        ignore_unknown: run in spite of fields inside parameter messages that nobody knows; without
            it they are refused, since they may change the numbers.

    `blobs` maps blob names to Blob, `params` layer names to lists of Blob, both in Caffe's order
    (Split layers included). Blobs are float32. `inputs` names the blobs that the caller fills,
    `outputs` those that no layer reads, sorted. `notices` lists what is unknown in the prototxt,
    and which fork's meaning was taken where forks disagree. With `debug_info`, set by the prototxt
    or by the caller, passes print what Caffe prints.

    The full precision blobs are this module's parameters, their `grad` is the blobs' diff; so
    torch.optim works on `parameters()` after `backward`.

    Raises: AdaptionError naming file, line and layer when the net cannot be built.
    """

    def __init__(
        self,
        net: PathLike | NetFile | NetSpec,
        weights: PathLike | Weights | Sequence[PathLike | Weights] | None = None,
        phase: str = "TEST",
        *,
        level: int = 0,
        stages: Sequence[str] = (),
        original_semantics: bool = False,
        seed: int | None = None,
        end: str | None = None,
        dialect: str | None = None,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        python_modules: Sequence[str] = (),
        ignore_unknown: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        state = NetState(phase, level, tuple(stages))
        spec, self.notices = as_spec(net, state, dialect)
        self.spec = with_inputs(
            spec.up_to(end), {name: tuple(shape) for name, shape in (input_shapes or {}).items()}
        )
        if python_modules:
            self.spec = self.spec.allowing(python_modules)
        if ignore_unknown:
            self.spec = self.spec.ignoring_unknown()
        self.name = self.spec.name
        self.phase = self.spec.phase
        self.debug_info = self.spec.debug_info
        self.original_semantics = original_semantics
        self.device = as_device(device)
        self.host_generator = self.generator = torch.Generator()
        if self.device.type != "cpu":
            self.generator = torch.Generator(device=self.device)
        self.manual_seed(self.host_generator.seed() if seed is None else seed)
        try:
            with_splits = insert_splits(self.spec)
            lent = self._lent = Runtime(
                generator=self.generator,
                host_generator=self.host_generator,
                device=self.device,
                original_semantics=original_semantics,
            )
            self.nodes = build_nodes(with_splits, lent)
            self.notices += dialect_notices(self.spec) + accumulator_notices(self.nodes)
            self.notices += roi_scale_notices(self.spec) + repeated_notices(self.spec)
            self.blobs: dict[str, Blob] = {}
            infer_shapes(self.nodes, self.blobs)
            fill_first_tops(self.nodes, self.blobs)
            mark_gradients(self.nodes, force_backward=self.spec.force_backward)
            name_masters(self.nodes)
        except AdaptionError as error:
            raise error.at(file=self.spec.file) from error.__cause__
        self.inputs = self.spec.inputs
        self.outputs = with_splits.outputs
        self.params = {n.spec.name: n.blobs for n in self.nodes if n.blobs}
        self._register()
        self.followers = []
        self._chains: dict[int, Chain | InPlaceChain] = {}
        self.choose_chains()
        self._seen_shapes, self._fitting = self._input_shapes(), len(self.nodes)
        self.fill_loss_diffs()
        for one in each(weights):
            self.load(one)

    def _register(self) -> None:
        """Make the masters nn.Parameters, so that torch's tools find them."""
        seen: set[Blob] = set()
        for node in self.nodes:
            for i, blob in enumerate(node.blobs):
                is_own = blob in node.masters and not isinstance(blob, SharedBlob)
                if not is_own or blob in seen or not node.layer.is_learned(i):
                    continue
                seen.add(blob)
                # torch allows no dots; without them, two names may come out the same.
                name = f"{node.spec.name}:{i}".replace(".", "_")
                while name in self._parameters:
                    name += "'"
                self.register_parameter(name, blob.as_parameter())

    # -- structure ---------------------------------------------------------------------------

    @property
    def layer_names(self) -> list[str]:
        """Names of all layers in order, Split layers included."""
        return [n.spec.name for n in self.nodes]

    def __repr__(self) -> str:
        return net_text(self)

    def index(self, layer: str | int) -> int:
        """Place of a layer in the order of execution. Raises: UsageError."""
        return place_of(layer, self.layer_names)

    def choose_chains(self) -> None:
        """Decide which layers run as one, for the formats in force."""
        self._chains = find_chains(self.nodes) if self.device.type == "cpu" else {}

    def reshape(self) -> None:
        """Pass the shapes of the input blobs through the net. Caffe: Net::Reshape."""
        self._reshape(len(self.nodes))

    def _reshape(self, count: int) -> None:
        """Pass the shapes through the first `count` layers; those behind may no longer fit."""
        self._fitting = 0  # after an error the next pass has to try again
        try:
            infer_shapes(self.nodes[:count], self.blobs)
        except AdaptionError as error:
            raise error.at(file=self.spec.file) from error.__cause__
        self._seen_shapes, self._fitting = self._input_shapes(), count
        self.fill_loss_diffs()

    def _input_shapes(self) -> list[tuple[int, ...]]:
        return [self.blobs[name].shape for name in self.inputs]

    def fill_loss_diffs(self) -> None:
        """Give every loss top its weight as diff, which starts the backward pass."""
        for node in self.nodes:
            for top, weight in zip(node.spec.tops, node.loss_weights, strict=True):
                if weight:
                    self.blobs[top].set_grad(torch.full_like(self.blobs[top].grad, weight))

    # -- computing ---------------------------------------------------------------------------

    def forward(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        start: str | int | None = None,
        end: str | int | None = None,
        observer: Observer | None = None,
        fused: bool = False,
        in_place: bool = False,
        **named: Any,
    ) -> dict[str, Tensor]:
        """Run the layers from `start` to `end`, both included; all of them by default.

        Layers behind `end` are not looked at: they need not fit other sizes of the inputs.

        Args:
            inputs: arrays or tensors by input blob name; the net is reshaped to fit. Blobs that
                are not given keep their values.
            observer: called after each layer with its node, its bottoms and its tops. It makes
                every layer run on its own, where without it a convolution and the layers in place
                behind it may run as one.
            in_place: let layers overwrite bottoms that nothing else needs, before the observer sees
                them: the same bits in less memory.
            fused: let them run as one in spite of an observer, and overwrite as with `in_place`. Of
                such a chain it is called for the last layer before ReLU, with the convolution's
                bottoms, and for ReLU, with none.
        Returns: the output blobs as tensors; with `end`, the tops of that layer.
        Raises: ShapeError when an input does not fit; UsageError on an unknown name.
        """
        given = {**(inputs or {}), **named}
        if torch.is_inference_mode_enabled():
            # Blobs outlive the pass, and torch forbids to write inference tensors after it.
            with torch.inference_mode(False), torch.no_grad():
                return self.forward(
                    given, start=start, end=end, observer=observer, fused=fused, in_place=in_place
                )
        fill_inputs(self.blobs, given, self.spec, self.device)
        index = 0 if start is None else self.index(start)
        last = len(self.nodes) - 1 if end is None else self.index(end)
        try:
            with true_float32(self.device):
                if self._fitting <= last or self._input_shapes() != self._seen_shapes:
                    self._reshape(last + 1)
                # Blobs whose memory only their reader needs from now on; None: somebody looks.
                alone = self.debug_info or (observer is not None and not fused)
                alone = alone or not are_finite(self.blobs[name] for name in self.inputs)
                is_kept = alone and (self.debug_info or not in_place)
                free: set[str] | None = None if is_kept else set()
                while index <= last:
                    chain = None if alone else self._chain_at(index, last, observer)
                    if chain is not None:
                        self._run_chain(chain, observer)
                        index += len(chain.nodes)
                        continue
                    node = self.nodes[index]
                    bottoms, tops = self._run(node, free)
                    if self.debug_info:
                        show_forward(node, self.blobs)
                    if observer is not None:
                        observer(node, bottoms, tops)
                    index += 1
        except AdaptionError as error:
            raise error.at(file=self.spec.file) from error.__cause__
        names = self.outputs if end is None else self.nodes[last].spec.tops
        return {name: self.blobs[name].tensor for name in names}

    def _chain_at(
        self, index: int, last: int, observer: Observer | None
    ) -> Chain | InPlaceChain | None:
        """The layers from `index` on that run as one; None where each runs on its own."""
        chain = self._chains.get(index)
        if chain is None or index + len(chain.nodes) - 1 > last:
            return None
        if isinstance(chain, InPlaceChain) and observer is not None:
            return None
        if torch.is_grad_enabled() and any(node.needs_backward for node in chain.nodes):
            return None
        bottoms = [self.blobs[name].tensor for name in chain.bottoms]
        return chain if chain.can_run(bottoms) else None

    def _run_chain(self, chain: Chain | InPlaceChain, observer: Observer | None) -> None:
        bottoms = chain.laid_out([self.blobs[name].tensor for name in chain.bottoms])
        self._release([chain.top], chain.bottoms)
        chain.forget_tapes()
        if observer is None or isinstance(chain, InPlaceChain):
            top = chain.run(bottoms)
        else:
            top = chain.run(bottoms, relu=False)
            observer(chain.before_relu, bottoms, [top])
            if chain.has_relu:
                top = top.relu_()
                observer(chain.nodes[-1], [], [top])
        self.blobs[chain.top].set(top)

    def _run(self, node: Node, free: set[str] | None) -> tuple[list[Tensor], list[Tensor]]:
        if node.spec.is_input:  # the caller has filled its tops
            return [], [self.blobs[t].tensor for t in node.spec.tops]
        record = node.needs_backward and torch.is_grad_enabled()
        overwrites = free is not None and self._may_overwrite(node, free)
        bottoms = [self.blobs[b].tensor for b in node.spec.bottoms]
        if record and node.spec.is_in_place:
            # An exposed blob keeps its memory, so the top overwrites what backward still needs.
            bottoms = [
                x.clone() if self.blobs[b].is_exposed and b in node.spec.tops else x
                for x, b in zip(bottoms, node.spec.bottoms, strict=True)
            ]
        if not record and not node.layer.takes_blobs:
            self._release(node.spec.tops, node.spec.bottoms)
        tops = node.forward(bottoms, record=record, may_overwrite=overwrites)
        for name, top in zip(node.spec.tops, tops, strict=True):
            self.blobs[name].set(top)
        if free is not None:
            free.difference_update(node.spec.bottoms, node.spec.tops)
            if node.leaves_top_free(overwrites=overwrites):
                free.update(node.spec.tops)
        return bottoms, tops

    def _release(self, tops: Sequence[str], bottoms: Sequence[str]) -> None:
        for name in set(tops).difference(bottoms):
            self.blobs[name].release()

    def _may_overwrite(self, node: Node, free: set[str]) -> bool:
        spec = node.spec
        if len(spec.bottoms) != 1 or spec.bottoms != spec.tops or spec.tops[0] not in free:
            return False
        return not self.blobs[spec.tops[0]].is_exposed

    def loss(self) -> float:
        """Weighted sum of the loss tops of the last forward pass.

        Raises:
            NonFiniteError: when what was rounded on a device held inf or NaN, where the format
                takes its grid from the values.
        """
        raise_non_finite(self._lent)
        return sum(
            weight * float(self.blobs[top].tensor.sum())
            for node in self.nodes
            for top, weight in zip(node.spec.tops, node.loss_weights, strict=True)
            if weight
        )

    def backward(
        self,
        *,
        start: str | int | None = None,
        end: str | int | None = None,
        observer: Callable[[Node], None] | None = None,
        as_they_are: bool = False,
    ) -> None:
        """Backpropagate from layer `start` down to layer `end`, by default from last to first.

        The diffs of the tops are read, the diffs of the bottoms written, and the diffs of the
        parameters accumulated, as in Caffe: clear them with `clear_param_diffs`.

        Args:
            observer: called with the node after each layer that takes part.
            as_they_are: let layers that recorded no forward pass take the blobs as they are, as
                Caffe does.
        Raises: LayerError when the forward pass before was run without gradients.
        """
        first = len(self.nodes) - 1 if start is None else self.index(start)
        last = 0 if end is None else self.index(end)
        for node in reversed(self.nodes[last : first + 1]):
            if not node.needs_backward:
                continue
            try:
                with true_float32(self.device):
                    self._run_backward(node, as_they_are=as_they_are)
            except AdaptionError as error:
                raise error.at(file=self.spec.file) from error.__cause__
            if self.debug_info:
                show_backward(node, self.blobs)
            if observer is not None:
                observer(node)
        if self.debug_info and start is None and end is None:
            show_params(self.nodes)

    def _run_backward(self, node: Node, *, as_they_are: bool) -> None:
        if not (any(node.propagate_down) or any(node.learns)):
            return
        if as_they_are and node.tape is None:
            node.forward([self.blobs[b].tensor for b in node.spec.bottoms], record=True)
        bottoms, masters = node.backward([self.blobs[t].grad for t in node.spec.tops])
        for name, grad, down in zip(node.spec.bottoms, bottoms, node.propagate_down, strict=True):
            if down:
                self.blobs[name].set_grad(grad)
        for blob, grad in zip(node.masters, masters, strict=True):
            if grad is not None:
                blob.add_grad(grad)

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to zero."""
        for blobs in self.params.values():
            for blob in blobs:
                blob.set_grad(None)

    # -- weights -----------------------------------------------------------------------------

    def load(self, weights: PathLike | Weights) -> LoadReport:
        """Copy weights into the layers of the same name.

        Weights that a recipe has trained, in a net without its formats, are told in `notices`.
        Raises: WeightsError listing what does not fit, FileFormatError when the file is bad.
        """
        self._note_recipe(weights.file if isinstance(weights, Weights) else weights)
        if not isinstance(weights, Weights):
            weights = read_weights(weights)
        try:
            return load_weights(self.nodes, weights, original_semantics=self.original_semantics)
        except AdaptionError as error:
            raise error.at(file=weights.file) from None

    def share_with(self, other: Net) -> None:
        """Use the weights of `other`, by layer name: what either net writes, both compute with.

        Raises: WeightsError when layers of one name differ in their blobs.
        """
        try:
            share_weights(self.nodes, other.nodes)
        except AdaptionError as error:
            raise error.at(file=self.spec.file) from error.__cause__

    def weights(self, *, with_diff: bool = False) -> Iterator[Any]:
        """The layers with their blobs, in caffemodel order; see io.caffemodel.LayerWeights."""
        return layer_weights(self.nodes, with_diff=with_diff)

    def save(self, path: PathLike) -> None:
        """Write a caffemodel; a name that ends in .h5 gives HDF5."""
        write_weights(path, self.weights(), name=self.name)

    def release(self) -> None:
        """Give back the memory of all blobs and parameters; the net cannot run any more."""
        while self.nodes:
            self.nodes.pop().release()
        for held in (self._chains, self.blobs, self.params, self._parameters):
            held.clear()

    def manual_seed(self, seed: int) -> None:
        """Restart the net's random numbers (dropout, stochastic rounding)."""
        for generator in {self.host_generator, self.generator}:
            generator.manual_seed(checked_seed(seed))
