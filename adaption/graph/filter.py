"""Which layers a NetState keeps. Caffe: Net::FilterNet and Net::StateMeetsRule in net.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaption.errors import FieldError, LayerError

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["NetState", "is_kept", "unmet_rules"]

PHASES = ("TRAIN", "TEST")


@dataclass(frozen=True)
class NetState:
    """Phase, level and stages that `include` and `exclude` rules are compared with."""

    phase: str = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise FieldError("phase", self.phase, "TRAIN, TEST")

    def meets(self, rule: caffe_pb2.NetStateRule) -> bool:
        """True when every condition the rule names holds."""
        return not self.unmet(rule)

    def unmet(self, rule: caffe_pb2.NetStateRule) -> str:
        """The first condition of the rule that does not hold, as Caffe words it; "" for none."""
        if rule.HasField("phase") and PHASES[rule.phase] != self.phase:
            own = PHASES.index(self.phase)
            return f"The NetState phase ({own}) differed from the phase ({rule.phase})"
        if rule.HasField("min_level") and self.level < rule.min_level:
            return f"The NetState level ({self.level}) is above the min_level ({rule.min_level})"
        if rule.HasField("max_level") and self.level > rule.max_level:
            return f"The NetState level ({self.level}) is above the max_level ({rule.max_level})"
        for stage in rule.stage:
            if stage not in self.stages:
                return f"The NetState did not contain stage '{stage}'"
        for stage in rule.not_stage:
            if stage in self.stages:
                return f"The NetState contained a not_stage '{stage}'"
        return ""


def is_kept(layer: caffe_pb2.LayerParameter, state: NetState) -> bool:
    """True when the layer belongs to the net in this state.

    Raises: LayerError when the layer has both include and exclude rules, as Caffe does.
    """
    if layer.include and layer.exclude:
        raise LayerError("has include and exclude rules, allowed: one kind or the other")
    if layer.include:
        return any(state.meets(rule) for rule in layer.include)
    return not any(state.meets(rule) for rule in layer.exclude)


def unmet_rules(layer: caffe_pb2.LayerParameter, state: NetState) -> Iterator[str]:
    """What Caffe logs while it decides about a layer: each rule it tries that does not hold."""
    for rule in layer.include or layer.exclude:
        reason = state.unmet(rule)
        if not reason:
            return
        yield f"{reason} specified by a rule in layer {layer.name}"
