"""report.html of `assign`: precision per layer and tensor, mismatches, costs, runs, the command."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adaption.io.atomic import atomic_write
from adaption.report.chart import Level, Panel, Series, panel_figure
from adaption.report.format import compact, percent, significant
from adaption.report.pages import render
from adaption.report.tables import Grid

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["assigned_grid", "costs_grid", "runs_grid", "write_assigned"]

Report = Mapping[str, Any]

TENSORS = (
    ("weight", "W"),
    ("activation", "A"),
    ("weight_grad", "G W"),
    ("activation_grad", "G A"),
    ("weight_accumulator", "W acc"),
)
METRICS = {
    "C_W": "bits of weights, their gradients and accumulators",
    "C_A": "bits of activations and their gradients",
    "C_M": "full adders in the multipliers of one iteration",
    "C_C": "bits of weight gradients to communicate",
}
SCHEMES = {
    "FX": "fixed point as assigned here",
    "FL": "float, 32 bits; multipliers 23 x 23",
    "BN": "weights and activations of one bit, the rest in float (binarized nets)",
    "SQ": "as assigned, accumulators of 32 bits (stochastic quantization)",
    "TG": "weight gradients of two bits, the rest in float (TernGrad)",
}
RUNS = {
    "float": "float",
    "assigned": "as assigned",
    "plus_1": "one bit more everywhere",
    "minus_1": "one bit less everywhere",
}


def assigned_grid(report: Report) -> Grid:
    """One line per weight layer: the bits of its five tensors."""
    rows = [(str(layer["name"]), *(_bits(layer[key]) for key, _ in TENSORS))
            for layer in report["layers"]]  # fmt: skip
    title = f"bits, with B_min {report['b_min']}"
    return Grid(("layer", *(name for _, name in TENSORS)), rows, title)


def _bits(tensor: Mapping[str, Any] | None) -> str:
    return "float" if tensor is None else str(tensor["bits"])


def _cost_rows(report: Report) -> list[tuple[str, ...]]:
    """Scheme, then each metric, with how many times less than float it is."""
    full = report["costs_float"]
    schemes = {"FX": report["costs"], "FL": full, **report["costs_others"]}
    rows = []
    for name, entry in schemes.items():
        cells = [
            f"{compact(entry[m])} ({significant(full[m] / entry[m], 3)}x)" if entry[m] else "0"
            for m in METRICS
        ]
        rows.append((name, *cells))
    return rows


def costs_grid(report: Report) -> Grid:
    """One line per scheme: the metrics of training, and how many times less than float."""
    return Grid(("scheme", *METRICS), _cost_rows(report), "cost of an iteration per image")


def _run_rows(report: Report) -> list[tuple[str, str]]:
    rows = []
    for name, run in report["runs"].items():
        accuracy = run["accuracy"]
        text = run.get("note", "not measured") if accuracy is None else percent(accuracy)
        rows.append((RUNS[name], text))
    return rows


def runs_grid(report: Report) -> Grid:
    """Accuracy of each run."""
    return Grid(("run", "top-1, phase TEST"), _run_rows(report))


def write_assigned(
    report: Report, path: str | os.PathLike[str], *, name: str, command: str
) -> None:
    """Write the report as one self-contained HTML file.

    Args:
        report: the content of report.json.
        name: of the net. command: that trains it.
    Raises: UsageError when `path` cannot be written.
    """
    page = render(
        "assigned.html.j2",
        title=f"{name or 'net'}: precision of every tensor of training",
        facts=_facts(report),
        command=command,
        tensors=[name for _, name in TENSORS],
        layers=[_layer(layer) for layer in report["layers"]],
        plot=_plot(report),
        mismatches=[
            (bits, percent(share), significant(report["p_m_bound"][bits], 3))
            for bits, share in report["p_m"].items()
        ],
        b_min=str(report["b_min"]),
        metrics=METRICS,
        costs=_cost_rows(report),
        schemes=SCHEMES,
        runs=_run_rows(report),
        files=list(report["files"].items()),
        notes=report["notes"],
    )
    with atomic_write(path, "w") as out:
        out.write(page)


def _facts(report: Report) -> list[str]:
    at, limit = report["p_m"][str(report["b_min"])], report["p_m_limit"]
    return [
        f"B_min {report['b_min']}: {percent(at)} mismatches, at most {percent(limit)} allowed",
        f"smallest learning rate {report['lr_min']:g}",
    ]


def _layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    weight, activation = layer["weight"], layer["activation"]
    cells: Sequence[str] = [_bits(layer[key]) for key, _ in TENSORS]
    return {
        "name": layer["name"],
        "bits": cells,
        "weight": f"{significant(weight['gain'], 3)}, +{weight['offset']}",
        "activation": significant(activation["gain"], 3)
        + ("" if activation["offset"] is None else f", +{activation['offset']}"),
        "weight_grad": _gradient(layer["weight_grad"]),
        "activation_grad": _gradient(layer["activation_grad"]),
    }


def _gradient(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    sigmas = " to ".join(significant(entry[name], 3) for name in ("sigma_min", "sigma_max"))
    text = f"{sigmas}, range 2^{entry['range_log2']}"
    jacobian = entry.get("jacobian")
    return text if jacobian is None else f"{text}, J {significant(jacobian, 3)}"


def _plot(report: Report) -> Markup:
    """Mismatches by B_min on a logarithmic scale, with the bound and the limit."""
    measured = [(float(b), 100 * share) for b, share in report["p_m"].items()]
    bound = [(float(b), 100 * value) for b, value in report["p_m_bound"].items()]
    panel = Panel(
        "mismatches %, by B_min",
        [Series("measured", measured), Series("analytic bound", bound, is_dashed=True)],
        levels=[Level("limit", 100 * report["p_m_limit"])],
        is_log=True,
        x_label="B_min, bits",
        has_markers=True,
    )  # fmt: skip
    return panel_figure("mismatches-by-bits", panel)
