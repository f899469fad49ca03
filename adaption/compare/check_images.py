"""check_images: whether the preprocessing in an ONNX file is the net's own, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from adaption.compare.backends import Simulation
from adaption.compare.gaps import gap_between
from adaption.compare.image_check import ImageCheck, OutputCheck
from adaption.compare.sessions import FileImages, ModelFile, SessionError, damage_told
from adaption.compare.verify_inputs import on_grids
from adaption.data import Transform
from adaption.errors import ShapeError, UsageError
from adaption.exact.selection import select
from adaption.export.onnx.graph import Array
from adaption.export.onnx.images import MEAN_IMAGE
from adaption.net import Net
from adaption.precision.classifiers import holds_scores

__all__ = ["check_images"]

Blobs = Mapping[str, Array]

PIECE = 16  # images at once, where the file takes any number


def check_images(
    net: Net,
    path: str | os.PathLike[str] | ModelFile,
    images: Array,
    transform: Transform | None = None,
) -> tuple[ImageCheck, Array]:
    """Give images to a file that preprocesses them, and to our transform and net; compare.

    Args:
        net: the net that the file was made of, in phase TEST; it is not changed.
        path: a file that export_onnx wrote with `images`.
        images: in the layout and channel order that the file takes, 0..255; of a size that
            `transform` resizes or crops to the file's.
        transform: what the net was trained with; None: what the file states of itself, which then
            only has to do what it says.
    Returns: the check, and the net's input for these images, float32 (N, C, H, W), as `transform`
        makes it.
    Raises: UsageError when the file embeds no preprocessing, or does not state all of it and no
        transform is given; ShapeError when images do not fit.
    """
    file = path if isinstance(path, ModelFile) else ModelFile(path)
    if file.images is None:
        raise UsageError(
            "this model takes no images: it does not state an embedded preprocessing",
            "give the net's input, preprocessed, or export again with --embed-preprocessing",
        ).at(file=file.path)
    stated = file.images.stated
    if transform is None and stated["mean"] == MEAN_IMAGE:
        raise UsageError(
            "this model subtracts a mean image, which it does not state",
            "give the mean image (--mean-file) and the other preprocessing flags",
        ).at(file=file.path)
    if transform is not None and transform.is_random:
        raise UsageError("mirroring and random crops cannot be verified", "leave them out")
    ours = file.images.form
    if transform is not None:
        ours = replace(ours, transform=transform)
    given = ours.outside(images)
    dims = file.images.dims[1:]
    if any(isinstance(d, int) and d != g for d, g in zip(dims, given.shape[1:], strict=True)):
        raise ShapeError(
            f"images have shape {given.shape[1:]}, the model takes {dims} ({ours.layout})",
            "give images of its size, or --resize and --crop that make it",
        ).at(file=file.path)
    want = ours.prepared(images)
    made = _run(file, file.images, given)
    found = np.ascontiguousarray(made[file.images.blob])
    mine = ours.to_dict()
    check = ImageCheck(
        path=file.path,
        blob=file.images.blob,
        samples=len(given),
        count=want.size,
        differing=int(np.count_nonzero(found.view(np.uint32) != want.view(np.uint32))),
        max_error=float(np.abs(found.astype(np.float64) - want).max(initial=0.0)),
        stated=stated,
        unlike=tuple(
            f"{name}: the file has {stated[name]!r}, {value!r} is given"
            for name, value in mine.items()
            if stated[name] != value
        ),
        outputs=_outputs(net, file, {file.images.blob: want}, made),
    )
    return check, want


def _run(file: ModelFile, images: FileImages, given: Array) -> Blobs:
    """The net's input and the outputs as the file makes them."""
    try:
        with damage_told(file.path):
            return _in_pieces(file.with_images(), {images.input: given}, file.batch)
    except SessionError as error:
        raise UsageError(f"onnxruntime does not run it: {error}").at(file=file.path) from None


def _outputs(net: Net, file: ModelFile, given: Blobs, found: Blobs) -> tuple[OutputCheck, ...]:
    """The file's outputs against those of our net on `given`."""
    selection = select(net)
    makers = selection.makers

    def forward(inputs: Blobs) -> Blobs:
        values = Simulation("lp", selection).run(inputs).values
        return {b: values[makers[b], b] for b in selection.outputs if b in makers}

    ours = _in_pieces(forward, on_grids(given, file.input_formats), file.batch)
    checks = []
    for blob, name in zip(selection.outputs, file.outputs, strict=False):
        if blob in ours and name in found and ours[blob].shape == found[name].shape:
            mine, theirs = ours[blob], found[name]
            agreeing = None
            if holds_scores(mine.shape):
                agreeing = int((mine.argmax(1) == theirs.argmax(1)).sum())
            error = float(gap_between(mine, theirs).max(initial=0.0))
            checks.append(OutputCheck(blob, error, agreeing))
    return tuple(checks)


def _in_pieces(call: Callable[[Blobs], Blobs], inputs: Blobs, batch: int | None) -> Blobs:
    """`call` on a batch at a time, the last one filled up from the front where its size is fixed;
    without what does not have as many samples."""
    samples = max(len(x) for x in inputs.values())
    parts: list[Blobs] = []
    for start in range(0, samples, batch or PIECE):
        index = np.arange(start, start + batch if batch else min(start + PIECE, samples))
        made = call({name: x[index % samples] for name, x in inputs.items()})
        kept = {name: x for name, x in made.items() if x.ndim and len(x) == len(index)}
        parts.append({name: x[: samples - start] for name, x in kept.items()})
    return {
        n: np.concatenate([p[n] for p in parts]) for n in parts[0] if all(n in p for p in parts)
    }
