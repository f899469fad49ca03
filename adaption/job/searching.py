"""Search the word length of each layer's weights under a budget.

First what each layer does alone at each length (`Refining.alone`), from these the path of cuts
(`precision.allocation`). A size is met by the cuts of the least error that keep it; for a loss of
accuracy the last position of the path that keeps it is found by bisection: each candidate is a net
that is refined as the result will be, scored on samples that no format comes from.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from adaption.errors import UsageError
from adaption.graph import NetSpec
from adaption.io.caffemodel import Weights
from adaption.job.kept import Kept
from adaption.job.refine import refined, refining
from adaption.net import Net, Point
from adaption.options import Budget, Formats, Refinement
from adaption.precision.allocation import Path, last_that_fits, path_of, uniform_bits, within
from adaption.precision.classifiers import Classifiers
from adaption.precision.evaluate import Run, compare_runs, run_net
from adaption.precision.measure import Measurement
from adaption.precision.path_costs import PathCosts
from adaption.precision.propose import Proposal, propose
from adaption.precision.refining.alone import Effects, LayerEffects
from adaption.precision.refining.refine import Outcome
from adaption.report import Progress

__all__ = ["Ground", "Searched", "search_lengths"]


@dataclass(frozen=True)
class Ground:
    """What is searched.

    full: the float net with its weights; it holds others afterwards.
    measured: its statistics on `fit`, the samples that formats come from.
    judges: samples that candidates are scored on; None where no accuracy is asked for.
    low_spec: the low-precision net of a proposal.
    seed: of nets.
    """

    full: Net
    weights: Weights
    measured: Measurement
    fit: Iterable[Any]
    judges: Iterable[Any] | None
    scores: Classifiers
    low_spec: Callable[[Proposal], NetSpec]
    seed: int


@dataclass(frozen=True)
class Searched:
    """What was found: the formats of the net, and the entry `search` of summary.json."""

    formats: Formats
    said: dict[str, Any]

    @property
    def lengths(self) -> str:
        """All word lengths in words."""
        return f"{self.formats.lengths.bits}, weights {self.said['average_bits']:.2f} on average"

    @property
    def is_met(self) -> bool:
        """Whether the budget is kept."""
        return bool(self.said["is_met"])


def search_lengths(
    ground: Ground,
    formats: Formats,
    refinement: Refinement,
    budget: Budget,
    kept: Kept | None = None,
    *,
    curve: int = 0,
    quiet: bool = False,
) -> Searched:
    """Search; the same for the same arguments, also after an interruption.

    Args:
        formats, refinement: of every candidate. Layers whose word length `formats.bits` names
            keep it.
        kept: what an earlier call with the same ground has found; what this one finds is added.
        curve: score so many further positions, spread evenly over the path.
    Raises: UsageError where there is nothing to search, or nothing to judge by.
    """
    held = _InMemory() if kept is None else kept
    return _Search(ground, formats, refinement, budget, held, quiet).run(curve)


class _InMemory:
    """As Kept, for a search that leaves nothing behind."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def load(self, name: str, default: Any) -> Any:
        return self.values.get(name, default)

    def save(self, name: str, value: Any) -> None:
        self.values[name] = value


@dataclass
class _Search:
    ground: Ground
    formats: Formats
    refinement: Refinement
    budget: Budget
    kept: Kept | _InMemory
    quiet: bool

    def __post_init__(self) -> None:
        self.scored: dict[int, dict[str, Any]] = {}  # by position of the path
        spec = self.ground.full.spec
        proposal = propose(spec, self.ground.measured, formats=self.formats)
        names = [p.layer for p in proposal.plan if p.kind == "weight"]
        self.work = refining(self.ground.full, self.ground.weights, self.ground.measured,
                             self.ground.fit, self.formats, self.refinement)  # fmt: skip
        shared = self.work.shared
        self.apart = {name: "shares its parameters" for name in names if name in shared}
        self.apart |= {n: "as --bits says" for n in names if self._is_named(n) and n not in shared}
        lengths = self.formats.lengths
        self.widest = {
            name: cast("int", lengths.of(Point(name, "weight")))
            for name in names
            if name not in self.apart
        }
        if not any(bits > self.budget.least_bits for bits in self.widest.values()):
            raise UsageError(
                "no layer's weights can take fewer bits: there is nothing to search",
                f"word lengths are sought from --bits down to {self.budget.least_bits}; layers that"
                " --bits names keep theirs",
            ).at(file=spec.file)
        if self.ground.judges is not None and self.ground.scores.main is None:
            raise UsageError(
                "the net has no class scores, so that no loss of accuracy can be limited",
                "limit --max-size or --max-macbits, or name the scores with --score BLOB",
            ).at(file=spec.file)
        self.costs = PathCosts.of(self.ground.low_spec(proposal), self.widest, self.budget)

    def run(self, curve: int) -> Searched:
        path = self._path()
        path, position, why = self._placed(path)
        for i in range(curve):
            self._score(path, round(len(path) * i / max(1, curve - 1)))
        lengths = path.lengths(position)
        said = {
            "budget": self.budget.changed(),
            "is_met": not why,
            "why": why,
            "saves": self.budget.cost,
            "judged_on": 0 if self.ground.judges is None else self._before.samples,
            "judged_by": self._judged_by,
            "formats_from": self.ground.measured.samples,
            "bits": [_override(name, bits) for name, bits in lengths.items()],
            "is_refined": self.refinement.refine,
            "refinement": self.refinement.changed(),
            "position": position,
            **self.costs.at(path, position),
            "as_uniform_bits": uniform_bits(self.errors, path.error_at(position)),
            "widest": self.costs.at(path, 0),
            "layers": [self._layer(path, position, name) for name in self.widest],
            "apart": self.apart,
            "path": [
                {"layer": c.layer, "from": c.before, "to": c.bits, "saves": c.saved,
                 "adds_error": c.added}
                for c in path.cuts
            ],
            "curve": self._curve(path),
        }  # fmt: skip
        return Searched(self._with(lengths), said)

    # -- layers alone ----------------------------------------------------------------------------

    def _is_named(self, name: str) -> bool:
        point = Point(name, "weight")
        return any(o.pattern != "*" and o.fits(point) for o in self.formats.lengths.overrides)

    def _effects(self) -> dict[str, LayerEffects]:
        """What each layer does alone at each length."""
        found: dict[str, Any] = dict(self.kept.load("effects", {}))
        lengths = range(self.budget.least_bits, max(self.widest.values()) + 1)
        uniform = {n: self._with(dict.fromkeys(self.widest, n)) for n in lengths}
        left = [name for name in self.widest if name not in found]
        with Progress(len(left), "each layer alone", quiet=self.quiet, unit="layers") as progress:

            def done(name: str, effects: LayerEffects) -> None:
                alone = {str(n): (e.error, e.flipped) for n, e in effects.alone.items()}
                found[name] = {"alone": alone, "remaining": effects.remaining}
                self.kept.save("effects", found)
                progress.advance()

            if left:
                scores, outputs = self.ground.scores.main, self.ground.full.outputs
                known = {*found, *self.apart}
                self.work.alone(uniform, outputs if scores is None else [scores], known, done)
        return {name: _effects_of(found[name]) for name in self.widest}

    def _path(self) -> Path:
        """Cuts by what is left of each layer's error once the layers behind it are fitted."""
        self.effects = self._effects()
        self.errors = {
            name: {n: known.remaining * e.error for n, e in known.alone.items()}
            for name, known in self.effects.items()
        }
        return path_of(self.errors, {name: self.costs.per_bit(name) for name in self.errors})

    # -- candidates ------------------------------------------------------------------------------

    def _placed(self, path: Path) -> tuple[Path, int, str]:
        """The path, the position on it that is taken, and why that does not keep the budget; ""
        where it does."""
        budget, end = self.budget, len(path)
        if not self.costs.fits(path.lengths(end)):
            least = self.costs.at(path, end)
            why = (
                f"the fewest bits take {-(-least['parameter_bits'] // 8):,} bytes and"
                f" {least['mac_bits']:,} MAC bits"
            )
            return path, end, why
        if budget.max_drop is None:
            found = within(path, self.costs.fits)
            assert found is not None  # the end of the path fits
            return *found, ""
        positions = [k for k in range(end + 1) if self.costs.fits(path.lengths(k))]
        most = budget.max_drop + 1e-9

        def fits(position: int) -> bool:
            return bool(self._score(path, position)["drop"] <= most)

        last = last_that_fits(positions, fits)
        if last is not None:
            return path, last, ""
        drop = self._score(path, positions[0])["drop"]
        where = "the longest word lengths" if not positions[0] else "the longest that are so cheap"
        return path, positions[0], f"with {where} {self._judged_by} is {drop:.2f} points"

    @property
    def _judged_by(self) -> str:
        if self.ground.judges is None:
            return ""
        return "the drop of top-1" if self._has_labels else "the share of changed predictions"

    @property
    def _has_labels(self) -> bool:
        return bool(self._before.tally.labelled)

    @cached_property
    def _before(self) -> Run:
        """The float net's run over the samples that judge."""
        assert self.ground.judges is not None
        self.ground.full.load(self.ground.weights)
        return run_net(self.ground.full, self.ground.judges, scores=self.ground.scores)

    def _score(self, path: Path, position: int) -> dict[str, Any]:
        """What a refined net with the word lengths at a position makes of the judges."""
        assert self.ground.judges is not None
        lengths = path.lengths(position)
        key = " ".join(map(str, lengths.values()))
        scored = dict(self.kept.load("scores", {}))
        if key not in scored:
            made = self._refined(self._with(lengths))
            low = Net(
                self.ground.low_spec(made.proposal),
                made.weights,
                seed=self.ground.seed,
                device=self.ground.full.device,
            )
            after = run_net(low, self.ground.judges, scores=self.ground.scores)
            scored[key] = _judged(self._before, after)
            self.kept.save("scores", scored)
        self.scored[position] = scored[key]
        return dict(scored[key])

    def _refined(self, formats: Formats) -> Outcome:
        ground = self.ground
        ground.full.load(ground.weights)
        return refined(
            ground.full, ground.weights, ground.measured, ground.fit, formats, self.refinement,
            quiet=self.quiet,
        )  # fmt: skip

    def _with(self, bits: Mapping[str, int]) -> Formats:
        """The formats with these word lengths of weights."""
        lengths = self.formats.lengths
        own = [_override(name, length) for name, length in bits.items()]
        return replace(self.formats, bits=[lengths.bits, *map(str, lengths.overrides), *own])

    # -- what is said ----------------------------------------------------------------------------

    def _layer(self, path: Path, position: int, name: str) -> dict[str, Any]:
        cost = self.costs.layers[name]
        return {
            "name": name,
            "bits": path.lengths(position)[name],
            "weights": cost.own_weights,
            "macs": cost.macs,
            "reason": self.costs.reason(path, position, name),
            "remaining": self.effects[name].remaining,
            "alone": {
                str(bits): {"error": known.error, "flipped": known.flipped}
                for bits, known in self.effects[name].alone.items()
            },
        }

    def _curve(self, path: Path) -> list[dict[str, Any]]:
        found = self.scored
        return [{"position": k, **self.costs.at(path, k), **found[k]} for k in sorted(found)]


def _effects_of(kept: Mapping[str, Any]) -> LayerEffects:
    alone = {int(n): Effects(*values) for n, values in kept["alone"].items()}
    return LayerEffects(alone, float(kept["remaining"]))


def _override(layer: str, bits: int) -> str:
    """As --bits takes it."""
    return f"{glob.escape(layer)}:weight={bits}"


def _judged(before: Run, after: Run) -> dict[str, Any]:
    """Drop in points: of top-1, or without labels the share of changed predictions."""
    flipped = compare_runs(before, after)["flipped_predictions"]
    share = 0.0 if flipped is None else float(flipped["share"])
    full, low = before.accuracy(), after.accuracy()
    if full is None or low is None:
        return {"drop": 100 * share, "top1": None, "flipped": share}
    top1 = cast("float", low["top1"])
    return {"drop": 100 * (cast("float", full["top1"]) - top1), "top1": top1, "flipped": share}
