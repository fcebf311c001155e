"""From what a model wrote to a clean rationale and the answer that it states.

May import: records, params, console and project.
"""

from tinyllm.parsing.cleaning import clean
from tinyllm.parsing.stated_answer import stated_answer

__all__ = ["clean", "stated_answer"]
