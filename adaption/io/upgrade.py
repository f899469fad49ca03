"""Old net and solver definitions to today's: V0 and V1 layers, transform fields, `input`, solvers.

Works on caffe_pb2 messages, in the order and with the results of UpgradeNetAsNeeded.
Source: upgrade_proto.cpp of BVLC Caffe; the rules that the ADaPTION fork shares are recorded
in golden/upgrade.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adaption.errors import FieldError, LayerError
from adaption.io.legacy_types import V0_TYPES, V1_TYPES

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import NetParameter, SolverParameter

__all__ = [
    "has_scale_bias",
    "needs_upgrade",
    "solver_needs_upgrade",
    "upgrade_net",
    "upgrade_solver",
]

# V1 enum numbers of the layers that used to carry their own transform fields
_TRANSFORMED = {5: "data_param", 12: "image_data_param", 24: "window_data_param"}
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")

_CONV = {"conv": "convolution_param"}
_CONV_IP = {**_CONV, "innerproduct": "inner_product_param"}
_CONV_POOL = {**_CONV, "pool": "pooling_param"}
_IMAGES = {"images": "image_data_param"}
_WINDOW = {"window_data": "window_data_param"}
_LRN = {"lrn": "lrn_param"}
_BATCHES = {"data": "data_param", "hdf5_data": "hdf5_data_param", **_IMAGES, **_WINDOW}
# V0 field -> (today's field, {V0 type: message it is in}); None: the same message for every type
_V0_FIELDS: dict[str, tuple[str, dict[str, str] | None]] = {
    "num_output": ("num_output", _CONV_IP),
    "biasterm": ("bias_term", _CONV_IP),
    "weight_filler": ("weight_filler", _CONV_IP),
    "bias_filler": ("bias_filler", _CONV_IP),
    "pad": ("pad", _CONV_POOL),
    "kernelsize": ("kernel_size", _CONV_POOL),
    "group": ("group", _CONV),
    "stride": ("stride", _CONV_POOL),
    "pool": ("pool", {"pool": "pooling_param"}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", _LRN),
    "alpha": ("alpha", _LRN),
    "beta": ("beta", _LRN),
    "k": ("k", _LRN),
    "source": ("source", {**_BATCHES, "infogain_loss": "infogain_loss_param"}),
    "scale": ("scale", None),
    "meanfile": ("mean_file", None),
    "batchsize": ("batch_size", _BATCHES),
    "cropsize": ("crop_size", None),
    "mirror": ("mirror", None),
    "rand_skip": ("rand_skip", {"data": "data_param", **_IMAGES}),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", _WINDOW),
    "det_bg_threshold": ("bg_threshold", _WINDOW),
    "det_fg_fraction": ("fg_fraction", _WINDOW),
    "det_context_pad": ("context_pad", _WINDOW),
    "det_crop_mode": ("crop_mode", _WINDOW),
}
_V0_AS_IS = ("blobs", "blobs_lr", "weight_decay")  # same name and place in V1
_V1_AS_IS = ("bottom", "top", "name", "include", "exclude", "blobs", "loss_weight")
_V1_PARAM_FIELDS = {  # V1 list -> field of ParamSpec, one entry per blob
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
# SolverParameter.SolverType number -> type
_SOLVER_TYPES = {0: "SGD", 1: "Nesterov", 2: "AdaGrad", 3: "RMSProp", 4: "AdaDelta", 5: "Adam"}


def needs_upgrade(net: NetParameter) -> bool:
    """Whether `upgrade_net` would change the definition."""
    return bool(
        len(net.layers)
        or len(net.input)
        or len(net.input_dim)
        or len(net.input_shape)
        or any(_is_old_batch_norm(layer) for layer in net.layer)
    )


def upgrade_net(net: NetParameter, types: Sequence[str] = ()) -> list[str]:
    """Bring a net definition of any age to today's form, in place.

    Args:
        types: for each of the V1 `layers`, the type of a fork that the message cannot hold, as the
            file says it; "" where it can. Such a layer keeps it, as a string.
    Returns: what was done, one note per rule, and what could not be carried over.
    Raises: LayerError where Caffe would stop: padding that cannot be mapped.
    """
    notes: list[str] = []
    if any(layer.HasField("layer") for layer in net.layers):
        types = _upgrade_v0(net, notes)
    if any(_has_old_transform(layer) for layer in net.layers):
        _move_transform_fields(net)
        notes.append("moved scale, mean_file, crop_size, mirror of data layers to transform_param")
    if len(net.layers):
        _upgrade_v1(net, types, notes)
    if len(net.input) or len(net.input_dim) or len(net.input_shape):
        _inputs_to_layer(net, notes)
    _clear_batch_norm_params(net, notes)
    return notes


def solver_needs_upgrade(solver: SolverParameter) -> bool:
    """Whether `upgrade_solver` would change the definition."""
    return solver.HasField("solver_type")


def upgrade_solver(solver: SolverParameter) -> list[str]:
    """Replace the enum `solver_type` by the string `type`, in place; notes as `upgrade_net`.

    Raises: FieldError when both are given, as in Caffe.
    """
    if not solver_needs_upgrade(solver):
        return []
    name = _SOLVER_TYPES[solver.solver_type]
    if solver.HasField("type"):
        raise FieldError(
            "solver_type",
            name.upper(),
            f"nothing, because type is given ({solver.type!r})",
            "remove solver_type",
        )
    solver.type = name
    solver.ClearField("solver_type")
    return [f'replaced solver_type by type: "{name}"']


def _upgrade_v0(net: Any, notes: list[str]) -> list[str]:
    """V0 (`layers { layer { .. } }`) to V1. Source: UpgradeV0Net, which stops at unknown types.

    Returns: for each of the V1 layers, its type where that is unknown, else "".
    """
    old = type(net)()
    old.CopyFrom(net)
    net.Clear()
    for field in ("name", "force_backward"):
        if old.HasField(field):
            setattr(net, field, getattr(old, field))
    for field in ("input", "input_dim", "input_shape"):
        getattr(net, field).MergeFrom(getattr(old, field))
    connections, folded = _fold_padding(old)
    for connection in connections:
        _upgrade_v0_layer(connection, net.layers.add(), notes)
    notes.append(f"upgraded {len(connections)} V0 layers to V1")
    if folded:
        notes.append(f"folded padding layers into the layer behind: {', '.join(folded)}")
    given = [connection.layer.type for connection in connections]
    return ["" if name in V0_TYPES else name for name in given]


def _fold_padding(net: Any) -> tuple[list[Any], list[str]]:
    """Padding layers become `pad` of the convolution behind. Source: UpgradeV0PaddingLayers."""
    source: dict[str, Any] = dict.fromkeys(net.input)
    kept, folded = [], []
    for connection in net.layers:
        layer = connection.layer
        if layer.type == "padding":
            folded.append(f'"{layer.name}"')
        else:
            kept.append(connection)
        for i, blob in enumerate(connection.bottom):
            if blob not in source:
                raise LayerError(
                    f'bottom "{blob}" is no top of an earlier layer',
                    layer=layer.name,
                    layer_type=layer.type,
                )
            before = source[blob]
            if before is None or before.layer.type != "padding":
                continue
            lone = len(connection.bottom) == len(before.bottom) == len(before.top) == 1
            if layer.type not in ("conv", "pool") or not lone:
                raise LayerError(
                    f'padding layer "{before.layer.name}" has to feed one conv or pool layer '
                    "with one bottom",
                    layer=layer.name,
                    layer_type=layer.type,
                )
            layer.pad = before.layer.pad
            connection.bottom[i] = before.bottom[0]
        source.update(dict.fromkeys(connection.top, connection))
    return kept, folded


def _upgrade_v0_layer(connection: Any, new: Any, notes: list[str]) -> None:
    """Source: UpgradeV0LayerParameter."""
    new.bottom.extend(connection.bottom)
    new.top.extend(connection.top)
    if not connection.HasField("layer"):
        return
    old = connection.layer
    if old.HasField("name"):
        new.name = old.name
    if old.type in V0_TYPES:
        new.type = V0_TYPES[old.type]
    for descriptor, value in old.ListFields():
        field = descriptor.name
        if field in ("name", "type"):
            continue
        if field in _V0_AS_IS:
            getattr(new, field).MergeFrom(value)
        elif field == "hdf5_output_param" and old.type == "hdf5_output":
            new.hdf5_output_param.CopyFrom(value)
        elif (place := _v0_place(field, old.type)) is not None:
            _put(getattr(new, place[0]), place[1], value)
        else:
            notes.append(f'layer "{old.name}": {field} is no field of {old.type!r}; left out')


def _v0_place(field: str, kind: str) -> tuple[str, str] | None:
    if field not in _V0_FIELDS:
        return None
    name, places = _V0_FIELDS[field]
    if places is None:
        return "transform_param", name
    return (places[kind], name) if kind in places else None


def _put(message: Any, field: str, value: Any) -> None:
    if hasattr(value, "CopyFrom"):
        getattr(message, field).CopyFrom(value)
    elif hasattr(getattr(message, field), "append"):
        getattr(message, field).append(value)
    else:
        setattr(message, field, value)


def _has_old_transform(layer: Any) -> bool:
    """Source: NetNeedsDataUpgrade, which looks at V1 layers only."""
    if layer.type not in _TRANSFORMED:
        return False
    param = getattr(layer, _TRANSFORMED[layer.type])
    return any(param.HasField(field) for field in _TRANSFORM_FIELDS)


def _move_transform_fields(net: Any) -> None:
    """Source: UpgradeNetDataTransformation."""
    for layer in net.layers:
        if layer.type not in _TRANSFORMED:
            continue
        param = getattr(layer, _TRANSFORMED[layer.type])
        param.SetInParent()
        layer.transform_param.SetInParent()  # as the original: made even where nothing moves
        for field in _TRANSFORM_FIELDS:
            if param.HasField(field):
                setattr(layer.transform_param, field, getattr(param, field))
                param.ClearField(field)


def _upgrade_v1(net: Any, types: Sequence[str], notes: list[str]) -> None:
    """V1 (`layers`) to V2 (`layer`). Source: UpgradeV1Net."""
    if len(net.layer):
        notes.append(f"{len(net.layer)} `layer` beside the V1 `layers` are left out, as in Caffe")
        net.ClearField("layer")
    for i, old in enumerate(net.layers):
        new = net.layer.add()
        _upgrade_v1_layer(old, new, notes)
        if i < len(types) and types[i]:
            new.type = types[i]
            notes.append(f'layer "{new.name}": kept the type {types[i]}, which nobody knows')
    notes.append(f"upgraded {len(net.layers)} V1 layers to V2")
    net.ClearField("layers")


def _upgrade_v1_layer(old: Any, new: Any, notes: list[str]) -> None:
    """Source: UpgradeV1LayerParameter."""
    if old.HasField("type"):
        new.type = V1_TYPES[old.type]
    for descriptor, value in old.ListFields():
        field = descriptor.name
        if field == "type":
            continue
        if field in _V1_PARAM_FIELDS:
            for i, item in enumerate(value):
                spec = new.param[i] if i < len(new.param) else new.param.add()
                setattr(spec, _V1_PARAM_FIELDS[field], item)
        elif field == "name":
            new.name = value
        elif field in _V1_AS_IS:
            getattr(new, field).MergeFrom(value)
        elif field in new.DESCRIPTOR.fields_by_name:  # convolution_param and its like
            getattr(new, field).CopyFrom(value)
        else:
            notes.append(f'layer "{old.name}": {field} has no place in V2; left out')


def _inputs_to_layer(net: Any, notes: list[str]) -> None:
    """`input` with `input_shape` or `input_dim` to one Input layer. Source: UpgradeNetInput."""
    inputs = list(net.input)
    shapes = [list(shape.dim) for shape in net.input_shape]
    if not shapes and len(net.input_dim):
        dims = list(net.input_dim)
        if len(dims) < 4 * len(inputs):
            raise FieldError(
                "input_dim",
                f"{len(dims)} numbers",
                f"4 for each of the {len(inputs)} inputs",
                "give num, channels, height and width of every input",
            )
        shapes = [dims[i : i + 4] for i in range(0, len(dims), 4)]
    elif shapes and len(shapes) < len(inputs):
        raise FieldError(
            "input_shape",
            f"{len(shapes)} shapes",
            f"one for each of the {len(inputs)} inputs",
            "give the shape of every input",
        )
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    if not inputs or not shapes:
        left = ", ".join(f'"{name}"' for name in inputs) or "shapes without `input`"
        notes.append(f"left out {left}: an input needs its name and its shape")
        return
    layers = [net.layer.pop() for _ in range(len(net.layer))]
    first = net.layer.add(name="input", type="Input", top=inputs)
    for shape in shapes[: len(inputs)]:
        first.input_param.shape.add(dim=shape)
    net.layer.extend(reversed(layers))
    notes.append(f"made input {', '.join(inputs)} an Input layer")


def has_scale_bias(layer: Any) -> bool:
    """Whether a BatchNorm layer has a scale and a bias of its own; either filler stands for them.
    NVCaffe: batch_norm_layer.cpp, LayerSetUp."""
    param = layer.batch_norm_param
    fillers = (param.HasField(name) for name in ("scale_filler", "bias_filler"))
    return param.scale_bias or any(fillers)


def _is_old_batch_norm(layer: Any) -> bool:
    return layer.type == "BatchNorm" and (len(layer.param) == 3 or _has_old_multipliers(layer))


def _has_old_multipliers(layer: Any) -> bool:
    """NVCaffe's layer with specs for fewer than its five blobs: they are in the order of DIGITS'
    older files, and NVCaffe itself does not read them (batch_norm_layer.cpp, LayerSetUp)."""
    return has_scale_bias(layer) and 0 < len(layer.param) < 5


def _clear_batch_norm_params(net: Any, notes: list[str]) -> None:
    """The layer itself keeps the solver off its statistics. Source: UpgradeNetBatchNorm.

    Removes the three specs, as the ADaPTION fork and Caffe 1.0 rc4 to rc5 do; later Caffe sets
    their lr_mult and decay_mult to 0, which trains the same.
    """
    cleared = 0
    for layer in net.layer:
        if _is_old_batch_norm(layer):
            layer.ClearField("param")
            cleared += 1
    if cleared:
        notes.append(f"cleared the param specs of {cleared} BatchNorm layers")
