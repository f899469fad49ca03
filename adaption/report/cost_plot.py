"""The cost of a net as a drawing: compute by layer, memory by batch size, metrics of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adaption.precision.cost_model import LayerCost, Memory
from adaption.report import svg
from adaption.report.chart import COLOURS
from adaption.report.cost import Cost
from adaption.report.format import compact, count, percent, significant, size

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["cost_svg"]

WIDTH, LEFT, RIGHT = 720, 64, 16
PLOT, HEADER = 180, 40  # heights: bars, and what stands above them
NAMED, LETTERS = 40, 16  # layers, at most, that have their names written, and letters of a name
BAR = 16  # height of a lying bar
FLOAT_BITS_PER_MAC = 64

_COLOURS = "".join(f".c{i}{{fill:{colour}}}" for i, colour in enumerate(COLOURS))
_STYLE = f"""<style>
svg{{background:#fff;font:12px system-ui,sans-serif}}
text{{fill:#333}}.t{{font-weight:600}}.axis{{stroke:#888}}.float{{fill:#ddd}}
{_COLOURS}
@media(prefers-color-scheme:dark){{svg{{background:#1b1b1b}}text{{fill:#ddd}}.float{{fill:#444}}}}
</style>"""


def cost_svg(cost: Cost) -> str:
    """A whole SVG file: compute cost of each layer beside its cost in float, memory in training
    and inference for each batch size, and the metrics of training against float."""
    from markupsafe import Markup

    parts: list[Markup] = []
    top = _compute(parts, cost, 0.0)
    top = _memory(parts, cost.memory, top)
    top = _training(parts, cost, top)
    title = f"Cost of {cost.name or 'a net'}"
    desc = (
        f"Compute cost {significant(cost.relative)} of float; memory at batch sizes"
        f" {', '.join(str(x.batch) for x in cost.memory)}; metrics of training."
    )
    body = Markup(_STYLE) + svg.group(parts)
    drawn = str(svg.figure("cost", WIDTH, top, title, desc, body))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _compute(parts: list[Markup], cost: Cost, top: float) -> float:
    """A bar for each layer, before a grey one for the same layer in float."""
    layers = cost.net.layers
    reference = "itself" if cost.against is None else cost.against
    parts.append(svg.text(LEFT, top + 18, "Compute cost by layer", "t"))
    words = f"{significant(cost.relative)} of {reference} in float; grey: the layer in float"
    parts.append(svg.text(LEFT, top + 34, words))
    most = max(FLOAT_BITS_PER_MAC * x.macs for x in layers) or 1
    upper, lower = top + HEADER, top + HEADER + PLOT
    step = (WIDTH - LEFT - RIGHT) / len(layers)
    named = len(layers) <= NAMED
    for i, x in enumerate(layers):
        left = LEFT + step * i
        low, full = _cost_of(x), FLOAT_BITS_PER_MAC * x.macs
        tip = (
            f"{x.name}: {count(x.macs)} MACs, weights {x.weight_bits} bits, activations"
            f" {x.activation_bits} bits, {percent(low / full if full else None)} of float"
        )
        for value, kind in ((full, "float"), (low, "c0")):
            height = PLOT * value / most
            parts.append(svg.rect(left, lower - height, max(step - 2, 1), height, kind, tip))
        if named:
            place = left + step / 2
            turn = f"rotate(-60 {svg.number(place)} {svg.number(lower + 12)})"
            attributes: dict[str, str | float] = {
                "x": place, "y": lower + 12, "text_anchor": "end", "transform": turn,
            }  # fmt: skip
            parts.append(svg.element("text", attributes, x.name[:LETTERS]))
    parts.append(svg.line(LEFT, lower, WIDTH - RIGHT, lower, "axis"))
    parts.append(svg.text(LEFT - 6, upper + 4, compact(most), "", "end"))
    parts.append(svg.text(LEFT - 6, lower, "0", "", "end"))
    longest = min(LETTERS, max(len(x.name) for x in layers))
    return lower + (24 + 6 * longest if named else 16)  # letters are 7 wide and lean


def _cost_of(x: LayerCost) -> int:
    return x.macs * (x.weight_bits + x.activation_bits)


def _memory(parts: list[Markup], memories: Sequence[Memory], top: float) -> float:
    """Two lying bars for each batch size: training, and inference."""
    names = ("weights", "activations", "largest dZ", "largest dX", "features")
    parts.append(svg.text(LEFT, top + 18, "Memory by batch size", "t"))
    for i, name in enumerate(names):
        left = LEFT + 110 * i
        parts += [svg.rect(left, top + 26, 10, 10, f"c{i}"), svg.text(left + 14, top + 35, name)]
    most = max((x.training_bytes for x in memories), default=1) or 1
    top += HEADER + 8
    for x in memories:
        training = (x.weights_bytes, x.activations_bytes, x.largest_dz_bytes, x.largest_dx_bytes)
        inference = ((0, x.weights_bytes), (4, x.feature_bytes))
        parts.append(svg.text(LEFT - 6, top + BAR + 4, str(x.batch), "", "end"))
        top = _stack(parts, "training", list(enumerate(training)), most, top)
        top = _stack(parts, "inference", inference, most, top) + 8
    return top


def _stack(
    parts: list[Markup], what: str, pieces: Sequence[tuple[int, int]], most: int, top: float
) -> float:
    """Pieces (colour, bytes) of one bar side by side; returns where the next bar begins."""
    left = float(LEFT)
    scale = (WIDTH - LEFT - RIGHT - 150) / most
    for colour, value in pieces:
        width = value * scale
        parts.append(svg.rect(left, top, width, BAR, f"c{colour}", f"{what}: {size(value)}"))
        left += width
    total = sum(value for _, value in pieces)
    parts.append(svg.text(left + 6, top + BAR - 4, f"{what} {size(total)}"))
    return top + BAR + 2


def _training(parts: list[Markup], cost: Cost, top: float) -> float:
    """One lying bar for each metric, before a grey one for float."""
    parts.append(svg.text(LEFT, top + 18, "Metrics of training (Sakr and Shanbhag)", "t"))
    parts.append(svg.text(LEFT, top + 34, "each against float, which is grey"))
    top += HEADER + 4
    full, low = cost.per_tensor_float.to_dict(), cost.per_tensor.to_dict()
    shares = {name: low[name] / full[name] if full[name] else 0.0 for name in low}
    # Multipliers of wide fixed-point words have more adders than those of 23-bit mantissas.
    width = (WIDTH - LEFT - RIGHT - 220) / max(1.0, *shares.values())
    end = LEFT + width * max(1.0, *shares.values())
    for name, share in shares.items():
        parts.append(svg.text(LEFT - 6, top + BAR - 4, name, "", "end"))
        parts.append(svg.rect(LEFT, top, width, BAR, "float"))
        parts.append(svg.rect(LEFT, top, width * share, BAR, "c0", percent(share)))
        words = f"{compact(low[name])} of {compact(full[name])} ({percent(share)})"
        parts.append(svg.text(end + 6, top + BAR - 4, words))
        top += BAR + 4
    return top + 12
