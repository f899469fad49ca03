"""What a recipe is: which formats stand at which points, and how they change while a net trains.

A recipe knows points, plans, formats and tensors; no files and no solver. The driver in `solver/`
owns its state and calls it. One file each, found by scanning this folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from adaption.errors import AdaptionError, FieldError, near_miss
from adaption.later import Tensor
from adaption.layers.base import Layer
from adaption.layers.fields import read_fields
from adaption.nearest import nearest_name
from adaption.net.plan import LayerFormats, Plan, Point
from adaption.proto import caffe_pb2

__all__ = [
    "Decision",
    "LayerView",
    "NetView",
    "Recipe",
    "known_recipes",
    "make_recipe",
    "named_recipe",
    "recipe",
]

S = TypeVar("S")


@dataclass(frozen=True)
class LayerView:
    """One layer as a recipe sees it.

    layer: what it says of itself, and its settings. kinds: the points that it has. stated: those
    about which the net's own text says something, float included; a recipe cannot change them.
    formats: in force before the recipe. is_first, is_last: of weight layers, whether no weight
    layer stands before it, or behind it. masters: weight and bias, where the net has them; they
    change as it trains. rounded: gives weight and bias as the last pass read them.
    macs: multiply-accumulates of its sum for one sample, 0 where that is not known.
    """

    name: str
    layer: Layer
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    kinds: frozenset[str]
    stated: frozenset[str]
    formats: LayerFormats
    is_first: bool = False
    is_last: bool = False
    masters: Mapping[str, Tensor] = field(default_factory=dict)
    rounded: Callable[[], Mapping[str, Tensor]] = dict
    macs: int = 0

    @property
    def type(self) -> str:
        return self.layer.spec.type

    @property
    def is_weight_layer(self) -> bool:
        """Whether it is a sum of products with weights."""
        return self.layer.is_weight_layer()


@dataclass(frozen=True)
class NetView:
    """A net as a recipe sees it: its layers in order, and the seed of the run.

    batch: samples that one pass takes, 1 where that is not known. passes: of one update
    (iter_size). regularization: the solver's, "L2" or "L1".
    """

    layers: tuple[LayerView, ...]
    seed: int = 0
    batch: int = 1
    passes: int = 1
    regularization: str = "L2"

    @property
    def weight_layers(self) -> tuple[LayerView, ...]:
        """Convolutions, inner products and their like."""
        return tuple(layer for layer in self.layers if layer.is_weight_layer)

    def layer(self, name: str) -> LayerView:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


@dataclass(frozen=True)
class Decision:
    """What a recipe decides behind an update.

    plan: formats to change, None for none. events: lines for the JSON log, each with "event".
    """

    plan: Plan | None = None
    events: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Recipe(Generic[S]):
    """Base of all recipes, and the empty one: it sees nothing and changes nothing.

    A subclass is a frozen dataclass whose fields are those of its parameter message. State goes in
    and comes out; nothing else is kept. Tensors are on the net's device; a hook that reads one back
    makes training wait.

    observes: kinds of point whose tensors `observe` sees. keeps_range: whether masters whose format
    has a range of its own (WRPN) are clipped to it behind each update.
    """

    name: ClassVar[str] = ""
    param: ClassVar[str | None] = None  # the field of PrecisionPolicy

    @property
    def observes(self) -> frozenset[str]:
        return frozenset()

    @property
    def keeps_range(self) -> bool:
        return True

    def check(self) -> None:
        """Raise FieldError when a setting is not allowed."""

    def init(self, net: NetView) -> tuple[Plan, S]:
        """The formats to start with, and the state."""
        return {}, None  # type: ignore[return-value]

    def attach(self, state: S, net: NetView) -> S:
        """Behind `init` and `load`: keep what the recipe needs of the net, such as its masters."""
        return state

    def notices(self, net: NetView) -> Sequence[str]:
        """What the user should know before training with this recipe."""
        return ()

    def observe(self, state: S, point: Point, x: Tensor) -> S:
        """See a tensor before it is rounded."""
        return state

    def gradient(self, state: S, point: Point, grad: Tensor) -> S:
        """Change a gradient in place: averaged over ranks and micro-batches, clipped, not yet
        rounded."""
        return state

    def rounded(self, state: S, point: Point, grad: Tensor) -> S:
        """Change a gradient in place: rounded, before decay and momentum."""
        return state

    def updated(self, state: S, point: Point, master: Tensor) -> S:
        """Change a master in place, behind its update."""
        return state

    def decide(self, state: S, iteration: int, loss: float) -> tuple[Decision, S]:
        """Behind an update: formats to change.

        Args:
            iteration: updates done. loss: of this iteration, averaged over ranks.
        """
        return Decision(), state

    def progress(self, state: S, iteration: int) -> tuple[dict[str, Any] | None, S]:
        """At every display: an event for the JSON log, or None."""
        return None, state

    def save(self, state: S) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The state as values for JSON, and tensors by name."""
        return {}, {}

    def load(self, values: dict[str, Any], tensors: dict[str, Tensor]) -> S:
        """The state that `save` gave."""
        return None  # type: ignore[return-value]

    def settings(self) -> dict[str, Any]:
        """The settings as plain values; a run resumes with the same ones only."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


R = TypeVar("R", bound=type[Recipe[Any]])
_registry: dict[str, type[Recipe[Any]]] = {}


def recipe(name: str) -> Callable[[R], R]:
    """Register a class under the `type` of a precision_policy; its settings are in `NAME_param`.

    Raises: ValueError when the name is taken (our own mistake).
    """

    def register(cls: R) -> R:
        if name in _registry:
            raise ValueError(f"recipe {name!r} is registered by {_registry[name]}")
        _registry[name] = cls
        cls.name, cls.param = name, f"{name}_param"
        return cls

    return register


@cache
def _registered() -> Mapping[str, type[Recipe[Any]]]:
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
    return _registry


def known_recipes() -> tuple[str, ...]:
    """The types that a precision_policy can name."""
    return tuple(_registered())


def _class_of(name: str) -> type[Recipe[Any]]:
    found = _registered().get(name.lower())
    if found is None:
        near = nearest_name(name, known_recipes())
        hint = f'did you mean "{near}"?' if near else ""
        raise FieldError("precision_policy.type", name, ", ".join(known_recipes()), hint)
    return found


def named_recipe(name: str, **settings: Any) -> Recipe[Any]:
    """The recipe of that type; settings that are not given have the defaults of the prototxt.

    Raises: FieldError on an unknown type or setting, or a bad value.
    """
    found = _class_of(name)
    policy = caffe_pb2.PrecisionPolicy(type=found.name)
    message = getattr(policy, str(found.param))
    message.SetInParent()
    known = tuple(message.DESCRIPTOR.fields_by_name)
    for key, value in settings.items():
        if key not in known:
            name = f"{found.param}.{key}"
            raise FieldError(name, value, ", ".join(known), near_miss(key, known))
        enum = message.DESCRIPTOR.fields_by_name[key].enum_type
        try:
            if enum is not None:
                value = enum.values_by_name[str(value).upper()].number
            setattr(message, key, value)
        except KeyError:
            raise FieldError(
                f"{found.param}.{key}", value, ", ".join(enum.values_by_name)
            ) from None
        except (TypeError, ValueError) as error:
            raise FieldError(f"{found.param}.{key}", value, str(error)) from None
    return make_recipe(policy)


def make_recipe(policy: caffe_pb2.PrecisionPolicy) -> Recipe[Any]:
    """The recipe that a solver's precision_policy asks for.

    Raises: FieldError on an unknown type, on settings of another recipe, or on a bad setting.
    """
    found = _class_of(policy.type)
    for own, _ in policy.ListFields():
        if own.name not in ("type", found.param):
            raise FieldError(
                f"precision_policy.{own.name}",
                "set",
                f'{found.param} with type: "{found.name}"',
                "remove it, or correct the type",
            )
    message = getattr(policy, str(found.param))
    made = found(**read_fields(found, message))
    try:
        made.check()
    except AdaptionError as error:
        if isinstance(error, FieldError):
            name = f"precision_policy.{found.param}.{error.field}"
            raise FieldError(name, error.found, error.allowed, error.fix) from None
        raise
    return made
