"""Rewrite a net for WRPN: few-bit weights, and a clip that is rounded in the place of each ReLU.

Source: Mishra, Nurvitadhi, Cook, Marr, "WRPN: Wide Reduced-Precision Networks" (ICLR 2018). The
clip to [0, 1] is the activation function. A clip that is not rounded is Caffe's Clip layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from adaption.errors import AdaptionError, UsageError
from adaption.graph import NetSpec
from adaption.io import prototxt
from adaption.io.caffemodel import Weights
from adaption.io.netfile import NetFile, from_document
from adaption.io.prototxt import Block
from adaption.layers.base import Shape
from adaption.layers.shapes import each_shape
from adaption.numerics import BinaryWeight, Format, Wrpn
from adaption.options.recipes.wrpn import FLOAT_BITS, WrpnFormats
from adaption.precision.format_text import become_clip, become_rounding, set_points, text_of
from adaption.precision.recipe_rewrite import RecipeNets, rewriting
from adaption.precision.rewrite import file_specs, fresh_document
from adaption.precision.wrpn_roles import CLIPPED, KEPT, ROUNDED, Roles
from adaption.precision.zero_level import share_of_filler, share_of_values
from adaption.recipes.base import LayerView
from adaption.recipes.wrpn import warning_of_zero_levels

__all__ = ["write_wrpn"]

MOST_NAMES = 8  # that a warning lists
UNIFORM = '{ type: "uniform" min: -1 max: 1 }'


@rewriting("wrpn")
def write_wrpn(
    nets: Sequence[NetFile], options: WrpnFormats, weights: Weights | None = None
) -> RecipeNets:
    """Nets over the same layers with WRPN's formats; only the lines that change are touched.

    Weight layers get a weight format and `backward_weights: QUANTIZED`, ReLUs become LPAct or Clip,
    fillers uniform. Which layers are first and last is decided in the first net that has them.
    What a layer says of a point already stays.

    Args:
        weights: that training starts from; without, it starts from what the fillers draw.
    Returns: the nets; for each weight layer of the first the formats of its weight, of its result
        (`activation`) and of what it reads (`input`), and the share of its weights that start in
        the zero level (None where that is not known); and warnings.
    Raises: UsageError when a number of bits is not given.
    """
    if options.weight_bits is None or options.activation_bits is None:
        missing = [n for n in ("weight_bits", "activation_bits") if getattr(options, n) is None]
        raise UsageError(
            f"recipe wrpn needs {' and '.join(missing)}",
            "give --weight-bits 4 --activation-bits 4 (weight_bits=4, activation_bits=4)",
        )
    work = _Work(options, weights)
    for net in nets:
        for spec in file_specs(net):
            work.shapes |= dict(_weight_shapes(spec)) | work.shapes
    made = [work.write(net) for net in nets]
    said = [*work.warnings, *_warning_of_bare(work.bare), *_warning_of_unknown(work.unknown)]
    return RecipeNets(made, work.rows, [*said, *warning_of_zero_levels(work.shares)])


def _listed(names: Iterable[str]) -> str:
    found = [f'"{name}"' for name in names]
    more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
    return ", ".join(found[:MOST_NAMES]) + more


def _warning_of_bare(names: Iterable[str]) -> list[str]:
    if not names:
        return []
    return [
        "no batch norm stands behind layers whose weights start uniform in -1..1:"
        f" {_listed(names)}; their sums may start far beyond [0, 1] (--keep-fillers leaves the"
        " fillers)"
    ]


def _warning_of_unknown(names: Iterable[str]) -> list[str]:
    if not names:
        return []
    return [
        f"how many weights start in the zero level is not known of {_listed(names)}: their fillers"
        " depend on shapes, which follow from data that is not there (--also with a deploy net, or"
        " --weights, says it)"
    ]


@dataclass
class _Work:
    """Writes one net after the other; `rows` are of the first."""

    options: WrpnFormats
    weights: Weights | None
    decided: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    bare: dict[str, None] = field(default_factory=dict)  # filled anew, without batch norm behind
    unknown: dict[str, None] = field(default_factory=dict)  # whose share is not known
    shapes: dict[str, Shape] = field(default_factory=dict)  # of weights, as far as known
    stated: dict[str, frozenset[str]] = field(default_factory=dict)  # before anything was written
    is_first: bool = True

    def write(self, file: NetFile) -> NetFile:
        views: dict[str, LayerView] = {}
        for spec in file_specs(file):
            for view in Roles(spec, self.options, self.decided).views:
                views.setdefault(view.name, view)
                self.stated.setdefault(view.name, view.stated)
        document = fresh_document(file)
        for item in document.root.all("layer"):
            name = text_of(item.block, "name")
            if name in views and name in self.decided:
                self._write_layer(item.block, views[name])
        made = from_document(prototxt.parse(document.text(), file.file))
        for spec in file_specs(made):
            self._report(Roles(spec, self.options, self.decided))
        self.is_first = False
        return made

    # -- the text ------------------------------------------------------------------------------

    def _write_layer(self, block: Block, view: LayerView) -> None:
        role = self.decided[view.name]
        point = "weight" if view.is_weight_layer else "activation"
        if point in view.stated:
            self._warn(
                f'layer "{view.name}" states a format of its {point} already'
                f" ({_text(view.formats.of(point))}), which stays"
            )
        elif view.is_weight_layer and role == ROUNDED:
            own = "backward_weights" in view.stated
            fmt = self._weight_format(view)
            set_points(block, {point: fmt}, backward_weights=None if own else "QUANTIZED")
            if not self.options.keep_fillers:
                _set_filler(block, str(view.layer.param))
        elif not view.is_weight_layer and role in (ROUNDED, CLIPPED):
            self._replace(block, view, role)

    def _replace(self, block: Block, view: LayerView, role: str) -> None:
        """Make an activation function the clip to [0, 1], rounded or not."""
        if role == CLIPPED and view.layer.greatest_of_rectified() == 1:
            return
        # The Clip has the bounds that every activation format of WRPN has.
        bits = self.options.activation_bits if role == ROUNDED else 1
        assert bits is not None
        become = become_rounding if role == ROUNDED else become_clip
        become(block, Wrpn(bits, is_signed=False))

    def _weight_format(self, view: LayerView) -> Format:
        bits = self.options.weight_bits
        assert bits is not None
        if bits > 1:
            return Wrpn(bits)
        per_filter = self.options.per_filter
        if per_filter and not view.layer.filters_come_first:
            self._warn(
                f'layer "{view.name}" ({view.type}) has one scale for all its filters: they are not'
                " the first axis of its weight"
            )
            per_filter = False
        return BinaryWeight(per_filter)

    # -- what is said --------------------------------------------------------------------------

    def _report(self, roles: Roles) -> None:
        """The rows and warnings of a net that is written."""
        shares = self._shares(roles)
        for i in roles.weight_layers:
            view = roles.views[i]
            if self.is_first:
                row = {
                    "weight": _text(view.formats.weight),
                    "activation": _texts(roles, roles.results(i)),
                    "input": _texts(roles, roles.read_from(i)),
                    "zero_share_at_start": shares.get(view.name),
                }
                self.rows.setdefault(view.name, row)
            if view.formats.weight is not None:
                self._look_around(roles, i)
        for i, view in enumerate(roles.views):
            if view.layer.kind == "activation" and roles.role(i) == KEPT:
                self._look_at_kept(roles, i)
        for name, share in shares.items():
            self.shares.setdefault(name, share)

    def _look_around(self, roles: Roles, index: int) -> None:
        """What keeps a layer with rounded weights from being WRPN's."""
        view = roles.views[index]
        rounds = self.options.activation_bits != FLOAT_BITS
        for source in roles.read_from(index) if rounds and not view.is_first else ():
            maker = roles.views[source]
            if maker.formats.activation is None and roles.role(source) != CLIPPED:
                self._warn(
                    f'layer "{view.name}" reads values that are not rounded: no ReLU stands between'
                    f' it and "{maker.name}" ({maker.type})'
                )
        draws = not self.options.keep_fillers and "weight" not in self.stated.get(view.name, ())
        if draws and self.weights is None and not roles.is_normalized(index):
            self.bare.setdefault(view.name)

    def _look_at_kept(self, roles: Roles, index: int) -> None:
        view = roles.views[index]
        stated = self.stated.get(view.name, ())
        if self.options.activation_bits == FLOAT_BITS or "activation" in stated:
            return
        if view.layer.greatest_of_rectified() is None:
            self._warn(
                f'layer "{view.name}" ({view.type}) stays as it is, and is not rounded: the clip to'
                " [0, 1] replaces ReLU, ReLU6 and Clip from 0 on"
            )
        else:
            self._warn(
                f'layer "{view.name}" ({view.type}) stays as it is: no weight layer reads what it'
                " gives"
            )

    def _shares(self, roles: Roles) -> dict[str, float]:
        """Share of weights that start in the zero level, by layer, where that is known."""
        found = {}
        trains = any(view.layer.is_loss for view in roles.views)
        for i in roles.weight_layers:
            view, spec = roles.views[i], roles.spec.layers[i]
            fmt = view.formats.weight
            if not isinstance(fmt, Wrpn | BinaryWeight):
                continue
            held = None if self.weights is None else self.weights.get(view.name)
            if held is not None and held.blobs:
                found[view.name] = share_of_values(fmt, held.blobs[0].array())
                continue
            settings = getattr(spec.message, str(view.layer.param))
            if not settings.HasField("weight_filler") and not trains:
                continue  # a net that is not made to learn: its weights come from a file
            share = share_of_filler(fmt, settings.weight_filler, self.shapes.get(view.name))
            if share is None:
                self.unknown.setdefault(view.name)
            else:
                found[view.name] = share
        return found

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def _weight_shapes(spec: NetSpec) -> Iterator[tuple[str, Shape]]:
    """The shapes of weights, as far as the net can tell them: its data may not be there."""
    try:
        for found in each_shape(spec):
            if found.layer.is_weight_layer():
                yield found.spec.name, found.blobs[0]
    except AdaptionError:
        return


def _set_filler(block: Block, param: str) -> None:
    settings = block.first(param)
    assert settings is not None  # every weight layer states num_output
    present = settings.block.first("weight_filler")
    if present is None:
        settings.block.append(f"weight_filler {UNIFORM}")
    else:
        present.set(UNIFORM)


def _text(fmt: Format | None) -> str:
    return "float" if fmt is None else str(fmt)


def _texts(roles: Roles, layers: Sequence[int]) -> str:
    found = dict.fromkeys(_text(roles.views[i].formats.activation) for i in layers)
    return ", ".join(found) or "float"
