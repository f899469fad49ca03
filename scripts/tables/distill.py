"""Distillation: fine-tune a fixed-point net to the float net's scores, without labels.

Used by search.py. Weights are trained in full precision and rounded at use; formats do not change.
Half of the images, drawn at random, are mirrored. Labels are not read, so that calibration data of
any kind will do; `adaption train --teacher` needs a train net with labels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import refine as published
import torch
from torch import Tensor

from adaption.io.atomic import atomic_write
from adaption.job.calibration import Calibration
from adaption.job.load import prepare_float
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.options import RunOptions
from adaption.precision.classifiers import find_classifiers
from adaption.precision.evaluate import run_net
from adaption.precision.refining.alone import scored_tops

EPOCHS, BATCH, SEED = 10, 32, 0
WEIGHT_RATE = 0.02  # steps of the grid
BIAS_RATE = 0.0005  # of a layer's mean bias
TEMPERATURE = 4.0


def distilled(args: argparse.Namespace, name: str, number: int, folder: Path) -> dict[str, Any]:
    """Top-1 of a quantized net before and after distillation, from an earlier run if there is one.

    Args:
        args: shared, out, limit as of search.py; distill: images of the calibration data.
        number: of the split of the data. folder: what quantize has written.
    """
    kept = folder / f"distilled_{args.distill}.json"
    if not kept.exists():
        with atomic_write(kept, "w") as file:
            json.dump(_distilled(args, name, number, folder), file)
    return dict(json.loads(kept.read_text("utf-8")))


def _distilled(args: argparse.Namespace, name: str, number: int, folder: Path) -> dict[str, Any]:
    settings = {**published.NETS[name].settings, **published.splits(args, name)[number]}
    files, transform = args.shared / published.NETS[name].folder, settings.get("transform")
    limit = settings.get("limit")
    options = RunOptions(limit=args.limit if limit and args.limit else limit)
    root = settings.get("root")
    source = prepare_float(
        files / "deploy.prototxt", files / "deploy.caffemodel", settings["data"], options,
        fold=settings.get("fold", False), transform=transform, root=root,
    )  # fmt: skip
    calibration = Calibration(settings["calibration"], root, args.distill)
    feed = calibration.feed(source.spec, source.feed, transform, options, source.weights, root)
    teacher, net = source.build(), _student(folder)
    scores = find_classifiers(source.feed.spec, teacher)
    assert scores.main is not None
    top = scored_tops(teacher.nodes, [scores.main]).popitem()[1]

    def top1() -> float:
        found = run_net(net, source.feed, scores=scores).accuracy()
        assert found is not None
        return 100 * float(found["top1"] or 0)

    images = torch.cat([torch.as_tensor(b.blobs[feed.spec.inputs[0]]) for b in feed])
    before = top1()
    _distill(teacher, net, images, top)
    return {"before": before, "after": top1(), "images": len(images), **_settings()}


def _settings() -> dict[str, Any]:
    return {"epochs": EPOCHS, "batch": BATCH, "temperature": TEMPERATURE, "seed": SEED}


def _student(folder: Path) -> Net:
    """The net with gradients for all of its layers."""
    (found,) = folder.glob("*_lp.prototxt")
    text = "force_backward: true\n" + found.read_text("utf-8")
    with_gradients = folder / "distilled.prototxt"
    with_gradients.write_text(text, "utf-8")
    return Net(with_gradients, found.with_suffix(".caffemodel"))


def _distill(teacher: Net, net: Net, images: Tensor, top: str) -> None:
    ends = {x: max(i for i, n in enumerate(x.nodes) if top in n.spec.tops) for x in (teacher, net)}
    blob = net.inputs[0]
    groups = []
    for node in net.nodes:
        for i, master in enumerate(node.masters):
            form = node.formats.weight
            rate = BIAS_RATE * float(master.tensor.abs().mean())
            if i == 0 and isinstance(form, FixedPoint):
                rate = WEIGHT_RATE * form.lsb
            groups.append({"params": [master.tensor], "lr": rate})
    optimizer = torch.optim.Adam(groups)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = torch.Generator().manual_seed(SEED)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images), generator=random)
        for picks in torch.split(order, BATCH)[: len(images) // BATCH]:
            x = images[picks].clone()
            mirrored = torch.rand(BATCH, generator=random) < 0.5
            x[mirrored] = x[mirrored].flip(3)
            with torch.no_grad():
                teacher.forward({blob: x}, end=ends[teacher])
            want = torch.softmax(teacher.blobs[top].tensor.flatten(1) / TEMPERATURE, 1)
            net.forward({blob: x}, end=ends[net])
            found = torch.softmax(net.blobs[top].tensor.flatten(1) / TEMPERATURE, 1)
            net.clear_param_diffs()
            gradient = TEMPERATURE * (found - want) / BATCH
            net.blobs[top].set_grad(gradient.view(net.blobs[top].shape))
            net.backward(start=ends[net])
            optimizer.step()
            schedule.step()
