"""NetSpec: a net definition written as Python calls, turned into a NetParameter.

    n = NetSpec()
    n.data = layers.Input(shape=dict(dim=[1, 1, 28, 28]))
    n.conv1 = layers.Convolution(n.data, kernel_size=5, num_output=20)
    n.pool1 = layers.Pooling(n.conv1, kernel_size=2, stride=2, pool=params.Pooling.MAX)
    print(n.to_proto())

Caffe: python/caffe/net_spec.py.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adaption.errors import AdaptionError, UsageError
from adaption.graph import LayerSpec
from adaption.io.prototxt import format_message
from adaption.layers.base import choose_class, is_known
from adaption.nearest import nearest_name
from adaption.proto import caffe_pb2
from adaption.pycaffe.errors import FieldError, InputError

__all__ = [
    "Function",
    "Layers",
    "NetSpec",
    "Parameters",
    "Top",
    "assign_proto",
    "layers",
    "param_name_dict",
    "params",
    "to_proto",
]

# Scripts write prototxts with str(); by itself, protobuf prints 1.0 or 1 as its release has it.
caffe_pb2.NetParameter.__str__ = format_message  # type: ignore[method-assign,assignment]

Made = OrderedDict["Function", caffe_pb2.LayerParameter]
Names = dict["Top | Function", str]


def param_name_dict() -> dict[str, str]:
    """Layer type to the name of its parameter field without `_param`: Pooling to pooling."""
    fields = [f for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields if f.name.endswith("_param")]
    return {
        f.message_type.name.removesuffix("Parameter"): f.name.removesuffix("_param") for f in fields
    }


def to_proto(*tops: Top | Function) -> caffe_pb2.NetParameter:
    """The net that computes the given tops; layers are named by type and number."""
    made: Made = OrderedDict()
    names: Names = {}
    counts: Counter[str] = Counter()
    for top in tops:
        top._to_proto(made, names, counts)
    return _net_of(made)


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set a field of a message from plain Python values.

    Lists fill repeated fields, dicts fill messages, a single value for a repeated field counts as
    a list of one.
    Raises: FieldError on a field that the message has not, or a value that does not fit it.
    """
    known = proto.DESCRIPTOR.fields_by_name
    if name not in known:
        near = nearest_name(name, tuple(known))
        hint = f"did you mean {near!r}?" if near else ""
        raise FieldError(name, val, f"fields of {proto.DESCRIPTOR.name}", hint)
    target = getattr(proto, name)
    is_repeated = hasattr(target, "extend")
    if is_repeated and isinstance(val, tuple):
        val = list(val)
    if is_repeated and not isinstance(val, list):
        val = [val]
    try:
        if isinstance(val, Mapping):
            target.SetInParent()
            for key, inner in val.items():
                assign_proto(target, key, inner)
        elif not is_repeated:
            _assign_single(proto, name, val)
        elif known[name].message_type is not None:
            for item in val:
                _add(target, item)
        else:
            target.extend(val)
    except AdaptionError as error:
        if isinstance(error, FieldError):
            raise FieldError(
                f"{name}.{error.field}", error.found, error.allowed, error.fix
            ) from None
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise FieldError(name, val, f"what the field takes ({error})") from None


def _assign_single(proto: Any, name: str, val: Any) -> None:
    if hasattr(val, "SerializeToString"):
        getattr(proto, name).CopyFrom(val)
    else:
        setattr(proto, name, val)


def _add(target: Any, item: Any) -> None:
    """One more message in a repeated field, from a dict or from a message."""
    if isinstance(item, Mapping):
        made = target.add()
        for key, inner in item.items():
            assign_proto(made, key, inner)
    else:
        target.extend([item])


class Top:
    """One output of a layer: what other layers take as bottom."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net that computes this top."""
        return to_proto(self)

    def _update(self, params: Mapping[str, Any]) -> None:
        self.fn._update(params)

    def _to_proto(self, made: Made, names: Names, counts: Counter[str]) -> None:
        self.fn._to_proto(made, names, counts)


class Function:
    """One layer: its type, the tops it reads, its settings, and its own tops.

    Raises: InputError, a TypeError, when an input is not a Top.
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: Mapping[str, Any]) -> None:
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise InputError(
                    f"input {index} of {type_name} is a {type(given).__name__}, allowed: a Top",
                    "a layer of several tops gives a tuple of them: a, b = L.Data(ntop=2)",
                )
        self.type_name = type_name
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = int(self.params.pop("ntop", 1))
        self.in_place = bool(self.params.pop("in_place", False))
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _update(self, params: Mapping[str, Any]) -> None:
        self.params.update(params)

    def _named(self, key: Top | Function, names: Names, counts: Counter[str]) -> str:
        if key not in names:
            counts[self.type_name] += 1
            names[key] = f"{self.type_name}{counts[self.type_name]}"
        return names[key]

    def _to_proto(self, made: Made, names: Names, counts: Counter[str]) -> None:
        for function in self._unmade(made):
            made[function] = function._layer(made, names, counts)

    def _unmade(self, made: Made) -> list[Function]:
        """The layers that this one needs, itself last; without recursion, for nets of any depth."""
        order: list[Function] = []
        done = set(made)
        if self in done:
            return order
        stack: list[tuple[Function, Iterator[Top]]] = [(self, iter(self.inputs))]
        while stack:
            function, waiting = stack[-1]
            for top in waiting:
                if top.fn not in done:
                    stack.append((top.fn, iter(top.fn.inputs)))
                    break
            else:
                stack.pop()
                if function not in done:
                    done.add(function)
                    order.append(function)
        return order

    def _layer(self, made: Made, names: Names, counts: Counter[str]) -> caffe_pb2.LayerParameter:
        layer = caffe_pb2.LayerParameter()
        layer.type = self.type_name
        layer.bottom.extend(made[top.fn].top[top.n] for top in self.inputs)
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend([self._named(top, names, counts) for top in self.tops])
        layer.name = self._named(self.tops[0] if self.ntop else self, names, counts)
        try:
            for key, value in self.params.items():
                assign_proto(self._message_with(layer, key), key, value)
        except AdaptionError as error:
            raise error.at(layer=layer.name, layer_type=self.type_name) from None
        return layer

    def _message_with(self, layer: caffe_pb2.LayerParameter, key: str) -> Any:
        """Where a setting belongs: in the type's own parameter message, or in the layer itself."""
        field = _param_field(self.type_name)
        if field is None or key.endswith("param"):
            return layer
        own = getattr(layer, field)
        if key in own.DESCRIPTOR.fields_by_name or not hasattr(layer, key):
            return own
        return layer


_param_names = param_name_dict()


def _param_field(type_name: str) -> str | None:
    """The field with the settings of a layer type; Deconvolution has those of Convolution."""
    if type_name in _param_names:
        return f"{_param_names[type_name]}_param"
    if not is_known(type_name):
        return None
    message = caffe_pb2.LayerParameter(name=type_name, type=type_name)
    return choose_class(LayerSpec(type_name, type_name, (), (), message))[0].param


class NetSpec:
    """A net under construction: attributes are tops, their names become blob and layer names.

    A layer without tops (Silence with `ntop=0`) is assigned like a top.
    """

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, Top | Function):
            raise UsageError(
                f"{name} is a {type(value).__name__}, allowed: a top",
                "a layer of several tops gives a tuple of them: n.data, n.label = L.Data(ntop=2)",
            )
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        tops = self.__dict__.get("tops", {})
        if name not in tops:
            near = nearest_name(name, tuple(tops))
            hint = f", did you mean {near!r}?" if near else ""
            raise AttributeError(f"the net has no top {name!r} yet{hint}", name=name)
        return tops[name]

    def __setitem__(self, key: str, value: Any) -> None:
        self.__setattr__(key, value)

    def __getitem__(self, key: str) -> Any:
        return self.tops[key]

    def __delitem__(self, key: str) -> None:
        del self.tops[key]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def keys(self) -> list[str]:
        """Names of the tops, in order."""
        return list(self.tops)

    def vals(self) -> list[Top | Function]:
        """The tops, in order."""
        return list(self.tops.values())

    def update(self, name: str, params: Mapping[str, Any]) -> None:
        """Change settings of the layer that makes top `name`."""
        self.tops[name]._update(params)

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net with all layers that the tops need, each in front of those that read it.

        Raises: FieldError naming the layer, when a setting has no field or does not fit it.
        """
        names: Names = {top: name for name, top in self.tops.items()}
        counts: Counter[str] = Counter()
        made: Made = OrderedDict()
        for top in self.tops.values():
            top._to_proto(made, names, counts)
        return _net_of(made)


def _net_of(made: Made) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter()
    net.layer.extend(made.values())
    return net


class Layers:
    """`layers.Type(bottom, ..., setting=value)` makes a layer of any type; see NetSpec.

    It gives a top, a tuple of tops with `ntop=2` and more, or the Function with `ntop=0`. With
    `in_place=True` the layer's top is its bottom.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def make(*inputs: Top, **settings: Any) -> Any:
            fn = Function(name, inputs, settings)
            if fn.ntop == 0:
                return fn
            return fn.tops[0] if fn.ntop == 1 else fn.tops

        return make


class Parameters:
    """`params.Pooling.MAX`: the enum values of Caffe's parameter messages."""

    def __getattr__(self, name: str) -> Any:
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"caffe_pb2 has no message {name}Parameter", name=name)
        return message


layers = Layers()
params = Parameters()
