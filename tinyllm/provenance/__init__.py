"""What a stage used: the params and files that it began with, checked at its end and written beside what it made.

May import: records, params, console and project.
"""

from tinyllm.provenance.records import check_run, differences
from tinyllm.provenance.stage_run import StageRun, running

__all__ = ["StageRun", "check_run", "differences", "running"]
