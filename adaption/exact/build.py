"""build_program: a net as integer operations, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from adaption.errors import AdaptionError, FieldError, LayerError, UsageError
from adaption.exact.constants import weight_codes
from adaption.exact.entries import Entry, FloatValue, Function, Pending
from adaption.exact.floats import FloatBuilder
from adaption.exact.functions import FunctionBuilder
from adaption.exact.options import ExactOptions
from adaption.exact.program import (
    FloatLayer,
    Product,
    Program,
    Quantize,
    TopValue,
    Value,
)
from adaption.exact.reference import without_activation
from adaption.exact.selection import Member, Selection, refuse_moving, refuse_unknown_inputs
from adaption.layers.base import Shape
from adaption.numerics import BinaryWeight, FixedPoint, Format, Wrpn

__all__ = ["build_program"]


def build_program(
    selection: Selection,
    shapes: Mapping[str, Shape],
    options: ExactOptions | None = None,
    rounded: Sequence[Sequence[Tensor]] | None = None,
) -> Program:
    """Write the layers of `selection` as integer operations.

    The inputs are float32. They become codes at an LPAct behind them, or at once where
    `options.input_formats` says so; layers before the first such point run in float32, by the
    operations of `float_ops`. In nets with formats of WRPN so do layers behind sums, up to the next
    point.
    Layers without an integer form run in float32 at the end, on the values of the codes.

    Args:
        shapes: of the selection's inputs.
        rounded: each member's blobs as its layer is given them, where they were rounded before.
    Raises: AdaptionError naming the layer when one that needs codes gets floats, when weights have
        no format, when rounding is random, or when 61 bits do not hold a value.
    """
    refuse_moving(selection)
    walk = _Walk(selection, options or ExactOptions())
    for name in selection.inputs:
        walk.add_input(name, shapes[name])
    for i, member in enumerate(selection.members):
        spec = member.spec
        try:
            walk.add_layer(member, rounded[i] if rounded else member.node.quantized_blobs())
        except AdaptionError as error:
            raise error.at(layer=spec.name, layer_type=spec.type, line=spec.line) from None
    return walk.finished()


class _Walk:
    """The layers so far. `latest` maps blobs to what they hold now."""

    def __init__(self, selection: Selection, options: ExactOptions) -> None:
        self.selection = selection
        self.options = options
        self.is_wrpn = _is_wrpn(selection, options)
        self.is_quantized = _is_quantized(selection)
        self.builder = FunctionBuilder(options, scales_sums=self.is_wrpn)
        self.builder.member = selection.members[0]  # names what belongs to the inputs
        self.latest: dict[str, Entry] = {}
        self.floats: dict[Function, FloatValue] = {}  # functions that run in float32, too
        self.exceptions: list[str] = []
        self.tops: list[tuple[TopValue, Entry]] = []
        self.views: dict[tuple[str, int], str] = {}
        refuse_unknown_inputs(selection, options.input_formats)

    def add_input(self, name: str, shape: Shape) -> None:
        given = FloatValue(name, tuple(shape))
        fmt = self.options.input_formats.get(name)
        self.latest[name] = given if fmt is None else self._quantized(name, given, fmt)

    def add_layer(self, member: Member, blobs: Sequence[Tensor]) -> None:
        """Write one layer, and the quantization point of its tops."""
        b, spec, node = self.builder, member.spec, member.node
        b.member = member
        b.blobs = {f"blob{i}": t.detach().numpy() for i, t in enumerate(blobs)}
        before = len(b.ops)
        bottoms = [self.latest[name] for name in spec.bottoms]
        if node.formats.bottom is not None:
            fmt = _on_grid(node.formats.bottom, "bottom")
            for i in node.read_bottoms:
                view = bottoms[i] = self._point(bottoms[i], fmt)
                self.views[spec.name, i] = view.name
        tops = self._tops(member, bottoms)
        if node.formats.accumulator and not any(isinstance(op, Product) for op in b.ops[before:]):
            raise FieldError(
                "precision_param.accumulator",
                "set",
                "only where a layer multiplies codes by weights",
            )
        at_top: FixedPoint | None = None
        if node.formats.activation is not None:
            at_top = _on_grid(node.formats.activation, "activation")
            tops = [self._point(top, at_top) for top in tops]
        for blob, top in zip(spec.tops, tops, strict=True):
            self.latest[blob] = top
            where = TopValue(spec.name, spec.type, blob, None, format=at_top)
            self.tops.append((where, top))

    def finished(self) -> Program:
        outputs = {}
        for blob in self.selection.outputs:
            entry = self.latest[blob]
            outputs[blob] = self._floats(entry).name
        b = self.builder
        return Program(
            inputs={name: name for name in self.selection.inputs},
            outputs=outputs,
            ops=tuple(b.ops),
            values=b.values,
            tops=tuple(self._placed(top, entry) for top, entry in self.tops),
            is_lossless=b.is_lossless,
            notes=(*b.notes, *_note_of_scales(b.scaled)),
            views=self.views,
            float_shapes=b.float_shapes,
            exceptions=tuple(dict.fromkeys(self.exceptions)),
        )

    def _placed(self, top: TopValue, entry: Entry) -> TopValue:
        """`top` with the value that holds it, if anything computed it."""
        found: Entry | None = entry
        if isinstance(entry, Pending):
            found = self.builder.where_resolved(entry)
        elif isinstance(entry, Function):
            found = self.builder.where_tabulated(entry) or self.floats.get(entry)
        assert not isinstance(found, Pending | Function)
        name = None if found is None else found.name
        return replace(top, value=name, is_float=isinstance(found, FloatValue))

    def _tops(self, member: Member, bottoms: Sequence[Entry]) -> Sequence[Entry]:
        """The layer's tops, before they are rounded."""
        b, layer = self.builder, member.node.layer
        if any(isinstance(x, FloatValue) for x in bottoms):
            return self._float_tops(member, bottoms, _reason(member, bottoms))
        if self.is_wrpn and layer.is_weight_layer() and member.node.formats.weight is None:
            return self._float_tops(member, bottoms, "")  # first and last layers, by its rule
        if self.is_quantized and _has_float_weights(member):
            b.notes.append(f'layer "{member.spec.name}" runs in float32: its weights are float')
            reason = f'layer "{member.spec.name}" ({member.spec.type}): its weights are float'
            return self._float_tops(member, bottoms, reason)
        names, blobs = [b.name(x) for x in bottoms], list(b.blobs)
        if layer.is_pointwise and isinstance(bottoms[0], Function):
            return [b.entries[b.function(*names)]]
        try:
            if layer.same_tops_as_bottoms:
                return [b.entries[layer.lower_integer(b, x, *blobs)] for x in names]
            made = layer.lower_integer(b, *names, *blobs)
        except LayerError as error:
            reason = f'layer "{member.spec.name}" ({member.spec.type}): {error.fact}'
            if error.layer is not None:  # one before this one
                reason = f'layer "{error.layer}" ({error.layer_type}): {error.fact}; {error.fix}'
            elif layer.is_weight_layer():
                b.notes.append(f'layer "{member.spec.name}" runs in float32: {error.fact}')
            return self._float_tops(member, bottoms, reason)
        return [b.entries[name] for name in (made if isinstance(made, tuple) else (made,))]

    def _float_tops(
        self, member: Member, bottoms: Sequence[Entry], reason: str
    ) -> Sequence[FloatValue]:
        b, node = self.builder, member.node
        floats = [self._floats(x) for x in bottoms]
        if node.formats.weight is not None and not self.is_wrpn:
            raise _needs_codes(floats, reason)
        made = FloatBuilder(b, member).lowered(floats)
        if made is not None:
            return [replace(x, reason=reason) for x in made] if reason else made
        shapes = node.layer.top_shapes(*(x.shape for x in floats))
        names = tuple(x.name for x in floats), tuple(b.free("float") for _ in shapes)
        op = FloatLayer(member.spec.name, *names, node=without_activation(node, None))
        differs = next((x.differs for x in floats if x.differs), member.spec.name)
        return b.add_floats(op, shapes, reason, differs)

    def _floats(self, entry: Entry) -> FloatValue:
        """float32 values of an entry."""
        if isinstance(entry, FloatValue):
            return entry
        b = self.builder
        if isinstance(entry, Function):
            if entry not in self.floats:
                made = self._float_tops(entry.member, [entry.source], "behind codes")
                self.floats[entry] = made[0]
            return self.floats[entry]
        codes = b.resolved_for_output(entry)
        return b.to_floats(codes)

    def _point(self, entry: Entry, fmt: FixedPoint) -> Value:
        if isinstance(entry, Function):
            return self.builder.tabulated(entry, fmt)
        if not isinstance(entry, FloatValue):
            return self.builder.rounded(self.builder.resolved(entry), fmt)
        if entry.differs and entry.reason:
            raise LayerError(
                f"rounds floats that were made from codes: {entry.reason}",
                "end the net before that layer (--end LAYER, end=), or use style float or qdq",
            )
        if entry.differs:
            self.exceptions.append(entry.differs)
        return self._quantized(self.builder.member.spec.name, entry, fmt)

    def _quantized(self, layer: str, x: FloatValue, fmt: FixedPoint) -> Value:
        b = self.builder
        fmt = self.options.at_point(fmt)
        if fmt.word_length > 24:
            raise FieldError("word_length", fmt.word_length, "24 or less for float32 inputs")
        ends = fmt.min_code, fmt.max_code
        top = Value(b.free("code"), x.shape, fmt.frac_length, *ends, fmt.divisor)
        b.ops.append(Quantize(layer, (x.name,), (top.name,), format=fmt))
        b.values[top.name] = top
        return top


def _has_float_weights(member: Member) -> bool:
    """Whether a layer that multiplies has weights that lie on no grid."""
    node = member.node
    if node.formats.weight is not None or not node.layer.is_weight_layer():
        return False
    try:
        weight_codes(node.masters[0].tensor.detach().numpy(), None)
    except FieldError:
        return True
    return False


def _is_quantized(selection: Selection) -> bool:
    """Whether a net has formats, or weights on a grid, from its first weight layer on: then a layer
    with other weights was left in float on purpose. A format of the input alone says nothing."""
    has_weights = False
    for member in selection.members:
        node = member.node
        if node.layer.is_weight_layer():
            has_weights = True
            if not _has_float_weights(member):
                return True
        if has_weights and node.formats.activation is not None:
            return True
    return False


def _on_grid(fmt: Format, kind: str) -> FixedPoint:
    """The format, on a grid of constants. Raises: LayerError on any other."""
    if not isinstance(fmt, FixedPoint):
        raise LayerError(
            f"{kind} format {fmt} has no integer form", "use fixed point at this point"
        )
    return fmt


def _is_wrpn(selection: Selection, options: ExactOptions) -> bool:
    """Whether the net has formats of WRPN, whose sums are scaled in float32."""
    formats = [fmt for m in selection.members for _, fmt in m.node.formats.items()]
    return any(
        isinstance(f, Wrpn | BinaryWeight) for f in (*formats, *options.input_formats.values())
    )


def _note_of_scales(layers: Sequence[str]) -> list[str]:
    if not layers:
        return []
    listed = ", ".join(f'"{name}"' for name in layers)
    return [f"sums of integers are scaled in float32, by one constant per layer, in: {listed}"]


def _reason(member: Member, bottoms: Sequence[Entry]) -> str:
    """Why a layer on these bottoms runs in floats: empty when all come from inputs only."""
    found = [x.reason for x in bottoms if isinstance(x, FloatValue) and x.reason]
    if found:
        return found[0]
    floats = [isinstance(x, FloatValue) for x in bottoms]
    if all(floats):
        return ""
    spec = member.spec
    blob = spec.bottoms[floats.index(True)]
    return f'layer "{spec.name}" ({spec.type}): reads the float32 blob "{blob}" beside codes'


def _needs_codes(bottoms: Sequence[FloatValue], reason: str) -> AdaptionError:
    if reason:
        return LayerError(
            f"multiplies floats: {reason}",
            "end the net before that layer (--end LAYER, end=), or use style float or qdq",
        )
    return UsageError(
        f"its bottom is float32: no number format is stated between the net's input and"
        f' this layer ("{bottoms[0].name}")',
        "put an LPAct behind the input, or give an input format:"
        ' input_formats={"NAME": FixedPoint.q("Q9.7")}, --input-format NAME=Q9.7',
    )
