"""The report's figures, each an SVG drawing of its numbers.

May import: as report; evaluation, records, params, console and project.
"""

from tinyllm.report.figures.draw import attribution_figure, draw
from tinyllm.report.figures.forest import Estimate, forest
from tinyllm.report.figures.of_run import percent
from tinyllm.report.figures.paper import standalone

__all__ = ["Estimate", "attribution_figure", "draw", "forest", "percent", "standalone"]
