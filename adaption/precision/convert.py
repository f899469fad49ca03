"""Weights of plain layers into the blob layout of low-precision layers and back, without a net."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from adaption.errors import AdaptionError, UsageError, WeightsError
from adaption.graph import LayerSpec, NetSpec
from adaption.io.atomic import atomic_write, together
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights, write_weights
from adaption.io.limits import Size, within_limit
from adaption.io.lp_types import PLAIN, TWINS
from adaption.io.netfile import NetFile, read_net
from adaption.io.outputs import keep_inputs
from adaption.later import np, torch
from adaption.layers.base import may_hold_blobs
from adaption.net.plan import LayerFormats, is_low_precision, layer_formats
from adaption.numerics import Format
from adaption.numerics.arrays import is_plain, quantize_array
from adaption.numerics.seeds import checked_seed

__all__ = ["Conversion", "convert", "convert_file", "match_layers", "write_sparsity"]


PathLike = str | os.PathLike[str]


def convert(
    weights: Weights | PathLike,
    net: NetSpec | NetFile | PathLike,
    *,
    by_order: bool = False,
    baked: bool = False,
    seed: int = 0,
    original_semantics: bool = False,
) -> Iterator[LayerWeights]:
    """The layers of `weights` as `net` holds them, one at a time, so that they can be streamed.

    Layers of two blobs (W, b) become four (W, rounded W, b, rounded b) where the net's layer is a
    low-precision one, and four become two where it is plain. Layers that the net lacks are left
    out, as Caffe does when it loads them.

    Args:
        weights: a caffemodel, its path or what `read_weights` gives.
        net: the net the weights are for; its layer types and formats decide. It is not run, so
            its layers may be of unknown types. A file counts with the layers of all net states.
        by_order: pair the layers that hold blobs by their order instead of their names.
        baked: two blobs throughout, rounded by the net's formats, under plain types: for tools
            that know nothing of low-precision layers.
        seed: of the generator for formats with stochastic rounding.
        original_semantics: the rounded blobs are copies that are not rounded, as the original's
            convert_weights.py leaves them to the first forward pass.
    Raises: WeightsError when a layer has a number of blobs that fits neither form, or holds NaN or
        infinities, or when `by_order` finds layers that do not pair.
    """
    weights, specs = _opened(weights, net)
    _refuse_repeated(weights)
    names = match_layers(weights, specs, by_order=by_order)
    by_name = {s.name: s for s in specs}
    draws = _Draws(checked_seed(seed))
    for layer in weights.layers:
        spec = by_name.get(names.get(layer.name, ""))
        if spec is None:
            continue
        try:
            _refuse_not_finite(layer)
            if baked:
                yield _baked(layer, spec, draws)
                continue
            blobs = _convert(layer, spec, None if original_semantics else draws)
        except AdaptionError as error:
            raise error.at(file=weights.file, layer=layer.name, layer_type=spec.type) from None
        yield LayerWeights(spec.name, spec.type, blobs)


@dataclass(frozen=True)
class Conversion:
    """What `convert_file` did: the net's layer for each layer of the file, and what is left out."""

    mapping: Mapping[str, str]
    left_out: tuple[str, ...]  # layers of the file with blobs that the net lacks
    missing: tuple[str, ...]  # weight layers of the net that the file has nothing for
    sparsity_files: tuple[Path, ...] = ()


@within_limit
def convert_file(
    weights: PathLike,
    net: NetFile | PathLike,
    out: PathLike,
    *,
    by_order: bool = False,
    baked: bool = False,
    sparsity_folder: PathLike | None = None,
    dummy: PathLike | None = None,
    seed: int = 0,
    original_semantics: bool = False,
    memory_limit: Size | None = None,
) -> Conversion:
    """Convert a weights file into another; see `convert`.

    Args:
        sparsity_folder: also write sparsity_hp.txt and sparsity_lp.txt there: percent of weights
            that are zero in float, and rounded.
        dummy: with `original_semantics`, the weights of the low-precision net that the original
            overwrote: its sparsity_lp.txt tells of them, not of the converted ones.
        memory_limit: the most that one array, image or blob may take, as in "8G".
    Raises: as `convert`; UsageError when `dummy` is given without `original_semantics`.
    """
    if dummy is not None and not original_semantics:
        raise UsageError(
            "dummy weights only count with original semantics",
            "leave them out: rounded weights follow from the float ones",
        )
    source, specs = _opened(weights, net)
    names = match_layers(source, specs, by_order=by_order)
    mapping = {x.name: names[x.name] for x in source.layers if x.blobs and x.name in names}
    if not mapping:
        raise WeightsError(
            "has no layer of the net's, by name",
            "give the caffemodel of this net, or --by-order where only the names differ",
        ).at(file=source.file)
    layers = convert(
        source, NetSpec("", specs), by_order=by_order, baked=baked, seed=seed,
        original_semantics=original_semantics,
    )  # fmt: skip
    keep_inputs([out], [weights, net if isinstance(net, str | os.PathLike) else None, dummy])
    files: tuple[Path, ...] = ()
    with together():
        if sparsity_folder is None:
            write_weights(out, layers, name=source.name)
        else:
            held = list(layers)
            write_weights(out, held, name=source.name)
            made = read_weights(dummy) if dummy is not None else Weights(held)
            files = write_sparsity(sparsity_folder, source, made, specs)
    have = set(mapping.values())
    return Conversion(
        mapping,
        tuple(x.name for x in source.layers if x.blobs and x.name not in mapping),
        tuple(dict.fromkeys(s.name for s in specs if _weighty(s) and s.name not in have)),
        files,
    )


def match_layers(
    weights: Weights, specs: Sequence[LayerSpec], *, by_order: bool = False
) -> dict[str, str]:
    """The net's layer for each layer of the file; those the net lacks are left out.

    Raises: WeightsError when, by order, their numbers or types do not pair.
    """
    if not by_order:
        names = {s.name for s in specs}
        return {x.name: x.name for x in weights.layers if x.name in names}
    mine = [x for x in weights.layers if x.blobs]
    theirs = list({s.name: s for s in specs if may_hold_blobs(s.type)}.values())
    pairs = list(zip(mine, theirs, strict=False))
    odd = next((f'"{a.name}" ({a.type}) with "{b.name}" ({b.type})' for a, b in pairs
                if a.type and _plain(a.type) != _plain(b.type)), None)  # fmt: skip
    if len(mine) != len(theirs) or odd is not None:
        fact = f"does not pair by order: {len(mine)} layers with blobs, {len(theirs)} in the net"
        raise WeightsError(
            fact if odd is None else f"does not pair by order: {odd}",
            "pair by name, or give the net that differs only in its layers' names",
        ).at(file=weights.file)
    return {a.name: b.name for a, b in pairs}


def write_sparsity(
    folder: PathLike, before: Weights, after: Weights, specs: Sequence[LayerSpec]
) -> tuple[Path, Path]:
    """sparsity_hp.txt and sparsity_lp.txt as convert_weights.py writes them: percent of zeros.

    Args:
        before: float weights; blob 0 counts.
        after: low-precision or baked weights; the rounded blob counts.
        specs: layers of the low-precision net, in its order.
    """
    low = {s.name for s in specs if is_low_precision(s.type)}
    texts = {
        "hp": [(x.name, x.blobs[0]) for x in before.layers if x.blobs],
        "lp": [
            (x.name, x.blobs[1 if x.is_paired else 0])
            for x in after.layers
            if x.blobs and x.name in low
        ],
    }
    made = []
    for name, rows in texts.items():
        path = Path(folder) / f"sparsity_{name}.txt"
        with atomic_write(path, "w") as out:
            for layer, blob in rows:
                zeros = blob.count - int(np.count_nonzero(blob.array()))
                out.write(f"{layer} layer: {100 * zeros / max(1, blob.count):f} \n")
        made.append(path)
    return made[0], made[1]


def _refuse_repeated(weights: Weights) -> None:
    counts = Counter(layer.name for layer in weights.layers if layer.blobs)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise WeightsError(
            f"{counts[twice[0]]} layers with weights are called {twice[0]!r}; layers go by name",
            "rename all but one in the prototxt, and load and save the net there",
        ).at(file=weights.file)


def _refuse_not_finite(layer: LayerWeights) -> None:
    """Raise WeightsError for a blob with NaN or infinities; rounded copies are made anew."""
    for index, blob in enumerate(layer.blobs):
        if (layer.is_paired and index % 2) or not blob.has_data:
            continue
        bad = blob.count - int(np.isfinite(blob.array()).sum())
        if bad:
            raise WeightsError(
                f"blob {index} holds {bad} of {blob.count} values that are NaN or infinite",
                "give weights from before the training diverged",
            )


def _opened(
    weights: Weights | PathLike, net: NetSpec | NetFile | PathLike
) -> tuple[Weights, tuple[LayerSpec, ...]]:
    if not isinstance(weights, Weights):
        weights = read_weights(weights)
    return weights, net.layers if isinstance(net, NetSpec) else _all_layers(net)


def _all_layers(net: NetFile | PathLike) -> tuple[LayerSpec, ...]:
    file = net if isinstance(net, NetFile) else read_net(net)
    return tuple(
        LayerSpec(m.name, m.type, tuple(m.bottom), tuple(m.top), m) for m in file.message.layer
    )


def _plain(layer_type: str) -> str:
    return PLAIN.get(layer_type, layer_type)


def _weighty(spec: LayerSpec) -> bool:
    return _plain(spec.type) in TWINS


class _Draws:
    """Random numbers for stochastic rounding; torch is loaded where there is such a format."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @cached_property
    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def rounded(self, blob: WeightBlob, fmt: Format | None) -> WeightBlob:
        if fmt is None:
            return blob
        if is_plain(fmt):
            return WeightBlob.of(quantize_array(fmt, blob.copy()))
        return WeightBlob.of(quantize_array(fmt, blob.copy(), self.generator))


def _convert(layer: LayerWeights, spec: LayerSpec, draws: _Draws | None) -> list[WeightBlob]:
    """Blobs as the layer of the net holds them; without draws, rounded ones are copies."""
    masters = layer.blobs[::2] if layer.is_paired else list(layer.blobs)
    if not layer.blobs or not is_low_precision(spec.type):
        return masters
    if layer.is_paired and draws is None:
        return list(layer.blobs)
    _check_plain(masters)
    formats = LayerFormats() if draws is None else layer_formats(spec)
    made = []
    for blob, fmt in zip(masters, (formats.weight, formats.bias), strict=False):
        made += [blob, blob if draws is None else draws.rounded(blob, fmt)]
    return made


def _baked(layer: LayerWeights, spec: LayerSpec, draws: _Draws) -> LayerWeights:
    blobs = layer.blobs[::2] if layer.is_paired else list(layer.blobs)
    formats = layer_formats(spec)
    if is_low_precision(spec.type):
        _check_plain(blobs)
    points = (formats.weight, formats.bias)
    made = [draws.rounded(b, points[i] if i < 2 else None) for i, b in enumerate(blobs)]
    return LayerWeights(spec.name, _plain(spec.type), made)


def _check_plain(blobs: Sequence[WeightBlob]) -> None:
    if len(blobs) > 2:
        raise WeightsError(f"has {len(blobs)} blobs, allowed: 1 or 2 (weight, bias)")
