"""Which rationales are learnt from: cleaned, audited, selected, and joined with their questions.

May import: parsing, records, params, console and project.
"""

from tinyllm.corpus.answers import AnswerMaker
from tinyllm.corpus.assemble import assemble
from tinyllm.corpus.control import control_rationales
from tinyllm.corpus.inputs import QuestionTable, RationaleTable
from tinyllm.corpus.metrics import CorpusMetrics, check_quarantine
from tinyllm.corpus.selection import keep_selected
from tinyllm.corpus.wording import corpus_in_words

__all__ = [
    "AnswerMaker",
    "CorpusMetrics",
    "QuestionTable",
    "RationaleTable",
    "assemble",
    "check_quarantine",
    "control_rationales",
    "corpus_in_words",
    "keep_selected",
]
