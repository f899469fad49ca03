"""What a person looks at: terminal tables, progress, one self-contained HTML file.

Importing this room is free: rich and jinja2 are loaded by the calls that need them.
"""

from __future__ import annotations

from adaption.report.html import render_report, write_report
from adaption.report.progress import Progress, track
from adaption.report.tables import Grid, layers_table, plain, print_summary, results_table

__all__ = [
    "Grid",
    "Progress",
    "layers_table",
    "plain",
    "print_summary",
    "render_report",
    "results_table",
    "track",
    "write_report",
]
