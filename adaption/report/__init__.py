"""What a person looks at: terminal tables, progress, one self-contained HTML file.

Importing this room is free: names are loaded at first use, rich and jinja2 by the calls that need
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaption.later import names_of

if TYPE_CHECKING:
    from adaption.report.html import render_report, write_report
    from adaption.report.progress import Progress, track
    from adaption.report.tables import Grid, layers_table, plain, print_summary, results_table
else:
    _MODULE_OF = {
        "render_report": "adaption.report.html",
        "write_report": "adaption.report.html",
        "Progress": "adaption.report.progress",
        "track": "adaption.report.progress",
        "Grid": "adaption.report.tables",
        "layers_table": "adaption.report.tables",
        "plain": "adaption.report.tables",
        "print_summary": "adaption.report.tables",
        "results_table": "adaption.report.tables",
    }
    __getattr__ = names_of(__name__, _MODULE_OF)

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
