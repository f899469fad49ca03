"""quantize: measure, propose, rewrite, convert, compare, export, prove, report."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adaption._version import __version__
from adaption.data import Transform
from adaption.errors import FieldError, UsageError
from adaption.graph import NetSpec, NetState
from adaption.io.atomic import atomic_write
from adaption.io.caffemodel import read_weights, write_weights
from adaption.io.netfile import NetFile, read_net, write_net
from adaption.job.feed import BatchSize, Feed, fed_by, feed_from_data, feed_from_layers
from adaption.job.foresee import why_not_exact
from adaption.job.load import load_all
from adaption.job.part import Part
from adaption.job.proof import PROVED, prove
from adaption.job.quality import quality_warnings
from adaption.job.reference import Reference, load_reference, origin_of, save_reference
from adaption.job.summary import FORMAT, finite_only, layer_entries, macs_entry, sparsity_entry
from adaption.layers.fields import refuse_unknown
from adaption.net import Net
from adaption.precision.classifiers import Classifiers, find_classifiers
from adaption.precision.evaluate import Run, compare_runs, run_net
from adaption.precision.fold import fold_batch_norm
from adaption.precision.measure import ActivationObserver, Measurement, measure_weights
from adaption.precision.preprocessing import preprocessing_notes
from adaption.precision.propose import Proposal, check_settings, propose
from adaption.precision.rewrite import low_precision_layers, rewrite
from adaption.precision.word_lengths import Bits, WordLengths
from adaption.report import track, write_report

__all__ = ["QuantizeResult", "quantize"]

PathLike = str | os.PathLike[str]


@dataclass
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


def quantize(
    net: PathLike,
    weights: PathLike,
    data: PathLike | None = None,
    *,
    out: PathLike,
    bits: Bits = 16,
    rule: str = "adaption",
    threshold: float = 0.0,
    percentile: float = 99.9,
    rounding: str = "half_away",
    round_bias: bool = False,
    product_bias: bool = False,
    every_bottom: bool = False,
    unsigned: bool = False,
    lpact: str = "before-relu",
    same_format: str | None = None,
    exclude: Sequence[str] = (),
    exclude_first: bool = False,
    exclude_last: bool = False,
    fold: bool = False,
    onnx: str = "float",
    transform: Transform | None = None,
    root: PathLike | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    level: int = 0,
    stages: Sequence[str] = (),
    dialect: str | None = None,
    end: str | None = None,
    python_modules: Sequence[str] = (),
    ignore_unknown: bool = False,
    reference: PathLike | None = None,
    score: str | None = None,
    quiet: bool = False,
) -> QuantizeResult:
    """Make a fixed-point version of a net, prove it right, and report.

    Args:
        net, weights: prototxt and caffemodel of the float net.
        data: folder, list file, LMDB, LevelDB, HDF5 or npz; None: the net's own data layer.
        out: folder for net_lp.prototxt, net_lp.caffemodel, net_lp.onnx, plan.json, summary.json
            and report.html. They appear when all of it is done, not before.
        bits, rule, threshold, percentile, rounding, round_bias, product_bias, every_bottom,
            unsigned, lpact, same_format, exclude, exclude_first, exclude_last: see `propose`.
        fold: first fold batch norm, scale and bias into the weight layer before them.
        onnx: style of net_lp.onnx: "float", "qdq" or "integer"; see `export_onnx`.
        transform: preprocessing; None takes the data layer's own, or none.
        root: folder that the files of a list are relative to.
        batch_size: samples per forward pass; None chooses by memory.
        limit: use the first so many samples only.
        seed: of stochastic rounding and random cropping.
        level, stages: of the net state.
        dialect: Caffe fork that decides where forks disagree about a layer type.
        end: run and quantize the layers up to this one; those behind it, of unknown types or not,
            stay as they are in the files that are written.
        python_modules: modules whose classes may run as layers of type "Python"; see Net.
        ignore_unknown: run in spite of fields nobody knows; see Net.
        reference: folder that keeps the float net's pass over the data; where it is there already,
            of the same net, weights and data, it is not run again.
        score: blob of class scores that is to speak for the net, where it has several classifiers;
            by default that of the greatest loss weight, of equal ones the last.
        quiet: show no progress.
    Raises: AdaptionError on bad input; nothing is written then.
    """
    started = time.monotonic()
    if onnx not in PROVED:
        raise FieldError("onnx", onnx, ", ".join(PROVED))
    lengths = WordLengths.parse(bits)
    check_settings(rule, threshold, percentile, round_bias, product_bias, same_format)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"output {os.fspath(out)!r} is a file", "name a folder")

    net_file = read_net(net)
    trained = read_weights(weights)
    formatted = low_precision_layers(net_file)
    if formatted:
        net_file = rewrite(net_file)
    folding = fold_batch_norm(net_file, trained) if fold else None
    if folding is not None:
        net_file, trained = folding.net, folding.weights
    state = NetState("TEST", level, tuple(stages))
    part = Part(state, dialect, end, python_modules, ignore_unknown)
    spec = part.of(net_file)
    refuse_unknown(spec)
    size = BatchSize(batch_size, limit, seed)
    if data is None:
        feed = feed_from_layers(spec, transform, size)
    else:
        feed = feed_from_data(spec, data, transform, size, root=root, weights=trained)

    def chosen(measurement: Measurement) -> Proposal:
        return propose(
            feed.spec,
            measurement,
            bits=bits,
            rule=rule,
            threshold=threshold,
            percentile=percentile,
            rounding=rounding,
            round_bias=round_bias,
            product_bias=product_bias,
            every_bottom=every_bottom,
            unsigned=unsigned,
            lpact=lpact,
            same_format=same_format,
            exclude=exclude,
            exclude_first=exclude_first,
            exclude_last=exclude_last,
        )

    def low_spec(formats: Proposal) -> NetSpec:
        return fed_by(part.of(rewrite(net_file, formats)), feed)

    if onnx != "float":
        foreseen = why_not_exact(
            feed.spec,
            is_partly_float=bool(exclude or exclude_first or exclude_last),
            propose=chosen,
            low=low_spec,
        )
        if foreseen and not quiet:
            print(
                f"warning: no net_lp.onnx of style {onnx} will be written: {foreseen}; --onnx float"
                " asks for another style",
                file=sys.stderr,
            )
    full = Net(feed.spec, seed=seed)
    load_all(full, trained)

    scores = find_classifiers(feed.spec, full, score)
    origin = None
    if reference is not None:
        origin = origin_of(
            *(net, weights),
            data=data,
            preprocessing=feed.preprocessing(),
            limit=limit,
            state=[state.phase, state.level, list(state.stages)],
            end=end,
            fold=fold,
            batch_size=feed.batches.batch_size,
            score=score,
        )
    measured, before = _float_pass(
        full,
        track(feed, "measuring the float net", quiet=quiet, unit="batches"),
        feed.preprocessing(),
        scores=scores,
        # A reference serves every rule.
        legacy_rule=rule == "adaption-legacy" or reference is not None,
        folder=None if reference is None else Path(reference),
        origin=origin or {},
    )
    full.release()  # a large net would be held twice
    proposal = chosen(measured)
    low_file = rewrite(net_file, proposal)
    low = Net(fed_by(part.of(low_file), feed), trained, seed=seed)
    batches = track(feed, f"running it in {lengths} bits", quiet=quiet, unit="batches")
    after = run_net(low, batches, scores=scores)
    summary = _summary(full.spec, low, feed, measured, proposal, before, after)
    notices = [*map(str, net_file.notices), *full.notices]
    if formatted:
        notices.append(_taken_off(formatted, net, weights))

    with _staging(folder) as stage:
        write_net(low_file, stage / "net_lp.prototxt")
        held = part.weights(low, trained, low_file)
        write_weights(stage / "net_lp.caffemodel", held, name=low.name)
        trained.forget()
        proposal.save(stage / "plan.json")
        summary["verification"] = prove(low, feed, stage, part, seed, style=onnx)
        summary["files"] = _files(net, weights, folder, stage)
        summary["notes"] = _notes(net_file, feed, proposal, measured)
        summary["notes"] += [scores.why] if scores.why else []
        summary["notes"] += [_taken_off(formatted, net, weights)] if formatted else []
        summary["warnings"] = quality_warnings(summary, scores)
        if folding is not None:
            taken = [f"{', '.join(names)} into {into}" for into, names in folding.folded.items()]
            summary["notes"] += [f"Folded: {'; '.join(taken) or 'nothing'}.", *folding.notes]
        for check in summary["verification"]:
            if "file" in check:  # where it will lie, not where it was checked
                check["file"] = os.fspath(folder / Path(check["file"]).name)
            summary["notes"] += [f"ONNX: {note}." for note in check.get("notes", [])]
        if end is not None:
            summary["notes"].append(
                f'Layers behind "{end}" were not run; they are in the files as they were.'
            )
        summary["seconds"] = time.monotonic() - started
        summary = finite_only(summary)
        write_report(summary, stage / "report.html")
        summary["files"]["report"]["size_bytes"] = (stage / "report.html").stat().st_size
        with atomic_write(stage / "summary.json", "w") as file:
            json.dump(summary, file, indent=2, allow_nan=False)
            file.write("\n")
    return QuantizeResult(folder, summary, proposal, notices, feed.replaced(spec))


def _taken_off(formatted: Sequence[str], net: PathLike, weights: PathLike) -> str:
    names = ", ".join(formatted[:6]) + (", ..." if len(formatted) > 6 else "")
    files = shlex.join([os.fspath(net), os.fspath(weights)])
    return (
        f"The net has formats already, of {len(formatted)} layers ({names}): they are taken off,"
        ' and "float" is the net with its full precision weights. How it does as it is:'
        f" adaption test {files} (a train_val), or adaption verify {files} float lp."
    )


def _float_pass(
    full: Net,
    batches: Iterable[Any],
    preprocessing: Mapping[str, Any],
    *,
    scores: Classifiers,
    legacy_rule: bool,
    folder: Path | None,
    origin: Mapping[str, Any],
) -> tuple[Measurement, Run]:
    """The float net over all batches, or what `folder` keeps of it."""
    kept = None if folder is None else load_reference(folder, origin)
    if kept is not None:
        return kept.measured, kept.run
    measured = measure_weights(full, legacy_rule=legacy_rule)
    measured.preprocessing = preprocessing
    observer = ActivationObserver(measured, legacy_rule=legacy_rule)
    run = run_net(full, batches, scores=scores, observers=[observer])
    measured.samples = run.samples
    if folder is not None:
        save_reference(folder, Reference(measured, run), origin)
    return measured, run


def _summary(
    spec: NetSpec,
    low: Net,
    feed: Feed,
    measured: Measurement,
    proposal: Proposal,
    before: Run,
    after: Run,
) -> dict[str, Any]:
    layers = layer_entries(spec, low, measured, proposal, before, after)
    accuracy = None
    if before.tally.labelled:
        accuracy = {
            "float": before.accuracy(),
            "quantized": after.accuracy(),
            "samples": before.tally.labelled,
        }
    return {
        "format": FORMAT,
        "adaption_version": __version__,
        "net": spec.name or Path(spec.file or "net").stem,
        "bits": proposal.bits,
        "lengths": proposal.lengths,
        "rule": proposal.rule,
        "threshold": proposal.threshold,
        "rounding": proposal.rounding,
        "data": feed.describe(),
        "preprocessing": feed.preprocessing(),
        "layers": layers,
        "accuracy": accuracy,
        **compare_runs(before, after),
        "macs": macs_entry(layers),
        "sparsity": sparsity_entry(layers, before, after),
    }


def _files(net: PathLike, weights: PathLike, folder: Path, stage: Path) -> dict[str, Any]:
    def entry(path: Path, size_of: Path) -> dict[str, Any]:
        size = size_of.stat().st_size if size_of.exists() else None
        return {"path": os.fspath(path), "size_bytes": size}

    made = {
        "net_lp": "net_lp.prototxt",
        "weights_lp": "net_lp.caffemodel",
        "onnx": "net_lp.onnx",
        "plan": "plan.json",
        "report": "report.html",
    }
    files = {"net": entry(Path(net), Path(net)), "weights": entry(Path(weights), Path(weights))}
    for key, name in made.items():
        if key == "report" or (stage / name).exists():
            files[key] = entry(folder / name, stage / name)
    return files


def _notes(net_file: NetFile, feed: Feed, proposal: Proposal, measured: Measurement) -> list[str]:
    """Every approximation and everything left out, one sentence each."""
    notes = [
        f"Ranges were measured on {measured.samples} samples, the same that accuracy is stated on.",
        "Accumulation inside a layer is float32; see `verification` for what is bit-equal.",
        "Zero-skippable MACs are a layer's MACs times the share of zeros among its inputs.",
    ]
    notes += [f'Layer "{name}": {why}.' for name, why in proposal.left_float.items()]
    wide = [str(p) for p, fmt in proposal.plan.items() if fmt.frac_length < 0]
    if wide:
        notes.append(
            "Values beyond the word length need a negative frac_length, written as precision_param"
            f" because lpfp_param cannot say it: {', '.join(wide)}."
        )
    if not any(p.kind == "bias" for p in proposal.choices):
        notes.append("Biases stay in float, as ADaPTION's round_bias: false.")
    notes += [f"{note}." if not note.endswith(".") else note for note in net_file.upgrades]
    notes += preprocessing_notes(measured.preprocessing, net_file)
    notes += feed.batches.notes + feed.batches.source.notes
    skipped = feed.batches.source.skipped
    if skipped:
        notes.append(f"{len(skipped)} samples could not be read and were skipped.")
    return notes


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` whose files are moved into it when the block has succeeded."""
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=parent) as temporary:
            yield Path(temporary)
            folder.mkdir(exist_ok=True)
            for file in Path(temporary).iterdir():
                file.replace(folder / file.name)
    except OSError as error:
        raise UsageError(
            f"cannot write to {os.fspath(folder)!r}: {error.strerror or error}",
            "name a folder that can be written with -o",
        ) from None
