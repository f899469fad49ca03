"""Points: what is rounded at one layer, and who looks on. The only place of a net that rounds.

The formats change by `Net.set_plan` alone, which also drops whatever was derived from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from adaption.errors import NonFiniteError
from adaption.layers.base import Runtime
from adaption.net.plan import LayerFormats, Point
from adaption.numerics import DynamicFixed, Format, quantize_ste, quantize_ste_, view_ste

__all__ = ["GridWatch", "Meter", "Points", "Watch", "WeightDraw", "raise_non_finite"]

Watch = Callable[[Point, Tensor], None]
GridWatch = Callable[[Point, int, Tensor, Format], None]
"""Gets the point, which of its tensors it is, the tensor before it is rounded, and the grid."""
Meter = Callable[[Format, Tensor, torch.Generator | None], None]
"""Rounds a tensor in its own memory, to the same bits, and counts what that does."""


@dataclass(frozen=True)
class WeightDraw:
    """The random numbers of one update: every net that is given it rounds a weight alike.

    Args:
        seed: of the run. update: number of updates done.
    """

    seed: int
    update: int

    def generator(self, name: str, device: torch.device) -> torch.Generator:
        """A generator of its own for the weight, bias or gradient `name`."""
        text = f"{self.seed} {self.update} {name}".encode()
        number = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")
        return torch.Generator(device).manual_seed(number)


@dataclass
class Points:
    """The quantization points of one layer in a net.

    watched, watch: kinds of point whose tensors `watch` sees before they are rounded, in passes
        that record for a backward pass.
    watch_grid: gets the grid of each tensor, where the format takes it from the tensor.
    meter: rounds tops that nothing else needs, outside any graph.
    peaks: the greatest magnitude of the tensor before, for formats with a delayed exponent.
    """

    formats: LayerFormats
    layer: str
    layer_type: str
    line: int | None
    runtime: Runtime
    watched: frozenset[str] = frozenset()
    watch: Watch | None = None
    watch_grid: GridWatch | None = None
    meter: Meter | None = None
    peaks: dict[str, Tensor] = field(default_factory=dict)

    def see(self, kind: str, x: Tensor) -> None:
        """Show a tensor that is about to be rounded."""
        if kind in self.watched and self.watch is not None:
            self.watch(Point(self.layer, kind), x.detach())

    def resolved(self, kind: str, x: Tensor, index: int = 0) -> Format:
        """The format at a point for this tensor.

        Args:
            index: which of the layer's bottoms, tops or blobs it is; each has its own exponent.
        Raises: NonFiniteError that names layer and point.
        """
        fmt = self.formats.of(kind)
        assert fmt is not None
        if not fmt.follows_tensor:
            return fmt
        try:
            grid = self._following(fmt, f"{kind}[{index}]", x)
        except NonFiniteError as error:
            raise self._non_finite(kind) from error
        if self.watch_grid is not None:
            self.watch_grid(Point(self.layer, kind), index, x.detach(), grid)
        return grid

    def _following(self, fmt: Format, key: str, x: Tensor) -> Format:
        if not isinstance(fmt, DynamicFixed):
            return fmt.at(x)
        peak = fmt.peak(x)
        used = peak
        if fmt.delayed and self.runtime.training:
            used = self.peaks.get(key, peak)
            self.peaks[key] = peak
            fmt.for_peak(peak)  # refuses inf and NaN now, not one pass later
        if peak.device.type != "cpu":
            self.runtime.peaks.append((self, key.partition("[")[0], peak))
        return fmt.for_peak(used)

    def _non_finite(self, kind: str) -> NonFiniteError:
        return NonFiniteError(
            f"the {kind} to be rounded holds inf or NaN",
            "lower base_lr, set clip_gradients, or give this point a wider format",
        ).at(layer=self.layer, layer_type=self.layer_type, line=self.line)

    # -- rounding ----------------------------------------------------------------------------

    def round_(self, kind: str, x: Tensor, index: int = 0, *, then_relu: bool = False) -> None:
        """Round `x` in its own memory, outside any graph."""
        fmt = self.resolved(kind, x, index)
        fmt.quantize_(x.detach(), self.runtime.generator, then_relu=then_relu)

    def rounded(self, kind: str, x: Tensor, index: int = 0) -> Tensor:
        """`x` rounded, in new memory, outside any graph."""
        return self.resolved(kind, x, index).quantize(x, self.runtime.generator)

    def top(self, x: Tensor, index: int, *, in_place: bool) -> Tensor:
        """A top at the activation point, with a straight-through gradient.

        Args:
            in_place: whether no backward pass reads the values before.
        """
        fmt = self.resolved("activation", x, index)
        if in_place and self.meter is not None and not torch.is_grad_enabled():
            self.meter(fmt, x.detach(), self.runtime.generator)
            return x
        apply = quantize_ste_ if in_place else quantize_ste
        return apply(x, fmt, self.runtime.generator)

    def view(self, x: Tensor, index: int) -> tuple[Tensor, Callable[[], Tensor]]:
        """This layer's own view of a bottom: rounded, with a straight-through gradient.

        Returns: the view, and what makes its values again in the backward pass, so that only the
            bottom has to be kept.
        """
        fmt = self.resolved("bottom", x, index)
        if not fmt.is_random:
            values = x.detach()
            return view_ste(x, fmt), lambda: fmt.quantize(values)
        host = self.runtime.draws_on_host
        seed = int(torch.randint(2**62, (), generator=host))
        device, values = x.device, x.detach()

        def generator() -> torch.Generator:
            return torch.Generator(device).manual_seed(seed)

        return view_ste(x, fmt, generator()), lambda: fmt.quantize(values, generator())

    # -- state -------------------------------------------------------------------------------

    def save_peaks(self) -> dict[str, float]:
        """The delayed exponents' magnitudes, as plain values."""
        return {key: float(peak) for key, peak in self.peaks.items()}

    def load_peaks(self, peaks: dict[str, Any]) -> None:
        """Go on from `save_peaks`."""
        device = self.runtime.device
        self.peaks = {
            key: torch.tensor(float(v), dtype=torch.float32, device=device)
            for key, v in peaks.items()
        }


def raise_non_finite(runtime: Runtime) -> None:
    """Check the magnitudes that were left on a device, now that something is read from it anyway.

    Raises: NonFiniteError that names the first layer and point at fault.
    """
    waiting = list(runtime.peaks)
    runtime.peaks.clear()
    if not waiting:
        return
    fine = torch.stack([torch.isfinite(peak) for _, _, peak in waiting])
    if not bool(fine.all()):
        points, kind, _ = waiting[int((~fine).nonzero()[0])]
        raise points._non_finite(kind)
