"""What to do next with a quantized net: from its summary, steps with commands that can be pasted.

Each command is the one that made the summary, with other flags. A summary made from Python has no
command; its steps name keywords instead.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaption.report.format import one_line
from adaption.report.summary import flushed_of_nonzero, points_of, sqnr_value

__all__ = ["NOTABLE_LOSS", "Step", "Weak", "next_steps", "verify_command", "weakest"]

Summary = Mapping[str, Any]

NOTABLE_LOSS = 0.01  # of top-1, as a fraction: from here on the result is called worse
NOTABLE_FLIPS = 0.05  # share of predictions, where there are no labels
NOTABLE_DB = 20.0  # SQNR of the output, where there are no classes either
MOST_WEAK = 8  # points listed
MOST_WIDENED = 3  # points that the command gives more bits
MORE_BITS = 2
FEW_BITS = 4  # where fine-tuning pays
TUNED = "10"  # passes
TUNING_SAMPLES = 256  # with fewer it is not recommended
LEAST, MOST = 2, 24  # word lengths that can be asked for


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: why, and the command; `python` says it for callers without a command."""

    text: str
    command: str = ""
    python: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values, for JSON; what is not known is left out."""
        parts = {"text": self.text, "command": self.command, "python": self.python}
        return {name: value for name, value in parts.items() if value}


@dataclass(frozen=True, slots=True)
class Weak:
    """A point that loses much. alone: its entry of the sensitivity, where that was measured."""

    layer: str
    kind: str
    tensor: Summary
    alone: Summary | None = None

    def __str__(self) -> str:
        return f"{one_line(self.layer)} ({self.kind})"

    @property
    def lost(self) -> str:
        """What becomes of its values, in words."""
        parts = []
        for share, what in (
            (flushed_of_nonzero(self.tensor), "become 0"),
            (float(self.tensor.get("saturated_share") or 0.0), "saturate"),
        ):
            if share >= 0.0005:
                parts.append(f"{100 * share:.3g} % {what}")
        return ", ".join(parts) or "rounding noise only"


def weakest(summary: Summary, most: int = MOST_WEAK) -> list[Weak]:
    """The points that lose most, worst first: by what rounding them alone does to the output where
    that was measured, else by their own SQNR."""
    rounded = {
        (layer["name"], kind): tensor
        for layer in summary["layers"]
        for kind, tensor in points_of(layer)
        if tensor.get("q")
    }
    measured = (summary.get("sensitivity") or {}).get("points")
    if measured:
        harmful = [e for e in measured if e["sqnr_db"] is not None]
        keys = [((e["layer"], e["kind"]), e) for e in harmful]
        return [Weak(*key, rounded[key], e) for key, e in keys if key in rounded][:most]
    own = {key: sqnr_value(tensor) for key, tensor in rounded.items()}
    finite = {key: v for key, v in own.items() if v is not None and math.isfinite(v)}
    return [Weak(*key, rounded[key]) for key in sorted(finite, key=finite.__getitem__)][:most]


def verify_command(summary: Summary) -> list[str]:
    """The words of the command that proves the written files again."""
    files = summary.get("files") or {}
    words = [
        *(str(files[key]["path"]) for key in ("net_lp", "weights_lp")),
        *([str(files["onnx"]["path"])] if "onnx" in files else ["lp", "lp64"]),
    ]
    for blob, shape in (summary.get("inputs") or {}).items():
        words += ["--input", f"{blob}={'x'.join(map(str, shape))}"]
    return ["adaption", "verify", *words]


def next_steps(summary: Summary) -> list[Step]:
    """What to do next, the most useful first; empty where nothing is known to help."""
    worse = _is_worse(summary)
    steps = list(_failed(summary))
    if worse is None:
        steps += _unmeasured(summary)
    elif worse:
        steps += _better(summary)
    else:
        steps += _good_enough(summary)
    if not (summary.get("sensitivity") or worse is False):
        steps.append(
            _again(
                summary,
                "Find the layers to blame: round each point alone and see what that does to the"
                " output, one pass over the data per point.",
                ["--sensitivity"],
                "sensitivity=True",
                "sensitivity",
            )
        )
    if (summary.get("calibration") or {}).get("is_scored"):
        steps.append(
            Step(
                "State accuracy on samples that took no part: --calibration names data for the"
                " formats, --data is what is scored.",
                python="" if summary.get("command") else "quantize(..., calibration=DATA)",
            )
        )
    return steps


def _is_worse(summary: Summary) -> bool | None:
    """Whether the quantized net is notably worse than the float net; None where nothing says so."""
    accuracy = summary.get("accuracy") or {}
    full, low = ((accuracy.get(when) or {}).get("top1") for when in ("float", "quantized"))
    if full is not None and low is not None:
        return not full - low < NOTABLE_LOSS  # NaN is worse
    share = (summary.get("flipped_predictions") or {}).get("share")
    if share is not None:
        return bool(share >= NOTABLE_FLIPS)
    outputs = (summary.get("output_sqnr_db") or {}).values()
    if outputs:
        return any(value is not None and not value >= NOTABLE_DB for value in outputs)
    return None


def _failed(summary: Summary) -> Iterator[Step]:
    checks = summary.get("verification") or []
    if all(check.get("ok") for check in checks) or not _is_written(summary):
        return
    yield Step(
        "A check failed: what was written does not compute what was simulated. This finds the"
        " first blob that differs.",
        shlex.join(verify_command(summary)),
    )


def _unmeasured(summary: Summary) -> Iterator[Step]:
    yield Step(
        "Nothing says how good the quantized net is: use data with labels, or name the output with"
        " the class scores by --score BLOB."
    )


def _better(summary: Summary) -> Iterator[Step]:
    if _has_flag(summary, "--plan"):
        yield Step(
            "The formats came from --plan: give the points below more bits in that file and call"
            " again."
        )
        return
    if not (summary.get("refinement") or {}).get("refined"):
        yield _again(
            summary,
            "Round weights so that their errors cancel, with formats by the error against the"
            " float net: the most accurate net without training.",
            ["--best"],
            "**BEST",
            "best",
            drop=("--rule",),
        )
    elif "tuning" not in summary and _could_be_tuned(summary):
        yield _again(
            summary,
            "Tune it to the float net's class scores. This needs no labels and keeps the formats;"
            " it helps most with a thousand calibration samples or more.",
            ["--tune", TUNED],
            f"tune={TUNED}",
            "tuned",
        )
    weak = weakest(summary, MOST_WIDENED)
    wider = [(w, int(w.tensor["word_length"]) + MORE_BITS) for w in weak]
    # Of names with these characters --bits would understand something else.
    wider = [(w, bits) for w, bits in wider if bits <= MOST and not set(w.layer) & set("*?[]")]
    if wider:
        items = [f"{w.layer}:{w.kind}={bits}" for w, bits in wider]
        listed = ", ".join(str(w) for w, _ in wider)
        flags = [word for item in items for word in ("--bits", item)]
        base = [] if _has_flag(summary, "--bits") else ["--bits", str(summary.get("bits"))]
        stated = str(summary.get("lengths") or summary.get("bits")).split(", ")
        yield _again(
            summary,
            f"Give the worst points {MORE_BITS} bits more: {listed}.",
            [*base, *flags],
            f"bits={[*stated, *items]}",
            "wider",
        )
    bits = summary.get("bits")
    if isinstance(bits, int) and bits <= FEW_BITS:
        yield Step(
            f"Train it on: at {FEW_BITS} bits and fewer a short fine-tuning wins back most of what"
            " is lost (guides: Fine-tune with a solver, Few bits)."
        )


def _could_be_tuned(summary: Summary) -> bool:
    """Whether predictions have changed, and there are samples enough to change that."""
    samples = (summary.get("calibration") or {}).get("samples") or 0
    changed = (summary.get("flipped_predictions") or {}).get("count")
    return bool(changed) and samples >= TUNING_SAMPLES


def _good_enough(summary: Summary) -> Iterator[Step]:
    yield Step(
        "On this data it is as good as the float net. Prove the files again wherever they will"
        " run.",
        shlex.join(verify_command(summary)) if _is_written(summary) else "",
    )
    bits, lengths = summary.get("bits"), summary.get("lengths")
    if isinstance(bits, int) and bits > LEAST and not _has_flag(summary, "--plan"):
        fewer = max(LEAST, bits - MORE_BITS)
        if lengths in (None, str(bits)):
            yield _again(
                summary,
                f"Try {fewer} bits.",
                ["--bits", str(fewer)],
                f"bits={fewer}",
                f"{fewer}",
                drop=("--bits",),
            )


def _is_written(summary: Summary) -> bool:
    return {"net_lp", "weights_lp"} <= set(summary.get("files") or {})


def _has_flag(summary: Summary, flag: str) -> bool:
    """Whether the command that made the summary has this flag."""
    words = summary.get("command") or []
    return any(word == flag or word.startswith(f"{flag}=") for word in words)


def _again(
    summary: Summary,
    text: str,
    flags: Sequence[str],
    keywords: str,
    suffix: str,
    drop: Sequence[str] = (),
) -> Step:
    """The call that made the summary, with further flags, into a folder of its own."""
    words = [str(word) for word in summary.get("command") or []]
    report = ((summary.get("files") or {}).get("report") or {}).get("path")
    if not words or not report:
        return Step(text, python=f"quantize(..., {keywords})")
    folder = os.fspath(Path(report).parent)
    kept = _without(words, ("-o", "--out", *drop))
    return Step(text, shlex.join([*kept, *flags, "-o", f"{folder}-{suffix}"]))


def _without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The words of a command less some flags and the one word behind each."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in flags:
            skip = True
        elif word.partition("=")[0] not in flags and not (word[:2] == "-o" and word[2:]):
            kept.append(word)
    return kept
