"""Solver: Caffe's training loop on a Net. Caffe: solver.cpp, sgd_solver.cpp."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from adaption.errors import AdaptionError, FieldError, ResourceError, UsageError, in_iteration
from adaption.io.text import as_path
from adaption.io.weights import Weights
from adaption.net import Net
from adaption.net.points import WeightDraw
from adaption.proto import caffe_pb2
from adaption.recipes import Recipe
from adaption.solver.driver import Driver, chosen_recipe
from adaption.solver.listener import Listener, Output
from adaption.solver.params import Param, learnable
from adaption.solver.passes import Passes, outputs_of
from adaption.solver.ranks import ALONE, Ranks
from adaption.solver.rates import learning_rate
from adaption.solver.settings import (
    NetRole,
    SolverFile,
    read_solver,
    role_of_train_net,
    roles_of_test_nets,
)
from adaption.solver.smoothing import SmoothedLoss
from adaption.solver.snapshot import restore, save
from adaption.solver.snapshot_files import Files
from adaption.solver.statistics import BatchStatistics
from adaption.solver.teacher import Teacher, TeachingPasses
from adaption.solver.update_step import UpdateStep
from adaption.solver.updates import make_update

__all__ = ["Solver"]

PathLike = str | os.PathLike[str]


class Solver:
    """Trains the net of a solver prototxt as Caffe does: same formulas, same order, same files.

    Args:
        solver: a solver prototxt path, or a SolverParameter.
        weights: caffemodels to start from, loaded in turn into the train net and the test nets;
            without it the solver's own `weights` are.
        original_semantics: reproduce the original ADaPTION where its behaviour is a defect.
        seed: of all random numbers; default: the solver's random_seed; without either, drawn.
        level, stages: added to the solver's train_state.
        net_options: further keywords of Net (dialect, python_modules, device).
        listeners: what hears of progress; see Listener. Without one nothing is printed.
        action: asked after every iteration and test batch for "stop", "snapshot" or None; or for
            "abandon", to stop without a snapshot.
        policy: a recipe that acts while the net trains, or a PrecisionPolicy message; default: the
            solver's precision_policy.
        strict: what the recipe warns of is an error.
        ranks: the processes that train together; each has a solver of its own, and calls its
            methods as the others do. All but the first hear, test and write nothing.
        reestimate: batches that `solve` computes batch norm's statistics from at the end.
        teacher: a net whose class scores share in the loss.

    `net` is the train net, `test_nets` the others, `iter` the iterations done. Master weights are
    the nets' full precision blobs; rounding happens at use, gradients pass straight through.

    Raises: AdaptionError naming file, field or layer when solver, nets or weights do not fit.
    """

    def __init__(
        self,
        solver: PathLike | caffe_pb2.SolverParameter | SolverFile,
        weights: PathLike | Weights | Sequence[PathLike | Weights] | None = None,
        *,
        original_semantics: bool = False,
        seed: int | None = None,
        level: int | None = None,
        stages: Sequence[str] = (),
        net_options: dict[str, Any] | None = None,
        listeners: Sequence[Listener] = (),
        action: Callable[[], str | None] = lambda: None,
        policy: Recipe[Any] | caffe_pb2.PrecisionPolicy | None = None,
        strict: bool = False,
        ranks: Ranks = ALONE,
        reestimate: int = 0,
        teacher: Teacher | None = None,
    ) -> None:
        self.definition = read_solver(solver)
        self.param = self.definition.message
        self.ranks, self.reestimate = ranks, reestimate
        self.listeners = list(listeners) if ranks.is_first else []
        self.action = action
        self._asked: str | None = None  # by `action`, for after the iteration
        self.iter = 0
        self.current_step = 0
        self.loss = SmoothedLoss(self.param.average_loss)
        self.saved: int | None = None  # iteration of the last snapshot of this run
        self._failed = False  # to write the last snapshot
        self._stops = False
        self._resumes = False
        self.strict = strict
        if seed is None and self.param.random_seed >= 0:
            seed = self.param.random_seed
        if seed is not None:
            seed += ranks.rank  # Caffe: Solver::Init
        self.original_semantics = original_semantics
        options = {"original_semantics": original_semantics, **(net_options or {})}
        if not options.get("ignore_unknown"):
            self.definition.refuse_unknown()
        with self.at_file():
            self.update = make_update(self.param)
            recipe = chosen_recipe(policy, self.param)
        for listener in self.listeners:
            listener.reading(self.definition)
            for text in self.definition.notices:
                listener.notice(text)
        role = role_of_train_net(self.definition, stages=stages, level=level)
        self.net = self._build(role, None, seed, options)
        self.test_nets = [
            self._build(role, i, None if seed is None else seed + 1 + i, options)
            for i, role in enumerate(roles_of_test_nets(self.definition))
            if ranks.is_first
        ]
        self.net.followers = self.test_nets
        self.params: list[Param] = learnable(self.net.nodes)
        count = self.update.slots * len(self.params)
        self.history: list[Tensor] = [
            torch.zeros_like(self.params[i % len(self.params)].blob.tensor.detach())
            for i in range(count)
        ]
        self.updates = UpdateStep(self.param, self.params, self.update, self.history)
        for listener in self.listeners:
            listener.ready()
        ranks.copy_first(self._weights())
        # One seed for the weights of all processes; `seed` is each process's own.
        self.draw_seed = int(ranks.from_first(self.net.host_generator.initial_seed() % 2**62))
        self.driver: Driver | None = None
        if recipe is not None:
            self.driver = Driver.of_solver(recipe, self.net, ranks, self.draw_seed, self.param)
        given = list(map(as_path, self.param.weights)) if weights is None else weights
        for one in [given] if isinstance(given, str | os.PathLike | Weights) else given:
            self._load_everywhere(one)
        self.draw_weights()
        self.teacher = teacher
        self.passes = TeachingPasses(teacher, self.net, options) if teacher else Passes()
        self.start_recipe()

    def start_recipe(self) -> None:
        """Let the recipe choose its first formats, from the weights as they are."""
        if self.driver is not None:
            with self.at_file():
                notices = self.driver.start()
                if notices and self.strict:
                    raise UsageError(notices[0])
            for text in notices:
                self.notice(text)

    def draw_weights(self) -> None:
        """Let all nets round stochastic weights alike, until the next update."""
        draw = WeightDraw(self.draw_seed, self.iter)
        for net in (self.net, *self.test_nets):
            net.draw_weights(draw)

    def _build(
        self, role: NetRole, number: int | None, seed: int | None, options: dict[str, Any]
    ) -> Net:
        for listener in self.listeners:
            listener.building(role, number)
        for text in role.notices:
            self.notice(text)
        net = Net(role.spec, phase=role.spec.phase, seed=seed, **options)
        for text in net.notices:
            self.notice(text)
        for listener in self.listeners:
            listener.built(role, net)
        return net

    @contextmanager
    def at_file(self) -> Iterator[None]:
        """Errors inside name the solver's file."""
        try:
            yield
        except AdaptionError as error:
            raise error.at(file=self.definition.file) from None

    def notice(self, text: str) -> None:
        """Send a notice to the listeners."""
        for listener in self.listeners:
            listener.notice(text)

    # -- weights and state -------------------------------------------------------------------

    def load(self, weights: PathLike | Weights) -> None:
        """Copy weights by layer name into all nets; what the train net misses is told.

        Raises: WeightsError listing what does not fit, FileFormatError when the file is bad.
        """
        self._load_everywhere(weights)
        if self.iter == 0:
            self.start_recipe()

    def _load_everywhere(self, weights: PathLike | Weights) -> None:
        if self.ranks.is_first:
            self._load(weights)
        self.ranks.copy_first(self._weights())

    def _weights(self) -> list[Tensor]:
        return [param.blob.tensor.detach() for param in self.params]

    def _load(self, weights: PathLike | Weights) -> None:
        report = self.net.load(weights)
        for net in self.test_nets:
            net.load(weights)
        name = os.fspath(weights) if isinstance(weights, str | os.PathLike) else weights.file or ""
        for listener in self.listeners:
            listener.loaded(name)
        if report.missing:
            self.notice(f"{name} has no weights for: {', '.join(report.missing)}")

    def snapshot(self) -> Files:
        """Write weights, what Caffe's files cannot carry, and last the solver state.

        Each file appears whole or not at all; a solver state is there only when its weights are.
        Returns: the files' paths.
        Raises: FieldError without a snapshot_prefix.
        """
        with self.at_file():
            if not self.param.snapshot_prefix:
                raise FieldError("snapshot_prefix", "", 'a path, as in snapshot_prefix: "run/net"')
        with self.ranks.writing():
            files = save(self)
        self.saved = self.iter
        return files

    def restore(self, path: PathLike) -> None:
        """Go on from a .solverstate (binary or HDF5), ours or Caffe's, and its caffemodel.

        With the sidecar that `snapshot` writes, data order and random numbers go on, too, and the
        continuation is bit-equal; without it, as with Caffe's own files, and with the original's
        semantics, data start anew.
        Raises: FileFormatError or WeightsError when the files are bad or of another net or type.
        """
        self._resumes = restore(self, path)
        self.draw_weights()
        for listener in self.listeners:
            listener.restored(os.fspath(path))

    # -- training ----------------------------------------------------------------------------

    @property
    def stops(self) -> bool:
        """Whether `action` ended the last run."""
        return self._stops

    def solve(self, resume: PathLike | None = None) -> None:
        """Train up to max_iter, with tests and snapshots on the way. Caffe: Solver::Solve."""
        p = self.param
        with self.at_file():
            if not p.HasField("max_iter"):
                raise FieldError("max_iter", "not set", "the iterations to train for")
        for listener in self.listeners:
            listener.solving(self.net.name, p.lr_policy, self.iter, p.max_iter)
        if resume is not None:
            self.restore(resume)
        held = BatchStatistics(self.net, self.iter * p.iter_size)
        self.step(p.max_iter - self.iter)
        if not self._stops and held.finish(self.iter * p.iter_size, self.reestimate, self.notice):
            self.saved, self._failed = None, True  # a snapshot written before has the old ones
        # An interrupt asks for a snapshot even where snapshot_after_train is off.
        is_missing = not p.snapshot or bool(self.iter % p.snapshot) or self._failed
        if self.saved != self.iter and (self._stops or (p.snapshot_after_train and is_missing)):
            self._snapshot_if_possible()
        if self._stops:
            for listener in self.listeners:
                listener.stopped()
            return
        if p.display and self.iter % p.display == 0:
            with in_iteration(self.iter), torch.no_grad():
                loss = self.passes.forward(self.net)
            smoothed = self.loss.add(loss, self.iter)
            for listener in self.listeners:
                listener.final_loss(self.iter, smoothed)
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test()
        for listener in self.listeners:
            listener.done()

    def _snapshot_on_the_way(self) -> None:
        """Write a snapshot; where the system refuses, say so and go on training."""
        problem = ""
        try:
            self.snapshot()
        except ResourceError as error:
            problem = f"no snapshot of iteration {self.iter}, training goes on: {error}"
            self.notice(problem)
        self._failed = bool(self.ranks.from_first(problem))  # for all to end alike
        if self._failed:
            self.saved = None

    def _snapshot_if_possible(self) -> None:
        if self.param.snapshot_prefix:
            self.snapshot()
        else:
            self.notice("no snapshot_prefix in the solver: nothing is written at the end")

    def step(self, count: int) -> None:
        """Train for `count` iterations. Caffe: Solver::Step."""
        if count < 0:
            raise UsageError(f"step is given {count} iterations", "allowed: 0 or more")
        p = self.param
        self._stops = False
        if not self._resumes:
            self.loss.restart(self.iter)
        self._resumes = False
        last = self.iter + count
        while self.iter < last:
            if (
                p.test_interval
                and self.iter % p.test_interval == 0
                and (self.iter > 0 or p.test_initialization)
            ):
                self.test()
                if self._stops:
                    return
            self._iterate()
            request = self.ranks.most_urgent(self.action() or self._asked)
            self._asked = None
            is_due = p.snapshot and self.iter % p.snapshot == 0
            if request != "abandon" and (request == "snapshot" or is_due):
                self._snapshot_on_the_way()
            if request in ("stop", "abandon"):
                self._stops = True
                if request == "abandon":
                    self.saved = self.iter  # there is nothing worth keeping
                return

    def _iterate(self) -> None:
        p, net = self.param, self.net
        is_shown = bool(p.display) and self.iter % p.display == 0
        net.debug_info = net.spec.debug_info or (is_shown and p.debug_info)
        net.clear_param_diffs()
        for listener in self.listeners:
            listener.starting(self.iter)
        loss = 0.0
        with in_iteration(self.iter):
            for _ in range(p.iter_size):
                loss += self.passes.run(net)
        loss /= p.iter_size
        smoothed = self.loss.add(loss, self.iter)
        if is_shown:
            outputs = self.passes.outputs(net)
            for listener in self.listeners:
                listener.trained(self.iter, smoothed, outputs)
        for listener in self.listeners:
            listener.gradients_ready(self.iter)
        self.ranks.average([param.blob.grad for param in self.params if not param.is_copy])
        self.apply_update()
        self.iter += 1
        self.draw_weights()
        if self.driver is not None:
            self._decide(self.driver, loss, is_shown)
        for listener in self.listeners:
            listener.stepped(self.iter)

    def _decide(self, driver: Driver, loss: float, is_shown: bool) -> None:
        events = list(driver.decide(self.iter, loss))
        shown = driver.progress(self.iter) if is_shown else None
        for event in events if shown is None else [*events, shown]:
            for listener in self.listeners:
                listener.recipe(event)

    def apply_update(self) -> None:
        """Turn the parameters' diffs into updates and subtract them; the diffs keep the updates.

        Order as in SGDSolver::ApplyUpdate: clip, normalize by iter_size, regularize, update.
        """
        p = self.param
        before = self.current_step
        rate, self.current_step = learning_rate(p, self.iter, before)
        if p.lr_policy == "multistep" and self.current_step != before:
            for listener in self.listeners:
                listener.step_taken(self.iter, self.current_step)
        if p.display and self.iter % p.display == 0:
            for listener in self.listeners:
                listener.rate(self.iter, rate)
        with torch.no_grad():
            clipped = self.updates.clip()
            if clipped is not None:
                for listener in self.listeners:
                    listener.clipped(clipped[0], p.clip_gradients, clipped[1])
            draw = WeightDraw(self.draw_seed, self.iter)
            with in_iteration(self.iter):
                self.updates.run(rate, self.iter, draw, self.driver)

    # -- testing -----------------------------------------------------------------------------

    def test(self) -> None:
        """Run all test nets on the train net's weights. Caffe: Solver::TestAll."""
        for number in range(len(self.test_nets)):
            if not self._stops:
                self._test(number)
        self._stops = self.ranks.most_urgent("stop" if self._stops else None) == "stop"

    def _test(self, number: int) -> None:
        net = self.test_nets[number]
        for listener in self.listeners:
            listener.testing(self.iter, number)
        net.share_with(self.net)
        count = self.param.test_iter[number]
        sums: list[float] = []
        loss = 0.0
        outputs: list[Output] = []
        for _ in range(count):
            request = self.action()
            if request == "snapshot" and self.ranks.count > 1:
                self._asked = request  # all have to take part
            elif request == "snapshot":
                self.snapshot()
            elif request == "stop":
                self._stops = True
                for listener in self.listeners:
                    listener.test_interrupted()
                return
            with in_iteration(self.iter), torch.no_grad():
                net.forward()
            self.ranks.beat()
            outputs = list(outputs_of(net))
            sums = [a + o.value for a, o in zip(sums or [0.0] * len(outputs), outputs, strict=True)]
            loss += net.loss()
        means = [
            Output(o.name, total / count, o.loss_weight)
            for o, total in zip(outputs, sums, strict=True)
        ]
        for listener in self.listeners:
            mean = loss / count if self.param.test_compute_loss else None
            listener.tested(self.iter, number, means, mean)
