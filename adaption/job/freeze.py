"""freeze: a net whose formats move, as one with static formats, and what that costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from adaption.data import Transform
from adaption.data.feed import FedLayer
from adaption.errors import FieldError, UsageError
from adaption.io.atomic import together
from adaption.io.caffemodel import write_weights
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import read_net, write_net
from adaption.io.outputs import keep_inputs, staged_folder
from adaption.io.precision_note import read_note
from adaption.job.feed import fed_by
from adaption.job.load import Opened, open_net
from adaption.job.part import Part
from adaption.layers.base import traits_of
from adaption.net import Net, Point
from adaption.net.net import Observer
from adaption.net.node import Node
from adaption.net.plan import FORWARD_KINDS, stated_kinds
from adaption.numerics import DynamicFixed, Format, zero_share
from adaption.options import COMMON, NET, RunOptions, takes_options
from adaption.precision.classifiers import Classifiers, find_classifiers
from adaption.precision.evaluate import Run, run_net
from adaption.precision.freeze import Exponents, freeze_file, static_plan
from adaption.report import track
from adaption.solver.precision_state import StatedFormats, read_state_formats

__all__ = ["FreezeResult", "freeze"]

PathLike = str | os.PathLike[str]
NET_NAME, WEIGHTS_NAME = "frozen.prototxt", "frozen.caffemodel"
RESULTS = (NET_NAME, WEIGHTS_NAME)


@dataclass(frozen=True)
class FreezeResult:
    """What `freeze` wrote and found.

    formats: the static ones, by layer and kind of point. exponents: by point ("conv2:bottom"), how
    many tensors of the calibration had each. accuracy: top-1 on the data, as a fraction, with the
    formats as they moved (stochastic weights as they were drawn) and frozen; None without labels.
    zeros: share of the entries of each layer's weights that are rounded to 0, in both nets.
    """

    folder: Path
    formats: dict[str, dict[str, Format]]
    moved: dict[str, str]  # by point: the format before
    exponents: dict[str, dict[str, int]]
    accuracy: dict[str, float | None]
    zeros: dict[str, dict[str, float]]
    samples: int
    also: tuple[Path, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def net(self) -> Path:
        return self.folder / NET_NAME

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS_NAME

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; files are relative to the folder."""
        return {
            "files": {"net": NET_NAME, "weights": WEIGHTS_NAME},
            "also": [os.fspath(path) for path in self.also],
            "formats": {
                layer: {kind: fmt.to_dict() for kind, fmt in formats.items()}
                for layer, formats in self.formats.items()
            },
            "moved": self.moved,
            "exponents": self.exponents,
            "accuracy": self.accuracy,
            "zeros": self.zeros,
            "samples": self.samples,
            "notes": self.notes,
        }


@takes_options(options=(COMMON, *NET, "score"))
@within_limit
def freeze(
    net: PathLike,
    weights: PathLike,
    data: PathLike | None = None,
    *,
    out: PathLike,
    state: PathLike | None = None,
    also: Sequence[tuple[PathLike, PathLike]] = (),
    bits: int | None = None,
    transform: Transform | None = None,
    root: PathLike | None = None,
    options: RunOptions = RunOptions(),
    quiet: bool = False,
    memory_limit: Size | None = None,
    **choices: Any,
) -> FreezeResult:
    """Write a net with static formats in place of those that move with the tensors or at random.

    A format with a shared exponent becomes Qm.f with the exponent that most batches of the data
    have at that point; stochastic rounding becomes half to even. Points of gradients and weight
    accumulators are left out: a frozen net is for inference.

    Args:
        net, weights: prototxt and caffemodel.
        data: folder, list file, LMDB, LevelDB, HDF5 or npz; None: the net's own TEST data layer, in
            batches of its size.
        out: folder for frozen.prototxt and frozen.caffemodel.
        state: .solverstate whose formats count where the net says nothing; needed where a
            precision_policy chose them.
        also: more nets over the same layers, each with its output, which get the same formats.
        bits: give weight layers that are float words of so many bits, too, so that all of the net
            is in integers; 2..16.
        transform, root, options, quiet, memory_limit, choices: as of `measure`.
    Raises: AdaptionError on bad input, before anything is written.
    """
    if bits is not None and not 2 <= bits <= 16:
        raise FieldError("bits", bits, "2..16")
    keep_inputs(
        [*(Path(out) / name for name in RESULTS), *(target for _, target in also)],
        [net, weights, data, state, *(one for one, _ in also)],
    )
    stated = None if state is None else read_state_formats(state)
    _check_note(weights, stated, state)
    sized = _own_batch(net, options) if data is None else options
    opened = open_net(net, weights, data, sized, transform=transform, root=root)
    running = opened.net
    _require_formats(opened, stated, weights)
    scores = find_classifiers(opened.feed.spec, running, options.score)
    exponents = Exponents()
    floats = _float_layers(running)
    more = _More(running, floats, bits, exponents)
    running.watch_grids(exponents)
    before = _run(opened, running, scores, "calibrating", quiet, [more])
    running.watch_grids(None)
    zeros = {"dynamic": _zeros(running)}
    plan, notes = static_plan(running, exponents, more.formats)
    if floats and bits is None:
        named = ", ".join(f'"{name}"' for name in floats)
        notes.append(
            f"weight layers {named} stay float; the C program needs codes from the input on: with"
            " --bits N they get formats of N bits, too"
        )
    calibrated = {node.spec.name for node in running.nodes}
    low = freeze_file(opened.file, plan, calibrated)
    others = [(freeze_file(read_net(a), plan, calibrated), Path(b)) for a, b in also]
    frozen = Net(fed_by(opened.part.of(low), opened.feed), opened.weights, seed=options.seed)
    after = _run(opened, frozen, scores, "running it frozen", quiet)
    zeros["frozen"] = _zeros(frozen)
    folder = Path(out)
    with staged_folder(folder, RESULTS, marker=NET_NAME) as stage:
        held = list(opened.part.weights(frozen, opened.weights, low))
        names = {layer.name for layer in held}
        rest = [layer for layer in opened.weights if layer.name not in names]  # of TRAIN alone
        write_weights(stage / WEIGHTS_NAME, [*held, *rest], name=frozen.name)
        write_net(low, stage / NET_NAME)
    with together():
        for file, target in others:
            write_net(file, target)
    formats: dict[str, dict[str, Format]] = {}
    for point, fmt in plan.items():
        formats.setdefault(point.layer, {})[point.kind] = fmt
    old = running.plan
    return FreezeResult(
        folder,
        formats,
        {str(p): str(old[p]) for p, fmt in plan.items() if p in old and old[p] != fmt},
        exponents.to_dict(),
        {"dynamic": _top1(before), "frozen": _top1(after)},
        {
            layer: {name: shares[layer] for name, shares in zeros.items()}
            for layer in zeros["frozen"]
        },
        after.samples,
        tuple(target for _, target in others),
        notes,
    )


def _run(
    opened: Opened,
    net: Net,
    scores: Classifiers,
    label: str,
    quiet: bool,
    observers: Sequence[Observer] = (),
) -> Run:
    batches = track(opened.feed, label, quiet=quiet, unit="batches")
    return run_net(net, batches, scores=scores, observers=observers)


def _float_layers(net: Net) -> list[str]:
    """Weight layers that round neither their weights nor their bottoms, and do not say so."""
    return [
        node.spec.name
        for node in net.nodes
        if node.layer.is_weight_layer()
        and node.formats.weight is None
        and node.formats.bottom is None
        and not stated_kinds(node.spec) & {"weight", "bottom"}
    ]


class _More:
    """Sees the bottoms and weights of float layers as if they had shared exponents."""

    def __init__(self, net: Net, layers: Sequence[str], bits: int | None, into: Exponents) -> None:
        self.into = into
        self.format = None if bits is None else DynamicFixed(bits)
        self.formats: dict[Point, Format] = {}
        if self.format is None:
            return
        for node in net.nodes:
            if node.spec.name in layers:
                for kind in ("weight", "bottom"):
                    self.formats[Point(node.spec.name, kind)] = self.format
                weight = node.masters[0].tensor.detach()
                self._see(node, "weight", 0, weight)

    def __call__(self, node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        if Point(node.spec.name, "bottom") in self.formats:
            for i in node.read_bottoms:
                self._see(node, "bottom", i, bottoms[i])

    def _see(self, node: Node, kind: str, index: int, x: Tensor) -> None:
        assert self.format is not None
        self.into(Point(node.spec.name, kind), index, x, self.format.at(x))


def _zeros(net: Net) -> dict[str, float]:
    """Share of zeros in each weight layer's weights, as the net computes with them."""
    shares = {}
    for node in net.nodes:
        if node.layer.is_weight_layer():
            shares[node.spec.name] = zero_share(node.quantized_blobs()[0])
    return shares


def _top1(run: Run) -> float | None:
    found = run.accuracy()
    return None if found is None else found["top1"]


def _check_note(weights: PathLike, stated: StatedFormats | None, state: PathLike | None) -> None:
    """Refuse the state of another snapshot than the weights are of."""
    note = read_note(weights)
    if note is None or stated is None or note["plan"] == stated.rows:
        return
    raise UsageError(
        f"{os.fspath(state or '')} holds other formats than those that the weights were left with",
        f"give the state of the same snapshot: {note.get('state')}",
        file=weights,
    )


def _require_formats(opened: Opened, stated: StatedFormats | None, weights: PathLike) -> None:
    """Bring the net to the formats that count. Raises: UsageError where they are not known."""
    net = opened.net
    if stated is not None:
        own = {node.spec.name: stated_kinds(node.spec) for node in net.nodes}
        net.set_plan(
            {
                point: fmt
                for point, fmt in stated.plan.items()
                if point.kind in FORWARD_KINDS
                and point.kind not in own.get(point.layer, {point.kind})
            }
        )
        net.draw_weights(stated.draw)
    else:
        lacking = net.unmet_note(weights)
        if lacking is not None:
            raise UsageError(
                f"was trained by recipe {lacking['recipe']}, whose formats this net does not have",
                f"give the state of the same snapshot: --state {lacking['state']}",
                file=weights,
            )
    if not any(point.kind in FORWARD_KINDS for point in net.plan):
        raise FieldError(
            "formats",
            "none at all",
            "a net that rounds weights, bottoms or activations",
            "for a float net: adaption quantize; for one that a policy trained: --state",
        ).at(file=net.spec.file)


def _own_batch(net: PathLike, options: RunOptions) -> RunOptions:
    """With the batch size of the net's own data layer, unless another is asked for: exponents of
    tensors depend on it."""
    spec = Part(options).of(read_net(net))
    found = [x for x in (traits_of(item, spec) for item in spec.layers) if isinstance(x, FedLayer)]
    if options.batch_size is not None or len(found) != 1:
        return options
    return replace(options, batch_size=found[0].batch_size)
