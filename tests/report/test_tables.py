"""Tables for terminals and pipes."""

from __future__ import annotations

import io
from typing import Any

import pytest

from adaption.report.format import compact, decibel, duration, energy, percent, size
from adaption.report.tables import layers_grid, plain, print_summary, results_grid

Summary = dict[str, Any]


def test_results(summary: Summary) -> None:
    rows = {row[0]: list(row[1:]) for row in results_grid(summary).rows}
    assert rows["top-1 accuracy"] == ["99.10 %", "99.08 %", "-0.02 points"]
    assert rows["flipped predictions"][1:] == ["3 of 500", "0.60 %"]
    assert rows["zero weights"] == ["0 %", "10.00 %", "+10.00 points"]
    assert rows["verification"][1:] == ["2 of 2", "ok"]


def test_costs_of_a_sample_stand_among_the_results(summary: Summary) -> None:
    costs = {
        name: {"parameter_bits": 8000 * bits, "peak_activation_bits": 800 * bits,
               "mac_bits": 2_000_000 * bits, "energy": {"total_pj": picojoules}}
        for name, bits, picojoules in (("float", 32, 291e6), ("quantized", 8, 71.07e6))
    }  # fmt: skip
    rows = {row[0]: list(row[1:]) for row in results_grid({**summary, "cost": costs}).rows}
    assert rows["weights, packed"] == ["32.0 kB", "8.00 kB", "x 0.25"]
    assert rows["activations at peak"] == ["3.20 kB", "800 B", "x 0.25"]
    assert rows["MAC bits"] == ["64.0 M", "16.0 M", "x 0.25"]
    assert rows["energy, estimated"] == ["291 uJ", "71.1 uJ", "x 0.24"]


def test_layers(summary: Summary) -> None:
    rows = [list(row) for row in layers_grid(summary).rows]
    assert [row[:4] for row in rows[:2]] == [
        ["conv1", "Convolution", "weight", "Q1.15"],
        ["conv1", "Convolution", "activation", "Q6.10"],
    ]
    bias = next(row for row in rows if row[2] == "bias")
    assert bias[0] == "ip2" and "exact" in bias


def test_plain_text_has_steady_columns(summary: Summary) -> None:
    summary["layers"][0]["name"] = "two\nlines"
    text = plain(summary)
    assert text.isascii()
    assert not any(line.startswith(" ") or line.endswith(" ") for line in text.splitlines())
    assert "two lines" in text.replace("\\n", " ")


def test_a_pipe_gets_no_escape_codes(summary: Summary) -> None:
    stream = io.StringIO()
    print_summary(summary, stream)
    assert "\x1b" not in stream.getvalue()
    assert "conv1" in stream.getvalue()


@pytest.mark.parametrize(
    ("shown", "want"),
    [
        (percent(0.123456), "12.35 %"),
        (percent(0.0), "0 %"),
        (percent(0.00001), "<0.01 %"),
        (percent(1.0), "100 %"),
        (percent(None), "-"),
        (decibel(None), "exact"),
        (decibel(float("inf")), "exact"),
        (decibel(12.34), "12.3 dB"),
        (size(553_000_000), "553 MB"),
        (compact(15_500_000_000), "15.5 G"),
        (energy(12.345), "12.3 pJ"),
        (energy(290_951_740), "291 uJ"),
        (energy(999_700), "1.00 uJ"),
        (energy(None), "-"),
        (duration(75), "1 min 15 s"),
        (duration(4000), "1 h 06 min"),
    ],
)
def test_numbers(shown: str, want: str) -> None:
    assert shown == want
