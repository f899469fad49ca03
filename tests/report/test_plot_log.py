"""Curves and tables of training logs."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import adaption
from adaption.cli.main import main
from adaption.report.chart import (
    COLOURS,
    MOST_POINTS,
    Level,
    Panel,
    Series,
    chart_png,
    chart_svg,
    panel_figure,
)
from tests.report.conftest import Page

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def log(shared: Path) -> Path:
    return shared / "golden/cli/train.log"


def curves(svg: str) -> list[list[tuple[float, float]]]:
    """The points of every polyline, legends left out."""
    found = []
    for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline"):
        points = [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
        if len(points) > 2 or points[1][0] - points[0][0] != 22:
            found.append(points)
    return found  # type: ignore[return-value]


def texts(svg: str) -> list[str]:
    return [t.text or "" for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_svg_of_the_recorded_log(log: Path, tmp_path: Path) -> None:
    adaption.plot_log(log, out=tmp_path / "t.svg")
    svg = (tmp_path / "t.svg").read_text("utf-8")
    assert [len(points) for points in curves(svg)] == [7, 4, 4, 6]
    shown = texts(svg)
    for text in ("loss", "train loss", "test loss", "accuracy", "test accuracy", "learning rate"):
        assert text in shown
    train, accuracy = curves(svg)[0], curves(svg)[2]
    assert [x for x, _ in train] == pytest.approx(
        [64 + 640 * i / 30 for i in range(0, 31, 5)], abs=0.1
    )
    # Losses 2.37591, 1.64536 and 0.526526 at iterations 0, 10 and 25: downwards, to scale.
    share = (train[2][1] - train[0][1]) / (train[5][1] - train[0][1])
    assert share == pytest.approx((2.37591 - 1.64536) / (2.37591 - 0.526526), abs=1e-3)
    assert accuracy[0][1] > accuracy[1][1] > accuracy[2][1] > accuracy[3][1]  # upwards


def test_png_of_the_recorded_log(log: Path, tmp_path: Path) -> None:
    adaption.plot_log(log, out=tmp_path / "t.png")
    image = Image.open(tmp_path / "t.png").convert("RGB")
    assert image.width == 1440
    seen = {colour for _, colour in image.getcolors(1 << 24) or []}
    for colour in ("#ffffff", *COLOURS[:2]):
        assert tuple(bytes.fromhex(colour[1:])) in seen


def test_html_is_self_contained(log: Path, tmp_path: Path) -> None:
    adaption.plot_log(log, out=tmp_path / "t.html")
    page = (tmp_path / "t.html").read_text("utf-8")
    seen = Page(page)
    assert page.startswith("<!DOCTYPE html>") and seen.tags.count("svg") == 3
    assert seen.addresses == [] and not re.search(r"@import|url\(", page)
    (table,) = re.findall("<table>.*?</table>", page, re.DOTALL)
    assert "test accuracy" in table and "last iteration" in table
    assert "@media print" in page  # the style sheet of all reports


def test_tables_are_those_of_parse_log(log: Path, tmp_path: Path) -> None:
    tmp_path /= "tables"
    made = adaption.plot_log(log, csv=tmp_path)
    assert [file.name for file in made.files] == ["train.log.train", "train.log.test"]
    train = (tmp_path / "train.log.train").read_text().splitlines()
    assert train[0] == "NumIters,Seconds,LearningRate,loss"
    assert train[2] == "5.0,0.232951,0.00999625,2.04166"
    test = (tmp_path / "train.log.test").read_text().splitlines()
    assert test[0] == "NumIters,Seconds,LearningRate,accuracy,loss"
    assert test[1:3] == [
        "0.0,0.060913,0.01,0.1375,2.35573",
        "10.0,0.354738,0.00999251,0.5375,1.72062",
    ]


def test_several_logs_and_nets(tmp_path: Path) -> None:
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    for path, loss in ((one, 1.0), (two, 3.0)):
        path.write_text(
            f"Iteration 0, Testing net (#0)\n    Test net output #0: acc = {loss}\n"
            f"Iteration 0, Testing net (#1)\n    Test net output #0: acc = {loss}\n"
            f"Iteration 0, loss = {loss}\nIteration 0, lr = 0.1\n"
            f"Iteration 9, loss = {loss / 2}\nIteration 9, lr = 0.001\n"
        )
    adaption.plot_log(one, two, out=tmp_path / "both.svg")
    shown = texts((tmp_path / "both.svg").read_text("utf-8"))
    for text in ("one.log: train loss", "two.log: train loss", "two.log: test #1 acc", "outputs"):
        assert text in shown
    assert "0.01" in shown  # the rate spans decades: logarithmic
    joined = adaption.plot_log(one, two, join=True, csv=tmp_path)
    assert [file.name for file in joined.files] == [
        "one.log.train",
        "one.log.test",
        "one.log.test1",
    ]
    assert [row.loss for row in joined.logs[0].train] == [3.0, 1.5]
    assert joined.table().splitlines()[-1] == (
        "one.log: done again from iteration 0 on; the later part counts."
    )


def test_curves_are_interrupted_where_there_is_no_number() -> None:
    points = [
        (0.0, 1.0),
        (1.0, 2.0),
        (2.0, math.nan),
        (3.0, 1.0),
        (4.0, math.inf),
        (5.0, 0.0),
        (6.0, 1.0),
    ]
    svg = chart_svg("t", [Panel("p", [Series("s", points)])])
    assert [len(piece) for piece in curves(svg)] == [2, 2]
    assert svg.count("<circle ") == 1
    logarithmic = chart_svg("t", [Panel("p", [Series("s", points)], is_log=True)])
    assert [len(piece) for piece in curves(logarithmic)] == [2]
    assert Image.open(io.BytesIO(chart_png([Panel("p", [Series("s", points, True)])]))).height > 200


def test_long_curves_keep_their_extremes() -> None:
    points = [(float(i), 0.0) for i in range(100_000)]
    points[51_234] = (51_234.0, 7.0)
    (curve,) = curves(chart_svg("t", [Panel("p", [Series("s", points)])]))
    assert len(curve) <= MOST_POINTS
    assert len([y for _, y in curve if y == min(y for _, y in curve)]) == 1


def test_names_from_logs_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text('Iteration 1, loss = 1\n Train net output #0: <b>&" = 2\n')
    for name in ("x.svg", "x.html"):
        adaption.plot_log(path, out=tmp_path / name)
        assert "<b>" not in (tmp_path / name).read_text("utf-8")


def test_verb(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.svg"
    assert main(["plot-log", str(log), "-o", str(out)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["log", "curve", "points", "last", "iteration", "first", "last",
                                "best", "at"]  # fmt: skip
    assert shown[1].split() == ["train.log", "train", "loss", "7", "30", "2.376", "0.7106",
                                "0.5265", "25"]  # fmt: skip
    assert shown[-1] == f"written: {out}"
    assert main(["plot-log", str(log), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["logs"][0]["losses"] == ["loss"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(
            ["-o", "t.gif"],
            "out is 't.gif', allowed: a file that ends in .png, .svg, .html",
            id="suffix",
        ),
        pytest.param(["-o", "no/t.svg"], "no/t.svg: the folder ", id="folder"),
    ],
)
def test_one_clear_error(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text("Iteration 1, loss = 1\n")
    assert main(["plot-log", "a.log", *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and f"adaption plot-log: {message}" in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


def test_legends_keep_apart(tmp_path: Path) -> None:
    names = [f"a_run_with_a_long_name_{i}.log: test accuracy of net {i}" for i in range(4)]
    panel = Panel("p", [Series(name, [(0, 0), (1, 1)]) for name in names])
    short = Panel("p", [Series(name, [(0, 0), (1, 1)]) for name in "abcd"])
    for width in (420, 720):
        assert panel.legend_columns(width) == 1 and short.legend_columns(width) == 3
        assert panel.header(width) - short.header(width) == 2 * 16  # 4 lines beside 2
    drawn = ElementTree.fromstring(chart_svg("t", [panel]))
    places = {t.text: float(t.get("y", 0)) for t in drawn.iter(f"{SVG}text") if t.text in names}
    assert len(set(places.values())) == len(names)  # each on its own line
    top = min(y for line in curves(chart_svg("t", [panel])) for _, y in line)
    assert max(places.values()) < top  # and none over the curves


def test_markers_and_levels() -> None:
    points = [(4.0, 80.0), (8.0, 90.0), (16.0, math.nan)]
    panel = Panel("p", [Series("s", points)], "bits", levels=[Level("float", 95)], has_markers=True)
    drawn = ElementTree.fromstring(str(panel_figure("k", panel)))
    discs = list(drawn.iter("circle"))
    assert [d[0].text for d in discs] == ["s, 4 bits: 80", "s, 8 bits: 90"]
    assert "float" in [t.text for t in drawn.iter("text")]
    (level,) = [
        line
        for line in drawn.iter("polyline")
        if line.get("stroke-dasharray") and " 404," in line.get("points", "")  # not the legend's
    ]
    heights = {float(p.split(",")[1]) for p in level.get("points", "").split()}
    assert len(heights) == 1 and heights.pop() < min(float(d.get("cy", 0)) for d in discs)
    assert not list(drawn.iter("style"))  # the page has one
    image = Image.open(io.BytesIO(chart_png([panel]))).convert("RGB")
    assert image.getpixel((64 * 2, round(2 * float(discs[0].get("cy", 0))))) != (255, 255, 255)
