"""The float net's pass is run once and kept; a variant made from it is the same."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

import adaption
from adaption.data import Transform
from adaption.errors import AdaptionError

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"


def quantized(out: Path, **settings: Any) -> dict[str, Any]:
    made = adaption.quantize(
        EXAMPLE / "deploy.prototxt",
        EXAMPLE / "lenet_digits.caffemodel",
        EXAMPLE / "digits_test_lmdb",
        out=out,
        transform=Transform(scale=1 / 16),
        limit=40,
        quiet=True,
        **settings,
    )
    for check in made.summary["verification"]:
        check.pop("file", None)
    found = {k: v for k, v in made.summary.items() if k not in ("files", "seconds")}
    said: dict[str, Any] = json.loads(json.dumps(found).replace(str(out), "OUT"))
    return said


def test_kept_pass_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "float"
    plain = quantized(tmp_path / "plain", bits=6, rule="sqnr")
    quantized(tmp_path / "first", bits=8, reference=kept)
    runs = []
    job = importlib.import_module("adaption.job.quantize")
    run_net = job.run_net

    def counted(net: Any, *args: Any, **settings: Any) -> Any:
        runs.append(net)
        return run_net(net, *args, **settings)

    monkeypatch.setattr(job, "run_net", counted)
    assert quantized(tmp_path / "second", bits=6, rule="sqnr", reference=kept) == plain
    assert len(runs) == 1, "only the low-precision net runs over the data"


def test_reference_of_other_data_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "float"
    quantized(tmp_path / "first", reference=kept)
    with pytest.raises(AdaptionError) as caught:
        adaption.quantize(
            EXAMPLE / "deploy.prototxt",
            EXAMPLE / "lenet_digits.caffemodel",
            EXAMPLE / "digits_test_lmdb",
            out=tmp_path / "second",
            transform=Transform(scale=1 / 16),
            limit=41,
            reference=kept,
            quiet=True,
        )
    assert str(caught.value) == (
        f"{kept}: the reference was made with other limit\n"
        "  fix: give --reference another folder, or remove this one"
    )
    assert not (tmp_path / "second").exists()


def test_reference_of_another_form_of_the_net_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "float"
    quantized(tmp_path / "first", reference=kept)
    quantized(tmp_path / "second", reference=kept, seed=1)  # of the rounding, not of the pass
    with pytest.raises(AdaptionError, match="was made with other dialect"):
        quantized(tmp_path / "third", reference=kept, dialect="segnet")
    with pytest.raises(AdaptionError, match="was made with other end"):
        quantized(tmp_path / "third", reference=kept, end="ip1")


def test_broken_reference(tmp_path: Path) -> None:
    kept = tmp_path / "float"
    kept.mkdir()
    (kept / "run.npz").write_bytes(b"not a zip")
    with pytest.raises(AdaptionError, match="is no reference"):
        quantized(tmp_path / "out", reference=kept)
