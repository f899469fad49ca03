"""The verbs extract and create."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adaption.cli.main import main

DEPLOY = Path(__file__).resolve().parents[2] / "models/lenet_digits/deploy.prototxt"


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.json"
    assert main(["extract", str(DEPLOY), "--mode", "train", "-o", str(file)]) == 0
    words, hint, *_ = capsys.readouterr().out.splitlines()
    assert words.split() == json.loads(file.read_text())
    assert hint.startswith("next: adaption create NAME --file ")
    create = ["create", "Digits", "--file", str(file), "--weight", "2.6", "-o", str(tmp_path)]
    assert main(create) == 0
    made = tmp_path / "LP_Digits_8_bit_train.prototxt"
    assert capsys.readouterr().out.splitlines()[0] == f"written: {made}"
    assert main(["extract", str(made), "--mode", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["descriptor"] == words.split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            [],
            "the descriptor comes from the command line or from --file, exactly one\n  fix: write"
            " 64C3S1p1 A ReLU ... behind the name, or --file descriptor.json\n",
            id="no descriptor",
        ),
        pytest.param(
            ["4F", "--weight", "2.6,2.6,x"],
            "Qm.f is 'x', allowed: two integers such as \"Q2.14\" (the sign bit counts in m)\n"
            "  fix: write m and f with a point between: 16 bits may be Q2.14, Q9.7, ...\n",
            id="no format",
        ),
    ],
)
def test_bad_input(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["create", "N", *arguments, "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"adaption create: {message}"
    assert not list(tmp_path.iterdir())
