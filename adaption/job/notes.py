"""What the report says of how a net was made: every approximation, everything left out."""

from __future__ import annotations

from adaption.errors import counted
from adaption.io.netfile import NetFile
from adaption.job.feed import Feed
from adaption.precision.energy import SOURCE
from adaption.precision.measure import Measurement
from adaption.precision.preprocessing import preprocessing_notes
from adaption.precision.propose import Proposal

__all__ = ["notes_of"]

COST_NOTE = (
    "Packed weights have their own word length each, biases included; activations at peak are what"
    " layers, one after another, need at once; MAC bits are MACs * (weight bits + activation bits)."
    " Energy is an estimate by"
)


def notes_of(net_file: NetFile, feed: Feed, proposal: Proposal, measured: Measurement) -> list[str]:
    """Every approximation and everything left out, one sentence each."""
    notes = [
        "Accumulation inside a layer is float32; see `verification` for what is bit-equal.",
        "Zero-skippable MACs are a layer's MACs times the share of zeros among its inputs.",
        f"{COST_NOTE} {SOURCE}; for one sample, each weight read once from DRAM, each result"
        " written and read once in SRAM.",
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
        notes.append(f"Skipped {counted(len(skipped), 'sample')} that could not be read.")
    return notes
