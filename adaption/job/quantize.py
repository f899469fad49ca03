"""quantize: measure, propose, rewrite, convert, compare, export, prove, report."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from adaption._version import __version__
from adaption.data import Transform
from adaption.data.given import is_path
from adaption.errors import FieldError, UsageError, one_line
from adaption.graph import NetSpec
from adaption.io.atomic import atomic_write
from adaption.io.caffemodel import write_weights
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import write_net
from adaption.io.outputs import keep_inputs, staged_folder
from adaption.job.calibration import Calibration, calibration_note
from adaption.job.feed import Feed
from adaption.job.float_pass import float_pass
from adaption.job.foresee import refuse_float_layers, refuse_unmatched, why_not_exact
from adaption.job.load import prepare_float
from adaption.job.nearest import rounded_to_nearest
from adaption.job.notes import notes_of
from adaption.job.proof import PROVED, prove
from adaption.job.quality import quality_warnings
from adaption.job.reference import origin_of
from adaption.job.refine import refined
from adaption.job.results import RESULTS, SUMMARY, earlier_results, files_entry, taken_off_note
from adaption.job.search import check_budget, kept_search
from adaption.job.searching import Ground, Searched, search_lengths
from adaption.job.share import HELD_BACK, shares_of
from adaption.job.summary import (
    FORMAT,
    accuracy_entry,
    cost_entry,
    finite_only,
    layer_entries,
    macs_entry,
    sparsity_entry,
)
from adaption.job.tune import refuse_tuning, tuned, tuning_note
from adaption.job.tuning_state import remove_state, state_path
from adaption.net import Net
from adaption.net.display import MOST_LINES, as_frame, as_html, shortened
from adaption.net.memory import give_back
from adaption.options import (
    COMMON,
    NET,
    Budget,
    Formats,
    Options,
    Refinement,
    RunOptions,
    Tuning,
    takes_options,
)
from adaption.precision.classifiers import find_classifiers
from adaption.precision.evaluate import Run, compare_runs, run_net
from adaption.precision.given_plan import given_plan, judged_plan
from adaption.precision.measure import Measurement
from adaption.precision.propose import Proposal, propose
from adaption.precision.refining.refine import Outcome
from adaption.precision.rewrite import rewrite
from adaption.report import track, write_report
from adaption.report.advice import next_steps
from adaption.report.searched import verdict
from adaption.report.summary import points_of
from adaption.report.tables import results_grid

__all__ = ["QuantizeResult", "quantize"]

PathLike = str | os.PathLike[str]


@dataclass(repr=False)
class QuantizeResult:
    """What `quantize` made; `summary` is the content of summary.json."""

    folder: Path
    summary: dict[str, Any]
    proposal: Proposal
    notices: list[str] = field(default_factory=list)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)  # in place of data layers

    @property
    def is_verified(self) -> bool:
        """True when every check of the proof holds."""
        return all(check["ok"] for check in self.summary["verification"])

    @property
    def is_met(self) -> bool:
        """False when word lengths were searched and the budget cannot be kept."""
        return bool(self.summary.get("search", {}).get("is_met", True))

    def __repr__(self) -> str:
        grid = results_grid(self.summary)
        lines = grid.plain().splitlines()
        warnings = [f"warning: {text}" for text in self.summary["warnings"]]
        notes = [*shortened(warnings, 3, "..."), f"in {os.fspath(self.folder)}"]
        most = MOST_LINES - len(notes)
        return "\n".join(map(one_line, [*shortened(lines, most, "..."), *notes]))

    def table_rows(self) -> list[dict[str, Any]]:
        """One row per rounded or measured tensor, as the report's table of layers has them."""
        keys = (
            *("q", "max_abs", "saturated_share", "flushed_share"),
            *("zero_share_before", "zero_share_after", "sqnr_db"),
        )
        return [
            {"layer": layer["name"], "type": layer["type"], "point": kind}
            | {key: tensor.get(key) for key in keys}
            for layer in self.summary["layers"]
            for kind, tensor in points_of(layer)
        ]

    def _repr_html_(self) -> str:
        grid = results_grid(self.summary)
        results = [dict(zip(grid.columns, row, strict=True)) for row in grid.rows]
        return as_html(grid.title, results) + as_html("layers", self.table_rows())

    def to_dataframe(self) -> Any:
        """One row per tensor, as a pandas.DataFrame. Raises: UsageError without pandas."""
        return as_frame(self.table_rows())


@takes_options(formats=(COMMON,), options=(COMMON, *NET, "score", "device"))
@within_limit
def quantize(
    net: PathLike,
    weights: PathLike,
    data: Any = None,
    *,
    out: PathLike,
    formats: Formats = Formats(),
    refinement: Refinement = Refinement(),
    tuning: Tuning = Tuning(),
    options: RunOptions = RunOptions(),
    fold: bool = False,
    onnx: str = "float",
    transform: Transform | None = None,
    root: PathLike | None = None,
    calibration: Any = None,
    calibration_root: PathLike | None = None,
    calibration_limit: int | None = None,
    budget: Budget = Budget(),
    search_state: PathLike | None = None,
    plan: Proposal | PathLike | None = None,
    reference: PathLike | None = None,
    sensitivity: bool = False,
    command: Sequence[str] = (),
    quiet: bool = False,
    memory_limit: Size | None = None,
    **choices: Any,
) -> QuantizeResult:
    """Make a fixed-point version of a net, prove it right, and report.

    Args:
        net, weights: prototxt and caffemodel of the float net.
        data: folder, list file, LMDB, LevelDB, HDF5 or npz; None: the net's own data layer. Or what
            the caller holds: an array, arrays by blob name, batches of them; see data.source_of.
        out: folder for net_lp.prototxt, net_lp.caffemodel, net_lp.onnx, plan.json, summary.json
            and report.html. They appear when all of it is done, not before.
        formats: which formats are chosen; see Formats.
        refinement: what is done to weights and biases; see Refinement. quantize(..., **BEST) asks
            for all that helps.
        tuning: whether the result is fine-tuned to the float net's class scores; see Tuning.
        options: how the net is built and run; see RunOptions. With `end`, the layers behind it, of
            unknown types or not, stay as they are in the files that are written.
        fold: first fold batch norm, scale and bias into the weight layer before them.
        onnx: style of net_lp.onnx: "float", "qdq" or "integer"; see `export_onnx`.
        transform: preprocessing; None takes the data layer's own, or none.
        root: folder that the files of a list are relative to.
        calibration: data of any kind that formats come from, prepared as `data`, so that accuracy
            is stated on samples that took no part; None: `data` serves for both.
        calibration_root, calibration_limit: its `root` (None: that of `data`) and `limit`.
        budget: first find the word length of each layer's weights that it allows; see Budget, and
            `search`, whose `state` is `search_state` here, kept only where it is given.
        plan: the formats, or a file of them as `propose` writes, in place of chosen ones; with it
            neither `formats` nor `budget` may ask for anything, and of `refinement` only what fits
            weights to formats: refine, correct_bias, keep_zeros.
        reference: folder that keeps the float net's passes over the data; where they are there
            already, of the same net, weights and data, it is not run again.
        sensitivity: also measure what rounding each point alone does, as `sensitivity` does, with
            these formats: one pass over the data per point.
        command: words of the shell command that asks for this; commands that the report
            recommends are made from them.
        quiet: show no progress.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of Budget, Formats, Refinement, RunOptions and Tuning as keywords:
            quantize(..., bits=8, limit=100).
    Raises: AdaptionError on bad input; nothing is written then.
    """
    started = time.monotonic()
    if onnx not in PROVED:
        raise FieldError("onnx", onnx, ", ".join(PROVED))
    folder = Path(out)
    mean = None if transform is None else transform.mean_file
    read = [x if is_path(x) else None for x in (data, calibration)]
    read.append(None if isinstance(plan, Proposal) else plan)
    written = [folder, *(folder / name for name in RESULTS)]
    written += [state_path(folder)] if tuning.tune else []
    keep_inputs(written, [net, weights, reference, mean, *read])
    calibrating = Calibration(calibration, calibration_root, calibration_limit)
    calibrating.check()
    check_budget(budget, search_state)
    by_hand = None if plan is None else given_plan(plan)
    if by_hand is not None:
        _refuse_choices(formats, refinement, budget)
    earlier = earlier_results(folder)

    source = prepare_float(net, weights, data, options, fold=fold, transform=transform, root=root)
    net_file, trained, spec, feed = source.file, source.weights, source.spec, source.feed
    calibrated = calibrating.feed(spec, feed, transform, options, trained, root)
    measured_on, judges = shares_of(calibrated, calibrating, budget, holds_back=bool(tuning.tune))

    def chosen(measurement: Measurement, formats: Formats = formats) -> Proposal:
        if by_hand is not None:
            return judged_plan(feed.spec, by_hand, measurement)
        return propose(feed.spec, measurement, formats=formats)

    if onnx != "float":
        foreseen = why_not_exact(
            feed.spec,
            is_partly_float=formats.is_partial or by_hand is not None,
            propose=chosen,
            low=source.low_spec,
        )
        if foreseen and formats.is_partial:
            all_rounded = partial(chosen, formats=formats.rounding_all)
            why = why_not_exact(
                feed.spec, is_partly_float=False, propose=all_rounded, low=source.low_spec
            )
            refuse_float_layers(onnx, foreseen, why)
        if foreseen and not quiet:
            print(
                f"warning: no net_lp.onnx of style {onnx} will be written: {foreseen}; --onnx float"
                " asks for another style",
                file=sys.stderr,
            )
    full = source.build()
    if by_hand is None:
        refuse_unmatched(full, chosen)
    scores = find_classifiers(feed.spec, full, options.score)
    refuse_tuning(tuning, scores, calibrated, full, folder)
    origin = None
    if reference is not None:
        origin = origin_of(
            net,
            weights,
            data=None if data is None else feed.batches.source.origin,
            limit=options.limit,
            **{"end": None, **source.settings()},
            **calibrating.origin(calibrated),
            **({} if judges is None else {"calibration_share": judges.count}),
            **({"held_back": HELD_BACK} if tuning.tune else {}),
        )
    measured, before = float_pass(
        full,
        feed,
        measured_on,
        quiet=quiet,
        scores=scores,
        # A reference serves every rule.
        legacy_rule=formats.rule == "adaption-legacy" or reference is not None,
        folder=None if reference is None else Path(reference),
        origin=origin or {},
    )
    found: Searched | None = None
    if budget.is_set:
        kept = None
        if search_state is not None:
            kept = kept_search(
                search_state,
                (net, weights, data),
                source,
                (budget, formats, refinement),
                calibrating.origin(calibrated),
                judges=judges,
                called="--search-state",
                held_back=HELD_BACK if tuning.tune else 0,
            )
        ground = Ground(
            full, trained, measured, measured_on, judges, scores, source.low_spec, options.seed
        )
        found = search_lengths(ground, formats, refinement, budget, kept, quiet=quiet)
        formats = found.formats
        full.load(trained)
    outcome = refined(
        full, trained, measured, measured_on, formats, refinement,
        quiet=quiet, given=None if by_hand is None else chosen(measured),
    )  # fmt: skip
    full.release()  # a large net would be held twice
    give_back()
    proposal, measured = outcome.proposal, outcome.measured
    low_file = rewrite(net_file, proposal)
    fed = source.fed(low_file)
    nearest = rounded_to_nearest(
        fed, feed, outcome, before, scores, options=options, quiet=quiet, by_point=sensitivity
    )
    low = Net(fed, outcome.weights, seed=options.seed, device=options.device)
    outcome = replace(outcome, weights=source.part.behind(low, outcome.weights))  # low has the rest
    give_back()
    tuning_said = None
    if tuning.tune:
        kept_zeros = outcome.plain if outcome.said.get("kept_zeros") else None
        tuning_said = tuned(
            low, source.build(), calibrated, scores, tuning, options,
            keeps_zeros_of=kept_zeros, out=folder, quiet=quiet,
        )  # fmt: skip
        give_back()
    lengths = str(proposal.head()["lengths"]) if found is None else found.lengths
    batches = track(feed, f"running it in {lengths} bits", quiet=quiet, unit="batches")
    after = run_net(low, batches, scores=scores)
    summary = _summary(full.spec, low, feed, outcome, before, after) | nearest
    if found is not None:
        summary |= {"lengths": lengths, "search": found.said}
    if tuning_said is not None:
        summary["tuning"] = tuning_said
        outcome.notes.append(tuning_note(tuning_said))
    summary["calibration"] = calibrating.entry(calibrated, feed, measured.samples)
    notices = [*earlier, *map(str, net_file.notices), *full.notices]
    taken_off = [taken_off_note(source.formatted, net, weights)] if source.formatted else []
    notices += taken_off

    with staged_folder(folder, RESULTS, marker=SUMMARY) as stage:
        write_net(low_file, stage / "net_lp.prototxt")
        held = source.part.weights(low, outcome.weights, low_file)
        write_weights(stage / "net_lp.caffemodel", held, name=low.name)
        said = outcome.notes
        del held, outcome  # the proof holds a large net of its own
        give_back()
        proposal.save(stage / "plan.json")
        summary["verification"] = prove(
            low, feed, stage, source.part, options.seed, style=onnx, quiet=quiet
        )
        summary["files"] = files_entry(net, weights, folder, stage)
        summary["notes"] = [calibration_note(summary["calibration"]), *said]
        summary["notes"] += verdict(found.said) if found is not None else []
        summary["notes"] += notes_of(net_file, feed, proposal, measured)
        summary["notes"] += [scores.why] if scores.why else []
        summary["notes"] += taken_off
        summary["warnings"] = quality_warnings(summary, scores)
        if found is not None and not found.is_met:
            summary["warnings"].append(verdict(found.said)[0])
        summary["notes"] += source.fold_notes
        for check in summary["verification"]:
            if "file" in check:  # where it will lie, not where it was checked
                check["file"] = os.fspath(folder / Path(check["file"]).name)
            summary["notes"] += [f"ONNX: {note}." for note in check.get("notes", [])]
        if options.end is not None:
            summary["notes"].append(
                f'Layers behind "{options.end}" were not run; they are in the files as they were.'
            )
        summary["command"] = list(command)
        summary["inputs"] = {name: list(x) for name, x in feed.replaced(spec).items()}
        summary["next"] = [step.to_dict() for step in next_steps(summary)]
        summary["seconds"] = time.monotonic() - started
        summary = finite_only(summary)
        write_report(summary, stage / "report.html")
        summary["files"]["report"]["size_bytes"] = (stage / "report.html").stat().st_size
        with atomic_write(stage / SUMMARY, "w") as file:
            json.dump(summary, file, indent=2, allow_nan=False)
            file.write("\n")
    if tuning.tune:
        remove_state(folder)
    return QuantizeResult(folder, summary, proposal, notices, feed.replaced(spec))


def _refuse_choices(*choices: Options) -> None:
    """Raises: UsageError on what would choose other formats than those of a plan."""
    kept = ("refine", "correct_bias", "keep_zeros")  # they fit weights to formats
    said = [name for values in choices for name in values.changed() if name not in kept]
    if said:
        raise UsageError(
            f"{', '.join(said)} beside --plan, which says the formats",
            "leave out --plan, or the choices; or edit the file of --plan, which is text",
        )


def _summary(
    spec: NetSpec,
    low: Net,
    feed: Feed,
    outcome: Outcome,
    before: Run,
    after: Run,
) -> dict[str, Any]:
    measured, proposal = outcome.measured, outcome.proposal
    layers = layer_entries(spec, low, measured, proposal, before, after, outcome.plain)
    said = proposal.head()
    return {
        "format": FORMAT,
        "adaption_version": __version__,
        "net": spec.name or Path(spec.file or "net").stem,
        **{name: said[name] for name in ("bits", "lengths", "rule", "threshold", "rounding")},
        "data": feed.describe(),
        "preprocessing": feed.preprocessing(),
        "layers": layers,
        "accuracy": accuracy_entry(before, after),
        **compare_runs(before, after),
        "macs": macs_entry(layers),
        "cost": cost_entry(low, before, after),
        "sparsity": sparsity_entry(layers, before, after),
        **({"refinement": outcome.said} if outcome.said else {}),
    }
