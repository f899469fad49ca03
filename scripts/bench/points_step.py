"""A training step in which every point is rounded, against the same float step.

The net is models/cifar10_full with random data in its first blobs. A step is the solver's: forward,
backward, and an SGD update with momentum and decay. All variants run in turn, in one process.
"fixed" has a FIXED format at each kind of point of every weight layer, of 8 bits, and of 16 bits at
weight_accumulator; "dynamic" has a shared exponent at weights, bottoms and gradients of results.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from figures import Figure, milliseconds
from nets import ROOT, train_net
from turns import Settings, in_turn, ratios

from adaption.net import Point
from adaption.net.plan import KINDS, Plan
from adaption.net.points_check import missing_point
from adaption.numerics import DynamicFixed, FixedPoint, Format
from adaption.proto import caffe_pb2
from adaption.solver import Solver

ROWS = ("points",)
NET = ROOT / "models" / "cifar10_full" / "train_val.prototxt"


def solver(net: caffe_pb2.NetParameter) -> Solver:
    param = caffe_pb2.SolverParameter(
        net_param=net,
        base_lr=1e-5,
        lr_policy="fixed",
        momentum=0.9,
        weight_decay=0.004,
        random_seed=1,
        max_iter=10**6,
    )
    return Solver(param)


def every_point(made: Solver) -> Plan:
    fmt: dict[str, Format] = {kind: FixedPoint(8, 6) for kind in KINDS}
    fmt |= {"bottom": FixedPoint(8, 0), "activation": FixedPoint(8, 0)}
    fmt |= {"weight_grad": FixedPoint(8, 10), "activation_grad": FixedPoint(8, 10)}
    fmt["weight_accumulator"] = FixedPoint(16, 20)
    return {
        Point(node.spec.name, kind): fmt[kind]
        for node in made.net.nodes
        for kind in KINDS
        if node.masters and missing_point(node, kind) is None
    }


def shared_exponents(made: Solver) -> Plan:
    kinds = ("weight", "bottom", "activation_grad")
    return {
        Point(node.spec.name, kind): DynamicFixed(8, -1)
        for node in made.net.nodes
        for kind in kinds
        if node.masters
    }


VARIANTS = {"fixed": every_point, "dynamic": shared_exponents}


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """One row per variant."""
    size = 16 if settings.quick else 32
    net = train_net(NET, size, side=32)
    solvers = {"float": solver(net)}
    for name, plan in VARIANTS.items():
        solvers[name] = solver(net)
        solvers[name].net.set_plan(plan(solvers[name]), backward_weights="QUANTIZED")
    torch.manual_seed(0)
    calls = {name: partial(s.step, 1) for name, s in solvers.items()}
    seconds = in_turn(calls, settings.rounds_or(15, 5))
    for name in VARIANTS:
        yield Figure(
            rows[0],
            f"cifar10_full, batch {size}, {name}",
            milliseconds(seconds[name]),
            f"our float {milliseconds(seconds['float'])}",
            ratios(seconds[name], seconds["float"]),
            target=1.3,
        )
