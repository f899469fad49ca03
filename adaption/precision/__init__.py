"""From a float net to a low-precision one: measure, propose, rewrite, convert, evaluate."""

from __future__ import annotations

from adaption.moved import names_at

# Where names are that this package had in version 0.1.0. Those that are modules here (convert,
# edit, propose, rescale, rewrite, rewrite_files, widen) cannot be functions too; they are in
# `adaption`.
MOVED = {
    **dict.fromkeys(("BEST", "INT8"), "adaption.options"),
    "BiasProposal": "adaption.precision.bias_proposal",
    **dict.fromkeys(("Measurement", "measure_net"), "adaption.precision.measure"),
    "Proposal": "adaption.precision.proposal",
    "Widened": "adaption.precision.widen",
    **dict.fromkeys(("convert_file", "create", "edit_file", "extract"), "adaption"),
    **dict.fromkeys(("fold_batch_norm", "propose_biases"), "adaption"),
}

__getattr__ = names_at(__name__, MOVED)
