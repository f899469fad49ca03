"""Every published prototxt: read, rewritten unchanged, inspected; run where its layers are known.

The run uses random weights at batch 1 and is slow. The table at the end of the slow run says which
nets do not run, and why.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from adaption.errors import AdaptionError
from adaption.io import prototxt
from adaption.io.netfile import read_net
from adaption.proto import caffe_pb2
from adaption.report.inspect import inspect

ZOO = Path(__file__).resolve().parents[2] / "shared/zoo"
NETS = sorted(p.name for p in ZOO.glob("*.prototxt") if not p.stem.endswith(("solver", "adam")))
FILES = sorted(p.name for p in ZOO.glob("*.prototxt"))
# A template: its num_output is a placeholder, ${NUM_LABELS}, that a script fills in.
TEMPLATES = {"deeplab_largefov_train.prototxt"}


@pytest.mark.parametrize("name", FILES or ["none"])
def test_reads_and_is_written_unchanged(name: str, shared: Path) -> None:
    path = shared / "zoo" / name
    document = prototxt.read(path)
    assert document.data() == path.read_bytes()
    if name in TEMPLATES:
        return
    kind = caffe_pb2.NetParameter if name in NETS else caffe_pb2.SolverParameter
    _message, notices = document.message(kind)
    assert [str(n) for n in notices if not n.is_value] == []
