"""Where a net is quantized: its weight layers, and the place behind each where its result rounds.

By default rounding comes before the activation function, as in the original: ADaPTION's generator
puts LPAct between a layer and its ReLU, and leaves the last classifier's result in float. Batch
norm, scale and bias layers that follow belong to the sum, so the place is behind them. It may also
be behind the activation function, or behind the pooling that follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from adaption.errors import FieldError, UsageError
from adaption.graph import LayerSpec, NetSpec, refuse_repeated
from adaption.io.prototxt_values import nearest_name
from adaption.layers.base import choose_class, is_known

__all__ = [
    "PLACES",
    "Site",
    "bottom_sites",
    "excluded_layers",
    "following_alone",
    "keeps_codes",
    "quantization_sites",
    "reaches_weights",
]

# Types with a low-precision twin of the original; other weight layers say it by precision_param.
TWINS = {"Convolution": "LPConvolution", "InnerProduct": "LPInnerProduct"}
WEIGHT_TYPES = (*TWINS, *TWINS.values(), "Deconvolution", "ConvolutionDepthwise",
                "DepthwiseConvolution")  # fmt: skip
AFFINE_TYPES = ("BatchNorm", "Scale", "Bias", "BN")
ACTIVATION_TYPES = ("ReLU", "ReLU6", "PReLU", "ELU", "TanH", "Sigmoid", "Swish", "Clip", "BNLL")
PLACES = {
    "before-relu": "before the activation function",
    "after-relu": "behind the activation function",
    "after-pooling": "behind activation function and pooling",
}
"""Where a result is rounded, by the name of the choice. The first is ADaPTION's."""


@dataclass(frozen=True)
class Site:
    """A layer, and the one behind which its result is rounded; None: left float."""

    weight: LayerSpec  # a weight layer, but for bottom_sites
    result: LayerSpec | None
    why: str  # in words, for the report

    @property
    def point(self) -> str:
        """What the result's point is called: as the layer; an input as its blob, since in other
        files of the same net another layer brings it."""
        return self.weight.name if self.weight.bottoms else self.weight.tops[0]

    @property
    def place(self) -> str:
        """Where it is rounded: the layer's name whose top it is, or the input's."""
        assert self.result is not None
        return self.point if self.result is self.weight else self.result.name


def quantization_sites(spec: NetSpec, lpact: str = "before-relu") -> list[Site]:
    """The sites of a float net, in order of its layers.

    Args:
        lpact: one of PLACES. Behind the activation function, or behind pooling, only where that
            follows alone; where a blob branches before, the result is rounded at the branch.
    Raises: LayerError when another layer has the name of a site's.
    """
    if lpact not in PLACES:
        raise FieldError("lpact", lpact, ", ".join(PLACES))
    readers = _readers(spec)
    sites = []
    for i, item in enumerate(spec.layers):
        if item.type not in WEIGHT_TYPES:
            continue
        affine = _end_of(spec, readers, i, AFFINE_TYPES)
        last = affine
        if lpact != "before-relu":
            last = _end_of(spec, readers, affine, ACTIVATION_TYPES)
        if lpact == "after-pooling":
            pooled = _end_of(spec, readers, last, ("Dropout", "Pooling"))
            last = pooled if spec.layers[pooled].type == "Pooling" else last
        result = spec.layers[last]
        if item.type.endswith("InnerProduct") and not reaches_weights(spec, readers, last):
            sites.append(Site(item, None, "last classifier, its result stays float"))
            continue
        behind = "" if last == i else f" behind {result.name}"
        where = f", {PLACES['before-relu']}" if lpact == "before-relu" else ""
        sites.append(Site(item, result, f"rounded{behind}{where}"))
    named = {s.weight.name for s in sites} | {s.result.name for s in sites if s.result is not None}
    refuse_repeated(spec, named)
    return sites


def excluded_layers(
    sites: Sequence[Site], exclude: Sequence[str] = (), first: bool = False, last: bool = False
) -> frozenset[str]:
    """Names of the weight layers that are to stay as they are.

    Args:
        sites: of the net.
        exclude: names or patterns (`conv1`, `*_aux*`).
        first, last: also the first, the last one.
    Raises: UsageError for a name or pattern that fits no weight layer.
    """
    names = [site.weight.name for site in sites]
    found = {*(names[:1] if first else []), *(names[-1:] if last else [])}
    for pattern in exclude:
        fitting = [name for name in names if fnmatchcase(name, pattern) or name == pattern]
        if not fitting:
            near = nearest_name(pattern, tuple(names))
            raise UsageError(
                f"no weight layer is called {pattern!r}, which is to be left as it is"
                + (f", did you mean {near!r}?" if near else ""),
                f"its weight layers: {', '.join(names)}",
            )
        found.update(fitting)
    return frozenset(found)


def bottom_sites(
    spec: NetSpec, lpact: str = "before-relu", excluded: Container[str] = frozenset()
) -> list[Site]:
    """Where else to round, so that every weight layer of a float net reads short codes: behind
    sums of branches, averages, other layers whose tops are no codes of their bottoms, and inputs.

    Args:
        excluded: weight layers that stay in float: they may read floats, and give some.
    """
    readers = _readers(spec)
    results = [
        s.result.name
        for s in quantization_sites(spec, lpact)
        if s.result is not None and s.weight.name not in excluded
    ]
    # Per blob the layers that made what it holds, movers of codes left out.
    origins: dict[str, tuple[int, ...]] = {}
    wanted: set[int] = set()
    for i, item in enumerate(spec.layers):
        before = [origins.get(name, ()) for name in item.bottoms]
        if item.type in WEIGHT_TYPES and item.name not in excluded:
            wanted.update(before[0])
        made: tuple[int, ...] = (i,)
        if item.name in results:
            made = ()
        elif keeps_codes(spec, item):
            made = tuple(dict.fromkeys(index for of_one in before for index in of_one))
        origins.update(dict.fromkeys(item.tops, made))
    found = []
    for i in sorted(wanted):
        item, last = spec.layers[i], i
        if len(item.tops) > 1:  # labels beside images, ...
            found.append(Site(item, None, "several blobs from one layer, measured as one"))
            continue
        if lpact != "before-relu":
            last = _end_of(spec, readers, i, ACTIVATION_TYPES)
        found.append(Site(item, spec.layers[last], "read by weight layers"))
    return found


def keeps_codes(spec: NetSpec, item: LayerSpec) -> bool:
    """Whether every value of a layer's tops is one of its bottoms', or 0."""
    message = item.message
    if item.type == "ReLU":
        return not message.relu_param.negative_slope and not message.relu_param.relu6
    if item.type == "Pooling":
        return bool(message.pooling_param.pool == type(message.pooling_param).MAX)
    if item.type in ("Dropout", "Split"):
        return True
    known = is_known(item.type)
    return known and choose_class(item, spec.dialect, spec.layers)[0].works_on_codes


Readers = dict[int, list[int]]


def _readers(spec: NetSpec) -> Readers:
    """For each layer, the layers that read its tops."""
    latest: dict[str, int] = {}
    readers: Readers = defaultdict(list)
    for i, item in enumerate(spec.layers):
        for bottom in item.bottoms:
            readers[latest[bottom]].append(i)
        for top in item.tops:
            latest[top] = i
    return readers


def _end_of(spec: NetSpec, readers: Readers, index: int, types: tuple[str, ...]) -> int:
    """The last of the layers of these types that follow alone behind a layer."""
    while (behind := _follower(spec, readers, index, types)) is not None:
        index = behind
    return index


def _follower(spec: NetSpec, readers: Readers, index: int, types: tuple[str, ...]) -> int | None:
    """The one layer that reads a layer's tops, when it is of these types and reads no more."""
    if len(readers[index]) != 1:
        return None
    behind = spec.layers[readers[index][0]]
    fits = behind.type in types and len(behind.bottoms) == 1
    return readers[index][0] if fits else None


def following_alone(spec: NetSpec, index: int, types: tuple[str, ...]) -> list[LayerSpec]:
    """The layers of these types that follow a layer one by one, no other reading in between."""
    readers = _readers(spec)
    found: list[LayerSpec] = []
    while (behind := _follower(spec, readers, index, types)) is not None:
        index = behind
        found.append(spec.layers[index])
    return found


def reaches_weights(spec: NetSpec, readers: Readers, index: int) -> bool:
    """True when a weight layer reads, directly or through others, what layer `index` writes."""
    queue, seen = [index], {index}
    while queue:
        for reader in readers[queue.pop()]:
            if reader in seen:
                continue
            if spec.layers[reader].type in WEIGHT_TYPES:
                return True
            seen.add(reader)
            queue.append(reader)
    return False
