"""What a short fine-tuning regains at 4, 3 and 2 bits: "At few bits" in docs/measurements.md.

    python scripts/tables/finetune_bits.py SHARED -o out [--only quantized:4:1,lenet:2:1] [--list]

SHARED has models/ and data/: ResNet-20 and CIFAR-10 as JPEG, LeNet and MNIST. ResNet-20 is first
trained in float on these images, a start that all rows have in common; then each row takes its
formats from 512 training images (rule sqnr, unsigned, behind the ReLU), and trains 200 iterations
in batches of 128: 150 with a learning rate of 0.01, 50 with 0.001. Weights and results of weight
layers are rounded; the image, sums of branches and averages stay float. All rows are scored on the
10,000 test images. Rows:

    quantized   gradients go back through rounded weights
    bottoms     like quantized; the image, sums of branches and averages are rounded, too
    masters     gradients go back through the masters, as in ADaPTION
    best        from the net that --best makes of the common start, with its formats and masks
    refined     the same with --int8 --best: the image, sums and averages are rounded, too
    slow        like quantized, moving_average_fraction 0.999
    renewed     like slow, with statistics of batch norm computed anew from 50 batches at the end
    helped      like quantized, with what may help: such statistics, the float start as a teacher,
                no gradient where a value saturates
    best_helped like best, with such statistics and such a teacher
    lenet       LeNet of the published weights, like quantized, 468 iterations
    brevitas, brevitas_float
                like quantized, trained by Brevitas, with power-of-two and with float scales that it
                learns; these rows need the package brevitas, and are left out without it

A cell is ROW:BITS:SEED; a cell whose file is in out is not run again. Prints one Markdown table of
these cells: the median over their seeds, and each seed's figure. A target counts as missed only
when all seeds are done.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import adaption
from adaption.data import Transform, open_source
from adaption.data.lmdb_writer import DatumForm, datum_records, write_lmdb
from adaption.errors import AdaptionError
from adaption.options import BEST, INT8
from adaption.precision.proposal import Proposal

SEEDS = (1, 2, 3)
# the least median that is asked for, in %
TARGETS = {
    **{("quantized", 4): 84.0, ("quantized", 3): 80.5, ("quantized", 2): 64.0},
    **{("best", 4): 84.0, ("best", 3): 80.5, ("best", 2): 64.0},
    **{("helped", 2): 64.0, ("best_helped", 2): 64.0},
    **{("lenet", 3): 98.5, ("lenet", 2): 97.0},
}
HELPED = ("helped", "best_helped")
PEERS = {"brevitas": True, "brevitas_float": False}  # whether scales are powers of two
CELLS = [
    *(
        (row, bits, seed)
        for row in ("quantized", "best", "bottoms", "refined")
        for bits in (4, 3, 2)
        for seed in SEEDS
    ),
    *(("lenet", bits, seed) for bits in (3, 2) for seed in SEEDS),
    *((row, 3, seed) for row in ("slow", "renewed") for seed in SEEDS),
    *((row, bits, seed) for row in HELPED for bits in (3, 2) for seed in SEEDS),
    *(("masters", bits, seed) for bits in (4, 3, 2) for seed in SEEDS),
    *((row, bits, seed) for row in PEERS for bits in (4, 3, 2) for seed in SEEDS),
]
CHOICES: dict[str, Any] = {
    "rule": "sqnr",
    "unsigned": True,
    "lpact": "after-relu",
}
DATA = """
layer {{ name: "data" type: "Data" top: "{data}" top: "{label}"
  include {{ phase: {phase} }}
  transform_param {{ {transform} {mirror} }}
  data_param {{ source: "{source}" batch_size: {batch} backend: LMDB {skip} }} }}"""
SOLVER = """net: "{net}"
base_lr: 0.01 lr_policy: "multistep" stepvalue: {step} gamma: 0.1 momentum: 0.9
weight_decay: 0.0001 max_iter: {iterations} display: 50 snapshot_prefix: "{prefix}"
random_seed: {seed}
"""


@dataclass(frozen=True)
class Subject:
    """A published net, its data, and the blobs that a train net is made around."""

    folder: str
    train: str
    test: str
    form: DatumForm
    mean: str | None
    data: str
    label: str
    tail: str
    iterations: int

    @property
    def name(self) -> str:
        return Path(self.folder).name


RESNET = Subject(
    "models/cifar10_resnet20",
    "data/cifar10/cifar10_train_jpeg.npz",
    "data/cifar10/cifar10_test_jpeg.npz",
    DatumForm(channel_order="RGB"),
    "cifar10_mean.binaryproto",
    "Data1",
    "Data2",
    "InnerProduct1",
    200,
)
LENET = Subject(
    "models/lenet",
    "data/mnist/train-images-idx3-ubyte.gz",
    "data/mnist/t10k-images-idx3-ubyte.gz",
    DatumForm(),
    None,
    "data",
    "label",
    "ip2",
    468,
)
START = 400  # iterations in float that all rows of ResNet-20 have behind them


def main() -> int:
    """Train what is missing, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, metavar="SHARED")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", help="rows, ROW:BITS or ROW:BITS:SEED, with commas between")
    parser.add_argument("--list", action="store_true", help="list the cells that are not done")
    args = parser.parse_args()
    wanted = args.only.split(",") if args.only is not None else ["-"]
    shared, out = args.shared.resolve(), args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    try:
        for cell in CELLS:
            names = {cell[0], "{}:{}".format(*cell[:2]), "{}:{}:{}".format(*cell)}
            if args.only is not None and not names & set(wanted):
                continue
            if path_of(out, cell).exists():
                continue
            if cell[0] in PEERS and find_spec("brevitas") is None:
                print("{}:{}:{} left out: needs the package brevitas".format(*cell))
            elif args.list:
                print("{}:{}:{}".format(*cell))
            elif cell[0] in PEERS:
                train_peer(shared, out, cell)
            else:
                train_cell(shared, out, cell)
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not args.list:
        print(table(out))
    return 0


def path_of(out: Path, cell: tuple[str, int, int]) -> Path:
    return out / "{}_{}_{}.json".format(*cell)


def paths_of(out: Path, row: str, bits: int) -> list[Path]:
    """The files of a row and word length, one per seed."""
    return [path_of(out, (row, bits, seed)) for seed in SEEDS]


def train_cell(shared: Path, out: Path, cell: tuple[str, int, int]) -> None:
    """One training run, scored, and written down."""
    row, bits, seed = cell
    subject = LENET if row == "lenet" else RESNET
    name = "{}_{}_{}".format(*cell)
    begun = time.process_time()
    start = common_start(shared, out) if subject is RESNET else published(shared, subject)
    fraction = 0.999 if row in ("slow", "renewed") else 0.9
    full = train_net(shared, out, subject, name, seed, fraction)
    plan, weights = formats_of(shared, out, subject, row, bits, start)
    low = out / f"{name}.prototxt"
    is_helped = row in HELPED
    adaption.rewrite_files(full, low, plan=plan, mask_saturated=is_helped)
    sisters = [json.loads(f.read_text("utf-8")) for f in paths_of(out, row, bits) if f.exists()]
    # The seeds of a row begin with one net: what it scores is measured once.
    before = sisters[0]["before"] if sisters else accuracy(low, weights)
    renew = 50 if row == "renewed" or is_helped else 0
    teacher = (shared / subject.folder / "deploy.prototxt", start) if is_helped else None
    trained = run(out, low, name, weights, subject.iterations, seed, renew, teacher)
    of_start = sisters[0]["start"] if sisters else accuracy(full, start)
    keep(out, cell, before, accuracy(low, trained), of_start, begun)


def keep(
    out: Path,
    cell: tuple[str, int, int],
    before: float | None,
    after: float,
    start: float,
    begun: float,
) -> None:
    """Write down what a cell scored, in %, and the time since `begun`."""
    found = {
        "cell": cell,
        "before": before,
        "after": after,
        "start": start,
        "cpu_seconds": time.process_time() - begun,
    }
    path_of(out, cell).write_text(json.dumps(found, indent=2), "utf-8")
    print(json.dumps(found), file=sys.stderr, flush=True)


def train_peer(shared: Path, out: Path, cell: tuple[str, int, int]) -> None:
    """The same of a row of Brevitas: same start, same batches, same places of rounding."""
    from brevitas_net import BrevitasNet, accuracy_of, trained

    row, bits, seed = cell
    begun = time.process_time()
    start = common_start(shared, out)
    full = train_net(shared, out, RESNET, "{}_{}_{}".format(*cell), seed, 0.9)
    proposal = proposed(shared, out, RESNET, row, bits, start)
    results = {
        proposal.places[point.layer]: form
        for point, form in proposal.plan.items()
        if point.kind == "activation"
    }
    torch.manual_seed(seed)
    deploy = adaption.Net(shared / RESNET.folder / "deploy.prototxt", start, seed=0)
    net = BrevitasNet(deploy, bits, results, is_power_of_two=PEERS[row])
    calibration = [images for images, _ in islice(fed(full, "TRAIN", 0), 4)]
    trained(net, fed(full, "TRAIN", seed), calibration, RESNET.iterations)
    after = accuracy_of(net, islice(fed(full, "TEST", 0), 100))
    keep(out, cell, None, after, accuracy(full, start), begun)


def fed(net: Path, phase: str, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and classes as a net's data layer gives them, without end."""
    feed = adaption.Net(net, phase=phase, seed=seed, end="data")
    while True:
        blobs = feed.forward()
        yield blobs[RESNET.data].clone(), blobs[RESNET.label].long().flatten()


def published(shared: Path, subject: Subject) -> Path:
    return shared / subject.folder / "deploy.caffemodel"


def common_start(shared: Path, out: Path) -> Path:
    """The float net after training on the JPEG images, whose statistics it was not trained on."""
    made = out / f"start_iter_{START}.caffemodel"
    if not made.exists():
        net = train_net(shared, out, RESNET, "start", 1, 0.9)
        run(out, net, "start", published(shared, RESNET), START, 1, 0)
    return made


def train_net(
    shared: Path, out: Path, subject: Subject, name: str, seed: int, fraction: float
) -> Path:
    """The train and test net over the published deploy net's layers. Seeds begin elsewhere."""
    text = (shared / subject.folder / "deploy.prototxt").read_text("utf-8")
    first = text.index("layer {", text.index('type: "Input"'))
    last = text.rindex("layer {")  # the softmax, whose loss stands in its place
    body = text[first:last]
    momentum = f"batch_norm_param {{ moving_average_fraction: {fraction} }}"
    still = "param { lr_mult: 0 } " * 3
    body = re.sub(r'(type: "BatchNorm")', rf"\1 {momentum} {still}", body)
    parts = [f'name: "{subject.name}"']
    transform = "scale: 0.00390625"
    if subject.mean is not None:
        transform = f'mean_file: "{shared / subject.folder / subject.mean}"'
    for phase, batch, images in (("TRAIN", 128, subject.train), ("TEST", 100, subject.test)):
        source = out / f"{subject.name}_{phase.lower()}_lmdb"
        if not source.exists():
            write_lmdb(source, datum_records(open_source(shared / images), subject.form))
        is_train = phase == "TRAIN"
        parts.append(
            DATA.format(
                data=subject.data,
                label=subject.label,
                phase=phase,
                transform=transform,
                mirror="mirror: true" if is_train and subject is RESNET else "",
                source=source,
                batch=batch,
                skip="rand_skip: 40000" if is_train else "",
            )
        )
    parts.append(
        f"""{body}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{subject.tail}" bottom: "{subject.label}"
  top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "{subject.tail}" bottom: "{subject.label}"
  top: "accuracy" include {{ phase: TEST }} }}
"""
    )
    path = out / f"{name}_float.prototxt"
    path.write_text("\n".join(parts), "utf-8")
    return path


def formats_of(
    shared: Path, out: Path, subject: Subject, row: str, bits: int, start: Path
) -> tuple[Path, Path]:
    """The plan of a row, and the weights that its training begins with."""
    deploy = shared / subject.folder / "deploy.prototxt"
    if row in ("best", "best_helped", "refined"):
        folder = out / f"{'int8' if row == 'refined' else 'plain'}_best_{bits}"
        choices: dict[str, Any] = {**(INT8 if row == "refined" else {}), **BEST, "bits": bits}
        if not (folder / "summary.json").exists():
            adaption.quantize(
                deploy,
                start,
                data=shared / subject.test,
                limit=2000,
                calibration=shared / subject.train,
                calibration_limit=512,
                transform=transform_of(shared, subject),
                out=folder,
                onnx="qdq" if row == "refined" else "float",
                quiet=True,
                **choices,
            )
        return folder / "plan.json", folder / "net_lp.caffemodel"
    kind = row if row in ("masters", "bottoms") else "quantized"
    plan = out / f"{subject.name}_{kind}_{bits}.plan.json"
    proposed(shared, out, subject, row, bits, start).save(plan)
    return plan, start


def proposed(
    shared: Path, out: Path, subject: Subject, row: str, bits: int, start: Path
) -> Proposal:
    """The formats of a row, from statistics of training images."""
    deploy = shared / subject.folder / "deploy.prototxt"
    measured = out / f"{subject.name}_measured.json"
    if not measured.exists():
        adaption.measure(
            deploy,
            start,
            shared / subject.train,
            limit=512,
            transform=transform_of(shared, subject),
            out=measured,
            quiet=True,
        )
    choices: dict[str, Any] = {
        **CHOICES,
        "bits": bits,
        "backward_weights": row != "masters",
        "every_bottom": row == "bottoms",
    }
    return adaption.propose(deploy, measured, **choices)


def transform_of(shared: Path, subject: Subject) -> Transform:
    """How the images of a subject are preprocessed."""
    if subject.mean is None:
        return Transform(scale=1 / 256)
    mean = shared / subject.folder / subject.mean
    return Transform(channel_order="RGB", mean_file=mean)


def run(
    out: Path,
    net: Path,
    name: str,
    weights: Path,
    iterations: int,
    seed: int,
    renew: int,
    teacher: tuple[Path, Path] | None = None,
) -> Path:
    """Train. Returns: the caffemodel of the end."""
    solver = out / f"{name}.solver.prototxt"
    solver.write_text(
        SOLVER.format(
            net=net,
            step=iterations * 3 // 4,
            iterations=iterations,
            prefix=out / name,
            seed=seed,
        ),
        "utf-8",
    )
    log = out / f"{name}.jsonl"
    adaption.train(
        solver, weights=weights, log_json=log, reestimate_batch_norm=renew, teacher=teacher
    )
    return out / f"{name}_iter_{iterations}.caffemodel"


def accuracy(net: Path, weights: Path) -> float:
    """Top-1 on the 10,000 test images, in %."""
    made = adaption.Net(net, weights, seed=0)
    with torch.no_grad():
        return sum(float(made.forward()["accuracy"]) for _ in range(100))


def table(out: Path) -> str:
    """Markdown: one line per row and word length of which a seed is done."""
    lines = ["| row | bits W/A | start | before | median | seeds | target |", "|---|" + "---|" * 6]
    for row, bits in dict.fromkeys(cell[:2] for cell in CELLS):
        files = paths_of(out, row, bits)
        found = [json.loads(f.read_text("utf-8")) for f in files if f.exists()]
        if not found:
            continue
        median = statistics.median(c["after"] for c in found)
        least = TARGETS.get((row, bits))
        target = "" if least is None else f">= {least:.1f}"
        if least is not None and median < least and len(found) == len(SEEDS):
            target += " (missed)"
        seeds = ", ".join(f"{c['after']:.2f}" for c in found)
        before = found[0]["before"]
        cells = [row, f"{bits}/{bits}", f"{found[0]['start']:.2f}"]
        cells.append("-" if before is None else f"{before:.2f}")
        lines.append(f"| {' | '.join([*cells, f'{median:.2f}', seeds, target])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
