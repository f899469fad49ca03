"""Comparison: compares a file with a fresh lowering of the net; the passes of `check_float`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from adaption.compare.float_report import BlobCheck
from adaption.compare.gaps import are_equal, count_differing, gap_between
from adaption.compare.image_check import OutputCheck
from adaption.compare.probe import edge_values
from adaption.compare.sessions import FROM_FILE, ModelFile, Session, SessionError
from adaption.exact.reference import LayerRun, greatest_finite, run_layers
from adaption.exact.selection import refuse_nan
from adaption.export.onnx.file import same_bits
from adaption.export.onnx.graph import Array
from adaption.export.onnx.model import Model
from adaption.numerics import FixedPoint, Format
from adaption.precision.classifiers import holds_scores

__all__ = ["Comparison"]

LARGE = 64 << 20  # bytes of an ONNX file

UNIT = 2.0**-24  # greatest relative error of one float32 rounding


@dataclass
class _Top:
    """The sums behind one BlobCheck. `value` and `before` are names in the file."""

    layer: str
    type: str
    blob: str
    value: str
    before: str
    fmt: Format | None
    count: int = 0
    differing: int = 0
    total_error: float = 0.0
    max_error: float = 0.0
    relative: float = UNIT  # error of our own float32 sums, relative to the greatest value
    own_error: float = 0.0
    own_error_ulp: float = 0.0
    tolerance: float = 0.0
    flips: int = 0

    def add(self, theirs: Array, ours: Array) -> None:
        """Count the differences of one end to end pass."""
        self.count += ours.size
        if are_equal(theirs, ours):
            return
        gap = gap_between(theirs, ours)
        self.differing += int(np.count_nonzero(gap))
        self.total_error += float(gap.sum())
        self.max_error = max(self.max_error, float(gap.max(initial=0.0)))

    def result(self) -> BlobCheck:
        lsb = self.fmt.lsb if isinstance(self.fmt, FixedPoint) else None
        return BlobCheck(
            layer=self.layer,
            type=self.type,
            blob=self.blob,
            format=self.fmt,
            count=self.count,
            max_error=self.max_error,
            mean_error=self.total_error / max(1, self.count),
            max_error_lsb=None if lsb is None else self.max_error / lsb,
            differing_share=self.differing / max(1, self.count),
            own_error=self.own_error,
            tolerance=self.tolerance,
            flips=self.flips,
            own_error_ulp=self.own_error_ulp,
        )


class Comparison:
    """Collects, piece by piece, how the file differs; `problems` are what is not explained."""

    def __init__(self, file: ModelFile, fresh: Model, tolerance: float) -> None:
        self.file = file
        self.fresh = fresh
        self.tolerance = tolerance
        self.problems: list[str] = []
        self.refusal = ""  # of onnxruntime, to run the file as it is
        self.outputs: dict[str, OutputCheck] = {}
        self._tops = [
            [
                _Top(layer.name, layer.type, *names, member.node.formats.activation)
                for names in zip(layer.blobs, layer.tops, layer.before, strict=True)
            ]
            for layer, member in zip(file.layers, fresh.selection.members, strict=True)
        ]
        self._drawn: dict[str, list[Tensor]] = {}
        self._sessions: dict[str, Session] = {}
        self._pieces = 0
        self._doubtful: list[tuple[LayerRun, str]] = []  # of the piece at hand

    def blobs(self) -> tuple[BlobCheck, ...]:
        """One check per top, in the order of the layers."""
        return tuple(top.result() for tops in self._tops for top in tops)

    def _problem(self, layer: str, fact: str) -> None:
        kind = next((x.type for x in self.file.layers if x.name == layer), "")
        self._note(f'layer "{layer}" ({kind}): {fact}')

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # -- constants ---------------------------------------------------------------------------

    def check_constants(self) -> None:
        """Every constant must be that of a fresh lowering, bit for bit. Weights that are rounded
        at random must be a neighbour on the grid; our passes then use the file's."""
        blobs = {
            name: (member.node.masters[i].tensor.detach(), member.node.format_of(i))
            for layer, member in zip(self.fresh.layers, self.fresh.selection.members, strict=True)
            for i, name in enumerate(layer.parameters)
        }
        for name, ours in self.fresh.graph.read_constants().items():
            layer = self.fresh.graph.owners[name]
            theirs = self.file.constant(name)
            master, fmt = blobs.get(name, (None, None))
            if theirs is None:
                self._problem(layer, f"the file lacks its constant {name!r}")
            elif (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
                found, wanted = (f"{x.dtype} of shape {x.shape}" for x in (theirs, ours))
                self._problem(layer, f"constant {name!r} is {found}, should be {wanted}")
            elif master is not None and isinstance(fmt, FixedPoint) and fmt.is_random:
                if not _is_draw(theirs, master, fmt):
                    self._problem(layer, f"constant {name!r} is not its blob, rounded to {fmt}")
            elif not same_bits(theirs, ours):
                self._problem(layer, _difference(name, theirs, ours, fmt))
            else:
                self.file.share_constant(name, ours)
        for values in self.fresh.layers:
            formats = [blobs[p][1] for p in values.parameters]
            if any(f is not None and f.is_random for f in formats):
                arrays = [self.file.constant(p) for p in values.parameters]
                self._drawn[values.name] = [torch.from_numpy(np.array(a)) for a in arrays]

    # -- activation points -------------------------------------------------------------------

    def check_activation_points(self) -> int:
        """Every activation point must round edge values as its format does; returns how many
        edge values each was given."""
        tried = 0
        for top in (t for tops in self._tops for t in tops):
            if not isinstance(top.fmt, FixedPoint):
                continue
            x = edge_values(top.fmt)
            want = top.fmt.quantize(torch.from_numpy(x)).numpy()
            tried = len(x)
            try:
                y = self.file.activation_point(top.before, top.value)({top.before: x})[top.value]
            except SessionError as error:
                self._problem(top.layer, f"its activation point does not run: {error}")
                continue
            bad = np.flatnonzero(gap_between(y, want))
            if bad.size:
                i = bad[0]
                self._problem(
                    top.layer,
                    f"its activation point turns {x[i]!s} into {y[i]!s}, {top.fmt}"
                    f" {top.fmt.rounding} into {want[i]!s} ({len(bad)} of {len(x)} edge values)",
                )
        return tried

    # -- blobs -------------------------------------------------------------------------------

    def check_blobs(self, inputs: Mapping[str, Tensor], samples: int) -> None:
        """Run both sides on one piece of the inputs, whose first `samples` are new."""
        in_double = self._pieces == 0  # on the first piece: it is dear, and much the same later
        self._pieces += 1
        selection = self.fresh.selection
        ours = [
            _as_onnxruntime_has_it(run)
            for run in run_layers(selection, inputs, self._drawn, in_double=in_double)
        ]
        refuse_nan(
            selection,
            (
                (run.member, blob, top.detach().numpy())
                for run in ours
                for blob, top in zip(run.member.spec.tops, run.tops, strict=True)
            ),
        )
        given = {name: x.numpy() for name, x in inputs.items()}
        feeds = dict(given)
        for tops, run in zip(self._tops, ours, strict=True):
            for top, before, after in zip(tops, run.before, run.tops, strict=True):
                feeds.setdefault(top.before, before.detach().numpy())
                feeds.setdefault(top.value, after.detach().numpy())
        values = self.file.values()
        self._layer_by_layer(ours, self._run("cut", lambda: self.file.cut(values), feeds))
        points = {t.value for tops in self._tops for t in tops if t.fmt is not None}
        if points:
            rounded = [v for v in values if v in points]
            self._segments(ours, self._run("segments", lambda: self.file.cut(rounded), feeds))
        self._judge_doubtful(ours)
        self._end_to_end(ours, given, self._run("whole", self.file.whole, given))
        self._plain(ours, samples, self._run("plain", self.file.plain, given))

    def _run(
        self, name: str, make: Callable[[], Session], feeds: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Outputs of a session, made at its first use; none when onnxruntime fails.

        Sessions of a large file are not kept: each holds all of its constants, packed once more.
        """
        try:
            if self.file.size_bytes > LARGE:
                return make()(feeds)
            if name not in self._sessions:
                self._sessions[name] = make()
            return self._sessions[name](feeds)
        except SessionError as error:
            self._note(f"onnxruntime does not run the file ({name}): {error}")
            if name == "plain":
                self.refusal = str(error)
            return {}

    def _layer_by_layer(self, ours: list[LayerRun], found: Mapping[str, Array]) -> None:
        seen = set(self.file.inputs)
        for tops, run in zip(self._tops, ours, strict=True):
            for j, top in enumerate(tops):
                theirs = found.get(FROM_FILE + top.before)
                # A layer that hands a value on has computed nothing of its own.
                if theirs is not None and top.before not in seen:
                    self._check_sums(top, theirs, run, j)
                seen.add(top.before)
                rounded = found.get(FROM_FILE + top.value)
                if rounded is not None and top.value not in seen:
                    differing = count_differing(rounded, run.tops[j].detach().numpy())
                    if differing:
                        self._problem(
                            top.layer,
                            f"its activation point rounds {differing} of our values"
                            f' for "{top.blob}" to other codes',
                        )
                seen.add(top.value)

    def _check_sums(self, top: _Top, theirs: Array, run: LayerRun, j: int) -> None:
        before = run.before[j].detach()
        ours = before.numpy()
        if theirs.shape != ours.shape:
            self._problem(top.layer, f"its top has shape {theirs.shape}, should be {ours.shape}")
            return
        gap = gap_between(theirs, ours)
        error = float(gap.max(initial=0.0))
        greatest = max(greatest_finite(before), run.error_scale)
        if run.own_errors is not None and greatest:
            top.relative = max(top.relative, run.own_errors[j] / greatest)
        tolerance = self.tolerance * top.relative * greatest
        top.own_error = max(top.own_error, error)
        if greatest:
            with np.errstate(over="ignore"):  # of the greatest float32 itself
                ulp = float(np.spacing(np.float32(greatest)))
            top.own_error_ulp = max(top.own_error_ulp, error / ulp)
        top.tolerance = max(top.tolerance, tolerance)
        if error > tolerance:
            self._doubtful.append(
                (
                    run,
                    f'given our bottoms, "{top.blob}" is off by up to {error:.3g} in'
                    f" {np.count_nonzero(gap > tolerance)} of {gap.size} values; float32 sums"
                    f" explain {tolerance:.3g}",
                )
            )

    def _judge_doubtful(self, ours: list[LayerRun]) -> None:
        """Sums that are further off than explained are a problem, unless all codes made of them
        agree and no output is a float that follows from them."""
        for run, text in self._doubtful:
            if not self._ends_in_equal_codes(ours, run):
                self._problem(run.member.spec.name, text)
        self._doubtful.clear()

    def _ends_in_equal_codes(self, ours: list[LayerRun], start: LayerRun) -> bool:
        floats: set[str] = set()
        for tops, run in zip(self._tops, ours, strict=True):
            spec = run.member.spec
            follows = run is start or not floats.isdisjoint(spec.bottoms)
            floats.difference_update(spec.tops)
            if not follows:
                continue
            for top in tops:
                if top.fmt is None:
                    floats.add(top.blob)
                elif top.flips or top.fmt.is_random:
                    return False
        return floats.isdisjoint(self.fresh.selection.outputs)

    def _segments(self, ours: list[LayerRun], found: Mapping[str, Array]) -> None:
        """Count flips where each stretch between activation points is given our codes."""
        for tops, run in zip(self._tops, ours, strict=True):
            for top, mine in zip(tops, run.tops, strict=True):
                theirs = found.get(FROM_FILE + top.value)
                if top.fmt is not None and theirs is not None:
                    top.flips += count_differing(theirs, mine.detach().numpy())

    def _end_to_end(
        self, ours: list[LayerRun], given: Mapping[str, Array], found: Mapping[str, Array]
    ) -> None:
        for tops, run in zip(self._tops, ours, strict=True):
            for top, our_top in zip(tops, run.tops, strict=True):
                theirs = found.get(top.value, given.get(top.value))
                if theirs is None:
                    theirs = self.file.constant(top.value)
                if theirs is None:
                    if found:
                        self._problem(top.layer, f'the file lacks its value "{top.value}"')
                    continue
                top.add(theirs, our_top.detach().numpy())

    def _plain(self, ours: list[LayerRun], samples: int, found: Mapping[str, Array]) -> None:
        last = {
            blob: (run.member.node.layer, top.detach().numpy())
            for run in ours
            for blob, top in zip(run.member.spec.tops, run.tops, strict=True)
        }
        for blob, name in zip(self.fresh.selection.outputs, self.file.outputs, strict=False):
            if name not in found:
                continue
            theirs, (layer, mine) = found[name], last[blob]
            before = self.outputs.get(blob, OutputCheck(blob, 0.0, None))
            agreeing = before.agreeing
            classifies = layer.gives_scores or len(self.file.outputs) == 1
            if theirs.shape == mine.shape and classifies and holds_scores(mine.shape):
                same = theirs.argmax(1) == mine.argmax(1)
                agreeing = (agreeing or 0) + int(np.count_nonzero(same[:samples]))
            error = max(before.max_error, float(gap_between(theirs, mine).max(initial=0.0)))
            self.outputs[blob] = replace(before, max_error=error, agreeing=agreeing)


def _as_onnxruntime_has_it(run: LayerRun) -> LayerRun:
    """The same values, laid out as those that they are compared with: channels last would make
    every comparison read across memory. Layers are run on what they were run on."""
    before = tuple(x.detach().contiguous() for x in run.before)
    tops = tuple(
        mine if top is unrounded else top.detach().contiguous()
        for top, unrounded, mine in zip(run.tops, run.before, before, strict=True)
    )
    return replace(run, before=before, tops=tops)


def _difference(name: str, theirs: Array, ours: Array, fmt: Format | None) -> str:
    gap = gap_between(theirs, ours)
    lsb = (
        f" ({gap.max(initial=0.0) / fmt.lsb:.3g} LSB of {fmt})"
        if isinstance(fmt, FixedPoint)
        else ""
    )
    a, b = (np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}") for x in (theirs, ours))
    return (
        f"{np.count_nonzero(a != b)} of {ours.size} values of {name!r} differ, by up to"
        f" {gap.max(initial=0.0):.3g}{lsb}"
    )


def _is_draw(values: Array, master: Tensor, fmt: FixedPoint) -> bool:
    """True when each value is one that stochastic rounding of the master can give."""
    low = replace(fmt, rounding="floor").quantize(master).numpy()
    high = np.minimum(low + np.float32(fmt.lsb), np.float32(fmt.max_value))
    return bool(((values == low) | (values == high)).all())
