"""search: the word length of each layer's weights under a budget, for any float net."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adaption._version import __version__
from adaption.data import Transform
from adaption.data.given import is_path
from adaption.errors import UsageError, one_line
from adaption.io.atomic import atomic_write
from adaption.io.limits import Size, within_limit
from adaption.io.outputs import keep_inputs, staged_folder
from adaption.job.calibration import Calibration
from adaption.job.float_pass import float_pass
from adaption.job.foresee import refuse_unmatched
from adaption.job.kept import Kept
from adaption.job.load import Prepared, prepare_float
from adaption.job.reference import origin_of
from adaption.job.refine import refined
from adaption.job.searching import Ground, search_lengths
from adaption.job.share import Share, shares_of
from adaption.job.summary import accuracy_entry, finite_only
from adaption.net import Net
from adaption.options import (
    COMMON,
    NET,
    Budget,
    Formats,
    Options,
    Refinement,
    RunOptions,
    takes_options,
)
from adaption.options.checks import Whole
from adaption.precision.classifiers import find_classifiers
from adaption.precision.evaluate import compare_runs, run_net
from adaption.precision.propose import Proposal, propose
from adaption.report import track
from adaption.report.searched_page import write_searched

__all__ = ["SearchResult", "check_budget", "kept_search", "search"]

PathLike = str | os.PathLike[str]
FORMAT = "adaption.search/1"
JSON, HTML, PLAN, CONFIG, STATE = (
    *("search.json", "search.html", "plan.json", "quantize.toml", "state"),
)
LIMITS = "give --max-drop 1, --max-size 100k or --max-macbits 3e8"
RESULTS = (JSON, HTML, PLAN, CONFIG)


@dataclass(frozen=True)
class SearchResult:
    """What `search` found; `report` is the content of search.json."""

    folder: Path
    report: dict[str, Any]
    proposal: Proposal

    @property
    def is_met(self) -> bool:
        """Whether the budget is kept."""
        return bool(self.report["is_met"])


@takes_options(formats=(COMMON,), options=(COMMON, *NET, "score", "device"))
@within_limit
def search(
    net: PathLike,
    weights: PathLike,
    data: Any = None,
    *,
    out: PathLike,
    budget: Budget = Budget(),
    formats: Formats = Formats(),
    refinement: Refinement = Refinement(),
    options: RunOptions = RunOptions(),
    fold: bool = False,
    transform: Transform | None = None,
    root: PathLike | None = None,
    calibration: Any = None,
    calibration_root: PathLike | None = None,
    calibration_limit: int | None = None,
    curve: int = 0,
    state: PathLike | None = None,
    quiet: bool = False,
    memory_limit: Size | None = None,
    **choices: Any,
) -> SearchResult:
    """Find the word length of each layer's weights that a budget allows, and say why.

    A call that was interrupted goes on where it stopped, and one with another budget takes what
    an earlier one has measured, as long as net, data and choices are the same and the same samples
    give formats: half of them with `max_drop` or `curve`, all of them without.

    Args:
        net, weights: prototxt and caffemodel of the float net; formats it has are taken off.
        data: as of `quantize`; the net that was found is scored on it.
        out: folder for search.json, search.html, plan.json and quantize.toml, which has the flags
            with which `adaption quantize --config` makes the net.
        budget: what word lengths may cost; see Budget.
        formats, refinement, options: as of `quantize`. Word lengths go from those of `bits` down;
            layers that `bits` names keep theirs.
        fold, transform, root: as of `quantize`.
        calibration, calibration_root, calibration_limit: as of `quantize`. With `max_drop` or
            `curve` half of it, at most 512 samples, gives formats, and the rest judges; without
            labels by the share of changed predictions.
        curve: score so many further points of the path, evenly spread.
        state: folder of what has been found so far; None: `state` in `out`.
        quiet: show no progress.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of Budget, Formats, Refinement and RunOptions as keywords.
    Raises: AdaptionError on bad input; UsageError without a budget.
    """
    folder = Path(out)
    held = folder / STATE if state is None else Path(state)
    mean = None if transform is None else transform.mean_file
    read = [x if is_path(x) else None for x in (data, calibration)]
    keep_inputs([folder, *(folder / name for name in RESULTS)], [net, weights, mean, *read])
    if not budget.is_set:
        raise UsageError("a search needs a budget", LIMITS)
    calibrating = Calibration(calibration, calibration_root, calibration_limit)
    calibrating.check()
    Whole("0 or more", least=0)("curve", curve)
    source = prepare_float(net, weights, data, options, fold=fold, transform=transform, root=root)
    feed, full = source.feed, source.build()
    refuse_unmatched(full, partial(propose, feed.spec, formats=formats))
    measured_on = calibrating.feed(source.spec, feed, transform, options, source.weights, root)
    fit, judges = shares_of(measured_on, calibrating, budget, curve)
    scores = find_classifiers(feed.spec, full, options.score)
    kept = kept_search(
        held,
        (net, weights, data),
        source,
        (budget, formats, refinement),
        calibrating.origin(measured_on),
        judges=judges,
    )
    measured, before = float_pass(
        full, feed, fit, quiet=quiet, scores=scores, folder=None, origin={},
        legacy_rule=formats.rule == "adaption-legacy",
    )  # fmt: skip
    ground = Ground(
        full, source.weights, measured, fit, judges, scores, source.low_spec, options.seed
    )
    found = search_lengths(ground, formats, refinement, budget, kept, curve=curve, quiet=quiet)
    full.load(source.weights)
    outcome = refined(full, source.weights, measured, fit, found.formats, refinement, quiet=quiet)
    full.release()  # a large net would be held twice
    low = Net(
        source.low_spec(outcome.proposal), outcome.weights, seed=options.seed, device=full.device
    )
    batches = track(feed, "scoring what was found", quiet=quiet, unit="batches")
    after = run_net(low, batches, scores=scores)
    report = finite_only(
        {
            "format": FORMAT,
            "adaption_version": __version__,
            "net": full.spec.name or Path(full.spec.file or "net").stem,
            **found.said,
            "formats": formats.to_dict(),
            "accuracy": accuracy_entry(before, after),
            "flipped_predictions": compare_runs(before, after)["flipped_predictions"],
            "data": feed.describe(),
            "calibration": calibrating.entry(measured_on, feed, measured.samples),
            "notes": [*source.notes, *([scores.why] if scores.why else []), *outcome.notes],
        }
    )
    with staged_folder(folder, RESULTS, marker=JSON) as stage:
        outcome.proposal.save(stage / PLAN)
        with atomic_write(stage / CONFIG, "w") as file:
            file.write(_config((found.formats, refinement), fold))
        write_searched(report, stage / HTML)
        with atomic_write(stage / JSON, "w") as file:
            json.dump(report, file, indent=1, allow_nan=False)
            file.write("\n")
    return SearchResult(folder, report, outcome.proposal)


def check_budget(budget: Budget, state: PathLike | None) -> None:
    """Raises: UsageError on settings of a search without a budget."""
    said = [*budget.changed(), *(["search_state"] if state is not None else [])]
    if said and not budget.is_set:
        raise UsageError(f"{', '.join(said)} without a budget: nothing is searched", LIMITS)


def kept_search(
    folder: PathLike,
    files: tuple[PathLike, PathLike, Any],
    source: Prepared,
    values: tuple[Budget, Formats, Refinement],
    calibration: Mapping[str, Any],
    *,
    judges: Share | None,
    called: str = "--state",
    held_back: int = 0,
) -> Kept:
    """What searches of the same net, data and choices have found so far.

    Args:
        files: the net, its weights and the data; `source` is what was read of them.
        calibration: what it depends on of the calibration data.
        called: the flag that names the folder, in messages.
        held_back: every so many-th sample gives no formats and judges none; 0: all do.
    Raises: UsageError where the folder holds the search of another net, data or choice.
    """
    net, weights, data = files
    budget, formats, refinement = values
    settings = origin_of(
        net,
        weights,
        data=None if data is None or calibration else source.feed.batches.source.origin,
        limit=None if calibration else source.part.options.limit,
        **source.settings(),
        number_of_samples_that_give_formats="all" if judges is None else judges.count,
        least_bits=budget.least_bits,
        seed=source.part.options.seed,
        **({"held_back": held_back} if held_back else {}),
        **calibration,
        **_plain(formats),
        **_plain(refinement),
    )
    fresh = f"name another folder with {called} to start anew"
    return Kept(Path(folder), settings, resume=True, called=called, fresh=fresh, placed=called)


def _plain(values: Options) -> dict[str, Any]:
    return {name: str(value) for name, value in values.values().items()}


def _config(choices: Sequence[Options], fold: bool) -> str:
    """The flags of `adaption quantize` that give the net its word lengths, as TOML."""
    lines = ["# The word lengths that adaption search found: adaption quantize --config FILE ..."]
    lines += ["[quantize]"]
    for values in choices:
        for name, value in values.changed().items():
            said = values.declared()[name]
            key = said.flag or name.replace("_", "-")
            if isinstance(value, str):
                value = said.word(value)
            lines.append(f"{key} = {_toml(value)}")
    lines += ["fold-batch-norm = true"] if fold else []
    return "\n".join(map(one_line, lines)) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)  # numbers, booleans and quoted text are the same in both
