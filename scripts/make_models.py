"""Make the prototxts in models/: deploy, train_val, solver, and those ADaPTION has in fixed point.

    python scripts/make_models.py            # write them
    python scripts/make_models.py --check    # exit with 1 when a file is not what would be written

Architectures are in models/nets.py, data, solvers and formats in models/recipes.py. The
low-precision variants are what adaption.rewrite makes of the float nets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from models.faster_rcnn import faster_rcnn_files
from models.nets import BODIES
from models.recipes import RECIPES, Formats, Recipe
from models.released import with_released_formats
from models.text import net_text

from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.atomic import atomic_write
from adaption.io.netfile import NetFile, from_document
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.precision.proposal import Proposal
from adaption.precision.rewrite import file_sites, rewrite
from adaption.precision.rules import Choice
from adaption.proto import caffe_pb2
from adaption.recipes.per_tensor_sites import tensors_of
from adaption.recipes.view import view_of_spec

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# Made by scripts/make_models.py, see README.md.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    stale = []
    for path, text in all_files():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, "w") as file:
                file.write(text)
    for path in stale:
        print(f"{'not in step' if check else 'written'}: {path}")
    return 1 if check and stale else 0


def all_files() -> Iterator[tuple[Path, str]]:
    """Every file with its text."""
    for name in BODIES:
        for file, text in net_files(name).items():
            yield ROOT / "models" / name / file, HEAD + text
    for file, text in faster_rcnn_files().items():
        yield ROOT / "models/faster_rcnn_vgg16" / file, HEAD + text


def net_files(name: str) -> dict[str, str]:
    recipe = RECIPES[name]
    nets = {"deploy": _deploy(name, recipe), "train_val": _train_val(name, recipe)}
    files = {f"{kind}.prototxt": net_text(net) for kind, net in nets.items()}
    files["solver.prototxt"] = _solver(f"models/{name}", recipe)
    for suffix, formats in recipe.low.items():
        plan = _plan(_as_file(nets["train_val"]), formats)
        for kind, net in nets.items():
            if suffix != "lp" and kind == "train_val":
                continue
            low = rewrite(_as_file(net), plan, partly=kind == "deploy")
            files[f"{kind}_{suffix}.prototxt"] = net_text(low.message)
    if name == "cifar10_resnet20_wide":
        files |= _released(name, nets)
    if name in ("cifar10_resnet20", "resnet152"):  # of the article on S-DFP
        solver = files["solver.prototxt"].replace(f'/{name}"', f'/{name}_sdfp"')
        files["sdfp_solver.prototxt"] = solver + 'precision_policy { type: "sdfp" }\n'
    return files


def _released(name: str, nets: dict[str, caffe_pb2.NetParameter]) -> dict[str, str]:
    """The nets in the formats that their authors trained with, and the solver that does."""
    spec = build_spec(_as_file(nets["train_val"]).message, NetState("TRAIN"))
    tensors = tensors_of(view_of_spec(spec).layers)
    files = {
        f"{kind}_fx.prototxt": net_text(with_released_formats(_as_file(net), tensors).message)
        for kind, net in nets.items()
    }
    solver = _solver(f"models/{name}", RECIPES[name])
    solver = solver.replace("train_val.prototxt", "train_val_fx.prototxt")
    solver = solver.replace(f'/{name}"', f'/{name}_fx"')
    files["fx_solver.prototxt"] = solver + 'precision_policy { type: "per_tensor" }\n'
    return files


def _deploy(name: str, recipe: Recipe) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter(name=recipe.title)
    dims = " ".join(f"dim: {d}" for d in (1, *recipe.shape))
    _add(net, f'name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }}')
    scores = _body(net, name, train=False)
    _add(net, f'name: "prob" type: "Softmax" bottom: "{scores}" top: "prob"')
    return net


def _train_val(name: str, recipe: Recipe) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter(name=recipe.title)
    for phase, part, batch in (("TRAIN", "train", 0), ("TEST", "val", 1)):
        _add(net, _data(recipe, phase, part, recipe.batch[batch]))
    last = _body(net, name, train=True)
    for prefix, weight in recipe.losses.items():
        scores = f"{prefix}classifier" if prefix else last
        loss_weight = f" loss_weight: {weight:g}" if weight != 1 else ""
        both = f'bottom: "{scores}" bottom: "label"'
        loss = f"{prefix}loss" if prefix else "loss"
        _add(net, f'name: "{loss}" type: "SoftmaxWithLoss" {both} top: "{loss}"{loss_weight}')
        test = "include { phase: TEST }"
        top1 = f"{prefix}accuracy" if prefix else "accuracy"
        _add(net, f'name: "{top1}" type: "Accuracy" {both} top: "{top1}" {test}')
        if recipe.top5:
            top5 = f"{top1}_top5"
            more = "accuracy_param { top_k: 5 }"
            _add(net, f'name: "{top5}" type: "Accuracy" {both} top: "{top5}" {test} {more}')
    return net


def _data(recipe: Recipe, phase: str, part: str, batch: int) -> str:
    is_cropped = recipe.shape[1] > 200
    mirror = "mirror: true" if phase == "TRAIN" and recipe.mirror else ""
    padded = recipe.pad and phase == "TRAIN"
    crop = f"crop_size: {recipe.shape[1]}" if is_cropped or padded else ""
    part = part if is_cropped or part == "train" else "test"
    part = f"pad{recipe.pad}_{part}" if padded else part
    return (
        f'name: "data" type: "Data" top: "data" top: "label" include {{ phase: {phase} }}'
        f" transform_param {{ {mirror} {crop} {recipe.transform} }}"
        f' data_param {{ source: "{recipe.source.format(part)}" batch_size: {batch}'
        " backend: LMDB }"
    )


def _body(net: caffe_pb2.NetParameter, name: str, *, train: bool) -> str:
    """Append the layers of a body; returns the blob of the scores."""
    body = BODIES[name](train)
    layers = body.message().layer
    net.layer.extend(layers)
    return str(layers[-1].top[0])


def _add(net: caffe_pb2.NetParameter, text: str) -> None:
    message, notices = prototxt.parse(f"layer {{ {text} }}").message(caffe_pb2.NetParameter)
    assert not notices, notices
    net.layer.extend(message.layer)


def _solver(folder: str, recipe: Recipe) -> str:
    lines = [f'net: "{folder}/train_val.prototxt"']
    for name, value in recipe.solver.items():
        for one in value if isinstance(value, tuple) else (value,):
            lines.append(f'{name}: "{one}"' if isinstance(one, str) else f"{name}: {one}")
    lines += [f'snapshot_prefix: "{folder}/{Path(folder).name}"', "solver_mode: CPU"]
    return "\n".join(lines) + "\n"


def _as_file(net: caffe_pb2.NetParameter) -> NetFile:
    return from_document(prototxt.parse(net_text(net)))


def _plan(net: NetFile, formats: Formats) -> Proposal:
    """Formats by layer, in the order of the weight layers."""
    sites = list(file_sites(net))
    rounding = "stochastic" if formats.stochastic else "half_away"
    made = Proposal(net.message.name)
    rows = [
        (given,) * len(sites) if isinstance(given, str) else given
        for given in (formats.weight, formats.activation)
    ]
    for site, weight, activation in zip(sites, *rows, strict=True):
        name = site.weight.name
        made.choices[Point(name, "weight")] = Choice(FixedPoint.q(weight, rounding), "given")
        if site.result is not None and activation:
            chosen = Choice(FixedPoint.q(activation, rounding), "given")
            made.choices[Point(name, "activation")] = chosen
            made.places[name] = site.result.name
    return made


if __name__ == "__main__":
    sys.exit(main())
