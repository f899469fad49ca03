"""Flags come from the fields of option values: same names, defaults, choices, and same errors."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from adaption.cli.flags import add_flags, flags_for, given, value_of
from adaption.cli.format_flags import add_format_flags, formats_of
from adaption.cli.main import main
from adaption.errors import AdaptionError
from adaption.options import COMMON, INT8, NET, Formats, Options, RunOptions
from adaption.options.base import option
from adaption.options.checks import Names, Switch


def parsed(value: Options, flags: list[str], *uses: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser, value, *uses)
    return parser.parse_args(flags)


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        ([], Formats()),
        (["--bits", "8"], Formats(bits=8)),
        (["--bits", "6", "--bits", "activation=8"], Formats(bits=[6, "activation=8"])),
        (["--rounding", "half-even", "--unsigned"], Formats(rounding="half_even", unsigned=True)),
        (["--rounding", "half_even"], Formats(rounding="half_even")),
        (["--threshold", "0.1", "--percentile=99"], Formats(threshold=0.1, percentile=99)),
        (["--lpact", "after-relu", "--same-format", "concat"],
         Formats(lpact="after-relu", same_format="concat")),
        ([], RunOptions()),
        (["--limit", "5", "--skip", "2", "--batch-size", "3", "--seed", "-4"],
         RunOptions(limit=5, skip=2, batch_size=3, seed=-4)),
        (["-level", "1", "-stage=a,b", "-phase", "TRAIN"],
         RunOptions(level=1, stages=["a", "b"], phase="TRAIN")),
        (["--allow-python", "m", "--allow-python", "n"], RunOptions(python_modules=["m", "n"])),
        (["--end", "ip1", "--dialect", "segnet", "--original-semantics"],
         RunOptions(end="ip1", dialect="segnet", original_semantics=True)),
    ],
)  # fmt: skip
def test_flags_say_values(flags: list[str], want: Options) -> None:
    default = type(want)()
    assert value_of(parsed(default, flags), default) == want


def test_what_is_not_given_is_as_the_verb_has_it() -> None:
    default = RunOptions(phase="TRAIN")
    args = parsed(default, ["--level", "2"], "phase", *NET)
    assert given(args, RunOptions) == {"level": "2"}
    assert value_of(args, default) == replace(default, level=2)


WRONG: list[tuple[type[Options], str, Any]] = [
    (Formats, "bits", "40"),
    (Formats, "bits", "eight"),
    (Formats, "rule", "mean"),
    (Formats, "threshold", "7"),
    (Formats, "threshold", "1.5"),
    (Formats, "threshold", "much"),
    (Formats, "percentile", "0"),
    (Formats, "rounding", "down"),
    (Formats, "lpact", "behind"),
    (Formats, "same_format", "all"),
    (RunOptions, "limit", "0"),
    (RunOptions, "limit", "many"),
    (RunOptions, "batch_size", "-1"),
    (RunOptions, "skip", "-1"),
    (RunOptions, "seed", "x"),
    (RunOptions, "level", "1.5"),
]


def as_python(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


@pytest.mark.parametrize(("kind", "field", "text"), WRONG)
def test_shell_and_python_say_the_same(
    kind: type[Options], field: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AdaptionError) as caught:
        kind(**{field: [text] if field == "bits" else as_python(text)})
    verb = "propose" if kind is Formats else "measure"
    flag = f"--{field.replace('_', '-')}={text}"
    assert main([verb, "no.prototxt", "no.json", flag, "-o", "no"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"adaption {verb}: {caught.value}\n")


def test_two_roundings_of_biases(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--round-bias", "--product-bias", "-o", "no"]
    assert main(["propose", "no.prototxt", "no.json", *flags]) == 2
    assert "ask for one of round_bias and product_bias" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "kind", "uses"),
    [
        ("propose", Formats, ()),
        ("quantize", Formats, (COMMON,)),
        *((verb, RunOptions, (COMMON, *NET)) for verb in ("quantize", "measure", "sparsity")),
        ("measure", RunOptions, ("skip",)),
        *((verb, RunOptions, NET) for verb in ("test", "time", "train", "verify", "export")),
        *((verb, RunOptions, ("original_semantics",)) for verb in ("test", "time", "train")),
        *((verb, RunOptions, ("phase", *NET)) for verb in ("time", "inspect")),
        ("draw", RunOptions, ("state",)),
        ("rewrite", Formats, ("lpact", "round_bias")),
    ],
)
def test_verbs_have_the_flags_of_the_fields_they_use(
    verb: str, kind: type[Options], uses: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = capsys.readouterr().out
    for name, said in kind.declared(*uses).items():
        assert f"--{said.flag or name.replace('_', '-')} " in shown.replace("\n", " \n"), name


def test_help_fills_in_defaults_and_choices() -> None:
    parser = argparse.ArgumentParser(prog="p")
    add_flags(parser, RunOptions(phase="TRAIN"), "phase", "seed", seed="in other words")
    add_format_flags(parser)
    shown = " ".join(parser.format_help().split())
    # Python 3.13 shows the choices once.
    phase = r"-phase( {TRAIN,TEST})?, --phase {TRAIN,TEST} phase of the net state \(default TRAIN\)"
    assert re.search(phase, shown)
    assert "--seed SEED in other words" in shown
    assert "--rounding {deterministic,stochastic,half-even} deterministic (the default): " in shown
    assert "--same-format {concat} concat: results that meet" in shown
    assert "lie beyond the range (default 0)" in shown and "(default 99.9)" in shown
    assert "{default}" not in shown
    int8 = "--bits 8 --rounding half-even --product-bias --every-bottom --same-format concat"
    assert flags_for(Formats, INT8) == int8
    assert f"{int8}, unless said otherwise" in shown
    assert formats_of(parser.parse_args(int8.split())) == Formats(**INT8)


@dataclass(frozen=True, kw_only=True, repr=False)
class Wider(Formats):
    """What one field more brings with it."""

    keep_zeros: bool = option(False, Switch(), "no zero becomes another value")
    exclude: tuple[str, ...] = option((), Names(), "leave this layer", is_repeated=True)


def test_a_new_field_is_a_flag() -> None:
    args = parsed(Wider(), ["--keep-zeros", "--exclude", "ip1", "--exclude", "loss*"])
    assert value_of(args, Wider()) == Wider(keep_zeros=True, exclude=("ip1", "loss*"))
