"""How a new project is laid out around a user's questions, from the files that this repository itself uses.

May import: datasets, provenance, records, params, console and project.
"""

from tinyllm.scaffold.lay_out import lay_out
from tinyllm.scaffold.questions import DEFAULT_SEED
from tinyllm.scaffold.upgrade import upgrade

__all__ = ["DEFAULT_SEED", "lay_out", "upgrade"]
