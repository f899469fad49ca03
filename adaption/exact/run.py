"""ExactNet: a low-precision net in exact integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from adaption.errors import AdaptionError, ShapeError, UsageError
from adaption.exact.build import build_program
from adaption.exact.options import ExactOptions
from adaption.exact.program import Accumulate, Op, Product, Program, Round, Value
from adaption.exact.report import AccumulatorRow, ExactReport
from adaption.exact.selection import Selection, select
from adaption.net import Net
from adaption.numerics.exact import bits_of

__all__ = ["ExactNet", "ExactRun"]


@dataclass
class _Seen:
    """Least and greatest value of one accumulator, and how often it overflowed."""

    low: int = 0
    high: int = 0
    overflows: int = 0


@dataclass(frozen=True)
class ExactRun:
    """What one pass made. `codes` by value name, see Program; `floats` the float32 values.

    `ties` counts, per quantization point (layer), values that lay exactly between two codes;
    `saturated` those beyond the range.
    """

    program: Program
    codes: Mapping[str, Tensor]
    floats: Mapping[str, Tensor]
    ties: Mapping[str, int] = field(default_factory=dict)
    saturated: Mapping[str, int] = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, Tensor]:
        """The output blobs, float32."""
        return {blob: self.floats[value] for blob, value in self.program.outputs.items()}

    def value(self, name: str) -> Tensor:
        """float64 values of a value of the program; codes are scaled."""
        if name in self.floats:
            return self.floats[name].double()
        made = self.program.values[name]
        return self.codes[name].double() * made.scale

    def tops(self) -> Iterator[tuple[str, str, Value | None, Tensor]]:
        """(layer, blob, scale, codes) of every top that exists; for floats the scale is None."""
        for top in self.program.tops:
            if top.value is None:
                continue
            if top.is_float:
                yield top.layer, top.blob, None, self.floats[top.value]
            else:
                made = self.program.values[top.value]
                yield top.layer, top.blob, made, self.codes[top.value]


class ExactNet:
    """The net computed on integer codes; see `program` for the operations and their meaning.

    Args:
        net: a low-precision net in phase TEST; it is not changed, and its weights are read once.
        options: input formats, how biases are taken, accumulators.
    Raises: AdaptionError naming file and layer when the net has no integer form.
    """

    def __init__(self, net: Net, options: ExactOptions | None = None) -> None:
        self.selection: Selection = select(net)
        self.options = options or ExactOptions()
        shapes = {name: net.blobs[name].shape for name in self.selection.inputs}
        try:
            self.program = build_program(self.selection, shapes, self.options)
        except AdaptionError as error:
            raise error.at(file=net.spec.file) from None
        self._shapes = shapes
        self._seen: dict[str, _Seen] = {}

    @torch.no_grad()
    def run(self, inputs: Mapping[str, npt.ArrayLike | Tensor]) -> ExactRun:
        """One pass over float32 inputs; the first axis may have any size where the net allows.

        Raises: UsageError when an input is missing; ShapeError when one does not fit.
        """
        floats = self._given(inputs)
        codes: dict[str, Tensor] = {}
        ties: dict[str, int] = {}
        saturated: dict[str, int] = {}
        for op in self.program.ops:
            xs = [codes[n] if n in codes else floats[n] for n in op.inputs]
            made = op.run(*xs)
            tops = [made] if isinstance(made, Tensor) else list(made)
            for name, top in zip(op.outputs, tops, strict=True):
                (codes if name in self.program.values else floats)[name] = top
            if isinstance(op, Round) and op.low is not None:
                ties[op.layer] = ties.get(op.layer, 0) + op.ties(xs[0])
                saturated[op.layer] = saturated.get(op.layer, 0) + op.beyond(xs[0])
            self._watch(op, xs, tops)
        return ExactRun(self.program, codes, floats, ties, saturated)

    def report(self) -> ExactReport:
        """Accumulators of all weight layers: width needed in the worst case, and for what ran."""
        products: list[Product] = self.program.of_kind(Product)
        rows = []
        for op in products:
            value = self.program.values[op.outputs[0]]
            seen = self._seen.get(op.layer)
            rows.append(
                AccumulatorRow(
                    layer=op.layer,
                    frac_length=value.frac_length,
                    bits=value.bits,
                    measured_bits=bits_of(seen.low, seen.high) if seen else None,
                    overflows=seen.overflows if seen else 0,
                )
            )
        return ExactReport(tuple(rows), self.program.is_lossless, self.program.notes)

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        floats = {}
        for name, own in self._shapes.items():
            if name not in inputs:
                raise UsageError(
                    f"no values are given for input {name!r}",
                    f"give one array for each of {', '.join(map(repr, self._shapes))}",
                )
            value = torch.as_tensor(inputs[name]).to(torch.float32)
            if value.dim() != len(own) or tuple(value.shape[1:]) != tuple(own[1:]):
                raise ShapeError(
                    f'input "{name}" has shape {tuple(value.shape)}, the net has {tuple(own)}'
                )
            floats[name] = value
        return floats

    def _watch(self, op: Op, xs: list[Tensor], tops: list[Tensor]) -> None:
        if isinstance(op, Product | Accumulate):
            seen = self._seen.setdefault(op.layer, _Seen())
            x = tops[0] if isinstance(op, Product) else op.unbounded(xs[0])
            if x.numel():
                seen.low, seen.high = min(seen.low, int(x.min())), max(seen.high, int(x.max()))
            if isinstance(op, Accumulate):
                seen.overflows += int(torch.count_nonzero(x != tops[0]))
