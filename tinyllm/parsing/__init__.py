"""From what a model wrote to a clean rationale and the answer that it states.

May import: records, params, console and project.
"""

from tinyllm.parsing.cleaning import clean
from tinyllm.parsing.stated_answer import extract_answer

__all__ = ["clean", "extract_answer"]
