"""Formats: everything that decides which formats are proposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

from adaption.errors import FieldError, UsageError
from adaption.options.base import SPECIAL, Options, option
from adaption.options.checks import Names, Number, OneOf, OrNone, Switch, Text
from adaption.options.word_lengths import Bits, WordLengths

__all__ = [
    "INT8",
    "JOINS",
    "PLACES",
    "ROUNDINGS",
    "ROUNDING_WORDS",
    "RULE_NAMES",
    "Formats",
    "of_weights",
    "rounding_named",
]

# Names of what lies in rooms that import torch; a test compares.
RULE_NAMES = ["adaption", "adaption-legacy", "max", "percentile", "sqnr", "error"]
"""Of the rules; `precision.rules.rule` adds those that are registered besides."""
ROUNDINGS = ("half_away", "half_even", "stochastic", "floor")
ROUNDING_WORDS: Mapping[str, str] = MappingProxyType(
    {"deterministic": "half_away", "stochastic": "stochastic", "half-even": "half_even"}
)
"""What the shell calls them; Python's names are understood there, too."""
PLACES = ("before-relu", "after-relu", "after-pooling")
JOINS = ("concat",)


def rounding_named(word: str) -> str:
    """The rounding that the shell's word, or Python's, means. Raises: FieldError."""
    name = ROUNDING_WORDS.get(word, word)
    if name not in ROUNDINGS:
        raise FieldError("rounding", word, ", ".join((*ROUNDING_WORDS, "floor")))
    return name


def of_weights(rounding: str) -> str:
    """How weights are rounded where results are rounded so: to even, only results are."""
    return "half_away" if rounding == "half_even" else rounding


def _word_lengths(name: str, value: Any) -> Bits:
    return WordLengths.parse(value).given


@dataclass(frozen=True, kw_only=True, repr=False)
class Formats(Options):
    """Which formats are proposed: word lengths, rule, rounding, and what is rounded where.

    Values are kept in one form: 8, "8" and ["8"] are the same bits. `dataclasses.replace` gives
    one with other values, `over` starts from a preset.

    Raises: FieldError; UsageError where two fields exclude each other.
    """

    bits: Bits = option(
        16,
        _word_lengths,
        "word length, 2..24 (default {default}): N for all, or for a kind (activation=16), a layer"
        " or pattern (conv1*=12), or both (conv1*:weight=6); float in place of a number leaves"
        " those in float (conv1=float, conv1:weight=float); may be given several times, the last"
        " that fits counts. A length for biases (bias=N) rounds them to formats of their own",
        metavar="N|WHAT=N",
        is_repeated=True,
    )
    rule: str = option(
        "adaption",
        OneOf(RULE_NAMES),
        "how Qm.f is chosen: up to max-abs, or leaving --threshold beyond (adaption, the"
        " default); as the original computes it (adaption-legacy); max-abs, small tensors with more"
        " bits of fraction (max); up to --percentile (percentile); the best SQNR (sqnr);"
        " the least error against the float net, errors of earlier layers included, which quantize"
        " finds layer by layer, and which is sqnr where only a measurement is at hand (error)",
    )
    threshold: float = option(
        0.0,
        Number("0 or more, below 1", lambda share: 0 <= share < 1),
        "of the rules adaption and adaption-legacy: share of the non-zero values that may lie"
        " beyond the range (default {default})",
    )
    percentile: float = option(
        99.9,
        Number("above 0, up to 100", lambda percent: 0 < percent <= 100),
        "of the rule percentile: percent of the non-zero magnitudes that lie within the range"
        " (default {default})",
        metavar="P",
    )
    rounding: str = option(
        "half_away",
        OneOf(ROUNDINGS),
        "{default} (the default): ties away from zero; half-even: results with ties to even, as"
        " ONNX's QuantizeLinear rounds, and the rest as {default}",
        words=ROUNDING_WORDS,
    )
    round_bias: bool = option(
        False,
        Switch(),
        "round biases, too, in the weights' format; --bits bias=N gives them their own",
    )
    product_bias: bool = option(
        False,
        Switch(),
        "round biases to the grid of their layer's products, in 32 bits, as integer hardware"
        " holds them",
    )
    every_bottom: bool = option(
        False,
        Switch(),
        "also round what else weight layers read: inputs, sums of branches, averages, ...",
    )
    unsigned: bool = option(False, Switch(), "no sign bit for tensors that are never negative")
    lpact: str = option(
        "before-relu",
        OneOf(PLACES),
        "where results are rounded (default before the activation function, as the original)",
    )
    same_format: str | None = option(
        None,
        OrNone(OneOf(JOINS)),
        "concat: results that meet in a Concat get one format, the widest chosen, as most"
        " accelerators need it",
    )
    backward_weights: bool = option(
        False,
        Switch(),
        "in training, send gradients back through the rounded weights rather than the masters:"
        " fine-tuning at 4 bits and fewer needs it (backward_weights: QUANTIZED in the prototxt)",
    )
    mask_saturated: bool = option(
        False,
        Switch(),
        "in training, hand no gradient to values beyond the range of their format: formats that"
        " cut off much, as those of the rule error at 2 bits, need it",
    )
    exclude: Sequence[str] = option(
        (),
        Names(),
        "leave this weight layer in float; a name or a pattern such as 'loss*' (may be given"
        " several times)",
        metavar="LAYER",
        is_repeated=True,
    )
    exclude_first: bool = option(False, Switch(), "leave the first weight layer in float")
    exclude_last: bool = option(False, Switch(), "leave the last weight layer in float")
    original_semantics: bool = option(
        False,
        Switch(),
        "with --rule adaption-legacy: take the weights' format from the bias, and activations"
        " after all layers in place, as the original's helper does",
        topic=SPECIAL,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.round_bias and self.product_bias:
            raise UsageError(
                "biases are to be rounded in the weights' format and on the grid of the products",
                "ask for one of round_bias and product_bias",
            )

    @cached_property
    def lengths(self) -> WordLengths:
        """The word lengths that `bits` gives to points."""
        return WordLengths.parse(self.bits)

    @property
    def is_partial(self) -> bool:
        """True when layers are to stay in float."""
        own = self.exclude or self.exclude_first or self.exclude_last
        return bool(own or self.lengths.leaves_float)

    @property
    def rounding_all(self) -> Self:
        """The same choices with no layer left in float on request."""
        bits = [word for word in _listed(self.lengths.given) if not str(word).endswith("=float")]
        return replace(self, bits=bits, exclude=(), exclude_first=False, exclude_last=False)

    @classmethod
    def over(cls, preset: Mapping[str, Any], **values: Any) -> Self:
        """A preset, INT8 for example, where these values do not say otherwise.

        Word lengths add up: those given here count more.
        """
        made = {**preset, **values}
        if values.get("round_bias") and "product_bias" not in values:
            made.pop("product_bias", None)
        if "bits" in preset and "bits" in values:
            made["bits"] = [*_listed(preset["bits"]), *_listed(values["bits"])]
        return cls(**made)

    def to_dict(self, *uses: str) -> dict[str, Any]:
        """As plan.json holds them: all word lengths in words, too, and no switch that is off."""
        made: dict[str, Any] = {}
        for name, value in super().to_dict(*uses).items():
            if name == "bits":
                made |= {"bits": self.lengths.bits, "lengths": str(self.lengths)}
            elif name == "percentile" and self.rule != "percentile":
                made[name] = None  # has no effect
            elif value is not False and value != []:
                made[name] = value
        return made

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote, also under a rule that only the program that wrote it knew."""
        known = {name: value for name, value in values.items() if value is not None}
        if known.get("lengths"):
            known["bits"] = str(known["lengths"]).split(", ")
        rule = Text()("rule", known.pop("rule", cls.rule))
        made = super().from_dict(known)
        object.__setattr__(made, "rule", rule)
        return made


def _listed(bits: Bits) -> list[int | str]:
    return list(bits) if isinstance(bits, Iterable) and not isinstance(bits, str) else [bits]


INT8: Mapping[str, Any] = MappingProxyType(
    {
        "bits": 8,
        "rounding": "half_even",
        "product_bias": True,
        "every_bottom": True,
        "same_format": "concat",
    }
)
"""For integer hardware and ONNX's int8 form: the float32 simulation, exact arithmetic and every
export compute the same codes, where float32 holds the sums of products (flag --int8)."""
