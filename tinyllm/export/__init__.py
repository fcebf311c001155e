"""A trained student as a folder that is ready for the hub, with its model card.

May import: datasets, evaluation, student, records, params, console and project.
"""

from tinyllm.export.folder import export

__all__ = ["export"]
