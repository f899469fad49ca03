"""Which layers a NetState keeps. Caffe: Net::FilterNet and Net::StateMeetsRule in net.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaption.errors import FieldError, LayerError

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["NetState", "is_kept"]

PHASES = ("TRAIN", "TEST")


@dataclass(frozen=True)
class NetState:
    """Phase, level and stages that `include` and `exclude` rules are held against."""

    phase: str = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise FieldError("phase", self.phase, "TRAIN, TEST")

    def meets(self, rule: caffe_pb2.NetStateRule) -> bool:
        """True when every condition the rule names holds."""
        if rule.HasField("phase") and PHASES[rule.phase] != self.phase:
            return False
        if rule.HasField("min_level") and self.level < rule.min_level:
            return False
        if rule.HasField("max_level") and self.level > rule.max_level:
            return False
        have = set(self.stages)
        return have.issuperset(rule.stage) and have.isdisjoint(rule.not_stage)


def is_kept(layer: caffe_pb2.LayerParameter, state: NetState) -> bool:
    """True when the layer belongs to the net in this state.

    Raises: LayerError when the layer has both include and exclude rules, as Caffe does.
    """
    if layer.include and layer.exclude:
        raise LayerError("has include and exclude rules, allowed: one kind or the other")
    if layer.include:
        return any(state.meets(rule) for rule in layer.include)
    return not any(state.meets(rule) for rule in layer.exclude)
