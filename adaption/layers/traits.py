"""What a layer type says of itself, so that no other room has to keep a table of type names.

A layer file states traits with `@layer(...)`; what depends on a layer's fields is a method that its
class overrides. A type has to state its `kind`. Whatever else it does not state is taken as no,
which is always safe: its values are measured, rounded and named where they might have been
followed, and what cannot be followed is an error that names the layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

from adaption.later import np, npt

if TYPE_CHECKING:
    from adaption.graph import LayerSpec

__all__ = [
    "KINDS",
    "Array",
    "Count",
    "Kind",
    "KindName",
    "Places",
    "ScaleChange",
    "Traits",
    "scaled_bias",
]

Array: TypeAlias = "npt.NDArray[np.float64]"
Count = int | tuple[int, int | None]  # exact, or (least, most); most None: no limit


@dataclass(frozen=True)
class Kind:
    """A kind of layer: what it does, and what follows from that."""

    meaning: str
    drawn_as: str = ""  # its name in drawings, where kinds share one; "": its own
    keeps_places: bool = False  # the top has the shape of the bottom, each value in its place
    is_sum: bool = False  # y = W x + b, with W in blob 0 and b in blob 1: a weight layer


KindName = Literal[
    "convolution", "inner product", "recurrent", "pooling", "channel affine", "normalization",
    "activation", "function", "rounding", "arrangement", "data", "loss", "other",
]  # fmt: skip

KINDS: Mapping[str, Kind] = {
    "convolution": Kind("sums filters times windows of the bottom", is_sum=True),
    "inner product": Kind("sums weights times all values of a sample", is_sum=True),
    "recurrent": Kind("steps through sequences, with weights of its own"),
    "pooling": Kind("makes one value of each window of the bottom"),
    "channel affine": Kind(
        "scales or shifts each channel, a part of the sum in front of it", "normalization", True
    ),
    "normalization": Kind("divides each value by a measure of others", keeps_places=True),
    "activation": Kind("activation function: of each value, behind a sum", "neuron", True),
    "function": Kind("any other function that keeps the shape of the bottom", "neuron", True),
    "rounding": Kind("rounds its bottom", keeps_places=True),
    "arrangement": Kind("moves, picks, joins or combines values"),
    "data": Kind("brings or holds values"),
    "loss": Kind("compares with labels"),
    "other": Kind("none of these"),
}

Places = Literal["", "kept", "windows", "spread", "cut"]
ChannelFactors = Literal["", "kept", "ended", "free"]


@dataclass(frozen=True)
class ScaleChange:
    """What to multiply so that a layer computes the same when its bottoms come times a factor."""

    scales_top: bool  # whether the tops come times that factor, too, or as they were
    blobs: Mapping[int, float] = field(default_factory=dict)  # factors, by index
    text: str = ""  # the same in words; "" where nothing is to be multiplied
    message: str = ""  # a message of the layer, in which `setting` is multiplied by `factor`
    setting: str = ""
    factor: float = 1.0
    default: float = 1.0  # of the setting


def scaled_bias(scale: float, bias_term: bool, index: int = 1) -> ScaleChange:
    """Of a layer whose only addend is its bias, blob `index`."""
    if not bias_term or scale == 1:
        return ScaleChange(True)
    return ScaleChange(True, {index: scale}, f"bias x {scale:.6g}")


class Traits:
    """Class attributes are stated with `@layer`; methods are overridden."""

    spec: LayerSpec

    # -- bottoms, tops and blobs ---------------------------------------------------------------
    bottoms: ClassVar[Count] = 1
    tops: ClassVar[Count] = 1
    same_tops_as_bottoms: ClassVar[bool] = False  # one top per bottom, each on its own
    no_gradient: ClassVar[tuple[int, ...]] = ()  # bottoms that never get a gradient (labels)
    writes_blobs: ClassVar[bool] = False  # forward changes its own blobs (BatchNorm)
    takes_blobs: ClassVar[bool] = False  # works on the net's blobs themselves, see `bind`

    # -- fields of the message that are none of the class's own; others that are set are refused --
    reads: ClassVar[tuple[str, ...]] = ()  # read in another way
    ignores: ClassVar[tuple[str, ...]] = ()  # without effect on the numbers, in the source too

    # -- what it is ----------------------------------------------------------------------------
    kind: ClassVar[KindName | Literal[""]] = ""  # a key of KINDS; "" only of unknown types
    drawn_as: ClassVar[str] = ""  # one of drawing.COLOURS, where it isn't that of `kind`
    is_loss: ClassVar[bool] = False  # the first top's loss_weight defaults to 1
    forgets_loss_weight: ClassVar[bool] = False  # the original's loss_weight defaults to 0
    is_source: ClassVar[bool] = False  # brings data of its own; its tops have no bottoms
    obeys_transform: ClassVar[bool] = False  # a source that transform_param preprocesses
    takes_part: ClassVar[bool] = False  # a source of which source_part can leave samples out
    measures: ClassVar[bool] = False  # measures or records; nothing is computed with its tops
    discards: ClassVar[bool] = False  # does nothing with its bottoms
    gives_scores: ClassVar[bool] = False  # the top holds probabilities of classes
    gives_boxes: ClassVar[bool] = False  # rows (image, class, score, xmin, ymin, xmax, ymax)
    reads_scores: ClassVar[bool] = False  # bottom 0 holds scores of classes, bottom 1 labels

    # -- how it computes -----------------------------------------------------------------------
    is_differentiable: ClassVar[bool] = True
    may_draw: ClassVar[bool] = False  # random numbers in some TEST passes, but not in every one
    takes_channels_last: ClassVar[bool] = False  # forward is as fast on NHWC memory, or faster
    top_is_free: ClassVar[bool] = False  # new memory, whose values the backward pass never reads
    is_identity: ClassVar[bool] = False  # the top is the bottom; what is to be done, the net does

    # -- what becomes of values, in phase TEST -------------------------------------------------
    works_on_codes: ClassVar[bool] = False  # moves, picks or compares values: any scale will do
    is_pointwise: ClassVar[bool] = False  # a function of each value alone in TEST; it has no blobs
    rearranges: ClassVar[bool] = False  # each top holds all values: no need to measure them again
    joins: ClassVar[bool] = False  # the bottoms lie side by side in the top
    places: ClassVar[Places] = ""  # where they go, see `moves_places`
    is_foldable: ClassVar[bool] = False  # goes into the sum in front of it, see `slope_and_shift`
    channel_factors: ClassVar[ChannelFactors] = ""  # of a foldable layer, see `with_factors`
    is_homogeneous: ClassVar[bool] = False  # f(s x) = s f(x) for s > 0; movers are it anyway
    ignores_scale: ClassVar[bool] = False  # f(s x) = f(x) for s > 0
    keeps_order: ClassVar[bool] = False  # f(s x) has its greatest value where f(x) has it

    @classmethod
    def is_weight_layer(cls) -> bool:
        """Whether it is a sum of products with weights: what low precision is about."""
        return bool(cls.kind) and KINDS[cls.kind].is_sum

    @classmethod
    def kind_in_drawings(cls) -> str:
        """One of `drawing.COLOURS`; "" of an unknown type."""
        return cls.drawn_as or (KINDS[cls.kind].drawn_as or cls.kind if cls.kind else "")

    @classmethod
    def moves_places(cls) -> Places:
        """Where values lie along height and width.

        Returns: "kept": where they were; "windows": at one place for each window of the bottom;
            "spread": the other way round, as Deconvolution does; "cut": those from an offset on;
            "" where places mean nothing.
        """
        return cls.places or ("kept" if cls.kind and KINDS[cls.kind].keeps_places else "")

    def hands_on(self) -> bool:
        """Whether every top is the bottom, value by value."""
        return False

    def keeps_codes(self) -> bool:
        """Whether every value of the tops is one of the bottoms', or 0."""
        return self.works_on_codes or self.hands_on()

    def keeps_grid(self) -> bool:
        """Whether tops lie on the grid of the bottoms; of an average, its sum does."""
        return self.keeps_codes()

    def rectifies(self) -> bool:
        """Whether the top is max(x, 0)."""
        return False

    def greatest_of_rectified(self) -> float | None:
        """c where the top is max(0, min(x, c)), infinite for a ReLU; None of any other function."""
        return math.inf if self.rectifies() else None

    def hands_scale_on(self) -> bool:
        """Whether f(s x) = s f(x) for s > 0, of the bottoms that get a gradient."""
        return self.is_homogeneous or self.keeps_codes()

    def rescaled(self, scale: float) -> ScaleChange | None:
        """What keeps the results when bottoms come times `scale`; None: nothing does."""
        if self.ignores_scale or self.keeps_order:
            return ScaleChange(False)
        return ScaleChange(True) if self.hands_scale_on() else None

    def scores_of(self) -> tuple[int, int | None]:
        """Of a layer that reads scores: the axis of the classes, and the label that is ignored."""
        return 1, None

    # -- as part of the sum in front of it, or as that sum -------------------------------------

    def why_not_folded(self, phase: str) -> str:
        """Why a foldable layer cannot go into the sum in front of it; "" when it can."""
        return ""

    def slope_and_shift(self, blobs: Sequence[Array], outputs: int) -> tuple[Array, Array]:
        """Slope and shift of y = slope x + shift, per channel, of a foldable layer.

        Raises: WeightsError when it has other blobs.
        """
        raise NotImplementedError

    def shifted(self, blobs: Sequence[Array], shift: Array) -> Mapping[int, Array] | None:
        """Blobs, by index, that make each channel of the top greater by `shift`, of a sum or of a
        foldable layer; None where nothing is added to the top."""
        return None

    def with_factors(
        self, blobs: Sequence[Array], below: Array, above: Array
    ) -> Mapping[int, Array]:
        """Blobs, by index, such that the layer's tops come times `above`, per channel, where its
        bottoms come times `below`; of a foldable layer with `channel_factors`:
        "kept": both are the same; "ended": `above` is 1; "free": both are free.
        """
        raise NotImplementedError

    def statistics_kept(self) -> float | None:
        """Of a layer with blobs (mean, variance, factor to divide them by) that it adds to in
        training: the share that a pass keeps; None for all others."""
        return None

    def averaging_all(self) -> Self:
        """The same layer, its statistics plain means over all passes."""
        raise NotImplementedError

    def least_factors(self, blobs: Sequence[Array]) -> Array:
        """The least factors per channel that a layer with `channel_factors` can take up below."""
        return np.zeros(())

    def sums_to_channels(self) -> bool:
        """Whether axis 1 of a weight layer's top counts its outputs."""
        return True

    def by_output(self, weight: Array) -> Array:
        """Blob 0 of a weight layer as one row per output channel."""
        raise NotImplementedError

    def from_output(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Blob 0 in its own shape again: the inverse of `by_output`."""
        raise NotImplementedError

    # -- in words ------------------------------------------------------------------------------

    def settings(self) -> str:
        """The settings that one looks for in a drawing; "" for none."""
        return ""

    def set_up_lines(self, top_shape: str) -> Iterator[tuple[str, str]]:
        """What Caffe logs in LayerSetUp: place in its source, text.

        Args:
            top_shape: of the first top, as `1,3,24,24`.
        """
        return iter(())
