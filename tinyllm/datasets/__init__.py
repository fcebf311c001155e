"""Where questions come from: casebook, the authors' release, the hub, or a folder of the user's own.

May import: casebook, records, params, console and project.
"""

from tinyllm.datasets.load import QuestionSet, load_set, prepare, without_question

__all__ = ["QuestionSet", "load_set", "prepare", "without_question"]
