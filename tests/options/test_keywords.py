"""Option values as keywords: each field is one, and what is wrong with it is said at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adaption
from adaption.errors import FieldError, KeywordError, UsageError
from adaption.job.score import score
from adaption.net import Net
from adaption.options import COMMON, Formats, RunOptions, takes_options

CALLS = (
    *(adaption.quantize, adaption.propose, adaption.measure, adaption.sparsity),
    *(adaption.test, adaption.time, adaption.inspect, score),
)


@takes_options(options=(COMMON, "phase"))
def call(
    net: str,
    *,
    formats: Formats = Formats(),
    options: RunOptions = RunOptions(phase="TRAIN", seed=3),
    out: str = "",
    **choices: Any,
) -> tuple[str, Formats, RunOptions, str]:
    """What it was called with."""
    assert not choices
    return net, formats, options, out


@pytest.mark.parametrize(
    ("given", "formats", "options"),
    [
        pytest.param({}, Formats(), RunOptions(phase="TRAIN", seed=3), id="its own defaults"),
        pytest.param(
            {"bits": 8, "limit": 5},
            Formats(bits=8),
            RunOptions(phase="TRAIN", seed=3, limit=5),
            id="keywords",
        ),
        pytest.param(
            {"formats": Formats(bits=8), "options": RunOptions(limit=5)},
            Formats(bits=8),
            RunOptions(limit=5),
            id="values",
        ),
        pytest.param(
            {"formats": Formats(bits=8), "bits": "8", "limit": 5},
            Formats(bits=8),
            RunOptions(phase="TRAIN", seed=3, limit=5),
            id="the same twice",
        ),
    ],
)
def test_values_and_keywords(given: dict[str, Any], formats: Formats, options: RunOptions) -> None:
    assert call("n", out="o", **given) == ("n", formats, options, "o")


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            {"bit": 8},
            KeywordError,
            "call() has no keyword 'bit'\n  fix: did you mean bits? its keywords: net, formats,"
            " options, out, bits, rule, threshold, percentile, rounding, round_bias, product_bias,"
            " every_bottom and 13 more",
        ),
        (
            {"level": 1},
            KeywordError,
            "call() has no keyword 'level'\n  fix: its keywords: net, formats, options, out,"
            " bits, rule, threshold, percentile, rounding, round_bias, product_bias, every_bottom,"
            " unsigned, lpact, same_format, backward_weights, mask_saturated, exclude,"
            " exclude_first, exclude_last, original_semantics, limit, batch_size, seed, phase",
        ),
        (
            {"formats": Formats(rule="max"), "rule": "sqnr"},
            KeywordError,
            "rule is 'sqnr' as a keyword and 'max' in formats\n"
            "  fix: say it once; dataclasses.replace(formats, rule='sqnr') changes it",
        ),
        (
            {"formats": Formats(), "bits": 8},
            KeywordError,
            "bits is 8 as a keyword and 16 in formats\n"
            "  fix: say it once; dataclasses.replace(formats, bits=8) changes it",
        ),
        (
            {"options": RunOptions(end="ip1")},
            UsageError,
            "call() does not use end of options, which is 'ip1'\n"
            "  fix: leave it out; what it uses is limit, batch_size, seed, phase",
        ),
        (
            {"formats": {"bits": 8}},
            FieldError,
            "formats is {'bits': 8}, allowed: a value of adaption.Formats",
        ),
        ({"limit": 0}, FieldError, "limit is 0, allowed: 1 or more"),
        (
            {"options": RunOptions(limit=3), "limit": 0},
            FieldError,
            "limit is 0, allowed: 1 or more",
        ),
    ],
)
def test_bad_keywords(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call("n", **given)
    assert str(caught.value) == message


def test_an_unknown_keyword_is_a_type_error_too() -> None:
    with pytest.raises(TypeError):
        call("n", bit=8)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'net'"):
        call()  # type: ignore[call-arg]


def test_a_field_of_two_values_goes_to_both() -> None:
    @takes_options()
    def both(
        *, formats: Formats = Formats(), options: RunOptions = RunOptions(), **choices: Any
    ) -> list[bool]:
        return [formats.original_semantics, options.original_semantics]

    assert both() == [False, False]
    assert both(original_semantics=True) == [True, True]


@pytest.mark.parametrize("public", CALLS, ids=lambda public: public.__name__)
def test_signatures_show_every_keyword(public: Callable[..., Any]) -> None:
    parameters = inspect.signature(public).parameters
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in ("formats", "options"):
        if name in parameters:
            value = parameters[name].default
            shown = {n: v for n, v in value.values().items() if n in parameters}
            if public in (adaption.test, adaption.time):
                assert shown.pop("seed") == 0  # a keyword of their own: without it, any
            if public is adaption.inspect:
                assert shown.pop("phase") == "TEST"  # the same: without it, the one that works
            assert len(shown) > 3
            for field, default in shown.items():
                assert parameters[field].default == default, field


def test_all_that_says_which_net_is_built_is_a_keyword_of_net() -> None:
    known = inspect.signature(Net).parameters
    for name, value in RunOptions().for_net("phase", "original_semantics", "device").items():
        assert known[name].default == value, name


def test_what_a_call_does_not_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"test\(\) does not use limit of options, which is 3"):
        adaption.test("net", "weights", options=RunOptions(limit=3))
    with pytest.raises(UsageError, match=r"quantize\(\) does not use skip of options"):
        adaption.quantize("net", "weights", out=tmp_path, options=RunOptions(skip=3))


@pytest.mark.parametrize("public", CALLS, ids=lambda public: public.__name__)
def test_no_call_spells_a_choice_of_its_own(public: Callable[..., Any]) -> None:
    """A choice is a field; a parameter of the same name would be a second place to say it."""
    own = set(inspect.signature(public.__wrapped__).parameters)  # type: ignore[attr-defined]
    spelled = own & {*Formats.declared(), *RunOptions.declared()}
    # Without it, nets that are only tested or timed are seeded anew in each run.
    without = {adaption.test: {"seed"}, adaption.time: {"seed"}, adaption.inspect: {"phase"}}
    assert spelled == without.get(public, set())
