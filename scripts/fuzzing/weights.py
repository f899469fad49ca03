"""Nets as text, weights, states and means."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from fuzzing.base import of_bytes, of_message, of_text, register
from fuzzing.corpus import Corpus
from fuzzing.made import MADE, WEIGHTS


@register("prototxt", "f.prototxt", lambda c: c.files("*.prototxt", 6000), of_text)
def prototxt(path: Path) -> None:
    """Parse, type, filter, upgrade, edit, print and read again."""
    from adaption.errors import AdaptionError
    from adaption.graph import NetState, build_spec
    from adaption.io import prototxt as text
    from adaption.io.netfile import from_document
    from adaption.proto import caffe_pb2

    document = text.read(path)
    assert document.data() == path.read_bytes(), "the text of a document is not that of its file"
    with contextlib.suppress(AdaptionError):
        document.message(caffe_pb2.SolverParameter)
    net = from_document(document)
    build_spec(net.message, NetState("TEST"), file=net.file, lines=net.lines)
    printed = text.format_message(net.message)
    again = text.parse(printed).message(caffe_pb2.NetParameter)[0]
    assert again == net.message or "nan" in printed, "a net reads back as another"


@register(
    "caffemodel",
    "f.caffemodel",
    lambda c: [MADE.need("a_iter_3.caffemodel"), *c.files("*.caffemodel", 40_000)],
    of_message,
)
def caffemodel(path: Path) -> None:
    """Open, read all values and the definition, write and read again."""
    from adaption.errors import AdaptionError
    from adaption.io.caffemodel import read_weights, write_weights

    weights = read_weights(path)
    for layer in weights.layers:
        for blob in layer.blobs:
            with contextlib.suppress(AdaptionError):
                blob.array()
    with contextlib.suppress(AdaptionError):
        weights.definition()
    if sum(len(layer.blobs) for layer in weights.layers) < 50:
        with contextlib.suppress(AdaptionError):
            write_weights(path.with_name("again.caffemodel"), weights)
            again = read_weights(path.with_name("again.caffemodel"))
            assert len(again.layers) == len(weights.layers), "layers are lost"


@register(
    "solverstate",
    "f.solverstate",
    lambda c: [MADE.need("a_iter_3.solverstate"), *c.files("*.solverstate", 60_000)],
    of_message,
)
def solverstate(path: Path) -> None:
    from adaption.io.solverstate import read_state

    for blob in read_state(path).history:
        blob.array()


@register(
    "binaryproto",
    "f.binaryproto",
    lambda c: [*c.files("*.binaryproto", 60_000), *_blobs()],
    of_message,
)
def binaryproto(path: Path) -> None:
    from adaption.io.blobproto import read_mean

    read_mean(path)


def _blobs() -> list[bytes]:
    from adaption.io.blobproto import write_blob_message
    from adaption.io.weights import WeightBlob

    made = []
    for shape in ((3, 2, 2), (1, 3, 4, 4), (3,)):
        out = io.BytesIO()
        write_blob_message(out, WeightBlob.of(np.arange(np.prod(shape)).reshape(shape)))
        made.append(out.getvalue())
    return made


def _h5_weights() -> list[bytes]:
    from adaption.io.caffemodel import read_weights, write_weights

    weights = read_weights(WEIGHTS)
    write_weights("seed.caffemodel.h5", weights.layers[1:3])
    made = [Path("seed.caffemodel.h5").read_bytes()]
    Path("seed.caffemodel.h5").unlink()
    return made


@register(
    "caffemodel.h5",
    "f.caffemodel.h5",
    lambda c: [*_h5_weights(), *c.files("*.caffemodel.h5", 60_000)],
    of_bytes,
    cheap=False,
)
def caffemodel_h5(path: Path) -> None:
    from adaption.io.caffemodel import read_weights

    for layer in read_weights(path).layers:
        for blob in layer.blobs:
            if blob.has_data:
                blob.array()


def _h5_states(corpus: Corpus) -> list[bytes]:
    from adaption.io.solverstate import SolverState, write_state
    from adaption.io.weights import WeightBlob

    write_state("s.solverstate.h5", SolverState(3, "a.caffemodel", [WeightBlob.of(np.ones(4))], 1))
    made = [Path("s.solverstate.h5").read_bytes()]
    Path("s.solverstate.h5").unlink()
    return [*made, *corpus.files("*.solverstate.h5", 60_000)]


@register("solverstate.h5", "f.solverstate.h5", _h5_states, of_bytes, cheap=False)
def solverstate_h5(path: Path) -> None:
    from adaption.io.solverstate import read_state

    for blob in read_state(path).history:
        blob.array()
