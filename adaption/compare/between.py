"""check_between: compare any two backends, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.compare.backends import Arithmetic, Exact
from adaption.compare.gaps import are_equal, gap_between
from adaption.compare.named_backends import Side, backend_of, opened
from adaption.compare.result import VerifyReport
from adaption.compare.sessions import ModelFile
from adaption.compare.verify_inputs import SAMPLES, on_grids
from adaption.errors import UsageError, counted
from adaption.exact import ExactReport
from adaption.exact.selection import Member, Selection, refuse_nan, select
from adaption.net import Net
from adaption.numerics import FixedPoint, Format

__all__ = ["BetweenReport", "TopCheck", "check_between", "counterpart"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TopCheck:
    """One top of one layer in two backends.

    Errors in units of the values, and in LSBs of the layer's quantization point where it has one.
    `is_promised`: the two must be equal here. `ties`: values that lay exactly between two codes,
    where one side counts them; `parted`: those of them that the net itself rounds otherwise.
    """

    layer: str
    type: str
    blob: str
    format: Format | None
    count: int
    differing: int
    max_error: float
    mean_error: float
    max_error_lsb: float | None
    mean_error_lsb: float | None
    is_promised: bool
    ties: int | None = None
    parted: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The check as plain values, for JSON."""
        return {
            **vars(self),
            "format": None if self.format is None else str(self.format),
            "differing_share": self.differing / max(1, self.count),
        }


@dataclass(frozen=True, kw_only=True)
class BetweenReport(VerifyReport):
    """What `check_between` found. `tolerance` in LSBs, None where none was asked for."""

    a: str
    b: str
    tops: tuple[TopCheck, ...]
    promise: str  # why which tops must be equal, or why none
    tolerance: float | None
    input_formats: Mapping[str, FixedPoint]
    exact: ExactReport | None = None  # of exact arithmetic, where it is one of the two

    @property
    def first_difference(self) -> TopCheck | None:
        """The first layer that differs at all: of those that must not, else of quantization points,
        else of all."""
        kinds = (lambda t: t.is_promised, lambda t: t.format is not None, lambda t: True)
        found = ([t for t in self.tops if kind(t)] for kind in kinds)
        return next((t for tops in found for t in tops if t.differing), None)

    @property
    def detail(self) -> str:
        """The result in one line."""
        first = self.first_difference
        points = [t for t in self.tops if t.format is not None]
        codes, flips = sum(t.count for t in points), sum(t.differing for t in points)
        promised = [t for t in self.tops if t.is_promised]
        said = [f"{len(self.tops)} tops on {counted(self.samples, 'sample')}"]
        if first is None:
            said.append("all bit-equal")
        elif promised and not any(t.differing for t in promised):
            said.append(f"all {len(promised)} that must be equal are bit-equal")
        else:
            said.append(f'"{first.layer}" differs first, in {first.differing} of {first.count}')
        if points:
            worst = max(t.max_error_lsb or 0.0 for t in points)
            far = f", by up to {worst:.3g} LSB" if flips else ""
            said.append(f"{flips} of {codes} codes differ{far}")
        ties = [t.ties for t in self.tops if t.ties is not None]
        if ties:
            said.append(f"{sum(ties)} exact ties")
        parted = [t.parted for t in self.tops if t.parted is not None]
        if parted:
            said.append(f"{sum(parted)} of them rounded otherwise than the net does")
        return "; ".join([*said, self.promise])

    @property
    def what(self) -> str:
        return f"{self.a} against {self.b}"

    @property
    def verdict(self) -> str:
        return f"{self.a} and {self.b} {'do NOT agree' if self.problems else 'agree'}"

    def facts(self) -> dict[str, Any]:
        first = self.first_difference
        return {
            "tolerance_lsb": self.tolerance,
            "input_formats": {name: str(fmt) for name, fmt in self.input_formats.items()},
            "first_difference": None if first is None else first.to_dict(),
            "tops": [t.to_dict() for t in self.tops],
            "exact": None if self.exact is None else self.exact.to_dict(),
        }

    def rows(self) -> list[tuple[str, ...]]:
        head = ("layer", "blob", "format", "max error", "max LSB", "mean LSB", "differ", "ties")
        return [
            head,
            *(
                (
                    t.layer,
                    t.blob,
                    "float" if t.format is None else str(t.format),
                    f"{t.max_error:.3g}",
                    "-" if t.max_error_lsb is None else f"{t.max_error_lsb:.3g}",
                    "-" if t.mean_error_lsb is None else f"{t.mean_error_lsb:.3g}",
                    f"{t.differing / max(1, t.count):.4%}" if t.differing else "0",
                    "-" if t.ties is None else str(t.ties),
                )
                for t in self.tops
            ),
        ]


def counterpart(given: str) -> str:
    """The backend that a style of ONNX, or another backend, should equal."""
    known = {"integer": "exact", "qdq": "exact-half-even", "exact": "lp64", "c": "exact"}
    return {**known, "opencv": "baked"}.get(given, "lp")


def check_between(
    net: Net,
    a: Side,
    b: Side,
    inputs: Mapping[str, npt.ArrayLike] | None = None,
    *,
    input_formats: Mapping[str, FixedPoint] | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> BetweenReport:
    """Run two backends on the same inputs and compare every top that both make.

    Equality is promised, and anything less a failure, between two exact ones that round alike, and
    at quantization points between an exact one and lp64 where exact arithmetic rounds nothing else
    (its `is_lossless`). ONNX files of styles integer and qdq are exact, from the first layer on to
    the first that their export named as an exception. Everything else is reported and not judged,
    unless `tolerance` asks for it.

    Args:
        net: the net in phase TEST; it is not changed.
        a, b: names of backends, files, or objects; see compare.named_backends.
        inputs: values by input blob, first axis the samples; without it random ones.
        input_formats: inputs are rounded to these first, for both; an ONNX file brings its own.
        tolerance: greatest allowed difference at quantization points, in LSBs.
    Raises: UsageError when an input is missing, or nothing can be compared; DataError naming the
        first layer that gives NaN, where it reaches an output.
    """
    selection = select(net)
    sides = [opened(side) for side in (a, b)]
    formats = dict(input_formats or {})
    for side in sides:
        if isinstance(side, ModelFile):
            formats = {**side.input_formats, **formats}
    one, other = (backend_of(side, net, formats) for side in sides)
    given = on_grids(_values(net, selection, inputs, formats, seed), formats)
    left, right = one.run(given), other.run(given)
    refuse_nan(
        selection,
        (
            (member, blob, left.values[member.spec.name, blob])
            for member in selection.members
            for blob in member.spec.tops
            if (member.spec.name, blob) in left.values
        ),
    )
    promise, at_points_only = _promise(one.arithmetic, other.arithmetic)
    tops = []
    exceptions = {*one.arithmetic.exceptions, *other.arithmetic.exceptions}
    for member in selection.members:
        if member.spec.name in exceptions and at_points_only is False:
            at_points_only = None
        for blob in member.spec.tops:
            key = member.spec.name, blob
            if key in left.values and key in right.values:
                ties = left.ties.get(key[0], right.ties.get(key[0]))
                parted = left.parted.get(key[0], right.parted.get(key[0]))
                if at_points_only:
                    is_promised = member.node.formats.activation is not None or _is_sum(member)
                else:
                    is_promised = at_points_only is False and key in left.codes & right.codes
                pair = left.values[key], right.values[key]
                check = _check(member, blob, *pair, is_promised)
                tops.append(replace(check, ties=ties, parted=parted))
    if not tops:
        raise UsageError(
            f"{one.name} and {other.name} have no blob in common",
            f"the net's outputs: {', '.join(selection.outputs)}",
        )
    samples = max((len(x) for x in given.values()), default=0)
    reports = [x.net.report() for x in (one, other) if isinstance(x, Exact)]
    wide = reports[0].wider_than(32) if reports else ()
    notes = [f"sums may need more than 32 bits in: {', '.join(wide)}"] * bool(wide)
    notes += [f"input {name!r} rounded to {fmt}" for name, fmt in formats.items()]
    return BetweenReport(
        a=one.name,
        b=other.name,
        samples=samples,
        problems=tuple(_problems(tops, tolerance)),
        notes=tuple(notes),
        tops=tuple(tops),
        promise=promise,
        tolerance=tolerance,
        input_formats=formats,
        exact=reports[0] if reports else None,
    )


def _problems(tops: Sequence[TopCheck], tolerance: float | None) -> Iterator[str]:
    """Tops that break the promise, or the tolerance where one was asked for."""
    for t in tops:
        lsb = t.max_error_lsb
        if tolerance is not None:
            # Written so that NaN counts as a difference.
            if lsb is not None and not lsb <= tolerance:
                yield (
                    f'layer "{t.layer}" ({t.type}): "{t.blob}" differs by up to {lsb:.3g} LSB,'
                    f" allowed {tolerance:g}"
                )
        elif t.is_promised and t.differing:
            yield (
                f'layer "{t.layer}" ({t.type}): "{t.blob}" differs in {t.differing} of'
                f" {t.count} values, by up to {t.max_error:.3g}"
            )


def _promise(a: Arithmetic, b: Arithmetic) -> tuple[str, bool | None]:
    """What must be equal, in words; and True: points only, False: every top, None: nothing."""
    kinds = {a.kind, b.kind}
    if kinds == {"exact"} and (a.rounding, a.biases) == (b.rounding, b.biases):
        exceptions = dict.fromkeys((*a.exceptions, *b.exceptions))
        if exceptions:
            named = ", ".join(f'"{name}"' for name in exceptions)
            return f"both are exact: codes must be equal before layers {named}", False
        return "both are exact: all codes must be equal", False
    if kinds == {"exact"}:
        return "not promised equal: they take ties, or biases off the grid, otherwise", None
    if kinds == {"exact", "float64"} and {a.rounding, b.rounding} == {"net"}:
        if a.is_lossless and b.is_lossless:
            return "float64 sums of codes do not round: quantization points must be equal", True
        return "not promised equal: exact arithmetic rounds constants of this net", None
    return "not promised equal: float32 sums round; --tolerance asks for a number of LSBs", None


def _is_sum(member: Member) -> bool:
    """Whether a layer's tops are sums of products of its own rounded operands, bias included."""
    formats = member.node.formats
    grids = [formats.bottom, formats.weight]
    if not all(isinstance(fmt, FixedPoint) and fmt.is_binary for fmt in grids):
        return False
    grid = sum(fmt.frac_length for fmt in grids)  # type: ignore[union-attr]
    bias = formats.bias
    on_grid = isinstance(bias, FixedPoint) and bias.is_binary and bias.frac_length <= grid
    return on_grid or len(member.node.masters) == 1


def _values(
    net: Net,
    selection: Selection,
    inputs: Mapping[str, npt.ArrayLike] | None,
    formats: Mapping[str, FixedPoint],
    seed: int,
) -> dict[str, Array]:
    if inputs is not None:
        missing = [name for name in selection.inputs if name not in inputs]
        if missing:
            raise UsageError(
                f"no values are given for input {', '.join(map(repr, missing))}",
                f"give one array for each of {', '.join(map(repr, selection.inputs))}",
            )
        return {name: np.asarray(inputs[name], np.float32) for name in selection.inputs}
    rng = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for name in selection.inputs:
        shape = net.blobs[name].shape
        peak = formats[name].max_value if name in formats else 3.0
        normal = rng.standard_normal((SAMPLES, *shape[1:]))
        made[name] = np.asarray(normal * peak / 3, np.float32)
    return made


def _check(member: Member, blob: str, a: Array, b: Array, is_promised: bool) -> TopCheck:
    fmt = member.node.formats.activation
    if a.shape != b.shape:
        if a.size != b.size:
            raise UsageError(
                f'"{blob}" has shape {a.shape} in one and {b.shape} in the other',
                "compare files that were made from this net",
            )
        b = b.reshape(a.shape)
    if isinstance(fmt, FixedPoint) and fmt.divisor != 1:
        # No float is i / n: what counts is i.
        a, b = (np.rint(x * (2.0**fmt.frac_length * fmt.divisor)) * fmt.lsb for x in (a, b))
    greatest = mean = 0.0
    differing = 0
    if not are_equal(a, b):
        gap = gap_between(a, b)
        greatest, mean = float(gap.max(initial=0.0)), float(gap.mean())
        differing = int(np.count_nonzero(gap))
    lsb = fmt.lsb if isinstance(fmt, FixedPoint) else None
    return TopCheck(
        layer=member.spec.name,
        type=member.spec.type,
        blob=blob,
        format=fmt,
        count=a.size,
        differing=differing,
        max_error=greatest,
        mean_error=mean,
        max_error_lsb=None if lsb is None else greatest / lsb,
        mean_error_lsb=None if lsb is None else mean / lsb,
        is_promised=is_promised,
    )
