"""Which rationales are learnt from: cleaned, audited, selected, and joined with their questions.

May import: parsing, records, params, console and project.
"""

from tinyllm.corpus.assemble import assemble
from tinyllm.corpus.inputs import QuestionTable, RationaleTable
from tinyllm.corpus.metrics import CorpusMetrics, check_quarantine
from tinyllm.corpus.selection import keep_selected

__all__ = ["CorpusMetrics", "QuestionTable", "RationaleTable", "assemble", "check_quarantine", "keep_selected"]
