"""The comparison of all variants that are done, as JSON, Markdown and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch.variants import Variant

from adaption.errors import FileFormatError
from adaption.io.atomic import atomic_write
from adaption.io.files import read_json
from adaption.report.comparison import comparison_grid, write_comparison

__all__ = ["compare"]

AGAIN = "delete the folder of this variant: the batch makes it again"


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
    """One row of the comparison, from what the variant's folder holds.

    Raises: FileFormatError where that is damaged.
    """
    path = variant.folder / "summary.json"
    summary = read_json(path, "a summary of quantize", fix=AGAIN)
    try:
        return _row(variant, summary)
    except (AttributeError, KeyError, TypeError) as error:
        fact = f"is no summary of quantize: {type(error).__name__} {error}"
        raise FileFormatError(fact, AGAIN, file=path) from None


def _row(variant: Variant, summary: dict[str, Any]) -> dict[str, Any]:
    accuracy = summary["accuracy"] or {"float": {}, "quantized": {}}
    low, full = accuracy["quantized"], accuracy["float"]
    flips, sparsity = summary.get("flipped_predictions"), summary.get("sparsity", {})
    sqnr = [v for v in summary.get("output_sqnr_db", {}).values() if v is not None]
    checks = summary.get("verification")
    tuned: dict[str, Any] = {}
    if (path := variant.folder / "finetuned.json").exists():
        tuned = read_json(path, "a score of finetuned weights", fix=AGAIN)["accuracy"] or {}
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
