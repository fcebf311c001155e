"""Teachers: who writes the rationales, how they are asked, and what asking came to.

May import: casebook, cluster, models, parsing, records, params, console and project.
"""

from tinyllm.teachers.exam import grade
from tinyllm.teachers.labelled import gold_shown
from tinyllm.teachers.metrics import check_failed, check_probabilities, stated_gold, summarise_query
from tinyllm.teachers.open import open_teacher, query_costs, rationale_rows, read_asked

__all__ = [
    "check_failed",
    "check_probabilities",
    "gold_shown",
    "grade",
    "open_teacher",
    "query_costs",
    "rationale_rows",
    "read_asked",
    "stated_gold",
    "summarise_query",
]
