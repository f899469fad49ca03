"""Wider versions of a net: which numbers of which layers have to change together."""

from adaption.graph.widening.plan import Inserted, NetChanges, Widening, plan_widening

__all__ = ["Inserted", "NetChanges", "Widening", "plan_widening"]
