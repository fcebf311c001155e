"""From what a model wrote to a clean rationale and the answer that it states.

May import: records, params, console and project.
"""

from tinyllm.parsing.question import ParsedQuestion, parse_question
from tinyllm.parsing.rationale import ParsedRationale, parse_rationale

__all__ = ["ParsedQuestion", "ParsedRationale", "parse_question", "parse_rationale"]
