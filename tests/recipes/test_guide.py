"""CONTRIBUTING.md counts the lines of its examples; here they are counted again."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lines(name: str) -> int:
    return len((ROOT / name).read_text("utf-8").splitlines())


def guide(title: str) -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_a_number_format() -> None:
    found = re.search(r"`dynamic.py`.*?has\s+(\d+)\s+lines", guide("Add a number format"), re.S)
    assert found is not None
    assert int(found[1]) == lines("adaption/numerics/formats/dynamic.py")


def test_a_recipe() -> None:
    found = re.search(r"`sdfp.py` has (\d+) lines and `SdfpParameter` (\d+)", guide("Add a recipe"))
    assert found is not None
    assert int(found[1]) == lines("adaption/recipes/sdfp.py")
    proto = (ROOT / "protos/caffe.proto").read_text("utf-8")
    message = proto.partition("message SdfpParameter")[2].partition("\n}")[0]
    assert int(found[2]) == len(message.splitlines()) + 1


def test_the_table_of_examples() -> None:
    rows = re.findall(r"`(\S+\.py)`, (\d+) lines", guide("What it takes to add something"))
    assert len(rows) == 4
    assert {name: int(count) for name, count in rows} == {
        name: lines(f"adaption/{name}") for name, _ in rows
    }
    found = re.search(r"`caffemodel.py`.*?has\s+(\d+)\s+lines", guide("Add an export target"), re.S)
    assert found is not None
    assert int(found[1]) == lines("adaption/export/targets/caffemodel.py")
