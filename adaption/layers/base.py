"""What a layer is, how it reads its prototxt fields, and the registry of layer types.

A layer file, which scan.py finds, declares one frozen dataclass. Its fields are the message's, read
by name; a field typed `X | None` is None where the prototxt leaves it out and has no default.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from adaption.errors import AdaptionError, FieldError, LayerError, ShapeError, UnknownLayerError
from adaption.graph import LayerSpec, NetSpec
from adaption.later import Tensor
from adaption.layers.fields import check_numbers, read_fields
from adaption.layers.lowering import IntegerLowering, Lowering, Shape
from adaption.layers.runtime import Progress, Runtime
from adaption.layers.scan import every_module, modules_of, params_of_files, types_of_files
from adaption.layers.traits import KINDS, Count, KindName, Traits
from adaption.nearest import nearest_name

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = [
    "IntegerLowering",
    "Layer",
    "Lowering",
    "Progress",
    "Runtime",
    "Shape",
    "build_layer",
    "known_types",
    "layer",
]


class Layer(Traits):
    """Base of all layer types; a plain one stands for a type that is not known.

    Bottoms and blobs come in prototxt and caffemodel order.
    """

    types: ClassVar[tuple[str, ...]] = ()
    param: ClassVar[str | None] = None

    def check(self) -> None:
        """Raise FieldError when a field's value is not allowed."""

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        """Shape of each top."""
        if self.same_tops_as_bottoms:
            return [self.top_shape(x) for x in bottoms]
        return [self.top_shape(*bottoms)]

    def top_shape(self, *bottoms: Shape) -> Shape:
        return bottoms[0]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        """Shapes of the layer's blobs, in caffemodel order."""
        return []

    def blob_fillers(
        self,
    ) -> Sequence[caffe_pb2.FillerParameter | Callable[[Tensor], None] | None]:
        """One filler per blob, or a function that writes its values; None leaves zeros."""
        return []

    def bind(self, bottoms: Sequence[Any], tops: Sequence[Any], blobs: list[Any]) -> None:
        """Take the net's own Blobs, to which `run` keeps; only where `takes_blobs`.

        Args:
            blobs: the layer's list of blobs; what `top_shapes` appends to it becomes a parameter.
        """

    def first_tops(self, runtime: Runtime) -> Sequence[Tensor | None]:
        """What the tops hold before the first pass; where nothing is said, zeros."""
        return ()

    def is_learned(self, index: int) -> bool:
        """Whether blob `index` is a parameter; statistics that `forward` writes are not."""
        return not self.writes_blobs

    def arranged(self, blobs: Sequence[Any]) -> Sequence[Any]:
        """The blobs of a caffemodel's layer in today's order, where older files have another."""
        return blobs

    def forward(self, *tensors: Any) -> Any:
        """Bottoms, then blobs, to a top or a tuple of tops."""
        raise NotImplementedError

    def pack(self, index: int, blob: Tensor) -> Tensor:
        """Blob `index` in the memory layout that is fastest for passes without gradients."""
        return blob

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        """As `forward`, for the few layers that need phase, randomness or state."""
        return self.forward(*tensors)

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        """What is needed, beside blobs and the generator, to go on later as from now.

        Returns: plain JSON values; empty where there is nothing.
        """
        return {}

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        """Go on from where `save_state` gave `state`; an empty one means from the start.

        Raises: LayerError or FieldError when it is not of this layer.
        """
        if state:
            raise LayerError(f"has no state, but {', '.join(state)} was saved for it")

    def progress(self, runtime: Runtime) -> Progress | None:
        """How far the layer has read its data; None where that means nothing."""
        return None

    def overwrite(self, runtime: Runtime, x: Tensor, *blobs: Tensor) -> Any:
        """As `run`, where the bottom is needed no more: the top may take its memory."""
        return self.run(runtime, x, *blobs)

    def prepared(
        self, runtime: Runtime, x: Tensor, *blobs: Tensor
    ) -> Callable[[Tensor], Tensor] | None:
        """`overwrite` without gradients, for bottoms like `x` and blobs of these very values: what
        follows from them is computed once. None where that saves nothing."""
        return None

    def lower(self, g: Lowering, *names: str) -> Any:
        """Write the TEST-phase layer as ONNX operators; returns the name(s) of the tops."""
        raise LayerError(
            f"layer type {self.spec.type} has no ONNX form",
            "export up to the layer before it, or compute it outside the ONNX model",
        )

    def lower_integer(self, g: IntegerLowering, *names: str) -> Any:
        """Write the TEST-phase layer as integer operations; returns the name(s) of the tops."""
        if self.is_identity:
            return names[0]
        if self.works_on_codes:
            return g.apply(*names)
        if self.is_pointwise:
            return g.function(*names)
        raise LayerError(
            f"layer type {self.spec.type} has no integer form",
            "let it be the last layer, or end the net before it (--end LAYER, end=)",
        )

    @property
    def filters_come_first(self) -> bool:
        """Whether the first axis of the first blob counts outputs, one filter each."""
        return False

    def sums(self, bottom: Shape) -> int:
        """Of a weight layer: the sums that each output is, over samples and places."""
        raise NotImplementedError

    def columns(self, x: Tensor, picks: Tensor) -> Tensor:
        """What a weight layer reads of bottom `x` for the sums numbered `picks`: (groups, picks,
        values), such that by_output(W) of a group times a column is one of its sums."""
        raise NotImplementedError

    def error_scale(self, *bottoms: Tensor) -> float:
        """The size of the numbers its float32 error is a share of, where tops may be far smaller.

        So libraries compute functions of a bounded range to some units in the last place of it.
        """
        return 0.0

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-accumulate operations of one forward pass."""
        return 0

    @classmethod
    def obstacle(cls, spec: LayerSpec) -> str:
        """Why a layer cannot run although its type is known; empty when it can."""
        return ""

    @property
    def has_onnx_form(self) -> bool:
        """Whether the layer can be lowered at all; some of its settings may still refuse it."""
        return type(self).lower is not Layer.lower

    @classmethod
    def claims(cls, spec: LayerSpec) -> float:
        """How well the fields that are set fit this class, where forks disagree about a type.

        Returns: 0 not at all, 1 (or True) as any, 2 they point to it, 0.5 less than others.
        """
        return 1

    @classmethod
    def described(cls, spec: LayerSpec) -> Layer:
        """As `read`, for its traits alone: fields are not checked, and nothing runs."""
        return cls.read(spec)

    @classmethod
    def read(cls, spec: LayerSpec) -> Layer:
        """The layer that `spec` describes, its fields read from the typed message."""
        message = getattr(spec.message, cls.param) if cls.param else None
        made = cls(**read_fields(cls, message))
        object.__setattr__(made, "spec", spec)
        return made


L = TypeVar("L", bound=type[Layer])
_registry: dict[str, dict[str, type[Layer]]] = {}  # layer type -> dialect -> class


def layer(
    *types: str,
    param: str | None = None,
    dialect: str = "",
    kind: KindName | None = None,
    **traits: Any,
) -> Callable[[L], L]:
    """Register a class under the given layer types; `traits` sets its class attributes.

    Args:
        kind: what sort of layer it is, which a class has to say or to inherit.
        dialect: name of the Caffe fork whose meaning of the type this is, where forks disagree;
            see `choose_class`.
    Raises: ValueError when a type is taken, or its kind or a trait unknown (our own mistakes).
    """

    def register(cls: L) -> L:
        cls.kind = kind or cls.kind
        if cls.kind not in KINDS:
            known = "".join(f'\n  kind="{name}": {k.meaning}' for name, k in KINDS.items())
            fact = f"{cls.__name__} does not say what kind of layer it is"
            raise ValueError(f"{fact}; add one of these to its @layer(...):{known}")
        for name in types:
            variants = _registry.setdefault(name, {})
            if dialect in variants or (variants and "" in (dialect, *variants)):
                raise ValueError(f"layer type {name!r} is registered by {variants}")
            variants[dialect] = cls
        for trait, value in traits.items():
            if not hasattr(Layer, trait):
                raise ValueError(f"layer trait {trait!r} is unknown")
            setattr(cls, trait, value)
        cls.types = types
        cls.param = param
        return cls

    return register


@cache
def _registered() -> Mapping[str, Mapping[str, type[Layer]]]:
    for module in every_module():
        importlib.import_module(module)
    return _registry


def _variants(layer_type: str) -> Mapping[str, type[Layer]]:
    """The classes of one type, by dialect; files of other types are not imported."""
    for module in modules_of(layer_type):
        importlib.import_module(module)
    return _registry.get(layer_type, {})


def known_types() -> tuple[str, ...]:
    """Every layer type that can run, sorted."""
    return tuple(sorted({*(types_of_files() or _registered()), *_registry}))


def is_known(layer_type: str) -> bool:
    """True when a layer of this type can run."""
    return bool(_variants(layer_type))


@cache
def known_params() -> frozenset[str]:
    """The message of each layer type, by the name of its field in LayerParameter."""
    known = (_registry if params_of_files() else _registered()).values()
    return params_of_files() | {c.param for v in known for c in v.values() if c.param}


def traits_of(spec: LayerSpec, net: NetSpec | None = None) -> Layer:
    """What a layer says of itself, as its prototxt has it; a plain Layer where it cannot run.

    Args:
        net: that it belongs to, whose dialect and fields count where forks disagree about a type.
    """
    if not is_known(spec.type):
        return Layer()
    cls, _ = choose_class(spec, net.dialect if net else None, net.layers if net else ())
    return cls.described(spec)


def traits_of_type(layer_type: str) -> type[Layer]:
    """What every layer of a type says of itself; a plain Layer of types that are not known."""
    return next(iter(_variants(layer_type).values()), Layer)


def may_hold_blobs(layer_type: str) -> bool:
    """Whether layers of a type have parameter blobs, most of them at least."""
    return any(c.blob_shapes is not Layer.blob_shapes for c in _variants(layer_type).values())


def can_run(spec: LayerSpec) -> bool:
    """True when this layer can run: its type is known and nothing else is in the way."""
    return is_known(spec.type) and not choose_class(spec)[0].obstacle(spec)


def why_not(spec: LayerSpec) -> str:
    """Which layer cannot run, and the nearest known type, whatever its case, or what hinders it."""
    if is_known(spec.type):
        return f'layer "{spec.name}" {choose_class(spec)[0].obstacle(spec)}'
    near = nearest_name(spec.type, known_types())
    hint = f" (did you mean {near}?)" if near else ""
    return f'layer "{spec.name}" of type {spec.type!r}{hint}'


def unknown_notices(net: NetSpec) -> list[str]:
    """A sentence for each layer type that cannot run, at its first layer: `file:line: ...`."""
    first: dict[str, LayerSpec] = {}
    for spec in net.layers:
        if not can_run(spec):
            first.setdefault(spec.type if not is_known(spec.type) else spec.name, spec)
    where = "" if net.file is None else f"{net.file}:"
    return [
        f"{where}{spec.line or '?'}: {'' if is_known(spec.type) else 'unknown layer type: '}"
        + why_not(spec)
        for spec in first.values()
    ]


def unknown_layers(specs: Sequence[LayerSpec]) -> UnknownLayerError | None:
    """The error that lists all layers that cannot run, or None when every one can."""
    missing = [s for s in specs if not can_run(s)]
    if not missing:
        return None
    listed = [why_not(s) for s in missing[:20] if not is_known(s.type)]
    hindered = [why_not(s) for s in missing[:20] if is_known(s.type)]
    facts = [f"unknown layer type in {', '.join(listed)}"] if listed else []
    facts += hindered
    if len(missing) > 20:
        facts.append(f"{len(missing) - 20} more")
    fix = "end the net before that layer (--end LAYER, end=), or feed its tops as inputs"
    if listed:
        fix = "correct the type, or end the net before that layer (--end LAYER, end=)"
        fix += f"; known types: {', '.join(known_types())}"
    return UnknownLayerError("; ".join(facts), fix).at(line=missing[0].line)


def choose_class(
    spec: LayerSpec, dialect: str | None = None, net: Sequence[LayerSpec] = ()
) -> tuple[type[Layer], str]:
    """The class that runs a layer, and a sentence when forks disagree about its type.

    The prototxt's fields decide which fork is meant (`Layer.claims`); where several are possible,
    `dialect` does; without it the one that the fields of any layer of this type in `net` point to,
    since a net is of one fork; then the first by name. The sentence says so; it is empty where
    the class is the usual one and nothing points elsewhere.
    Raises: UnknownLayerError.
    """
    variants = _variants(spec.type)
    if not variants:
        error = unknown_layers([spec])
        assert error is not None
        raise error
    if len(variants) == 1:
        return next(iter(variants.values())), ""
    names = sorted(variants)
    claimed = [name for name in names if variants[name].claims(spec)]
    if len(claimed) == 1:
        chosen, why = claimed[0], "its fields say so"
    elif dialect in (possible := claimed or names):
        chosen, why = str(dialect), "the dialect asked for"
    else:
        alike = [spec, *(s for s in net if s.type == spec.type)]
        fit = {name: max(variants[name].claims(s) for s in alike) for name in possible}
        chosen = max(possible, key=lambda name: fit[name])
        if fit[chosen] == 1 and all(fit[name] < 1 for name in possible if name != chosen):
            return variants[chosen], ""  # the usual one; nothing points elsewhere
        why = f"its fields fit {', '.join(possible)}; dialect={chosen} says it for certain"
    return variants[chosen], f'layer "{spec.name}" ({spec.type}) is read as {chosen} has it: {why}'


def known_dialects() -> tuple[str, ...]:
    """Every dialect that decides between meanings of a layer type, sorted."""
    return tuple(sorted({d for variants in _registered().values() for d in variants if d}))


def build_layer(
    spec: LayerSpec, dialect: str | None = None, net: Sequence[LayerSpec] = ()
) -> Layer:
    """The layer object of one spec; see `choose_class` for `dialect` and `net`.

    Raises: UnknownLayerError, or LayerError/FieldError naming the layer when its fields, its
        bottoms or its tops are not as the type asks.
    """
    cls, _ = choose_class(spec, dialect, net)
    try:
        check_count("bottom", len(spec.bottoms), cls.bottoms)
        check_count("top", len(spec.tops), cls.tops)
        if cls.same_tops_as_bottoms and len(spec.tops) != len(spec.bottoms):
            raise LayerError(
                f"{len(spec.bottoms)} bottoms but {len(spec.tops)} tops, allowed: as many tops"
                " as bottoms"
            )
        if spec.message.HasField("source_part") and not cls.takes_part:
            takers = [name for name in known_types() if traits_of_type(name).takes_part]
            raise FieldError(
                "source_part", "set", f"layers of type {', '.join(takers)}", "remove it"
            )
        if cls.param:
            check_numbers(getattr(spec.message, cls.param), cls.param)
        made = cls.read(spec)
        made.check()
    except AdaptionError as error:
        where = error.at(layer=spec.name, layer_type=spec.type, line=spec.line)
        raise where from error.__cause__
    return made


def check_count(kind: str, found: int, allowed: Count) -> None:
    least, most = (allowed, allowed) if isinstance(allowed, int) else allowed
    if found < least or (most is not None and found > most):
        wanted = str(least) if least == most else f"{least} or more"
        if most is not None and most != least:
            wanted = f"{least} to {most}"
        raise LayerError(f"has {found} {kind}s, allowed: {wanted}")


def canonical_axis(axis: int, rank: int, name: str = "axis") -> int:
    """`axis` counted from the front; negative values count from the back, as in Caffe."""
    if not -rank <= axis < rank:
        raise ShapeError(
            f"{name} is {axis}, allowed: {-rank}..{rank - 1} for a blob of {rank} axes"
        )
    return axis % rank
