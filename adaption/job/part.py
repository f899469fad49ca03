"""Which part of a net file is run: net state, last layer, and code of its own that it may bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adaption.graph import NetSpec, NetState, build_spec
from adaption.io.caffemodel import LayerWeights, Weights
from adaption.io.lp_types import LP_ACT
from adaption.io.netfile import NetFile
from adaption.net import Net
from adaption.options import RunOptions
from adaption.precision.convert import convert

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """The layers that the net state keeps, up to and including `end`."""

    options: RunOptions

    @property
    def state(self) -> NetState:
        """The net state that `include` and `exclude` rules are compared with."""
        return NetState(self.options.phase, self.options.level, tuple(self.options.stages))

    def whole(self, net_file: NetFile) -> NetSpec:
        """All layers of the net state."""
        return build_spec(
            net_file.message,
            self.state,
            dialect=self.options.dialect,
            file=net_file.file,
            lines=net_file.lines,
            python_modules=self.options.python_modules,
            unknown=() if self.options.ignore_unknown else net_file.unknown,
        )

    def of(self, net_file: NetFile) -> NetSpec:
        """The layers to run; an LPAct that rounds the result of `end` belongs to it."""
        whole = self.whole(net_file)
        cut = whole.up_to(self.options.end)
        behind = whole.layers[len(cut.layers) :][:1]
        if behind and behind[0].type == LP_ACT and behind[0].bottoms == cut.layers[-1].tops[:1]:
            return whole.with_layers((*cut.layers, *behind))
        return cut

    def weights(self, net: Net, trained: Weights, net_file: NetFile) -> Iterator[LayerWeights]:
        """The weights of `net`, then those of the layers behind it as the whole net holds them."""
        yield from net.weights()
        yield from convert(self.behind(net, trained), self.whole(net_file))

    def behind(self, net: Net, trained: Weights) -> Weights:
        """The weights of the layers that `net` does without."""
        names = {spec.name for spec in net.spec.layers}
        behind = [layer for layer in trained.layers if layer.name not in names]
        return Weights(behind, file=trained.file)
