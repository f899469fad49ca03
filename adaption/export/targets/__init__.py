"""Export targets: one file each, found by scanning this folder."""

from adaption.export.targets.base import Export, Request, export_net, target, target_names

__all__ = ["Export", "Request", "export_net", "target", "target_names"]
