"""assign: from one float run to the precision of every tensor of training, and the files to train.

Steps as in Sakr, Shanbhag, "Per-Tensor Fixed-Point Quantization of the Back-Propagation Algorithm"
(ICLR 2019): a float run that records, noise gains, the least precision by mismatches on samples
held out, and the rules for gradients and accumulators.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from adaption.errors import FieldError, LayerError, UsageError
from adaption.io.atomic import atomic_write
from adaption.io.caffemodel import read_weights
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import NetFile, read_net, write_net
from adaption.io.outputs import keep_inputs
from adaption.job.assign_measured import Converged, jacobians, recorded_rows
from adaption.job.assign_nets import clipped, solver_text, spec_of, with_plan
from adaption.job.assign_outcome import Outcome, costs, notes_of, outcome
from adaption.job.assign_samples import Split, split
from adaption.job.assign_score import logits_of, predict
from adaption.job.assign_training import Trainer, forget
from adaption.job.feed import feed_from_layers, suitable_batch
from adaption.job.kept import Kept, digest
from adaption.layers.base import unknown_layers
from adaption.net import Net, Point
from adaption.options import RunOptions
from adaption.precision.noise_gains import ESTIMATES
from adaption.recipes.per_tensor_plan import Gradients, Offsets, TensorPlan, plan_tensors
from adaption.recipes.per_tensor_sites import Tensors, tensors_of
from adaption.recipes.view import view_of_net
from adaption.report import track
from adaption.report.assigned import write_assigned
from adaption.solver.params import learnable
from adaption.solver.rates import smallest_rate
from adaption.solver.settings import read_solver

__all__ = ["AssignResult", "assign"]

PathLike = str | os.PathLike[str]

BQN = ("exact", "svd")
CHECKS = {"assigned": 0, "plus_1": 1, "minus_1": -1}
FILES = {
    "net": "net.prototxt",
    "solver": "solver.prototxt",
    "float_weights": "float.caffemodel",
    "report": "report.json",
    "html": "report.html",
    "float_net": "float.prototxt",
    "float_solver": "float_solver.prototxt",
}
"""What a job leaves in its folder, by their keys in report.json; with `check` also the runs'."""


def _results(out: Path) -> list[Path]:
    """Every file that a job may leave."""
    runs = [f"{name}{end}" for name in CHECKS for end in (".caffemodel", "_solver.prototxt")]
    return [out / name for name in (*FILES.values(), *runs)]


@dataclass
class AssignResult:
    """What `assign` made.

    report: the content of report.json. plan: bits and ranges of all tensors. command: that trains
    the fixed-point net, as a list of words.
    """

    folder: Path
    report: dict[str, Any]
    plan: TensorPlan
    command: Sequence[str]
    notices: list[str] = field(default_factory=list)


@within_limit
def assign(
    net: PathLike,
    *,
    solver: PathLike,
    out: PathLike,
    held_out: PathLike | None = None,
    p_m: float = 0.01,
    bqn: str = "exact",
    legacy_gc: bool = False,
    input_bits: int | None = None,
    gain_samples: int = 500,
    gain_estimate: str = "mean",
    lr_min: float | None = None,
    also: Sequence[tuple[PathLike, PathLike]] = (),
    check: bool = False,
    resume: bool = False,
    seed: int | None = None,
    device: str = "cpu",
    dialect: str | None = None,
    python_modules: Sequence[str] = (),
    quiet: bool = False,
    memory_limit: Size | None = None,
) -> AssignResult:
    """Find the precision of weights, activations, gradients and accumulators, from a float run.

    The net is trained in float, with clip(x, 0, 2) in place of each ReLU and parameters in
    [-1, 1). `out` gets net.prototxt with all formats, solver.prototxt that trains it in fixed
    point, the float net and its solver, float.caffemodel, report.json and report.html; in
    `out`/work lies what each stage has found.

    Args:
        net: train_val prototxt of the float net; it takes the place of the solver's.
        solver: solver prototxt. Its rates, iterations and batches are those of both runs.
        held_out: net whose phase TEST reads the samples on which mismatches are counted; default:
            the last tenth of the training source, which no run then trains with.
        p_m: greatest share of samples held out that rounding of weights and activations may give
            another class.
        bqn: how the step of activation gradients is bounded: "exact", by all of the squared
            Jacobian, or "svd", by its greatest singular value, as in the paper.
        legacy_gc: wider ranges of gradients, as the authors' program has them.
        input_bits: leave the net's input at so many bits; default: it is rounded like every
            activation.
        gain_samples, gain_estimate: training samples that noise gains are taken from, and whether
            their "mean" (the definition) or "median" counts.
        lr_min: smallest learning rate in use; default: of the iterations below max_iter.
        also: further nets over the same layers (deploy.prototxt), each with its output.
        check: train the fixed-point net, and with one bit more and one bit less everywhere.
        resume: go on where a call with the same arguments was stopped.
        seed: of all runs; default: the solver's random_seed, else 1.
        device: "cpu" or "cuda:0".
        dialect, python_modules: as of Net.
        quiet: show no progress.
        memory_limit: the most that one array, image or blob may take, as in "8G".
    Raises: AdaptionError on bad input; KeyboardInterrupt when a signal has stopped a run, behind a
        snapshot.
    """
    job = _Job(
        net, solver, Path(out), held_out, also,
        _Choices(p_m, bqn, legacy_gc, input_bits, gain_samples, gain_estimate, lr_min),
        resume=resume, seed=seed, device=device, quiet=quiet,
        net_options={"dialect": dialect, "python_modules": tuple(python_modules)},
    )  # fmt: skip
    return job.run(check=check)


@dataclass(frozen=True)
class _Choices:
    """What the user chooses about the method. Raises: FieldError."""

    p_m: float
    bqn: str
    legacy_gc: bool
    input_bits: int | None
    gain_samples: int
    gain_estimate: str
    lr_min: float | None

    def __post_init__(self) -> None:
        if not 0 < self.p_m < 1:
            raise FieldError("p_m", self.p_m, "a share above 0 and below 1")
        if self.bqn not in BQN:
            raise FieldError("bqn", self.bqn, ", ".join(BQN))
        if self.input_bits is not None and not 1 <= self.input_bits <= 24:
            raise FieldError("input_bits", self.input_bits, "1..24")
        if self.gain_samples < 1:
            raise FieldError("gain_samples", self.gain_samples, "1 or more")
        if self.gain_estimate not in ESTIMATES:
            raise FieldError("gain_estimate", self.gain_estimate, ", ".join(ESTIMATES))
        if self.lr_min is not None and not self.lr_min > 0:
            raise FieldError("lr_min", self.lr_min, "a rate above 0")


class _Job:
    def __init__(
        self,
        net: PathLike,
        solver: PathLike,
        out: Path,
        held_out: PathLike | None,
        also: Sequence[tuple[PathLike, PathLike]],
        choices: _Choices,
        *,
        resume: bool,
        seed: int | None,
        device: str,
        quiet: bool,
        net_options: dict[str, Any],
    ) -> None:
        if out.exists() and not out.is_dir():
            raise UsageError(f"output {os.fspath(out)!r} is a file", "name a folder")
        keep_inputs(
            [*_results(out), *(target for _, target in also)],
            [net, solver, held_out, *(source for source, _ in also)],
        )
        self.out = out
        self.choices = choices
        self.device = device
        self.quiet = quiet
        self.net_options = net_options
        self.solver = solver
        self.definition = read_solver(solver)
        self.rate = self._smallest_rate()
        given = read_net(net)
        float_net, self.changed = clipped(given)
        self.split: Split = split(float_net, self.definition, held_out)
        self.notices = [*map(str, given.notices), *self.definition.notices]
        self.deploy = [(clipped(read_net(a))[0], Path(b)) for a, b in also]
        p = self.definition.message
        if seed is None:
            seed = p.random_seed if p.random_seed >= 0 else 1
        self.seed = seed
        settings = {
            "net": digest(float_net.document.data()),
            "solver": digest(Path(solver).read_bytes()),
            "held_out": None if held_out is None else digest(Path(held_out).read_bytes()),
            "seed": seed,
            **vars(choices),
        }
        self._check_net()
        self.kept = Kept(out / "work", settings, resume=resume)
        if self.kept.is_new:  # results of two jobs never lie side by side
            for path in _results(out):
                path.unlink(missing_ok=True)
        self.trainer = Trainer(seed, device, net_options, quiet)

    # -- before anything is trained ------------------------------------------------------------

    def _smallest_rate(self) -> float:
        given = self.choices.lr_min
        least, self.idle = smallest_rate(self.definition.message)
        return least if given is None else given

    def _check_net(self) -> None:
        """Refuse what would fail only behind the float run."""
        p = self.definition.message
        if p.HasField("precision_policy") and p.precision_policy.type.lower() != "per_tensor":
            raise FieldError(
                "precision_policy.type", p.precision_policy.type, "per_tensor, or no policy at all"
            ).at(file=self.definition.file)
        unknown = unknown_layers(self.train.layers)
        if unknown is not None:
            raise unknown.at(file=self.train.file)
        if not self.tensors.weight_layers:
            raise LayerError("has no weight layers", "give a net with layers to train").at(
                file=self.train.file
            )

    def _spec(self, file: NetFile, phase: str) -> Any:
        return spec_of(file, phase, self.definition, **self.net_options)

    @cached_property
    def train(self) -> Any:
        """The TRAIN net, without the samples held out."""
        return self._spec(self.split.net, "TRAIN")

    @cached_property
    def _built(self) -> Net:
        return Net(self.train, phase="TRAIN", seed=self.seed)

    @cached_property
    def tensors(self) -> Tensors:
        """What is to be rounded."""
        return tensors_of(view_of_net(self._built).layers)

    # -- the stages ----------------------------------------------------------------------------

    def run(self, *, check: bool) -> AssignResult:
        """All stages, and the report."""
        weights = self.out / FILES["float_weights"]
        recorded = self.kept.stage("recorded", lambda: self._float_run(weights))
        forget(self.kept.folder / "float")
        feed = feed_from_layers(self.split.held_out, None, RunOptions())
        found = Converged(
            self.train,
            feed,
            read_weights(weights),
            self.tensors,
            self.seed,
            self.device,
            self.quiet,
        )
        chosen = self.choices
        chunk = max(1, suitable_batch(feed.spec) // 4)  # gradients and their graphs are kept, too
        gains = self.kept.stage(
            "gains", lambda: found.gains(chosen.gain_samples, chunk, chosen.gain_estimate)
        )
        classes, ranges = found.float_pass()
        words = found.words(ranges, chosen.input_bits)
        offsets = Offsets.of(gains["weights"], gains["activations"], words)
        b_min, mismatches = found.sweep(offsets, classes, chosen.p_m, self.kept)
        paths = self.kept.stage("paths", found.paths)
        gradients = Gradients(
            {Point(layer, kind): (a, b) for layer, kind, a, b in recorded["gradients"]},
            jacobians(recorded, paths, chosen.bqn, self.definition.message.iter_size),
            self._rates(),
            self._owners(),
        )
        plan = plan_tensors(
            self.tensors, offsets, b_min, gradients, legacy_clipping=chosen.legacy_gc
        )
        self._write_nets(plan)
        runs = {"float": {"accuracy": self._accuracy("float", weights, None)}}
        if check:
            runs |= {name: self._checked(name, plan.more(k)) for name, k in CHECKS.items()}
        made = outcome(
            Outcome(
                plan, offsets, gradients, b_min, mismatches, chosen.p_m, self.rate,
                costs(self._spec(with_plan(self.split.net, plan.plan()), "TEST"), feed.spec),
                runs, FILES, self._notes(offsets, gains),
            )
        )  # fmt: skip
        command = ["adaption", "train", "--solver", os.fspath(self.out / FILES["solver"])]
        shown = shlex.join(command)
        write_assigned(made, self.out / FILES["html"], name=self._name(), command=shown)
        with atomic_write(self.out / FILES["report"], "w") as out:
            json.dump(made, out, indent=2, allow_nan=False)
            out.write("\n")
        return AssignResult(self.out, made, plan, command, self.notices)

    def _float_run(self, weights: Path) -> dict[str, Any]:
        """Train in float and record; leaves the caffemodel in `weights`."""
        net = self.out / FILES["float_net"]
        write_net(self.split.net, net)
        text = solver_text(self.solver, net, self.out / "float", {"record": True})
        state = self._trained("float", text)
        self.trainer.weights(state, weights)
        return recorded_rows(state)

    def _trained(self, name: str, text: bytes) -> Path:
        """Write a solver and run it; returns the last solver state."""
        path = self.out / f"{name}_solver.prototxt"
        with atomic_write(path, "wb") as out:
            out.write(text)
        return self.trainer.run(read_solver(path), self.kept.folder / name)

    def _rates(self) -> dict[str, float]:
        """Smallest learning rate of each weight, 0 where it does not learn."""
        return {
            node.spec.name: self.rate * param.lr_mult
            for param in learnable(self._built.nodes)
            if param.kind == "weight"
            for node in param.nodes
        }

    def _owners(self) -> dict[str, str]:
        """By weight layer, the layer under whose name its weight learns."""
        return {
            node.spec.name: param.layer
            for param in learnable(self._built.nodes)
            if param.kind == "weight"
            for node in param.nodes
        }

    # -- what is written -----------------------------------------------------------------------

    def _write_nets(self, plan: TensorPlan) -> None:
        """net.prototxt, solver.prototxt and the nets kept in step."""
        formats = plan.plan()
        net = self.out / FILES["net"]
        write_net(with_plan(self.split.net, formats), net)
        text = solver_text(self.solver, net, self.out / "assigned", {})
        with atomic_write(self.out / FILES["solver"], "wb") as out:
            out.write(text)
        for file, target in self.deploy:
            write_net(with_plan(file, formats), target)

    def _checked(self, name: str, plan: TensorPlan) -> dict[str, Any]:
        """A fixed-point run, and its accuracy; None where a tensor is left without bits."""
        try:
            formats = plan.plan()
        except LayerError as error:
            return {"accuracy": None, "note": str(error)}
        weights = self.out / f"{name}.caffemodel"
        net = self.kept.folder / f"{name}.prototxt"

        def train() -> Any:
            write_net(with_plan(self.split.net, formats), net)
            text = solver_text(self.solver, net, self.out / name, {})
            state = self._trained(name, text)
            self.trainer.weights(state, weights)
            return None

        self.kept.stage(f"trained_{name}", train)
        forget(self.kept.folder / name)
        return {"accuracy": self._accuracy(name, weights, formats)}

    def _accuracy(
        self, name: str, weights: Path, formats: Mapping[Point, Any] | None
    ) -> float | None:
        """Top-1 on the net's own phase TEST, once through; None where it has no labelled data."""

        def score() -> float | None:
            file = self.split.net if formats is None else with_plan(self.split.net, formats)
            feed = feed_from_layers(self._spec(file, "TEST"), None, RunOptions())
            net = Net(feed.spec, read_weights(weights), device=self.device)
            shown = track(feed, f"testing {name}", quiet=self.quiet, unit="batches")
            return predict(net, shown, logits_of(feed.spec, net)).accuracy

        found: float | None = self.kept.stage(f"accuracy_{name}", score)
        return found

    def _notes(self, offsets: Offsets, gains: Mapping[str, Any]) -> list[str]:
        return notes_of(
            self.definition,
            self.train,
            self.tensors,
            offsets,
            self._rates(),
            changed=self.changed,
            held_out=self.split.note,
            gains=gains,
            idle=self.idle if self.choices.lr_min is None else 0,
            seed=self.seed,
        )

    def _name(self) -> str:
        return str(self.train.name or Path(self.train.file or "net").stem)
