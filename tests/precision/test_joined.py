"""One format for all results that meet in a Concat."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adaption.cli.main import main
from adaption.errors import FieldError
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document, write_net
from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.joined import common_format, joined_results
from adaption.precision.measure import Measurement, measure_net
from adaption.precision.propose import Proposal, propose
from adaption.precision.rewrite import rewrite
from adaption.precision.sites import quantization_sites


def conv(name: str, bottom: str, peak: float = 1.0) -> str:
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"'
        " convolution_param { num_output: 2 kernel_size: 1"
        f' weight_filler {{ type: "constant" value: {peak} }} }} }}\n'
    )


def one(name: str, kind: str, bottoms: str, top: str = "", more: str = "") -> str:
    read = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top or name}" {more} }}\n'


def net_file(body: str) -> NetFile:
    shape = "shape { dim: 1 dim: 2 dim: 4 dim: 4 }"
    start = f'layer {{ name: "in" type: "Input" top: "x" input_param {{ {shape} }} }}\n'
    return from_document(prototxt.parse(f'name: "net"\n{start}{body}', "net.prototxt"))


def groups(body: str, lpact: str = "before-relu") -> dict[tuple[str, ...], str]:
    spec = Net(net_file(body)).spec
    found = joined_results(spec, quantization_sites(spec, lpact))
    return {tuple(sorted(group)): concat for group, concat in found.items()}


MAX = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
AVE = "pooling_param { pool: AVE kernel_size: 3 pad: 1 }"
TWO = conv("a", "x") + conv("b", "x")
THREE = TWO + conv("c", "x")


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(TWO + one("j", "Concat", "a b"), {("a", "b"): "j"}, id="two"),
        pytest.param(TWO + one("s", "Eltwise", "a b"), {}, id="a sum is no Concat"),
        pytest.param(
            THREE + one("j", "Concat", "a b") + one("k", "Concat", "j c"),
            {("a", "b", "c"): "k"},
            id="Concat of Concat",
        ),
        pytest.param(
            THREE
            + one("ra", "ReLU", "a", "a")
            + one("pa", "Pooling", "a", more=MAX)
            + one("pb", "Pooling", "b", more=MAX)
            + one("d", "Dropout", "pb", "pb")
            + one("j", "Concat", "pa pb")
            + one("rj", "ReLU", "j", "j")
            + one("pc", "Pooling", "c", more=MAX)
            + one("k", "Concat", "j pc"),
            {("a", "b", "c"): "k"},
            id="through ReLU, max pooling and dropout",
        ),
        pytest.param(
            THREE + one("j", "Concat", "a b") + one("k", "Concat", "b c"),
            {("a", "b", "c"): "k"},
            id="a result in two",
        ),
        pytest.param(
            TWO + one("pa", "Pooling", "a", more=AVE) + one("j", "Concat", "pa b"),
            {},
            id="an average is on no grid",
        ),
        pytest.param(
            TWO
            + one("ra", "ReLU", "a", more="relu_param { negative_slope: 0.1 }")
            + one("j", "Concat", "ra b"),
            {},
            id="a slope is on no grid",
        ),
        pytest.param(
            TWO
            + one("j", "Concat", "a b")
            + conv("c", "j")
            + conv("d", "j")
            + one("k", "Concat", "c d"),
            {("a", "b"): "j", ("c", "d"): "k"},
            id="weights in between make new values",
        ),
        pytest.param(TWO + one("j", "Concat", "a x"), {}, id="one result and the input"),
    ],
)
def test_what_meets(body: str, want: dict[tuple[str, ...], str]) -> None:
    assert groups(body) == want


def test_results_are_those_of_their_place() -> None:
    """Rounded behind its average pooling, a result is on a grid where the Concat reads it."""
    body = TWO + one("pa", "Pooling", "a", more=AVE) + one("j", "Concat", "pa b")
    assert groups(body, "after-pooling") == {("a", "b"): "j"}


@pytest.mark.parametrize(
    ("formats", "want"),
    [
        (["Q4.4", "Q6.2", "Q5.3"], "Q6.2"),
        (["Q4.4", "Q4.12"], "Q4.12"),
        (["Q6.2", "Q4.12"], "Q6.10"),
        (["uQ4.4", "uQ3.5"], "uQ4.4"),
        (["uQ4.4", "Q2.6"], "Q5.3"),
    ],
)
def test_common_format_has_the_widest_range(formats: list[str], want: str) -> None:
    assert common_format([FixedPoint.q(text) for text in formats]) == FixedPoint.q(want)


class OneBatch:
    names = ("0",)

    def __init__(self) -> None:
        self.blobs = {"x": torch.ones(1, 2, 4, 4)}


BODY = (
    conv("a", "x", 0.3)
    + conv("b", "x", 7.0)
    + one("j", "Concat", "a b")
    + conv("c", "j")
    + one("s", "Softmax", "c")
)


def measured() -> tuple[NetFile, Measurement]:
    file = net_file(BODY)
    return file, measure_net(Net(file, seed=0), [OneBatch()])


def test_propose_gives_them_one_format_and_says_so(tmp_path: Path) -> None:
    file, ranges = measured()
    a, b, c = (Point(name, "activation") for name in "abc")
    apart = propose(file, ranges, bits=8)
    assert [str(apart.plan[p]) for p in (a, b)] == ["Q1.7", "Q5.3"]
    made = propose(file, ranges, bits=8, same_format="concat")
    assert [str(made.plan[p]) for p in (a, b)] == ["Q5.3", "Q5.3"]
    assert made.choices[a].reason.endswith('; one format for all that meet in "j"')
    assert made.choices[b] == apart.choices[b] and made.choices[c] == apart.choices[c]
    was, now = apart.choices[a].effect, made.choices[a].effect
    assert was is not None and now is not None and now.sqnr_db < was.sqnr_db
    made.save(tmp_path / "plan.json")
    assert Proposal.load(tmp_path / "plan.json").plan == made.plan
    low = Net(rewrite(file, made))
    points = [n.formats.activation for n in low.nodes if n.spec.name in ("a_lpact", "b_lpact")]
    assert points == [FixedPoint(8, 3)] * 2


def test_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, ranges = measured()
    write_net(file, tmp_path / "net.prototxt")
    ranges.save(tmp_path / "m.json")
    paths = [str(tmp_path / name) for name in ("net.prototxt", "m.json")]
    flags = ["--bits", "8", "--same-format", "concat", "-o", str(tmp_path / "plan.json")]
    assert main(["propose", *paths, *flags]) == 0
    assert capsys.readouterr().out.count('one format for all that meet in "j"') == 1
    formats = Proposal.load(tmp_path / "plan.json").formats
    assert formats is not None and formats.same_format == "concat"


def test_bad_choice() -> None:
    with pytest.raises(FieldError, match="same_format is 'all', allowed: concat"):
        propose(*measured(), same_format="all")
