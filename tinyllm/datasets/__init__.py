"""Where questions come from: casebook, the authors' release, the hub, or a folder of the user's own.

May import: casebook, records, params, console and project.
"""

from tinyllm.datasets.load import QuestionSet, load_set, prepare, stop_at_bad, without_question
from tinyllm.datasets.rows import count_faults, refuse_bad

__all__ = ["QuestionSet", "count_faults", "load_set", "prepare", "refuse_bad", "stop_at_bad", "without_question"]
