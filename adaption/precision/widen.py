"""Write wider versions of nets; only the numbers that change are touched, comments stay."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

from adaption.errors import AdaptionError, FieldError, LayerError
from adaption.graph import NetSpec, NetState, build_spec, with_inputs
from adaption.graph.widening import NetChanges, Widening, plan_widening
from adaption.io import prototxt
from adaption.io.atomic import atomic_write
from adaption.io.netfile import NetFile, from_document, read_net, write_net
from adaption.io.prototxt import Document, Field
from adaption.layers.base import traits_of
from adaption.layers.shapes import each_shape
from adaption.precision.projection import insert_projection
from adaption.precision.solver_text import solver_with_nets

__all__ = ["Widened", "WidenedLayer", "widen"]

PathLike = str | os.PathLike[str]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class WidenedLayer:
    """num_output and entries of the weight (no bias) of a layer; None where shapes are unknown."""

    name: str
    before: int
    after: int
    weights_before: int | None
    weights_after: int | None


@dataclass
class Widened:
    """What `widen` made.

    nets: the wider nets: the one given first, then those of `also`.
    kept: weight layers that keep their width, and why.
    inserted: 1 x 1 convolutions that were put in.
    """

    factor: float
    layers: list[WidenedLayer]
    kept: dict[str, str]
    inserted: list[str]
    nets: list[NetFile] = field(repr=False)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "factor": self.factor,
            "layers": [asdict(layer) for layer in self.layers],
            "kept": self.kept,
            "inserted": self.inserted,
            "files": [os.fspath(path) for path in self.files],
            "notes": self.notes,
        }


def widen(
    net: NetFile | PathLike,
    out: PathLike | None = None,
    *,
    factor: float | str | Fraction,
    widen_first: bool = True,
    project: bool = False,
    multiple_of: int = 1,
    also: Sequence[tuple[NetFile | PathLike, PathLike | None]] = (),
    solver: tuple[PathLike, PathLike] | None = None,
    inputs: Mapping[str, Sequence[int]] | None = None,
) -> Widened:
    """The net with `factor` times the filters in every weight layer but the last ones.

    num_output becomes factor * num_output, rounded half to even, then rounded to the nearest
    multiple (at least one) of `multiple_of`, the layer's groups, and the groups of each layer that
    reads it. The last layers, behind which no weight layer reads their channels, keep theirs, and
    so do layers whose channels are a result of the net although others read them, too. Depthwise
    layers, shared parameters, sums, slices and reshapes follow. Nothing is said of weights: a
    wider net starts from random ones.

    Args:
        out: prototxt to write; None writes nothing.
        factor: how much wider; "1.3" and 1.3 mean 13/10 exactly.
        widen_first: also widen the weight layers that read the net's input.
        project: where an unwidened first layer is added to wider channels, put a 1 x 1 convolution
            in between, with batch norm and scale where the branch beside it has them.
        multiple_of: every width that changes becomes a multiple of this.
        also: more nets over the same layers (train_val beside deploy), each with its output.
        solver: a solver prototxt to read, and the one to write, which names the wider nets.
        inputs: shapes of blobs that data layers make, to count weights where data is not at hand.
    Raises: FieldError on a factor or multiple out of range; LayerError naming the layer that
        cannot follow, and why; UsageError when the solver's nets are not among those given.
    Source: Mishra et al., WRPN (2017), and the rule of this project for any graph.
    """
    files = [one if isinstance(one, NetFile) else read_net(one) for one, _ in ((net, out), *also)]
    targets = [out, *(target for _, target in also)]
    exact = _fraction(factor)
    plan = plan_widening(
        files,
        exact,
        widen_first=widen_first,
        project=project,
        multiple_of=multiple_of,
        keeps_channels=lambda item: traits_of(item).moves_places() == "kept",
    )
    inserted: list[str] = []
    nets = [_changed(one, changes, inserted) for one, changes in zip(files, plan.nets, strict=True)]
    made = Widened(float(exact), [], plan.kept, list(dict.fromkeys(inserted)), nets)
    _count_weights(made, plan, {k: tuple(v) for k, v in (inputs or {}).items()})
    text = None
    if solver is not None:
        pairs = [(f.file, t) for f, t in zip(files, targets, strict=True)]
        text = solver_with_nets(solver[0], [(f, t) for f, t in pairs if f and t is not None])
        made.notes.append(
            f"{os.fspath(solver[1])}: has the snapshot_prefix of {os.fspath(solver[0])}; change it"
            " to keep the snapshots of both nets"
        )
    for one, target in zip(nets, targets, strict=True):
        if target is not None:
            write_net(one, target)
            made.files.append(Path(target))
    if solver is not None and text is not None:
        with atomic_write(solver[1], "wb") as file:
            file.write(text)
        made.files.append(Path(solver[1]))
    return made


def _fraction(factor: float | str | Fraction) -> Fraction:
    try:
        return Fraction(factor if isinstance(factor, str | Fraction) else str(factor))
    except (ValueError, ZeroDivisionError):
        raise FieldError("factor", factor, "a number above 0, such as 2 or 1.3") from None


def _changed(net: NetFile, changes: NetChanges, inserted: list[str]) -> NetFile:
    """The net with other numbers, as text; the very one given where nothing changes."""
    document = _own_document(net)
    fields = document.root.all("layer") or document.root.all("layers")
    hidden = len(net.message.layer) - len(fields)  # Input layers that stand for `input` fields
    is_changed = bool(changes.inserted)
    for (index, path, value), number in changes.edits.items():
        for found in _numbers(fields[index - hidden], path, value):
            if found.string != str(number):
                found.set(str(number))
                is_changed = True
    if not is_changed:
        return net
    types = [message.type for message in net.message.layer]
    for one in changes.inserted.values():
        branch = [(fields[i - hidden], types[i]) for i in one.branch]
        layer = fields[one.layer - hidden]
        inserted.append(insert_projection(document.root, layer, one.bottom, branch, one.num_output))
    return from_document(prototxt.parse(document.text(), net.file))


def _own_document(net: NetFile) -> Document:
    """A tree of our own to edit. Layers of V0 lie one level deeper: such a file is printed anew."""
    nested = any(f.block.first("layer") is not None for f in net.document.root.all("layers"))
    if nested:
        return prototxt.parse(prototxt.format_message(net.message), net.file)
    return prototxt.parse(net.document.text(), net.file)


def _numbers(layer: Field, path: tuple[str, ...], index: int) -> list[Field]:
    """The fields that hold a number: `index` among repeated ones, else all of that name."""
    blocks = [layer.block]
    for name in path[:-1]:
        # ADaPTION's own messages hold the same fields.
        inner = [f.block for b in blocks for f in b.all(name)]
        blocks = inner or [f.block for b in blocks for f in b.all(f"lp_{name}")]
    found = [f for block in blocks for f in block.all(path[-1])]
    return found if path[-1] in ("num_output", "group") else [found[index]]


def _count_weights(made: Widened, plan: Widening, inputs: Mapping[str, Shape]) -> None:
    """List the layers, and check that what could be built before can be built now."""
    counts: list[dict[str, int]] = [{}, {}]
    for net, specs in zip(made.nets, plan.specs, strict=True):
        for spec in specs:
            before, error = _weights(spec, inputs)
            state = NetState(spec.phase, spec.level, spec.stages)
            wider = build_spec(net.message, state, file=net.file, lines=net.lines)
            after, new_error = _weights(wider, inputs)
            if error is None and new_error is not None:
                raise LayerError(
                    f"the wider net cannot be built: {new_error.fact}", new_error.fix
                ).at(
                    file=net.file,
                    line=new_error.line,
                    layer=new_error.layer,
                    layer_type=new_error.layer_type,
                )
            for known, found in zip(counts, (before, after), strict=True):
                for name, count in found.items():
                    known.setdefault(name, count)
    for name, (width, wide) in plan.layers.items():
        made.layers.append(
            WidenedLayer(name, width, wide, counts[0].get(name), counts[1].get(name))
        )
    if any(layer.weights_before is None for layer in made.layers):
        made.notes.append(
            "weights are not counted where shapes are unknown: name the shapes of what data layers"
            " make, as in --input data=1x3x224x224"
        )


def _weights(
    spec: NetSpec, inputs: Mapping[str, Shape]
) -> tuple[dict[str, int], AdaptionError | None]:
    """Entries of the first blob by layer, as far as shapes are known, and what ended the walk."""
    tops = {top for s in spec.layers if not s.bottoms for top in s.tops}
    found: dict[str, int] = {}
    try:
        given = {name: shape for name, shape in inputs.items() if name in tops}
        for one in each_shape(with_inputs(spec, given)):
            if one.blobs:
                found[one.spec.name] = prod(one.blobs[0])
    except AdaptionError as error:
        return found, error
    return found, None
