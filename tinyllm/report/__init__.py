"""The page that shows a run.

May import: evaluation, records, params, console and project.
"""

from tinyllm.report.contents import explained, gather, voices
from tinyllm.report.figures import draw, standalone
from tinyllm.report.page import render
from tinyllm.report.run_files import read_results
from tinyllm.report.saved import read_report, save_report

__all__ = [
    "draw",
    "explained",
    "gather",
    "read_report",
    "read_results",
    "render",
    "save_report",
    "standalone",
    "voices",
]
