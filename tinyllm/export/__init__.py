"""A trained student, or the corpus it learnt from, as a folder that is ready for the hub, with its card.

May import: datasets, evaluation, student, records, params, console and project.
"""

from tinyllm.export.corpus_folder import export_corpus
from tinyllm.export.folder import export

__all__ = ["export", "export_corpus"]
