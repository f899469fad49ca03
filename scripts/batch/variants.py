"""A variant of a batch: its folder, its log, and the command that makes it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import adaption
from adaption.cli.options import transform_of
from adaption.job.score import DataScore
from adaption.options.recipes import known_recipe_options

__all__ = ["BUDGETS", "SUMMARY", "Variant", "command_of", "log_of", "scored"]

BUDGETS = {"drop": "POINTS", "size": "BYTES", "macbits": "N"}  # --max-drop, ...
SUMMARY = "the results of a variant"  # in errors


@dataclass(frozen=True)
class Variant:
    """One rule, or recipe, at one word length."""

    rule: str
    bits: int
    folder: Path
    is_recipe: bool = False

    @property
    def is_done(self) -> bool:
        return (self.folder / "summary.json").exists()


def log_of(variant: Variant) -> Path:
    """The output of its process."""
    return variant.folder.with_name(f"{variant.folder.name}.log")


def command_of(args: argparse.Namespace, rest: list[str], variant: Variant) -> list[str]:
    """The words that make one variant, from `python -m adaption` on."""
    if variant.is_recipe:
        return [*recipe_command(args, variant), *rest]
    command = ["-m", "adaption", "quantize", str(args.net), str(args.weights)]
    command += [f"--bits={variant.bits}", f"--rule={variant.rule}", f"--seed={args.seed}"]
    command += [f"--reference={args.out / 'float'}", f"--out={variant.folder}"]
    return [*command, *given(args), *rest]


def recipe_command(args: argparse.Namespace, variant: Variant) -> list[str]:
    """`adaption rewrite --recipe` for one variant, and for its train net."""
    low = variant.folder / "net_lp.prototxt"
    command = ["-m", "adaption", "rewrite", str(args.net), "-o", str(low)]
    command += ["--recipe", variant.rule]
    table = known_recipe_options()
    fields = table[variant.rule].declared() if variant.rule in table else {}
    for field in fields:  # of one word length, or one for weights and one for results
        if field == "bits" or field.endswith("_bits"):
            command.append(f"--{field.replace('_', '-')}={variant.bits}")
    if args.train_net:
        command += ["--also", str(args.train_net), str(variant.folder / "train_lp.prototxt")]
    return command


def given(args: argparse.Namespace) -> Iterator[str]:
    """The flags of quantize that this script reads, too."""
    of_data = ("data", "root", "limit", "calibration", "calibration_root", "calibration_limit")
    of_images = ("resize", "channel_order", "crop", "mean_value", "mean_file", "scale")
    for name in (*of_data, *of_images, *(f"max_{name}" for name in BUDGETS)):
        if getattr(args, name) is not None:
            yield f"--{name.replace('_', '-')}={getattr(args, name)}"
    for name in ("mirror", "random_crop", "best", "refine"):
        if getattr(args, name):
            yield f"--{name.replace('_', '-')}"


def scored(args: argparse.Namespace, net: Path, weights: Path) -> DataScore:
    """A net on the data of the batch."""
    transform = transform_of(args)
    more = {"root": args.root, "limit": args.limit, "seed": args.seed}
    return adaption.score(net, weights, args.data, transform=transform, **more)
