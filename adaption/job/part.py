"""Which part of a net file is run: net state, last layer, and code of its own that it may bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adaption.graph import NetSpec, NetState, build_spec
from adaption.io.caffemodel import LayerWeights, Weights
from adaption.io.netfile import NetFile
from adaption.net import Net
from adaption.precision.convert import convert

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """The layers that `state` keeps, up to and including `end`."""

    state: NetState
    dialect: str | None = None
    end: str | None = None
    python_modules: Sequence[str] = ()
    ignore_unknown: bool = False

    def whole(self, net_file: NetFile) -> NetSpec:
        """All layers of the net state."""
        return build_spec(
            net_file.message,
            self.state,
            dialect=self.dialect,
            file=net_file.file,
            lines=net_file.lines,
            python_modules=self.python_modules,
            unknown=() if self.ignore_unknown else net_file.unknown,
        )

    def of(self, net_file: NetFile) -> NetSpec:
        """The layers to run; an LPAct that rounds the result of `end` belongs to it."""
        whole = self.whole(net_file)
        cut = whole.up_to(self.end)
        behind = whole.layers[len(cut.layers) :][:1]
        if behind and behind[0].type == "LPAct" and behind[0].bottoms == cut.layers[-1].tops[:1]:
            return whole.with_layers((*cut.layers, *behind))
        return cut

    def weights(self, net: Net, trained: Weights, net_file: NetFile) -> Iterator[LayerWeights]:
        """The weights of `net`, then those of the layers behind it as the whole net holds them."""
        names = {spec.name for spec in net.spec.layers}
        yield from net.weights()
        behind = [layer for layer in trained if layer.name not in names]
        yield from convert(Weights(behind, file=trained.file), self.whole(net_file))
