"""Option values: every field checks itself, and prints, compares and saves by what it says."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaption.errors import FieldError, UsageError
from adaption.graph.filter import PHASES as PHASES_OF_NETS
from adaption.numerics import ROUNDINGS as ROUNDINGS_OF_FORMATS
from adaption.options import INT8, NET, RULE_NAMES, Budget, Formats, Option, Options, RunOptions
from adaption.options.base import option
from adaption.options.checks import Names, Switch, Text
from adaption.options.formats import PLACES, ROUNDINGS
from adaption.options.run import PHASES
from adaption.precision import rules
from adaption.precision.rules import RULES
from adaption.precision.sites import PLACES as PLACES_OF_SITES

KINDS = (Formats, RunOptions)


def test_names_are_those_of_the_rooms_that_need_torch() -> None:
    assert tuple(RULES) == tuple(RULE_NAMES)
    assert tuple(ROUNDINGS_OF_FORMATS) == ROUNDINGS
    assert tuple(PLACES_OF_SITES) == PLACES
    assert PHASES_OF_NETS == PHASES


@pytest.mark.parametrize(
    ("made", "want"),
    [
        pytest.param(Formats(bits="8"), Formats(bits=8), id="text"),
        pytest.param(Formats(bits=[16, 8]), Formats(bits=8), id="the last of two"),
        pytest.param(Formats(bits=["weight=6"]), Formats(bits=(16, "weight=6")), id="the rest"),
        pytest.param(Formats(threshold=0), Formats(threshold=0.0), id="int for float"),
        pytest.param(Formats(unsigned=np.True_), Formats(unsigned=True), id="of NumPy"),
        pytest.param(RunOptions(limit=np.int64(5)), RunOptions(limit=5), id="number of NumPy"),
        pytest.param(RunOptions(limit="5"), RunOptions(limit=5), id="as a flag gives it"),
        pytest.param(RunOptions(stages="a,b"), RunOptions(stages=["a", "b"]), id="stages"),
        pytest.param(RunOptions(python_modules="m"), RunOptions(python_modules=("m",)), id="one"),
        pytest.param(Formats(**INT8), Formats.over(INT8), id="preset"),
    ],
)
def test_what_says_the_same_is_equal(made: Options, want: Options) -> None:
    assert made == want
    assert hash(made) == hash(want)
    assert repr(made) == repr(want)
    for name in want.declared():
        assert type(getattr(made, name)) is type(getattr(want, name)), name


LENGTHS = (
    "a word length, KIND=LENGTH, PATTERN=LENGTH or PATTERN:KIND=LENGTH\n"
    "  fix: write 8, activation=16, conv1*=12, conv1*:weight=6 or conv1=float (kinds: weight, bias,"
    " activation)"
)


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        (Formats, "bits", None, f"bits is None, allowed: {LENGTHS}"),
        (Formats, "bits", "eight", f"bits is 'eight', allowed: {LENGTHS}"),
        (Formats, "rule", "mean", f"rule is 'mean', allowed: {', '.join(RULE_NAMES)}"),
        (Formats, "rule", 3, f"rule is 3, allowed: {', '.join(RULE_NAMES)}"),
        (Formats, "threshold", 1.5, "threshold is 1.5, allowed: 0 or more, below 1"),
        (Formats, "threshold", float("nan"), "threshold is nan, allowed: 0 or more, below 1"),
        (Formats, "threshold", None, "threshold is None, allowed: 0 or more, below 1"),
        (Formats, "percentile", 101, "percentile is 101, allowed: above 0, up to 100"),
        (Formats, "percentile", True, "percentile is True, allowed: above 0, up to 100"),
        (
            Formats,
            "rounding",
            "down",
            "rounding is 'down', allowed: half_away, half_even, stochastic, floor",
        ),
        (Formats, "unsigned", "yes", "unsigned is 'yes', allowed: True, False"),
        (Formats, "unsigned", 2, "unsigned is 2, allowed: True, False"),
        (Formats, "unsigned", [], "unsigned is [], allowed: True, False"),
        (
            Formats,
            "lpact",
            "behind",
            "lpact is 'behind', allowed: before-relu, after-relu, after-pooling",
        ),
        (Formats, "same_format", "all", "same_format is 'all', allowed: concat"),
        (RunOptions, "limit", 0, "limit is 0, allowed: 1 or more"),
        (RunOptions, "limit", 2.5, "limit is 2.5, allowed: 1 or more"),
        (RunOptions, "limit", True, "limit is True, allowed: 1 or more"),
        (RunOptions, "batch_size", -1, "batch_size is -1, allowed: 1 or more"),
        (RunOptions, "skip", -1, "skip is -1, allowed: 0 or more"),
        (RunOptions, "seed", 2**64, f"seed is {2**64}, allowed: a whole number of 64 bits"),
        (RunOptions, "seed", None, "seed is None, allowed: a whole number of 64 bits"),
        (RunOptions, "phase", "VAL", "phase is 'VAL', allowed: TRAIN, TEST"),
        (RunOptions, "level", "high", "level is 'high', allowed: a whole number"),
        (
            RunOptions,
            "stages",
            [1],
            "stages is (1,), allowed: names in a sequence, or in one text with commas between",
        ),
        (RunOptions, "end", 3, "end is 3, allowed: a name"),
    ],
)
def test_a_bad_value_is_refused_where_it_is_said(
    kind: type[Options], field: str, value: Any, message: str
) -> None:
    with pytest.raises(FieldError) as caught:
        kind(**{field: value})
    assert str(caught.value) == message
    with pytest.raises(FieldError):
        replace(kind(), **{field: value})


def test_biases_cannot_be_rounded_in_two_ways() -> None:
    with pytest.raises(UsageError, match="ask for one of round_bias and product_bias"):
        Formats(round_bias=True, product_bias=True)


def test_values_are_frozen_and_print_what_they_say() -> None:
    made = Formats(bits=[8, "conv1=6"], unsigned=True)
    assert repr(made) == "Formats(bits=(8, 'conv1=6'), unsigned=True)"
    assert eval(repr(made), {"Formats": Formats}) == made
    assert repr(RunOptions()) == "RunOptions()"
    assert pickle.loads(pickle.dumps(made)) == made
    assert str(made.lengths) == "8, conv1=6"
    assert str(replace(made, bits=4).lengths) == "4"
    with pytest.raises(FrozenInstanceError):
        made.bits = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        Formats(8)  # type: ignore[misc]


@pytest.mark.parametrize(
    "made",
    [
        Formats(),
        Formats(**INT8),
        Formats(bits=[6, "activation=8", "ip*:weight=4"], rule="percentile", percentile=99),
        Formats(rule="adaption-legacy", threshold=0.1, original_semantics=True, round_bias=True),
        Formats(rounding="stochastic", lpact="after-pooling", unsigned=True, every_bottom=True),
        RunOptions(),
        RunOptions(limit=5, stages="a,b", python_modules=["m"], dialect="segnet", seed=-1),
    ],
)
def test_saved_and_read_back(made: Options) -> None:
    assert type(made).from_dict(made.to_dict()) == made


def test_a_plan_of_before_is_read() -> None:
    """Its keys are all that files had to say, and more than the oldest ones said."""
    old = {"bits": 8, "rule": "sqnr", "threshold": 0.0, "rounding": "half_even"}
    later = {"lengths": "8, fc6=4", "percentile": None, "lpact": "after-relu", "same_format": None}
    made = Formats.from_dict({"format": "adaption.plan/1", **old, "net": "n", "samples": 3})
    assert made == Formats(bits=8, rule="sqnr", rounding="half_even")
    made = Formats.from_dict({**old, **later})
    assert made == Formats(bits=[8, "fc6=4"], rule="sqnr", rounding="half_even", lpact="after-relu")
    assert made.to_dict() == {**old, **later}
    with pytest.raises(FieldError, match=r"threshold is 7, allowed: 0 or more, below 1"):
        Formats.from_dict({**old, "threshold": 7})


def test_a_plan_by_a_rule_of_another_program_is_read() -> None:
    made = Formats.from_dict({"bits": 8, "rule": "mine"})
    assert made.rule == "mine"
    assert Formats.from_dict(made.to_dict()) == made
    with pytest.raises(FieldError, match="rule is 'mine'"):
        replace(made, bits=6)


def test_a_rule_that_is_registered_can_be_asked_for() -> None:
    rules.rule("of_a_test")(RULES["max"])
    try:
        assert Formats(rule="of_a_test").rule == "of_a_test"
    finally:
        del rules._RULES["of_a_test"]
        RULE_NAMES.remove("of_a_test")


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ({}, Formats(**INT8)),
        ({"bits": 6}, Formats(**{**INT8, "bits": 6})),
        ({"bits": ["ip1=6"]}, Formats(**{**INT8, "bits": [8, "ip1=6"]})),
        ({"rounding": "half_away"}, Formats(**{**INT8, "rounding": "half_away"})),
        ({"round_bias": True}, Formats(**{**INT8, "product_bias": False, "round_bias": True})),
        ({"product_bias": False}, Formats(**{**INT8, "product_bias": False})),
    ],
)
def test_a_preset_holds_unless_said_otherwise(values: dict[str, Any], want: Formats) -> None:
    assert Formats.over(INT8, **values) == want


@pytest.mark.parametrize("kind", KINDS)
def test_help_of_a_value_tells_all_its_fields(kind: type[Options]) -> None:
    assert kind.__doc__ is not None
    for name, said in kind.declared().items():
        assert f"\n        {name}: " in kind.__doc__
        assert "{default}" not in kind.__doc__
        assert said.help


@dataclass(frozen=True, kw_only=True, repr=False)
class Wider(Formats):
    """What one field more brings with it."""

    keep_zeros: bool = option(False, Switch(), "no zero becomes another value")
    leave: tuple[str, ...] = option((), Names(), "layers to leave", is_repeated=True)


def test_a_new_field_is_said_once() -> None:
    assert Wider.from_dict(Wider(keep_zeros=True).to_dict()) == Wider(keep_zeros=True)
    assert Wider().to_dict() == Formats().to_dict()  # what is not chosen is not written
    assert Wider(leave="ip*").to_dict() == {**Formats().to_dict(), "leave": ["ip*"]}
    assert repr(Wider(leave="ip*", bits=8)) == "Wider(bits=8, leave=('ip*',))"
    assert list(Wider.declared("keep_zeros", "special")) == ["original_semantics", "keep_zeros"]
    with pytest.raises(AssertionError, match=r"no field or topic \{'zeros'\}"):
        Wider.declared("zeros")


def test_fields_of_a_topic() -> None:
    assert list(RunOptions.declared(*NET)) == [
        *("level", "stages", "dialect", "end", "python_modules", "ignore_unknown")
    ]
    assert RunOptions(end="ip1").changed(*NET) == {"end": "ip1"}
    assert RunOptions(end="ip1").changed("state") == {}
    assert RunOptions(limit=3).values("limit", "skip") == {"skip": 0, "limit": 3}


def test_an_option_speaks_the_words_of_the_shell() -> None:
    said = Option(Text(), "a word (default {default})", words={"half-even": "half_even"})
    assert said.text("half_even") == "a word (default half-even)"
    assert said.text("other") == "a word (default other)"
    assert said.word(0.0) == "0"


def test_the_example_of_contributing_is_the_code() -> None:
    """A choice is what the guide says: so many lines in so many files."""
    root = Path(__file__).resolve().parents[2]
    text = (root / "CONTRIBUTING.md").read_text("utf-8").partition("## Add a choice")[2]
    assert "2 lines in 2 files" in text
    lines = [line for line in text.split("```")[1].splitlines()[1:] if line]
    files: dict[str, list[str]] = {
        line.removeprefix("# "): [] for line in lines if line.startswith("# ")
    }
    for line in lines:
        if line.startswith("# "):
            shown = files[line.removeprefix("# ")]
        else:
            shown.append(line)
    assert [len(shown) for shown in files.values()] == [1, 1]
    for name, shown in files.items():
        code = (root / name).read_text("utf-8").splitlines()
        assert set(shown) <= set(code)
        of_the_choice = [line for line in code if "unsigned:" in line or ".unsigned" in line]
        assert of_the_choice == shown


@pytest.mark.parametrize(
    ("size", "count"), [("40k", 40 << 10), ("1.5M", 3 << 19), ("2 GiB", 2 << 30), (512, 512)]
)
def test_sizes_are_counted_in_bytes(size: object, count: int) -> None:
    assert Budget(max_size=size).max_size == count  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["many", "-4k", "0", "4kk", "1e3"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(FieldError, match="a number of bytes"):
        Budget(max_size=size)  # type: ignore[arg-type]


def test_macs_are_saved_first_only_where_nothing_else_is_limited() -> None:
    assert not Budget(least_bits=3).is_set
    assert Budget(max_macbits="3e8").cost == "macs"  # type: ignore[arg-type]
    assert Budget(max_macbits=3e8, max_size="4k").cost == "weights"  # type: ignore[arg-type]
    assert Budget(max_drop=1).cost == "weights"
