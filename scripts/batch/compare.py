"""The comparison of all variants that are done, as JSON, Markdown and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch.variants import Variant

from adaption.io.atomic import atomic_write
from adaption.report.comparison import comparison_grid, write_comparison

__all__ = ["compare"]


def compare(out: Path, variants: Sequence[Variant]) -> None:
    """Write and print the comparison of what is there."""
    rows = [facts(v) for v in variants]
    with atomic_write(out / "comparison.json", "w") as file:
        json.dump(rows, file, indent=2)
    grid = comparison_grid(rows)
    lines = [grid.columns, ["---"] * len(grid.columns), *grid.rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    with atomic_write(out / "comparison.md", "w") as file:
        file.write(table + "\n")
    write_comparison(rows, out / "comparison.html", rows[0]["net"] if rows else "net")
    print(table)
    print(f"report: {out / 'comparison.html'}")


def facts(variant: Variant) -> dict[str, Any]:
    """One row of the comparison, from what the variant's folder holds."""
    summary = json.loads((variant.folder / "summary.json").read_text("utf-8"))
    accuracy = summary["accuracy"] or {"float": {}, "quantized": {}}
    low, full = accuracy["quantized"], accuracy["float"]
    flips, sparsity = summary.get("flipped_predictions"), summary.get("sparsity", {})
    sqnr = [v for v in summary.get("output_sqnr_db", {}).values() if v is not None]
    checks = summary.get("verification")
    tuned: dict[str, Any] = {}
    if (variant.folder / "finetuned.json").exists():
        tuned = json.loads((variant.folder / "finetuned.json").read_text("utf-8"))["accuracy"] or {}
    return {
        "net": summary["net"],
        "rule": variant.rule,
        "bits": variant.bits,
        "Top-1": low.get("top1"),
        "change": low["top1"] - full["top1"] if low else None,
        "Top-5": low.get("top5"),
        "flipped": flips["share"] if flips else None,
        "output SQNR": min(sqnr, default=None),
        "zero weights": sparsity.get("weights_after"),
        "zero inputs": sparsity.get("activations_after"),
        "verified": None if checks is None else all(check["ok"] for check in checks),
        "fine-tuned Top-1": tuned.get("top1"),
        "fine-tuned Top-5": tuned.get("top5"),
        "float Top-1": full.get("top1"),
        "float Top-5": full.get("top5"),
        "float zero weights": sparsity.get("weights_before"),
        "float zero inputs": sparsity.get("activations_before"),
        "folder": variant.folder.name,
        "seconds": summary["seconds"],
    }
