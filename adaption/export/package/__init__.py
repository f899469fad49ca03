"""The integer package: codes, formats and a C99 program of a low-precision net."""

from adaption.export.package.integer import export_integer

__all__ = ["export_integer"]
