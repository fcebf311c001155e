"""Which rationales are learnt from: cleaned, audited, selected, and joined with their questions.

May import: parsing, records, params, console and project.
"""

from tinyllm.corpus.joining import judged_rows
from tinyllm.corpus.metrics import CorpusMetrics, check_quarantine
from tinyllm.corpus.selection import rationale_weights, select

__all__ = ["CorpusMetrics", "check_quarantine", "judged_rows", "select", "rationale_weights"]
