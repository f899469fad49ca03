"""The proof of the main job: what was written computes what ran."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from adaption.compare import counterpart, verify
from adaption.compare.onnx_session import in_this_process
from adaption.errors import AdaptionError, counted
from adaption.export.onnx import export_onnx
from adaption.io.netfile import read_net
from adaption.job.feed import Feed, fed_by
from adaption.job.foresee import reason_in_words
from adaption.job.part import Part
from adaption.net import Net
from adaption.net.memory import give_back
from adaption.net.weights import keep_rounded_only
from adaption.report.progress import Progress

__all__ = ["PROVED", "prove"]

PROVED = ("float", "qdq", "integer")  # styles of ONNX that onnxruntime runs
PROOF_SAMPLES = 4  # at most
PROOF_BYTES = 96 << 20  # most that all blobs take for them, except for one sample

Pair: TypeAlias = tuple[str | Path, Path | None]  # what `verify` compares


def prove(
    low: Net,
    feed: Feed,
    stage: Path,
    part: Part,
    seed: int,
    *,
    style: str,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Read the written files back and compare them, and net_lp.onnx, with the net that ran.

    Args:
        low: the net that ran; it is released.
        stage: folder with net_lp.prototxt and net_lp.caffemodel; gets net_lp.onnx.
        style: of the ONNX file, one of PROVED.
        quiet: show no progress.
    Returns: entries of `verification` in summary.json.
    """
    path = stage / "net_lp.onnx"
    pairs: list[Pair] = [(counterpart(style), path), ("lp", path)]
    if style == "float":
        pairs = [(path, None)]  # compared with the net in float32
    with Progress(3 + len(pairs), "proving", quiet=quiet, unit="steps") as progress:
        batch = next(iter(feed))
        most = _samples(low, next(iter(batch.blobs)))
        inputs = {name: values[:most] for name, values in batch.blobs.items()}
        count = len(batch.names[:most])
        ran = _blobs_of(low, inputs, seed)
        progress.advance()
        low.release()  # large nets are held once: what is read back goes on in its place
        again_spec = fed_by(part.of(read_net(stage / "net_lp.prototxt")), feed)
        low = Net(again_spec, stage / "net_lp.caffemodel", seed=seed, device=low.device)
        read = _blobs_of(low, inputs, seed)
        differing = [name for name, values in ran.items() if not torch.equal(values, read[name])]
        del ran, read
        if low.device.type != "cpu":  # where exact arithmetic and onnxruntime run
            low = Net(again_spec, stage / "net_lp.caffemodel", seed=seed)
        progress.advance()
        keep_rounded_only(low.nodes)
        give_back()
        proof: list[dict[str, Any]] = [
            {
                "what": "net_lp.prototxt and net_lp.caffemodel, read back",
                "ok": not differing,
                "detail": f"{len(differing)} blobs differ, the first is {differing[0]}"
                if differing
                else f"all {len(low.blobs)} blobs bit-equal on {counted(count, 'sample')}",
            }
        ]
        with in_this_process():  # which wrote the file
            return [*proof, *_prove_onnx(low, path, inputs, style, pairs, progress)]


def _samples(net: Net, first_input: str) -> int:
    """How many samples are compared, of a net that has run."""
    ran = max(1, net.blobs[first_input].shape[0])
    of_one = sum(blob.count for blob in net.blobs.values()) * 4 // ran
    return max(1, min(PROOF_SAMPLES, PROOF_BYTES // max(1, of_one)))


def _prove_onnx(
    low: Net, path: Path, inputs: dict[str, Any], style: str, pairs: list[Pair], progress: Progress
) -> list[dict[str, Any]]:
    """Write the file, and compare each of `pairs`."""
    proof: list[dict[str, Any]] = []
    try:
        made = export_onnx(low, path, style=style)
        give_back()
        progress.advance()
        for a, b in pairs:
            proof.append({**verify(low, a, b, inputs).to_dict(), "file": os.fspath(path)})
            give_back()
            progress.advance()
        if len(pairs) > 1:  # they repeat what the export notes; one comparison alone states it
            for entry in proof:
                entry["notes"] = []
            proof[-1]["notes"] = list(made.notes)
    except AdaptionError as error:
        path.unlink(missing_ok=True)
        proof.append(
            {"what": "net_lp.onnx", "ok": False, "detail": f"not written: {reason_in_words(error)}"}
        )
    return proof


def _blobs_of(net: Net, inputs: dict[str, Any], seed: int) -> dict[str, Tensor]:
    with torch.no_grad():
        net.manual_seed(seed)
        net.forward(inputs)
    return {name: blob.tensor for name, blob in net.blobs.items()}
