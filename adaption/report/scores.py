"""Score a net on the data of its own data layers. Caffe: test() in tools/caffe.cpp."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from adaption.errors import FieldError, UsageError
from adaption.glog import Log, silent
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import NetFile
from adaption.net import Net
from adaption.net.building_log import build_logged, show_device
from adaption.net.finite import nan_error
from adaption.options import NET, RunOptions, takes_options
from adaption.report.format import significant
from adaption.report.tables import Grid

__all__ = ["Score", "Scores", "test"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Score:
    """One value of an output blob, mean over the batches; `loss_weight` is 0 for what is no loss.

    `index` counts the values of the blob.
    """

    output: str
    index: int
    mean: float
    loss_weight: float = 0.0


@dataclass(frozen=True)
class Scores:
    """What a net's outputs are on average over `iterations` batches; `loss` is the weighted sum."""

    net: str
    iterations: int
    loss: float
    scores: tuple[Score, ...]
    notices: tuple[str, ...] = ()  # what a reader should know: unknown fields, NaN, ...

    def __getitem__(self, output: str) -> float:
        """Mean of the first value of an output blob. Raises: KeyError."""
        for score in self.scores:
            if score.output == output:
                return score.mean
        raise KeyError(output)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what is not finite becomes None."""
        plain = asdict(self)
        for entry in (plain, *plain["scores"]):
            for key, value in entry.items():
                if isinstance(value, float) and not math.isfinite(value):
                    entry[key] = None
        return {"format": "adaption.scores/1", **plain}

    def table(self) -> str:
        """One line per value of an output."""
        rows = [
            (score.output, str(score.index), significant(score.mean, 6), f"{score.loss_weight:g}")
            for score in self.scores
        ]
        title = f"{self.net or 'net'}: mean of {self.iterations} batches"
        return Grid(("output", "value", "mean", "loss weight"), rows, title).plain()


@takes_options(options=(*NET, "original_semantics", "device"))
@within_limit
def test(
    net: PathLike | NetFile,
    weights: PathLike,
    *,
    iterations: int = 50,
    options: RunOptions = RunOptions(),
    seed: int | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    log: Log = silent,
    memory_limit: Size | None = None,
    **choices: Any,
) -> Scores:
    """Run a net in phase TEST and average its outputs over batches.

    Args:
        net: prototxt whose data layers bring the data, as in a train_val file.
        weights: caffemodel, binary or HDF5.
        iterations: batches.
        options: how the net is built and run; see RunOptions.
        seed, input_shapes: as of Net.
        log: gets Caffe's lines, `glog.info` writes them.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of RunOptions as keywords (dialect, end, device, ...).
    Raises: AdaptionError when the net cannot be built or run.
    """
    if iterations < 1:
        raise FieldError("iterations", iterations, "1 or more")
    show_device(options.device, log)
    if options.device != "cpu":
        log("caffe.cpp:273", f"GPU device name: {torch.cuda.get_device_name(options.device)}")
    net_options = options.for_net("phase", "original_semantics", "device")
    built = build_logged(net, weights, log=log, seed=seed, input_shapes=input_shapes, **net_options)
    sources = [node for node in built.nodes if node.layer.is_source and not node.spec.is_input]
    if built.inputs and not sources:
        raise UsageError(
            f"no layer brings data, {', '.join(built.inputs)} would be zeros",
            "give a prototxt with data layers for phase TEST, as train_val files have them",
        ).at(file=built.spec.file)
    log("caffe.cpp:285", f"Running for {iterations} iterations.")
    sums: list[float] = []
    loss = 0.0
    notices = list(built.notices)
    has_nan = False
    for i in range(iterations):
        with torch.no_grad():
            built.forward()
        loss += built.loss()
        values = list(_values(built))
        if not has_nan and any(math.isnan(v) for _, _, v in values):
            has_nan = True
            notices.append(f"{nan_error(built, f'batch {i}')}".partition("\n")[0])
        for output, _, value in values:
            log("caffe.cpp:308", f"Batch {i}, {output} = {value:g}")
        sums = [a + v for a, (_, _, v) in zip(sums or [0.0] * len(values), values, strict=True)]
    weight_of = {
        top: weight
        for node in built.nodes
        for top, weight in zip(node.spec.tops, node.loss_weights, strict=True)
    }
    scores = tuple(
        Score(output, index, total / iterations, weight_of.get(output, 0.0))
        for (output, index, _), total in zip(values, sums, strict=True)
    )
    result = Scores(built.name, iterations, loss / iterations, scores, tuple(notices))
    log("caffe.cpp:313", f"Loss: {result.loss:g}")
    for score in scores:
        log("caffe.cpp:325", f"{score.output} = {score.mean:g}{_loss_text(score)}")
    return result


def _values(net: Net) -> Iterator[tuple[str, int, float]]:
    """Every value of every output blob, in Caffe's order."""
    for name in net.outputs:
        for index, value in enumerate(net.blobs[name].tensor.flatten().tolist()):
            yield name, index, value


def _loss_text(score: Score) -> str:
    weight, mean = score.loss_weight, score.mean
    return f" (* {weight:g} = {weight * mean:g} loss)" if weight else ""
