"""adaption measure and adaption propose."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from adaption.cli.format_flags import add_format_flags, formats_of
from adaption.cli.main import main
from adaption.net import Point
from adaption.options import INT8, Formats
from adaption.precision.measure import Measurement
from adaption.precision.propose import Proposal

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
NET, WEIGHTS = str(EXAMPLE / "deploy.prototxt"), str(EXAMPLE / "lenet_digits.caffemodel")
DATA = ["--data", str(EXAMPLE / "digits_test_lmdb"), "--scale", "0.0625"]


def test_measure_propose_and_the_next_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plan, page = (str(tmp_path / n) for n in ("m.json", "plan.json", "m.html"))
    flags = ["--limit", "60", "--report", page]
    assert main(["measure", NET, WEIGHTS, *DATA, *flags, "-o", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "LeNetDigits: ranges over 60 samples"
    assert sum(line.startswith("conv1 ") for line in lines) == 3
    assert lines[-1] == f"next: adaption propose {NET} {out} --bits 8 -o plan.json"
    html = Path(page).read_text()
    assert html.count("<svg") == 11 and "http" not in html.replace("http-equiv", "")
    assert "60 samples in 1 batch" in html and "scale 0.0625" in html

    bits = ["--bits", "6", "--bits", "activation=8", "--bits", "ip*:weight=4"]
    assert main(["propose", NET, out, "--rule", "sqnr", *bits, "-o", plan]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "LeNetDigits: 6, activation=8, ip*:weight=4 bits, rule sqnr"
    assert lines[-2] == 'layer "ip2": last classifier, its result stays float'
    assert lines[-1] == f"next: adaption rewrite {NET} --plan {plan} -o net_lp.prototxt"
    made = Proposal.load(plan)
    lengths = {str(p): fmt.word_length for p, fmt in made.plan.items()}
    assert (lengths["conv1:weight"], lengths["conv1:activation"]) == (6, 8)
    assert (lengths["ip1:weight"], lengths["ip2:weight"]) == (4, 4)
    assert made.preprocessing is not None and made.preprocessing["scale"] == 0.0625


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        pytest.param(["--int8"], Formats(**INT8), id="int8"),
        pytest.param(
            ["--int8", "--bits", "ip1=6", "--rounding", "deterministic", "--round-bias"],
            Formats(bits=[8, "ip1=6"], round_bias=True, every_bottom=True, same_format="concat"),
            id="unless said otherwise",
        ),
        pytest.param(["--int8", "--bits", "6"], Formats(**{**INT8, "bits": 6}), id="6 bits"),
        pytest.param([], Formats(), id="as ADaPTION"),
    ],
)
def test_int8_stands_for_other_flags(flags: list[str], want: Formats) -> None:
    parser = argparse.ArgumentParser()
    add_format_flags(parser)
    assert formats_of(parser.parse_args(flags)) == want


def test_resume_and_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [str(tmp_path / f"{i}.json") for i in range(2)]
    for part, skip in zip(parts, ("0", "30"), strict=True):
        flags = ["--limit", "30", "--skip", skip, "--quiet", "-o", part]
        assert main(["measure", NET, WEIGHTS, *DATA, *flags]) == 0
    capsys.readouterr()
    out = str(tmp_path / "all.json")
    assert main(["measure", "--merge", *parts, "-o", out, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["samples"] == 60 and shown["format"] == "adaption.measurement/2"
    assert Measurement.load(out)[Point("data", "activation")].count == 60 * 64
    flags = ["--limit", "30", "--resume", "-o", parts[0], "--quiet"]
    assert main(["measure", NET, WEIGHTS, *DATA, *flags]) == 0  # nothing is left to do
    assert main(["measure", NET, WEIGHTS, *DATA[:2], *flags]) == 2
    assert "cannot be resumed: the preprocessing differs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["measure"], "net and weights are missing"),
        (["propose", NET, WEIGHTS], "not a measurement"),
        (["propose", NET, "{m}", "--bits", "conv9=8"], "did you mean 'conv2'?"),
        (["propose", NET, "{m}", "--percentile", "0"], "percentile is 0, allowed"),
        (
            ["propose", NET, "{m}", "--rule", "adaption-legacy", "--threshold", "0.1"],
            "a measurement made for it (legacy_rule=True, --legacy)",
        ),
        (["propose", "{other}", "{m}"], "measurement is 'without \"conv9:weight\"'"),
    ],
)
def test_bad_input(
    command: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    measured, other = tmp_path / "measured.json", tmp_path / "other.prototxt"
    flags = ["--limit", "4", "--quiet", "-o", str(measured)]
    assert main(["measure", NET, WEIGHTS, *DATA, *flags]) == 0
    other.write_text(Path(NET).read_text().replace('"conv1"', '"conv9"'))
    named = {"m": str(measured), "other": str(other)}
    parts = [part.format(**named) if "{" in part else part for part in command]
    assert main([*parts, "-o", "p.json"]) == 2
    shown = capsys.readouterr().err
    assert message in shown and shown.count("\n") <= 2
    assert not (tmp_path / "p.json").exists()
