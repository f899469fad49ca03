"""What does a training step cost when every point is rounded, against the same float step?

    python scripts/bench/points_step.py [--net NET.prototxt] [--batch 32] [--rounds 15]
                                        [--threads 2] [--cpu]

The net is models/cifar10_full with random data in its first blobs. A step is the solver's: forward,
backward, and an SGD update with momentum and decay. All variants run in turn, round by round;
ratios are medians of the rounds' ratios. "points" has one FIXED format of 8 bits at each of the
eight kinds of point of every weight layer (and at every activation), "dynamic" a shared exponent at
bottoms, weights and gradients.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
import turns

from adaption.io.netfile import read_net
from adaption.net import Point
from adaption.net.plan import KINDS, Plan
from adaption.net.points_check import missing_point
from adaption.numerics import DynamicFixed, FixedPoint, Format
from adaption.proto import caffe_pb2
from adaption.solver import Solver

ROOT = Path(__file__).resolve().parent.parent.parent
NET = ROOT / "models" / "cifar10_full" / "train_val.prototxt"


def definition(path: Path, batch: int) -> caffe_pb2.NetParameter:
    """The train net with data layers replaced by random numbers that stay the same."""
    net = caffe_pb2.NetParameter()
    net.CopyFrom(read_net(path).message)
    keep = [layer for layer in net.layer if layer.type not in ("Data", "ImageData", "HDF5Data")]
    del net.layer[:]
    data = net.layer.add(name="data", type="DummyData", top=["data", "label"])
    param = data.dummy_data_param
    param.shape.add(dim=[batch, 3, 32, 32])
    param.shape.add(dim=[batch])
    param.data_filler.add(type="gaussian", std=60.0)
    param.data_filler.add(type="constant", value=3.0)
    net.layer.extend(keep)
    return net


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


def main() -> None:
    """Print one table, a row per variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", type=Path, default=NET)
    parser.add_argument("--batch", type=int, default=32)
    turns.add_options(parser, rounds=15)
    args = parser.parse_args()
    print(turns.start(args))
    net = definition(args.net, args.batch)
    solvers = {name: solver(net) for name in ("float", "points", "dynamic")}
    solvers["points"].net.set_plan(every_point(solvers["points"]), backward_weights="QUANTIZED")
    solvers["dynamic"].net.set_plan(
        shared_exponents(solvers["dynamic"]), backward_weights="QUANTIZED"
    )
    torch.manual_seed(0)
    steps = turns.take_turns([lambda s=s: s.step(1) for s in solvers.values()], args)  # type: ignore[misc]
    print("variant     step ms   against float")
    for name, seconds in zip(solvers, steps, strict=True):
        median = statistics.median(seconds) * 1e3
        print(f"{name:9} {median:9.1f} {turns.ratio(seconds, steps[0]):15.3f}")


if __name__ == "__main__":
    main()
