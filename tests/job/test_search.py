"""Word lengths under a budget: what is written, said and kept, and that a rerun says the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.errors import UsageError
from adaption.io.netfile import read_net
from adaption.job import SearchResult, search
from adaption.job.feed import feed_from_data
from adaption.job.share import split
from adaption.options import INT8, RunOptions
from adaption.precision.inference_cost import inference_cost
from adaption.precision.propose import Proposal, as_spec
from adaption.precision.rewrite import rewrite

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
FILES = (EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel")
DATA = EXAMPLE / "digits_test.h5"
CALIBRATION = EXAMPLE / "digits_train.h5"
CHOICES: dict[str, Any] = {**INT8, "bits": 6, "calibration_limit": 160, "limit": 100, "quiet": True}
FLAGS = ["--data", str(DATA), "--calibration", str(CALIBRATION), "--calibration-limit", "160"]
FLAGS += ["--limit", "100", "--int8", "--bits", "6", "--quiet"]


def searched(out: Path, **choices: Any) -> SearchResult:
    return search(*FILES, DATA, out=out, calibration=CALIBRATION, **{**CHOICES, **choices})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return searched(tmp_path_factory.mktemp("search") / "out", max_drop=2.0, curve=3)


def test_the_last_position_within_the_drop_is_taken(found: SearchResult) -> None:
    report = found.report
    assert report["is_met"] and found.is_met
    drops = {row["position"]: row["drop"] for row in report["curve"]}
    assert drops[report["position"]] <= 2.0 < drops[report["position"] + 1]
    assert {0, len(report["path"])} <= drops.keys()  # --curve
    assert report["judged_on"] == report["formats_from"] == 80
    assert report["accuracy"]["samples"] == 100


def test_costs_are_those_of_the_net(found: SearchResult) -> None:
    plan = Proposal.load(found.folder / "plan.json")
    cost = inference_cost(as_spec(rewrite(read_net(FILES[0]), plan)))
    assert found.report["parameter_bits"] == cost.parameter_bits
    assert found.report["mac_bits"] == cost.mac_bits
    lengths = {p.layer: f.word_length for p, f in plan.plan.items() if p.kind == "weight"}
    assert {x["name"]: x["bits"] for x in found.report["layers"]} == lengths
    bits = sum(x["bits"] * x["weights"] for x in found.report["layers"])
    assert found.report["weight_bits"] == bits


def test_the_path_leads_from_the_longest_lengths_to_what_was_taken(found: SearchResult) -> None:
    report = found.report
    lengths = {x["name"]: 6 for x in report["layers"]}
    for cut in report["path"][: report["position"]]:
        assert lengths[cut["layer"]] == cut["from"]
        lengths[cut["layer"]] = cut["to"]
    assert lengths == {x["name"]: x["bits"] for x in report["layers"]}
    assert all(x["reason"] and set(x["alone"]) == set("23456") for x in report["layers"])


def test_a_rerun_says_the_same(found: SearchResult, tmp_path: Path) -> None:
    text = (found.folder / "search.json").read_text()
    searched(tmp_path / "anew", max_drop=2.0, curve=3)
    assert (tmp_path / "anew/search.json").read_text() == text
    shutil.copytree(found.folder / "state", tmp_path / "state")
    for name in ("effects", "scores"):  # as after an interruption
        path = tmp_path / f"state/{name}.json"
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(dict(list(kept.items())[:2])))
    searched(tmp_path / "on", max_drop=2.0, curve=3, state=tmp_path / "state")
    assert (tmp_path / "on/search.json").read_text() == text


def test_the_state_serves_other_budgets_and_no_other_choices(
    found: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = shutil.copytree(found.folder / "state", tmp_path / "state")
    with pytest.raises(
        UsageError, match="another bits than when the job was stopped: '5' instead of '6'"
    ):
        searched(tmp_path / "out", max_drop=2.0, bits=5, state=state)
    monkeypatch.setattr("adaption.precision.refining.refine.Refining.alone", None)
    with pytest.raises(UsageError, match=r"formats than when .*: 'all' instead of 80"):
        searched(tmp_path / "out", max_size="4k", state=state)
    other = searched(tmp_path / "out", max_drop=50.0, state=state)
    assert other.report["position"] > found.report["position"]


def test_the_state_serves_no_other_samples(tmp_path: Path) -> None:
    choices = {**INT8, "bits": 3, "max_size": "4k", "state": tmp_path / "state", "quiet": True}
    search(*FILES, DATA, out=tmp_path / "a", limit=20, **choices)
    with pytest.raises(UsageError, match="another limit than when the job was stopped: 30 instead"):
        search(*FILES, DATA, out=tmp_path / "b", limit=30, **choices)


def test_size_alone_takes_the_most_accurate_that_fits(found: SearchResult, tmp_path: Path) -> None:
    limit = found.report["widest"]["parameter_bits"] // 8 * 3 // 4
    made = searched(tmp_path, max_size=limit).report
    assert made["is_met"] and not made["judged_on"] and made["formats_from"] == 160
    assert made["parameter_bits"] <= 8 * limit
    last = made["path"][made["position"] - 1]
    assert made["parameter_bits"] + last["saves"] > 8 * limit


def test_macs_are_saved_where_they_are_limited(tmp_path: Path) -> None:
    made = searched(tmp_path, max_macbits=1_000_000).report
    assert made["is_met"] and made["saves"] == "macs"
    assert made["mac_bits"] <= 1_000_000 < made["widest"]["mac_bits"]
    assert "the least error per MAC bit saved" in (tmp_path / "search.html").read_text()


def test_a_budget_that_cannot_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["search", *map(str, FILES), *FLAGS, "--max-size", "1k", "-o", str(tmp_path)]
    assert main(words) == 1
    report = json.loads((tmp_path / "search.json").read_text())
    assert {x["bits"] for x in report["layers"]} == {2}
    size = -(-report["parameter_bits"] // 8)
    assert f"The budget cannot be kept: the fewest bits take {size:,} bytes and" in (
        capsys.readouterr().out
    )


def test_a_drop_that_cannot_be_kept_takes_the_longest(tmp_path: Path) -> None:
    # Activations of 2 bits cost more than any weights.
    made = searched(tmp_path, max_drop=0.0, bits=[8, "activation=2"]).report
    assert not made["is_met"] and made["position"] == 0
    drop = made["curve"][0]["drop"]
    assert made["why"] == f"with the longest word lengths the drop of top-1 is {drop:.2f} points"


def test_layers_that_bits_names_keep_their_length(tmp_path: Path) -> None:
    made = searched(tmp_path, max_size="4k", bits=[6, "conv1=5", "ip2:weight=4"])
    assert made.report["apart"] == {"conv1": "as --bits says", "ip2": "as --bits says"}
    plan = {str(p): f.word_length for p, f in made.proposal.plan.items()}
    assert plan["conv1:weight"] == 5 and plan["ip2:weight"] == 4


def test_quantize_makes_the_net_that_was_found(
    found: SearchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(x) for x in FILES]
    state = shutil.copytree(found.folder / "state", tmp_path / "state")
    budget = ["--max-drop", "2", "--search-state", str(state), "-o", str(tmp_path / "a")]
    assert main(["quantize", *words, *FLAGS, *budget]) == 0
    plan = (found.folder / "plan.json").read_text()
    assert (tmp_path / "a/plan.json").read_text() == plan
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert summary["accuracy"] == found.report["accuracy"]
    assert summary["search"]["position"] == found.report["position"]
    average = found.report["average_bits"]
    assert summary["lengths"] == f"6, weights {average:.2f} on average"
    assert summary["cost"]["quantized"]["parameter_bits"] == found.report["parameter_bits"]
    report = (tmp_path / "a/report.html").read_text()
    assert all(x["reason"].split(";")[0] in report for x in found.report["layers"])
    config = ["--config", str(found.folder / "quantize.toml"), "-o", str(tmp_path / "b")]
    data = [x for x in FLAGS if x not in ("--int8", "--bits", "6")]
    assert main(["quantize", *words, *data, *config]) == 0
    by_config = Proposal.load(tmp_path / "b/plan.json").plan
    lengths = {p: f.word_length for p, f in by_config.items() if p.kind == "weight"}
    assert lengths == {
        p: f.word_length for p, f in found.proposal.plan.items() if p.kind == "weight"
    }
    by_hand = ["--plan", str(found.folder / "plan.json"), "-o", str(tmp_path / "c")]
    assert main(["quantize", *words, *data, *by_hand]) == 0
    assert Proposal.load(tmp_path / "c/plan.json").plan == found.proposal.plan
    capsys.readouterr()


def test_weights_are_fitted_to_a_plan(found: SearchResult, tmp_path: Path) -> None:
    files = [*map(str, FILES), *FLAGS[:8], "--plan", str(found.folder / "plan.json")]
    assert main(["quantize", *files, "--quiet", "-o", str(tmp_path / "plain")]) == 0
    assert main(["quantize", *files, "--quiet", "--refine", "-o", str(tmp_path / "fitted")]) == 0
    plain, fitted = (
        json.loads((tmp_path / f"{name}/summary.json").read_text()) for name in ("plain", "fitted")
    )
    plan = Proposal.load(tmp_path / "fitted/plan.json").plan
    assert plan == found.proposal.plan
    assert fitted["refinement"]["refined"] and "refinement" not in plain
    assert fitted["output_sqnr_db"]["prob"] > plain["output_sqnr_db"]["prob"] + 3


def test_page_and_table(found: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    page = (found.folder / "search.html").read_text()
    for layer in found.report["layers"]:
        assert layer["name"] in page and layer["reason"].split(";")[0] in page
    assert page.count("<polyline") >= 2 and "the drop of top-1, points" in page
    words = ["search", *map(str, FILES), *FLAGS, "--max-drop", "2", "--curve", "3"]
    words.remove("--quiet")
    assert main([*words, "-o", str(found.folder)]) == 0
    shown = capsys.readouterr().out
    assert "next: adaption quantize " in shown and "quantize.toml" in shown
    assert " --limit 100 --config " in shown
    assert f"{found.report['average_bits']:.2f} bits per weight on average, 6.00 before" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", str(DATA)], "a search needs a budget"),
        (["--data", str(DATA), "--max-drop", "1"], "give it with --calibration"),
        (["--data", str(DATA), "--max-drop", "-1"], "max_drop"),
        (["--data", str(DATA), "--max-size", "many"], "a number of bytes, as in 40k or 1.5M"),
        (["--data", str(DATA), "--max-size", "4k", "--bits", "2"], "there is nothing to search"),
        (
            ["--data", str(DATA), "--max-size", "4k", "--curve", "-3"],
            "curve is -3, allowed: 0 or more",
        ),
        (
            ["--data", str(DATA), "--max-size", "4k", "--state", str(EXAMPLE)],
            "of no job, and would be emptied\n  fix: name another folder with --state",
        ),
    ],
)
def test_bad_budgets(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *map(str, FILES), *words, "--limit", "20", "-o", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--least-bits", "3"], "least_bits without a budget: nothing is searched"),
        (["--search-state", "kept"], "search_state without a budget: nothing is searched"),
        (["--equalize", "--plan", "PLAN"], "equalize beside --plan, which says the formats"),
        (["--max-size", "4k", "--plan", "PLAN"], "max_size beside --plan, which says the formats"),
    ],
)
def test_what_goes_with_no_search(
    words: list[str],
    message: str,
    found: SearchResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = str(found.folder / "plan.json")
    words = [plan if word == "PLAN" else word for word in words]
    files = [*map(str, FILES), "--data", str(DATA), "-o", str(tmp_path / "out")]
    assert main(["quantize", *files, *words]) == 2
    assert message in capsys.readouterr().err


def test_samples_that_judge_give_no_formats(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", data=np.arange(23 * 64, dtype=np.float32).reshape(23, 1, 8, 8))
    spec = as_spec(FILES[0])
    feed = feed_from_data(spec, tmp_path / "x.npz", None, RunOptions(batch_size=5))
    names = [name for batch in feed for name in batch.names]
    for most in (4, 100):
        fit, judges = split(feed, most)
        sides = [[n for batch in share for n in batch.names] for share in (fit, judges)]
        assert len(sides[0]) == min(most, 11)
        assert sorted(sides[0] + sides[1]) == sorted(names)
        for share, own in zip((fit, judges), sides, strict=True):
            values = np.concatenate([batch.blobs["data"] for batch in share])
            assert [names.index(n) * 64 for n in own] == values[:, 0, 0, 0].tolist()


def test_what_is_on_trial_is_decided_for_the_lengths_that_are_found(tmp_path: Path) -> None:
    choices = {**CHOICES, **adaption.options.BEST, "calibration": CALIBRATION, "quiet": True}
    found = adaption.quantize(*FILES, DATA, out=tmp_path / "found", max_size=5000, **choices)
    trials = found.summary["refinement"]["trials"]
    assert [t["equalized"] for t in trials] == [False, True]
    bits = [choices["bits"], *found.summary["search"]["bits"]]
    assert len(set(bits)) > 2
    named = adaption.quantize(*FILES, DATA, out=tmp_path / "named", **{**choices, "bits": bits})
    assert named.summary["refinement"]["trials"] == trials
    weights = [made.folder / "net_lp.caffemodel" for made in (found, named)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_refined_candidates(tmp_path: Path) -> None:
    choices = {**CHOICES, **adaption.options.BEST, "bits": 8, "calibration_limit": 400}
    made = search(*FILES, DATA, out=tmp_path, calibration=CALIBRATION, max_drop=0.5, **choices)
    assert made.is_met and made.report["average_bits"] < 3
    assert made.report["refinement"]["on_trial"]
    again = search(
        *FILES, DATA, out=tmp_path / "again", calibration=CALIBRATION, max_drop=0.5,
        state=tmp_path / "state", **choices,
    ).report  # fmt: skip
    assert again == made.report
