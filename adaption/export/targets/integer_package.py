"""Targets npz and c: integer codes, see export.package."""

from __future__ import annotations

from adaption.export.package import export_integer
from adaption.export.targets.base import Export, Request, target


@target(
    "npz", suffix=".npz", help="integer codes and formats in one npz", settings=("input_formats",)
)
def write_npz(request: Request) -> Export:
    """Write one npz."""
    return _write(request, "npz")


@target(
    "c",
    suffix="_c",
    help="a folder with a C99 program, and codes as C headers and hex files",
    settings=("input_formats",),
)
def write_c(request: Request) -> Export:
    """Write a folder."""
    return _write(request, "c")


def _write(request: Request, form: str) -> Export:
    report = export_integer(request.net, request.out, form=form, **request.settings)
    sizes = report.sizes
    details = {} if sizes is None else {"memory": sizes.to_dict()}
    table = "" if sizes is None else str(sizes)
    return Export(to=form, files=report.files, notes=report.notes, details=details, table=table)
