"""Wider versions of nets: which numbers of which layers change, for nets over the same layers.

Source: Mishra et al., "WRPN: Wide Reduced-Precision Networks" (2017): every filter bank gets more
filters by one factor; the results of a net keep their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from adaption.errors import AdaptionError, FieldError, LayerError
from adaption.graph.build import build_spec
from adaption.graph.filter import PHASES, NetState, is_kept
from adaption.graph.spec import LayerSpec, NetSpec
from adaption.graph.widening.flow import Flow
from adaption.graph.widening.follow import follow
from adaption.graph.widening.widths import Widths
from adaption.io.netfile import NetFile

__all__ = ["Inserted", "NetChanges", "Widening", "plan_widening"]


@dataclass(frozen=True)
class Inserted:
    """A 1 x 1 convolution to put in front of a sum; layers are indices in the file's message.

    layer, bottom: the sum, and which of its bottoms the convolution reads.
    num_output: of the convolution.
    branch: the layers that make what it is added to: a weight layer, and those behind it.
    """

    layer: int
    bottom: int
    num_output: int
    branch: tuple[int, ...]


@dataclass
class NetChanges:
    """What changes in one file.

    edits: (layer, path of the field, which of its values) -> the number, new or as before.
    """

    edits: dict[tuple[int, tuple[str, ...], int], int] = field(default_factory=dict)
    inserted: dict[tuple[int, int], Inserted] = field(default_factory=dict)


@dataclass
class Widening:
    """What widening changes.

    nets: per file, in the order given.
    layers: (num_output before, after) of each weight layer.
    kept: weight layers that keep their width, and why.
    """

    nets: list[NetChanges]
    layers: dict[str, tuple[int, int]]
    kept: dict[str, str]
    specs: list[list[NetSpec]]  # the nets of each file, one per net state that it can be built for


def plan_widening(
    nets: Sequence[NetFile],
    factor: Fraction,
    *,
    widen_first: bool = True,
    project: bool = False,
    multiple_of: int = 1,
    keeps_channels: Callable[[LayerSpec], bool] = lambda _: False,
) -> Widening:
    """What has to change so that every weight layer but the last ones gets wider.

    num_output becomes factor * num_output, rounded half to even, then rounded to the nearest
    multiple (at least one) of `multiple_of`, the layer's own groups and those of every layer that
    reads it. The last layers, behind which no weight layer reads their channels, keep theirs, and
    so does a layer whose channels are a result of the net although others read them, too.
    Depthwise layers follow what they read.

    Args:
        nets: files over the same layers (deploy, train_val), planned together.
        widen_first: also widen the weight layers that read the net's input.
        project: where an unwidened first layer is added to wider channels, put a 1 x 1
            convolution in between.
        keeps_channels: whether a layer whose type has no rule here has the channels of its bottom.
    Raises: FieldError on a factor or multiple out of range; LayerError naming the layer that
        cannot follow, and why.
    """
    if factor <= 0:
        raise FieldError("factor", float(factor), "more than 0")
    if multiple_of < 1:
        raise FieldError("multiple_of", multiple_of, "1 or more")
    states = [list(_states(net)) for net in nets]
    flows = _followed(
        states, Widths(factor, multiple_of), None, frozenset(), project, keeps_channels
    )
    kept = _kept(flows)
    if factor == 1 and multiple_of == 1:  # whatever could not follow has nothing to follow
        return _settled(states, flows, _counts(flows), kept)
    narrow = frozenset().union(*(f.first for f in flows)) if not widen_first else frozenset()
    narrow -= set(kept)
    kept |= dict.fromkeys(narrow, "first layer")
    widths = Widths(factor, multiple_of)
    flows = _followed(states, widths, kept, frozenset(narrow), project, keeps_channels)
    for name, count in _counts(flows).items():
        if name not in kept:
            widths.add(name, count)
    return _settled(states, flows, widths.settle(), kept)


def _followed(
    states: Sequence[Sequence[tuple[NetSpec, list[int]]]],
    widths: Widths,
    kept: Mapping[str, str] | None,
    narrow: frozenset[str],
    project: bool,
    keeps_channels: Callable[[LayerSpec], bool],
) -> list[Flow]:
    made = []
    for of_file in states:
        for spec, indices in of_file:
            flow = Flow(spec, indices, widths, kept, narrow, project, keeps_channels)
            flow.run(follow)
            made.append(flow)
    return made


def _kept(flows: Sequence[Flow]) -> dict[str, str]:
    """Weight layers that keep their width whatever is asked for, and why."""
    reads = set().union(*(flow.reads for flow in flows))
    made: dict[str, str] = {}
    for flow in flows:
        for name in flow.weights:
            if name not in reads:
                made[name] = "last weight layer"
            elif name in flow.results:
                made[name] = f"its channels are those of {flow.results[name]}"
    return made


def _counts(flows: Sequence[Flow]) -> dict[str, int]:
    """num_output of each weight layer. Raises: LayerError where nets or states do not agree."""
    made: dict[str, int] = {}
    for flow in flows:
        for name, count in flow.weights.items():
            if made.setdefault(name, count) != count:
                item = flow.spec.layer(name)
                raise LayerError(
                    f"has num_output {count}, another layer of this name {made[name]}",
                    "give layers of one name the same num_output in all nets and net states",
                ).at(file=flow.spec.file, line=item.line, layer=name, layer_type=item.type)
    return made


def _settled(
    states: Sequence[Sequence[tuple[NetSpec, list[int]]]],
    flows: Sequence[Flow],
    settled: Mapping[str, int],
    kept: dict[str, str],
) -> Widening:
    layers: dict[str, tuple[int, int]] = {}
    made, rest = [], list(flows)
    for of_file in states:
        changes = NetChanges()
        own, rest = rest[: len(of_file)], rest[len(of_file) :]
        for flow in own:
            for edit in flow.edits:
                number = edit.after(settled)
                place = edit.layer, edit.path, edit.index
                if changes.edits.setdefault(place, number) != number:
                    item = flow.spec.layers[list(flow.indices).index(edit.layer)]
                    raise LayerError(
                        f"{edit.path[-1]} would be {number} in the {flow.spec.phase} net and"
                        f" {changes.edits[place]} in another net state",
                        "write a layer for each state, with include rules",
                    ).at(file=flow.spec.file, line=item.line, layer=item.name, layer_type=item.type)
            for one in flow.projections:
                # Layers of the branch may differ between net states.
                spot = one.layer, one.bottom
                known = changes.inserted[spot].branch if spot in changes.inserted else ()
                branch = tuple(sorted({*known, *one.branch}))
                size = int(one.piece.size(settled))
                changes.inserted[spot] = Inserted(*spot, size, branch)
            for item in flow.spec.layers:
                if item.name in flow.weights:
                    count = flow.weights[item.name]
                    layers[item.name] = count, settled.get(item.name, count)
                elif item.name in flow.followers:
                    edit = flow.followers[item.name]
                    layers[item.name] = edit.before, edit.after(settled)
        made.append(changes)
    return Widening(made, layers, kept, [[spec for spec, _ in of_file] for of_file in states])


def _states(net: NetFile) -> Iterator[tuple[NetSpec, list[int]]]:
    """The nets of a file, with the index of each layer in the file's message, until every layer
    is in one of them.

    Raises: LayerError when none can be built, or weight layers are in none that can.
    """
    errors: list[AdaptionError] = []
    missing = set(range(len(net.message.layer)))
    any_built = False
    for state in _possible_states(net):
        full = NetState(state.phase, state.level, (*net.message.state.stage, *state.stages))
        try:
            indices = [i for i, x in enumerate(net.message.layer) if is_kept(x, full)]
            if any_built and not missing & set(indices):
                continue
            spec = build_spec(net.message, state, file=net.file, lines=net.lines)
        except LayerError as error:
            errors.append(error)
            continue
        any_built = True
        missing -= set(indices)
        yield spec, indices
    if not any_built:
        raise errors[0]
    for i in sorted(missing):
        item = net.message.layer[i]
        if item.HasField("convolution_param") or item.HasField("inner_product_param"):
            raise LayerError(
                "is in no net state that can be built, so that nothing is known of its width",
                "take the layer out, or correct its include and exclude rules",
            ).at(file=net.file, line=net.lines[i], layer=item.name, layer_type=item.type)


def _possible_states(net: NetFile) -> Iterator[NetState]:
    """Net states that the rules of a file tell apart: the plain ones first."""
    rules = [rule for x in net.message.layer for rule in (*x.include, *x.exclude)]
    stages = sorted({s for rule in rules for s in (*rule.stage, *rule.not_stage)})
    levels = {0} | {rule.min_level for rule in rules if rule.HasField("min_level")}
    levels |= {rule.max_level for rule in rules if rule.HasField("max_level")}
    choices: list[tuple[str, ...]] = [(), *((stage,) for stage in stages), tuple(stages)]
    for level in sorted(levels, key=abs):
        for chosen in dict.fromkeys(choices):
            for phase in reversed(PHASES):
                yield NetState(phase, level, chosen)
