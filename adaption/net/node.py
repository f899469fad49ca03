"""Node: one layer of a running net, with its blobs, formats and gradient flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adaption.errors import AdaptionError, LayerError
from adaption.graph import LayerSpec
from adaption.layers.base import Layer, Runtime
from adaption.net.blob import Blob
from adaption.net.convolver import Convolver
from adaption.net.memory import FAILURES
from adaption.net.plan import MASTERS, LayerFormats, is_low_precision
from adaption.net.points import Points, WeightDraw
from adaption.net.points_check import missing_point
from adaption.net.saved import Alias, saving_instead
from adaption.numerics import Format

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["Node", "Tape"]


@dataclass
class Tape:
    """What one recorded forward pass keeps for the backward pass."""

    bottoms: list[Tensor]
    blobs: list[Tensor]
    tops: list[Tensor]


@dataclass(frozen=True, eq=False)
class _Rounded:
    """A rounded copy of a master, the stamps of both blobs when it was made, and the draw.

    grid: the format as it was for this tensor, where the grid depends on it.
    """

    values: Tensor
    master: Blob
    fmt: Format | None
    grid: Format | None
    stamps: tuple[object, object]
    draw: WeightDraw | None


@dataclass
class Node:
    """One layer in a net. `blobs` are in caffemodel order.

    A low-precision layer holds its blobs in pairs, full precision then rounded (ADaPTION's
    layout: W, rounded W, b, rounded b); the layer itself sees one tensor per pair.
    """

    spec: LayerSpec
    layer: Layer
    points: Points
    runtime: Runtime
    blobs: list[Blob] = field(default_factory=list)
    needs_backward: bool = False
    propagate_down: list[bool] = field(default_factory=list)
    learns: list[bool] = field(default_factory=list)  # per blob of `blobs`
    loss_weights: list[float] = field(default_factory=list)
    tape: Tape | None = None
    convolver: Convolver | None = None  # runs this convolution where no gradient is wanted
    draw: WeightDraw | None = None  # of stochastic weights; None: anew in every pass
    master_names: list[str] = field(default_factory=list)  # as the owner of a shared one has it
    _rounded_from: dict[int, _Rounded] = field(default_factory=dict)  # by index of the master
    _packs: dict[int, tuple[object, Tensor]] = field(default_factory=dict)  # likewise

    def __getstate__(self) -> dict[str, Any]:
        """For a copy: the stamps and the graph of this one say nothing of the copy's blobs."""
        return vars(self) | {"tape": None, "_rounded_from": {}, "_packs": {}}

    @property
    def formats(self) -> LayerFormats:
        """The formats in force; `Net.set_plan` changes them."""
        return self.points.formats

    def has_point(self, kind: str) -> bool:
        """Whether the layer has a point of this kind."""
        return missing_point(self, kind) is None

    def set_formats(self, formats: LayerFormats) -> None:
        """Take other formats, and drop what was derived from the old ones. Part of
        `Net.set_plan`, which also chooses anew which layers run as one."""
        self.points.formats = formats
        self.convolver = None
        self._rounded_from, self._packs = {}, {}

    def share_derived(self, other: Node) -> None:
        """Take what `other`, with the same masters and formats, has made of them."""
        self._rounded_from, self._packs = dict(other._rounded_from), dict(other._packs)
        self.convolver = None if other.convolver is None else other.convolver.packed_again()

    def having(self, formats: LayerFormats, blobs: list[Blob] | None = None) -> Node:
        """A copy with other formats, and with `blobs` of its own where some are given."""
        points = replace(self.points, formats=formats, peaks=dict(self.points.peaks))
        own = self.blobs if blobs is None else blobs
        return replace(self, points=points, blobs=own, _rounded_from={}, _packs={})

    @property
    def is_paired(self) -> bool:
        return is_low_precision(self.spec.type)

    @property
    def masters(self) -> list[Blob]:
        """The full precision blobs, one per tensor that the layer sees."""
        return self.blobs[::2] if self.is_paired else self.blobs

    def gradient_flags(self) -> list[bool]:
        """For each master: whether its gradient is computed.

        In the original, blob i of the four obeys param spec i and the bias gradient is gated by
        blob 1; what was meant is one spec per master.
        """
        if not self.is_paired:
            return self.learns
        if self.runtime.original_semantics:
            return self.learns[: len(self.masters)]
        return self.learns[::2]

    def param_spec(self, index: int) -> caffe_pb2.ParamSpec | None:
        """The `param { }` block that blob `index` obeys, None where the prototxt has none.

        Of a low-precision layer the first is for the weights, the second for the bias, as meant;
        the original maps them one to one on the four blobs.
        """
        specs = self.spec.message.param
        if self.is_paired and not self.runtime.original_semantics:
            index //= 2
        return specs[index] if index < len(specs) else None

    def format_of(self, index: int) -> Format | None:
        """Format of master `index`: the weights' for the first, the bias' for the second."""
        return self.formats.of(MASTERS[index]) if index < len(MASTERS) else None

    def quantized_blobs(self) -> list[Tensor]:
        """The tensors handed to the layer: masters, rounded at use where a format asks for it."""
        out = []
        for i, master in enumerate(self.masters):
            fmt = self.format_of(i)
            if fmt is None:
                out.append(master.tensor)
                if self.is_paired and not self.runtime.original_semantics:
                    self._refresh(i, master, None)
            else:
                out.append(self._refresh(i, master, fmt))
        return out

    def release(self) -> None:
        """Have rounded copies follow nobody: node and copy would hold each other, and their memory
        would stay until Python looks for such cycles."""
        for blob in self.blobs:
            blob.follow(None)

    def refresh(self, index: int | None = None) -> None:
        """Make rounded copies anew where their masters have changed; of one master, or of all.

        Draws no random numbers: a run goes on the same whether somebody looks or not.
        """
        generator = self.runtime.generator
        state = None if generator is None else generator.get_state()
        if index is None:
            self.quantized_blobs()
        elif index < len(self.masters):
            self._refresh(index, self.masters[index], self.format_of(index))
        if generator is not None and state is not None:
            generator.set_state(state)

    def rounded_grid(self, index: int) -> Format | None:
        """The grid that master `index` was last rounded to; None where it was not rounded."""
        kept = self._rounded_from.get(index)
        return None if kept is None else kept.grid

    def _refresh(self, index: int, master: Blob, fmt: Format | None) -> Tensor:
        """The rounded copy of a master, made anew only when either may have changed."""
        if not self.is_paired:
            return self._rounded(index, master, fmt, None)
        copy = self.blobs[2 * index + 1]
        with copy.at_rest():
            return self._rounded(index, master, fmt, copy)

    def _rounded(self, index: int, master: Blob, fmt: Format | None, copy: Blob | None) -> Tensor:
        kept = self._rounded_from.get(index)
        is_random = fmt is not None and fmt.is_random
        draw = self.draw if is_random else None
        if (
            kept is not None
            and kept.master is master
            and kept.fmt == fmt
            and kept.draw == draw
            and (draw is not None or not is_random)
            and kept.stamps == _stamps(master, copy)
        ):
            return kept.values
        with torch.no_grad():
            values = master.tensor.detach()
            if copy is not None:
                values = copy.tensor.detach().copy_(values)
            elif fmt is not None:
                values = values.clone()
            grid = None
            if fmt is not None:
                generator = self.runtime.generator
                if draw is not None:
                    generator = draw.generator(self.master_names[index], values.device)
                grid = self.points.resolved(MASTERS[index], values)
                grid.quantize_(values, generator)
        stamps = _stamps(master, copy)
        self._rounded_from[index] = _Rounded(values, master, fmt, grid, stamps, draw)
        return values

    def forward(
        self, bottoms: Sequence[Tensor], *, record: bool, may_overwrite: bool = False
    ) -> list[Tensor]:
        """One forward pass; with `record` it keeps what `backward` needs.

        Args:
            may_overwrite: whether the top may take the memory of the one bottom.
        """
        if self.spec.is_split and not record:  # nothing to compute, and nets have many
            self.tape = None
            return [bottoms[0].detach() for _ in self.spec.tops]
        blobs = self.quantized_blobs()
        self.tape = None
        if not record:
            if self.formats.bottom is not None:
                bottoms = [self._own_view(x, i) for i, x in enumerate(bottoms)]
            if not self.layer.takes_channels_last:
                bottoms = [x.contiguous() for x in bottoms]
            with torch.no_grad():
                if self.convolver is not None and self.convolver.takes(bottoms[0]):
                    return [self._convolve(self.convolver, bottoms[0], blobs)]
                return self._call(list(bottoms), self._packed(blobs), may_overwrite)
        leaves = [
            x.detach().requires_grad_(down)
            for x, down in zip(bottoms, self.propagate_down, strict=True)
        ]
        weights = [
            b.detach().requires_grad_(learn) if self.layer.is_learned(i) else b
            for i, (b, learn) in enumerate(zip(blobs, self.gradient_flags(), strict=True))
        ]
        if self.points.watched:
            self._show(leaves)
        remade: dict[int, Callable[[], Tensor]] = {}
        with torch.enable_grad():
            given = list(leaves)
            if self.formats.bottom is not None:
                may_overwrite = False  # the view's values are made again from the bottom's
                for i in self.read_bottoms:
                    given[i], again = self.points.view(leaves[i], i)
                    remade[given[i].untyped_storage().data_ptr()] = again
            elif may_overwrite:
                # autograd lets no leaf be overwritten, only what was made from one.
                given = [Alias.apply(x) for x in leaves]  # type: ignore[no-untyped-call]
            remade |= self._masters_for_backward(weights)
            with saving_instead(remade):
                tops = self._call(given, weights, may_overwrite)
        self.tape = Tape(leaves, weights, tops)
        return [t.detach() for t in tops]

    @property
    def read_bottoms(self) -> list[int]:
        """Bottoms that hold values; labels are no numbers to be rounded."""
        return [i for i in range(len(self.spec.bottoms)) if i not in self.layer.no_gradient]

    def _own_view(self, x: Tensor, index: int) -> Tensor:
        return self.points.rounded("bottom", x, index) if index in self.read_bottoms else x

    def _show(self, bottoms: Sequence[Tensor]) -> None:
        """Show what is about to be rounded before the layer runs: its masters and bottoms."""
        for kind, master in zip(MASTERS, self.masters, strict=False):
            self.points.see(kind, master.tensor)
        for i in self.read_bottoms:
            self.points.see("bottom", bottoms[i])

    def _convolve(self, convolver: Convolver, x: Tensor, blobs: list[Tensor]) -> Tensor:
        made_of = [self._rounded_from.get(i) or (b, b.stamp()) for i, b in enumerate(self.masters)]
        weight, bias = blobs[0].detach(), blobs[1].detach() if len(blobs) > 1 else None
        # One memory layout, since the order of a sum may depend on it.
        x = x.contiguous(memory_format=torch.channels_last)
        y = convolver.run(x, made_of, lambda: (weight, bias))
        if self.formats.activation is not None:
            self.points.round_("activation", y)
        return y

    def _packed(self, blobs: list[Tensor]) -> list[Tensor]:
        """The blobs in the layout the layer likes best, packed anew only when they changed."""
        if type(self.layer).pack is Layer.pack:
            return blobs
        out = []
        for i, (blob, master) in enumerate(zip(blobs, self.masters, strict=True)):
            if master.is_exposed:  # it may change with every pass: packing would not pay
                out.append(blob)
                continue
            made_of = self._rounded_from.get(i) or (master, master.stamp())
            kept = self._packs.get(i)
            if kept is None or kept[0] != made_of:
                kept = self._packs[i] = (made_of, self.layer.pack(i, blob))
            out.append(kept[1])
        return out

    def forget_packed(self) -> None:
        """Give back the memory of packed blobs; the next pass packs them anew."""
        self._packs = {}

    def leaves_top_free(self, *, overwrites: bool) -> bool:
        """Whether nothing but the top's reader needs its memory, given that the bottom was free."""
        return self.layer.top_is_free or (self.layer.is_identity and overwrites)

    def _call(
        self, bottoms: list[Tensor], blobs: list[Tensor], may_overwrite: bool = False
    ) -> list[Tensor]:
        layer = self.layer
        try:
            if may_overwrite:
                tops = [layer.overwrite(self.runtime, bottoms[0], *blobs)]
            elif layer.same_tops_as_bottoms:
                tops = [layer.run(self.runtime, x, *blobs) for x in bottoms]
            else:
                made = layer.run(self.runtime, *bottoms, *blobs)
                tops = list(made) if isinstance(made, tuple | list) else [made]
        except AdaptionError as error:
            where = error.at(layer=self.spec.name, layer_type=self.spec.type, line=self.spec.line)
            raise where from error.__cause__
        except FAILURES as error:
            if layer.takes_blobs and not isinstance(error, RuntimeError):
                raise  # the caller's own code
            shapes = ", ".join(str(tuple(x.shape)) for x in bottoms)
            raise LayerError(f"forward failed on bottoms of shape {shapes}: {error}").at(
                layer=self.spec.name, layer_type=self.spec.type, line=self.spec.line
            ) from error
        if self.points.watched and torch.is_grad_enabled() and not layer.is_source:
            for top in tops:
                self.points.see("activation", top)
        if self.formats.activation is None:
            return tops
        is_free = self.leaves_top_free(overwrites=may_overwrite)
        return [self.points.top(t, i, in_place=is_free) for i, t in enumerate(tops)]

    def _masters_for_backward(self, weights: list[Tensor]) -> dict[int, Callable[[], Tensor]]:
        """What autograd keeps instead of a rounded weight, by the address of its memory.

        ADaPTION computes the bottom gradient with the unrounded weights (lp_conv_layer.cpp and
        lp_inner_product_layer.cpp, Backward_cpu). As a side effect no rounded copy is kept.
        """
        if self.formats.backward_weights == "QUANTIZED":
            return {}
        return {
            w.untyped_storage().data_ptr(): lambda m=master: m.tensor.detach()  # type: ignore[misc]
            for i, (w, master) in enumerate(zip(weights, self.masters, strict=True))
            if self.format_of(i) is not None
        }

    def backward(
        self, top_grads: Sequence[Tensor]
    ) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Gradients of the bottoms and of the masters; None where none is asked for.

        Raises: LayerError when no forward pass was recorded.
        """
        tape = self.tape
        if tape is None:
            raise LayerError(
                "backward without a recorded forward pass",
                "run forward on the whole net first",
            ).at(layer=self.spec.name, layer_type=self.spec.type)
        wanted = [t for t in (*tape.bottoms, *tape.blobs) if t.requires_grad]
        pairs = [
            (t, self._rounded_grad(g, i))
            for i, (t, g) in enumerate(zip(tape.tops, top_grads, strict=True))
            if t.requires_grad
        ]
        found: dict[int, Tensor | None] = {}
        if wanted and pairs:
            try:
                grads = torch.autograd.grad(
                    [t for t, _ in pairs],
                    wanted,
                    [g.view(t.shape) for t, g in pairs],
                    allow_unused=True,
                    retain_graph=True,
                )
            except AdaptionError as error:
                where = error.at(
                    layer=self.spec.name, layer_type=self.spec.type, line=self.spec.line
                )
                raise where from error.__cause__
            except FAILURES as error:
                if self.layer.takes_blobs:
                    raise
                raise LayerError(f"backward failed: {error}").at(
                    layer=self.spec.name, layer_type=self.spec.type, line=self.spec.line
                ) from error
            found = {id(t): g for t, g in zip(wanted, grads, strict=True)}
        return (
            [found.get(id(t)) for t in tape.bottoms],
            [self._masked(found.get(id(t)), i) for i, t in enumerate(tape.blobs)],
        )

    def _rounded_grad(self, grad: Tensor, index: int) -> Tensor:
        """The gradient of a top as all products of the backward pass read it."""
        if self.points.watched:
            self.points.see("activation_grad", grad)
        if self.formats.activation_grad is None:
            return grad
        return self.points.rounded("activation_grad", grad, index)

    def _masked(self, grad: Tensor | None, index: int) -> Tensor | None:
        """A master's gradient: none where its format masks what is beyond the range."""
        fmt = self.format_of(index)
        if grad is None or fmt is None or not fmt.mask_saturated:
            return grad
        grid = self._rounded_from[index].grid
        assert grid is not None, "the forward pass has rounded it"
        return grad * grid.inside(self.masters[index].tensor.detach())


def _stamps(master: Blob, copy: Blob | None) -> tuple[object, object]:
    return master.stamp(), None if copy is None else copy.stamp()
