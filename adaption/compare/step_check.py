"""check_step: the products of one training step as integer hardware computes them.

A weight layer whose bottoms, weights and gradients are rounded makes three products: forward,
backward data and backward weights. Their operands are codes with one exponent each; codes multiply
and add up in a register of 32 bits, exponents add. Each product is computed so, and compared with
what the simulation made in float32. That has to be equal bit for bit where float32 holds every sum
on the way, whatever the order (the magnitudes of the products sum to 2^24 at most), and elsewhere
within what float32 may lose. A sum that the register does not hold is counted, and its layer named.

Source: specification of S-DFP, sections 1.1 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adaption.compare.result import VerifyReport
from adaption.compare.step_products import LayerStep, ProductCheck
from adaption.errors import FieldError, UsageError
from adaption.net import Net
from adaption.net.node import Node

__all__ = ["ProductCheck", "StepReport", "check_step"]


@dataclass(frozen=True, kw_only=True)
class StepReport(VerifyReport):
    """What `check_step` found; `ok` where every sum is as it has to be and fits the register."""

    net: str
    register_bits: int
    checks: tuple[ProductCheck, ...]

    @property
    def what(self) -> str:
        return f"integers with sums of {self.register_bits} bits against the simulation"

    @property
    def verdict(self) -> str:
        said = "NOT as the simulation" if self.problems else "equal to the simulation"
        return f"{len(self.checks)} products in integers, sums of {self.register_bits} bits: {said}"

    @property
    def detail(self) -> str:
        sums, exact = sum(c.sums for c in self.checks), sum(c.exact * c.sums for c in self.checks)
        return f"{exact / max(sums, 1):.1%} of {sums} sums exact in float32, whatever the order"

    def facts(self) -> dict[str, Any]:
        return {
            "net": self.net,
            "register_bits": self.register_bits,
            "products": [check.to_dict() for check in self.checks],
        }

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (
                *("layer", "product", "operands", "exponents", "terms", "bits", "peak", "sums"),
                "exact",
            ),
            *(
                (
                    *(c.layer, c.product, " x ".join(c.operands)),
                    *(" + ".join(map(str, c.exponents)), str(c.terms), str(c.bits)),
                    *(str(c.peak_bits), str(c.sums), f"{c.exact:.1%}"),
                )
                for c in self.checks
            ),
        ]


def check_step(
    net: Net, inputs: Mapping[str, Any] | None = None, *, register_bits: int = 32
) -> StepReport:
    """Run one training step's passes, and compute its rounded products as integers.

    Args:
        net: in phase TRAIN, with formats at weights, bottoms and gradients; of a net without a loss
            the forward products alone are compared. Its weights stay; diffs, and the averages of
            batch norm, become those of the step.
        inputs: values by input blob; without it the net's own data layers bring them.
        register_bits: of the register that sums products.
    Raises: FieldError; UsageError when no product of the net has two rounded operands.
    """
    if not 2 <= register_bits <= 64:
        raise FieldError("register_bits", register_bits, "2..64")
    steps = {n.spec.name: LayerStep(n) for n in net.nodes if n.layer.is_weight_layer()}
    has_loss = any(any(node.loss_weights) for node in net.nodes)

    def keep(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        if node.spec.name in steps:
            steps[node.spec.name].forward_done(bottoms, tops)

    try:
        for step in steps.values():
            step.node.points = step.recorder
        with torch.enable_grad():
            net.forward(inputs, observer=keep)
        if has_loss:
            _run_backward(net, steps)
    finally:
        for step in steps.values():
            step.node.points = step.points
    notes: list[str] = []
    checks = [check for step in steps.values() for check in step.checks(register_bits, notes)]
    if not checks:
        raise UsageError(
            "no product of this net has two operands with a format",
            "give a net with formats at weight and bottom: adaption rewrite NET --recipe sdfp",
        ).at(file=net.spec.file)
    if not has_loss:
        notes.append("the net has no loss: forward products alone are compared")
    notes += [
        f'layer "{c.layer}": {c.product}: sums of {c.terms} products of such words can need'
        f" {c.bits} bits, {c.peak_bits} here: others may overflow"
        for c in checks
        if c.bits > register_bits and not c.overflows
    ]
    problems = [text for check in checks for text in _problems(check, register_bits)]
    return StepReport(
        net=net.name,
        samples=next((net.blobs[name].shape[0] for name in _fed(net) if net.blobs[name].shape), 0),
        register_bits=register_bits,
        checks=tuple(checks),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _fed(net: Net) -> list[str]:
    """Blobs that no layer reads a bottom for: inputs, and tops of data layers."""
    return [*net.inputs, *(t for n in net.nodes if not n.spec.bottoms for t in n.spec.tops)]


def _run_backward(net: Net, steps: Mapping[str, LayerStep]) -> None:
    """The backward pass, layer by layer, to keep what each one makes."""
    for node in reversed(net.nodes):
        step = steps.get(node.spec.name)
        if step is not None:
            for blob in node.masters:
                blob.set_grad(None)
        net.backward(start=node.spec.name, end=node.spec.name)
        if step is None or not node.needs_backward:
            continue
        step.bottom_grads = [
            net.blobs[name].grad.detach().clone() if down else None
            for name, down in zip(node.spec.bottoms, node.propagate_down, strict=True)
        ]
        if node.gradient_flags()[0]:
            step.weight_grad = node.masters[0].grad.detach().clone()


def _problems(check: ProductCheck, bits: int) -> Iterator[str]:
    where = f'layer "{check.layer}": {check.product}'
    if check.overflows:
        yield (
            f"{where}: {check.overflows} of {check.sums} sums overflow {bits} bits, they need"
            f" {check.peak_bits}: {check.terms} products of"
            f" {' and '.join(check.operands)} add up; take shorter words"
        )
    if check.differing:
        yield f"{where}: {check.differing} of {check.sums} sums differ from the simulation"
