"""verify takes data in every form that quantize takes."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from adaption.cli.main import main

DIGITS = Path(__file__).resolve().parents[2] / "models/lenet_digits"


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("rounded")
    net, weights = str(folder / "lp.prototxt"), str(folder / "lp.caffemodel")
    formats = ["--weight", "Q2.6", "--activation", "Q5.3"]
    assert main(["rewrite", str(DIGITS / "deploy.prototxt"), "-o", net, *formats]) == 0
    assert main(["convert", str(DIGITS / "lenet_digits.caffemodel"), net, "-o", weights]) == 0
    return [net, weights]


def test_data_of_every_form_gives_the_same(
    tmp_path: Path, rounded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(DIGITS / "digits_test.h5") as file:
        np.save(tmp_path / "data.npy", np.asarray(file["data"]))
    forms = [
        [str(tmp_path / "data.npy"), "--limit", "6"],
        [str(DIGITS / "digits_test.h5"), "--samples", "6"],
        [str(DIGITS / "digits_test_lmdb"), "--scale", "0.0625", "--limit", "6"],
    ]
    capsys.readouterr()
    said = []
    for form in forms:
        words = ["verify", *rounded, "lp64", "exact", "--input-format", "auto", "--json", "--data"]
        assert main([*words, *form]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0]["samples"] == 6
    assert said[1] == said[0] and said[2] == said[0]


def test_data_that_is_not_there(rounded: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *rounded, "lp64", "exact", "--data", "no_such_lmdb"]) == 2
    assert "no_such_lmdb: no such file or folder" in capsys.readouterr().err
