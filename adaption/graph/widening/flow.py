"""Follow channels through one net: which weight layers they come from, and what their number must
satisfy.

Each net is followed twice. The first time finds the roles: which weight layers come first, whose
channels other weight layers read, whose are results of the net. The second time the widths of the
layers that keep them are constants; conditions on the others are collected, and what cannot be
satisfied is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from adaption.errors import AdaptionError, LayerError
from adaption.graph.spec import LayerSpec, NetSpec
from adaption.graph.widening.channels import Channels, Piece
from adaption.graph.widening.widths import Widths

OTHER_FACTOR = "choose another factor, or --multiple-of"
CANNOT = "leave the net as it is, or change this layer"

Rule = Callable[["Flow", LayerSpec, list[Channels]], Sequence[Channels]]

__all__ = ["OTHER_FACTOR", "Edit", "Flow", "Projection", "Rule"]


@dataclass(frozen=True)
class Edit:
    """One number in a layer that follows from widths.

    layer: index of the layer in the file's message.
    path: field names, as ("convolution_param", "num_output"); `index` among values of that name.
    """

    layer: int
    path: tuple[str, ...]
    index: int
    before: int
    piece: Piece
    factor: Fraction = Fraction(1)

    def after(self, widths: Mapping[str, int]) -> int:
        """The number with these widths."""
        return int(self.piece.size(widths) * self.factor)


@dataclass(frozen=True)
class Projection:
    """A 1 x 1 convolution that is needed before a sum.

    layer, bottom: index of the sum in the file's message, and of the bottom that is too narrow.
    branch: (index in the file's message) of the layers that make the bottom it is added to: the
        weight layer, then batch norm, scale and the like.
    """

    layer: int
    bottom: int
    branch: tuple[int, ...]
    piece: Piece


@dataclass
class Flow:
    """What is found on the way through one net.

    spec, indices: the net, and for each of its layers the index in the file's message.
    kept: weight layers whose width stays, and why; None the first time, when nothing is known.
    project: let a 1 x 1 convolution widen what a first layer of kept width adds to a sum.
    keeps_channels: whether a layer without a rule of its own has the channels of its bottom.
    """

    spec: NetSpec
    indices: Sequence[int]
    widths: Widths
    kept: Mapping[str, str] | None = None
    narrow: frozenset[str] = frozenset()  # first layers that are kept on request
    project: bool = False
    keeps_channels: Callable[[LayerSpec], bool] = lambda _: False
    reads: set[str] = field(default_factory=set)  # weight layers that a weight layer reads
    results: dict[str, str] = field(default_factory=dict)  # weight layer -> blob or layer
    first: set[str] = field(default_factory=set)
    weights: dict[str, int] = field(default_factory=dict)  # mixing layers, and num_output
    followers: dict[str, Edit] = field(default_factory=dict)  # depthwise layers
    edits: list[Edit] = field(default_factory=list)
    projections: list[Projection] = field(default_factory=list)
    at: int = 0
    _makers: dict[str, list[int]] = field(default_factory=dict)  # blob -> layers that wrote it
    _shared: dict[str, tuple[str, tuple[Channels, ...]]] = field(default_factory=dict)

    @property
    def is_strict(self) -> bool:
        """Whether roles are known, and conditions count."""
        return self.kept is not None

    def run(self, rule: Rule) -> None:
        """Go through all layers; `rule(flow, item, bottoms)` gives the channels of the tops."""
        blobs: dict[str, Channels] = {}
        unread: set[str] = set()
        for index, item in enumerate(self.spec.layers):
            self.at = index
            bottoms = [blobs[name] for name in item.bottoms]
            try:
                tops = rule(self, item, bottoms)
            except AdaptionError as error:
                raise error.at(
                    file=self.spec.file, line=item.line, layer=item.name, layer_type=item.type
                ) from None
            unread.difference_update(item.bottoms)
            for name, top in zip(item.tops, tops, strict=True):
                blobs[name] = top
                unread.add(name)
                in_place = self._makers.get(name, []) if name in item.bottoms else []
                self._makers[name] = [*in_place, index]
        for name in sorted(unread):
            self.is_result(blobs[name], f'the net\'s output "{name}"')

    def error(self, fact: str, fix: str = CANNOT) -> LayerError:
        """An error at the layer where the flow is."""
        item = self.spec.layers[self.at]
        return LayerError(fact, fix).at(
            file=self.spec.file, line=item.line, layer=item.name, layer_type=item.type
        )

    # -- what rules say ----------------------------------------------------------------------

    def makes(self, count: int, axis: int | None, rank: int | None) -> Channels:
        """The tops of the weight layer where the flow is, which mixes all it reads."""
        item = self.spec.layers[self.at]
        if self.weights.setdefault(item.name, count) != count:
            raise self.error(
                f"has num_output {count}, another layer of this name {self.weights[item.name]}",
                "give layers of one name the same num_output",
            )
        if self.kept is not None and item.name in self.kept:
            return replace(Channels.fixed(count, rank, item.name), axis=axis)
        return Channels((Piece.of(item.name, count),), axis, rank, carried=frozenset((item.name,)))

    def is_read(self, bottoms: Sequence[Channels]) -> None:
        """A weight layer sees all channels of these blobs."""
        for x in bottoms:
            self.reads |= x.carried
            if self.is_strict and x.trouble is not None and x.follows:
                raise x.trouble
        if not any(x.carried for x in bottoms):
            self.first.add(self.spec.layers[self.at].name)

    def is_result(self, x: Channels, where: str) -> None:
        """The number of channels has a meaning of its own here: classes, boxes, an output."""
        for name in x.carried:
            self.results.setdefault(name, where)

    def are_equal(self, blobs: Sequence[Channels], what: str) -> Channels:
        """Blobs that must have the same channels, and what comes of them.

        Raises: LayerError when one of them cannot follow the others.
        """
        leads = next((x for x in blobs if x.follows and x.trouble is None), blobs[0])
        if self.is_strict:
            for x in blobs:
                if x is not leads:
                    self._equate(leads, x, what)
        return leads.carrying(*blobs)

    def _equate(self, one: Channels, other: Channels, what: str) -> None:
        if not one.follows and not other.follows:
            return
        for x in (one, other):
            if x.trouble is not None and x.follows:
                raise x.trouble
        names = [self._told(x) for x in (one, other)]
        error = self.error(f"{what} {names[0]} and {names[1]}", self._fix_of(one, other))
        if not one.follows or not other.follows:
            raise error
        if one.axis != other.axis:
            raise self.error(f"{what} channels that stand on different axes")
        unequal = self.error(
            f"{what} {names[0]} and {names[1]}, but the two cannot be equally many",
            OTHER_FACTOR,
        )
        self.widths.are_equal(one.pieces, other.pieces, unequal)

    def _told(self, x: Channels) -> str:
        if x.follows:
            return "channels of " + ", ".join(f'"{n}"' for n in sorted(x.carried)) + ", made wider,"
        if x.origin:
            assert self.kept is not None
            return f'channels of "{x.origin}", which keeps its width ({self.kept[x.origin]})'
        return "channels of the net's input" if x.count is None else f"{x.count} fixed channels"

    def _fix_of(self, one: Channels, other: Channels) -> str:
        if not {one.origin, other.origin} & self.narrow:
            return CANNOT
        item = self.spec.layers[self.at]
        is_sum = item.type == "Eltwise" and item.message.eltwise_param.operation == 1
        more = ", or let --project insert a 1 x 1 convolution" if is_sum else ""
        return f"leave out --no-widen-first{more}"

    def edit(
        self, path: tuple[str, ...], before: int, piece: Piece, index: int = 0,
        factor: Fraction | int = 1,
    ) -> Edit:  # fmt: skip
        """A number of the layer where the flow is that is `factor` times the size of a piece."""
        made = Edit(self.indices[self.at], path, index, before, piece, Fraction(factor))
        if self.is_strict and piece.terms:
            self.edits.append(made)
        return made

    def projected(self, blobs: Sequence[Channels]) -> list[Channels]:
        """Bottoms of a sum, those of first layers of kept width widened by a projection."""
        wide = next((i for i, x in enumerate(blobs) if x.follows and x.trouble is None), None)
        if not self.project or wide is None:
            return list(blobs)
        made = list(blobs)
        for i, x in enumerate(blobs):
            if not x.follows and x.origin in self.narrow:
                piece = blobs[wide].whole
                branch = self._branch(self.spec.layers[self.at].bottoms[wide])
                self.projections.append(Projection(self.indices[self.at], i, branch, piece))
                made[i] = replace(blobs[wide], carried=frozenset())
        return made

    def _branch(self, blob: str) -> tuple[int, ...]:
        """The weight layer that a blob comes from, and the layers behind it that norm or scale."""
        found: list[int] = []
        while True:
            chain = self._makers[blob]
            found[:0] = chain
            head = self.spec.layers[chain[0]]
            if head.name in self.weights or head.name in self.followers or not head.bottoms:
                return tuple(self.indices[i] for i in found)
            blob = head.bottoms[0]

    def shares(self, blobs: Sequence[Sequence[Channels]]) -> None:
        """Compare parameter blobs that have a name with the first of that name.

        Args:
            blobs: for each blob of the layer where the flow is, its axes that stand for channels.
        """
        item = self.spec.layers[self.at]
        for param, axes in zip(item.message.param, blobs, strict=False):
            if not param.name:
                continue
            owner, first = self._shared.setdefault(param.name, (item.name, tuple(axes)))
            if not self.is_strict or owner == item.name:
                continue
            for one, other in zip(first, axes, strict=False):
                same = replace(other, axis=one.axis)
                self._equate(one, same, f'shares param "{param.name}" with "{owner}":')
