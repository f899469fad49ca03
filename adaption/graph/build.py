"""From a typed NetParameter to a NetSpec for one NetState. Caffe: Net::Init in net.cpp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from adaption.errors import AdaptionError, LayerError, MissingBottomError
from adaption.graph.filter import PHASES, NetState, is_kept, unmet_rules
from adaption.graph.lp_params import read_lp_params
from adaption.graph.spec import LayerSpec, NetSpec
from adaption.nearest import nearest_name

if TYPE_CHECKING:
    from adaption.io.prototxt import Notice
    from adaption.proto import caffe_pb2

__all__ = ["build_spec"]


def build_spec(
    message: caffe_pb2.NetParameter,
    state: NetState,
    *,
    file: str | None = None,
    lines: Sequence[int | None] = (),
    dialect: str | None = None,
    python_modules: Sequence[str] = (),
    unknown: Sequence[Sequence[Notice]] = (),
) -> NetSpec:
    """The layers that `state` keeps, checked for wiring.

    Args:
        message: a net in V2 form (`layer`, inputs as Input layers); see io.upgrade.
        state: the caller's phase, level and stages; stages of the file's own `state` are added.
        file: path named in errors.
        lines: source line of each `layer`, in order.
        dialect: Caffe fork whose meaning counts where forks disagree about a layer type.
        python_modules: modules whose classes may run as layers of type "Python".
        unknown: what each `layer` holds that nobody knows, in order; see NetFile.
    Raises: LayerError naming file, line and layer: unknown bottom, a top written twice, a layer
        without a type, both include and exclude rules; MissingBottomError where a layer that this
        state leaves out would make the bottom.
    """
    stages = tuple(dict.fromkeys((*message.state.stage, *state.stages)))
    full = NetState(state.phase, state.level, stages)
    readers: Counter[str] = Counter()  # of each blob written so far, since it was last written
    kept = []
    left_out: list[caffe_pb2.LayerParameter] = []
    for i, param in enumerate(message.layer):
        line = lines[i] if i < len(lines) else None
        try:
            if not is_kept(param, full):
                left_out.append(param)
                continue
            spec = _layer_spec(param, full, line, unknown[i] if i < len(unknown) else ())
            _connect(spec, readers, lambda blob: _why_missing(blob, left_out, full))
        except AdaptionError as error:
            raise error.at(
                file=file, line=line, layer=param.name, layer_type=param.type or None
            ) from None
        kept.append(spec)
    made = NetSpec(
        name=message.name,
        layers=tuple(kept),
        phase=full.phase,
        level=full.level,
        stages=full.stages,
        file=file,
        dialect=dialect,
        force_backward=message.force_backward,
        debug_info=message.debug_info,
    )
    return made.allowing(python_modules) if python_modules else made


def _layer_spec(
    param: caffe_pb2.LayerParameter,
    state: NetState,
    line: int | None,
    unknown: Sequence[Notice],
) -> LayerSpec:
    if not param.type:
        raise LayerError("has no type", 'write type: "Convolution" or another layer type')
    own = type(param)()
    own.CopyFrom(param)
    if not own.HasField("phase"):
        own.phase = PHASES.index(state.phase)
    read_lp_params(own)
    return LayerSpec(
        own.name,
        own.type,
        tuple(own.bottom),
        tuple(own.top),
        own,
        line,
        unknown=tuple(unknown),
    )


def _why_missing(blob: str, left_out: Sequence[caffe_pb2.LayerParameter], state: NetState) -> str:
    """Which layer that the state leaves out would make a blob, and how to keep it; "" for none."""
    for param in left_out:
        if blob not in param.top:
            continue
        rules = [*param.include, *param.exclude]
        phases = {PHASES[rule.phase] for rule in rules if rule.HasField("phase")}
        wanted = {x for r in param.include for x in r.stage} - set(state.stages)
        how = f"--phase {PHASES[1 - PHASES.index(state.phase)]}" if phases else ""
        if wanted and not how:
            how = f"--stage {','.join(sorted(wanted))}"
        reason = "; ".join(dict.fromkeys(unmet_rules(param, state))) or "its exclude rule holds"
        return (
            f'layer "{param.name}" makes it, and is left out of this net ({reason}): '
            + (f"ask for {how} (phase=, stages=), or " if how else "")
            + "change its rules"
        )
    return ""


def _connect(spec: LayerSpec, readers: Counter[str], why: Callable[[str], str]) -> None:
    """Check bottoms and tops against the blobs written so far, then count them in."""
    for i, bottom in enumerate(spec.bottoms):
        if bottom not in readers:
            if hint := why(bottom):
                raise MissingBottomError(f'unknown bottom blob "{bottom}" (bottom index {i})', hint)
            near = nearest_name(bottom, tuple(readers))
            hint = f'did you mean "{near}"?' if near else "name the top of an earlier layer"
            raise LayerError(f'unknown bottom blob "{bottom}" (bottom index {i})', hint)
        readers[bottom] += 1
    for i, top in enumerate(spec.tops):
        if top in spec.tops[:i]:
            raise LayerError(f'names top "{top}" twice')
        if top in readers and (i >= len(spec.bottoms) or spec.bottoms[i] != top):
            raise LayerError(
                f'top blob "{top}" is produced by several layers',
                "rename it, or make the layer in-place: same name at the same index of bottom"
                " and top",
            )
        if readers[top] > 1:
            # Caffe, too: the Split in between leaves two layers that produce the blob.
            raise LayerError(
                f'is in-place on blob "{top}", which another layer reads before it',
                "give the layer a top of its own, or let it stand before the other readers",
            )
        readers[top] = int(any(spec.message.loss_weight[i : i + 1]))
